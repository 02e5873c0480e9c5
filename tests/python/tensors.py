"""PyTorch tensors to be converted, and whether states with them are the same afterwards."""

import torch

DTYPES = [
    torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8,
    torch.bool, torch.complex64, torch.complex128, torch.uint16, torch.uint32, torch.uint64, torch.float8_e4m3fn, torch.float8_e5m2,
    torch.float8_e4m3fnuz, torch.float8_e5m2fnuz, torch.float8_e8m0fnu,
]  # fmt: skip


def tensor(dtype, shape, seed=0):
    """Every bit pattern is allowed, NaNs included: equality is that of bytes."""
    count = int(torch.tensor(shape).prod()) if shape else 1
    item = torch.empty((), dtype=dtype).element_size()
    generator = torch.Generator().manual_seed(seed)
    data = torch.randint(0, 2 if dtype == torch.bool else 256, (count * item,), dtype=torch.uint8, generator=generator)
    return data.view(dtype).reshape(shape)


def bits(value):
    return value.detach().resolve_conj().resolve_neg().contiguous().reshape(-1).view(torch.uint8)


def same(a, b, where="", ordered=False):
    """The same tree with the same leaves, tensors bit by bit; `ordered` if dicts must have their keys in the same order."""
    if isinstance(a, torch.Tensor):
        assert isinstance(b, torch.Tensor) and (a.dtype, a.shape) == (b.dtype, b.shape), (where, a, b)
        assert a.numel() == 0 or torch.equal(bits(a), bits(b)), (where, a, b)
    elif isinstance(a, dict):
        assert isinstance(b, dict) and a.keys() == b.keys() and (not ordered or list(a) == list(b)), (where, a, b)
        for key in a:
            same(a[key], b[key], f"{where}/{key}", ordered)
    elif isinstance(a, (list, tuple)):
        assert type(a) is type(b) and len(a) == len(b), (where, a, b)
        for i, (x, y) in enumerate(zip(a, b)):
            same(x, y, f"{where}/{i}", ordered)
    else:
        assert type(a) is type(b) and (a == b or (a != a and b != b)), (where, a, b)
