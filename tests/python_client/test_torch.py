"""PyTorch tensors, as sources and as destinations."""

import collections

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import cairn  # noqa: E402
from cairn import arrays  # noqa: E402

DTYPES = [
    torch.bool, torch.int8, torch.int16, torch.int32, torch.int64, torch.uint8, torch.uint16, torch.uint32, torch.uint64,
    torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.complex64, torch.complex128, torch.float8_e4m3fn,
    torch.float8_e5m2, torch.float8_e4m3fnuz, torch.float8_e5m2fnuz, torch.float8_e8m0fnu,
]  # fmt: skip


def random_tensor(dtype, shape=(3, 5)):
    raw = np.random.default_rng(3).integers(0, 2 if dtype == torch.bool else 256, (*shape, dtype.itemsize), np.uint8)
    return torch.from_numpy(raw).reshape(-1).view(dtype).reshape(shape)


def bits(tensor):
    return tensor.dtype, tuple(tensor.shape), bytes(tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy())


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(), (3, 5), (0, 2)], ids=str)
def test_every_dtype_comes_back_bit_for_bit(client, dtype, shape):
    sent = random_tensor(dtype, shape)
    client.save("tests/torch_dtypes@1", {"x": sent}, overwrite=True)
    back = client.load("tests/torch_dtypes@1", framework="torch")["x"]
    assert bits(back) == bits(sent)
    target = torch.zeros(shape, dtype=torch.float32).to(dtype)
    client.load("tests/torch_dtypes@1", into={"x": target})
    assert bits(target) == bits(sent)


def test_packed_floats_keep_their_bytes(client):
    sent = torch.arange(12, dtype=torch.uint8).reshape(3, 4).view(torch.float4_e2m1fn_x2)
    client.save("tests/torch_fp4@1", {"x": sent})
    (entry,) = client.show("tests/torch_fp4@1").entries
    assert (entry.dtype, entry.shape, entry.nbytes) == ("float4_e2m1fn_packed", (3, 8), 12)
    back = client.load("tests/torch_fp4@1", framework="torch")["x"]
    assert back.dtype == sent.dtype and torch.equal(back.view(torch.uint8), sent.view(torch.uint8))
    with pytest.raises(cairn.UnimplementedError, match="packs several elements"):
        client.load("tests/torch_fp4@1")


@pytest.mark.parametrize(
    "make",
    [
        lambda t: t.T,
        lambda t: t[:, ::2],
        lambda t: t[1],
        lambda t: t.expand(2, 3, 4),
        lambda t: t.requires_grad_(),
        lambda t: torch.nn.Parameter(t),
        lambda t: torch.complex(t, t).conj(),
        lambda t: torch.complex(t, t).conj().imag,
    ],
    ids=["transposed", "strided", "row", "expanded", "grad", "parameter", "conjugate", "negative view"],
)
def test_any_strided_tensor_is_saved_as_what_it_means(client, make):
    sent = make(torch.arange(12, dtype=torch.float32).reshape(3, 4))
    client.save("tests/torch_layouts@1", {"x": sent}, overwrite=True)
    back = client.load("tests/torch_layouts@1", framework="torch")["x"]
    assert torch.equal(back, sent.detach().resolve_conj().resolve_neg())


def test_contiguous_tensors_are_borrowed():
    tensor = torch.ones(4, dtype=torch.bfloat16, requires_grad=True)
    memory = arrays.describe(tensor, "x").parts[0].memory
    assert memory.__array_interface__["data"][0] == tensor.data_ptr()


def test_a_module_and_its_optimizer_go_on_where_they_were(client):
    def make():
        torch.manual_seed(1)
        model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.LayerNorm(8), torch.nn.Linear(8, 2))
        return model, torch.optim.AdamW(model.parameters(), lr=0.1, betas=(0.8, 0.9))

    def train(model, optimizer, steps):
        for _ in range(steps):
            optimizer.zero_grad()
            model(torch.ones(3, 4)).square().sum().backward()
            optimizer.step()
        return [p.detach().clone() for p in model.parameters()]

    model, optimizer = make()
    train(model, optimizer, 3)
    client.save("tests/torch_module@3", {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": 3})
    expected = train(model, optimizer, 2)

    model, optimizer = make()
    state = client.load("tests/torch_module@3", framework="torch")
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    assert state["optimizer"]["param_groups"][0]["betas"] == (0.8, 0.9) and state["step"] == 3
    assert all(map(torch.equal, train(model, optimizer, 2), expected))

    model, _ = make()
    client.load("tests/torch_module@3", select="model/", into={"model": model.state_dict()})
    assert all(map(torch.equal, model.state_dict().values(), state["model"].values()))


def test_tied_weights_are_saved_once_and_come_back_tied(client):
    model = torch.nn.ModuleDict({"embed": torch.nn.Embedding(5, 3), "head": torch.nn.Linear(3, 5, bias=False)})
    model["head"].weight = model["embed"].weight
    client.save("tests/torch_tied@1", model.state_dict())
    assert [e.kind for e in client.show("tests/torch_tied@1").entries] == ["tensor", "alias"]
    back = client.load("tests/torch_tied@1", framework="torch")
    assert back["embed.weight"] is back["head.weight"]
    with torch.no_grad():
        model["embed"].weight.zero_()
    client.load("tests/torch_tied@1", into=model.state_dict())
    assert torch.equal(model["head"].weight, back["head.weight"])


def test_a_tensor_and_an_array_over_the_same_memory_are_tied(client):
    a = np.arange(4.0)
    client.save("tests/torch_shared@1", {"a": a, "t": torch.from_numpy(a)})
    assert [e.kind for e in client.show("tests/torch_shared@1").entries] == ["tensor", "alias"]


def test_strided_and_meta_tensors_in_a_tree(client):
    client.save("tests/torch_into@1", {"a": torch.arange(6.0).reshape(2, 3), "b": torch.ones(2)})
    tree = {"a": torch.zeros(3, 2).T, "b": torch.empty(2, device="meta")}
    a = tree["a"]
    client.load("tests/torch_into@1", into=tree)
    assert tree["a"] is a and torch.equal(a, torch.arange(6.0).reshape(2, 3))
    assert tree["b"].device.type == "cpu" and torch.equal(tree["b"], torch.ones(2))


def test_a_leaf_that_requires_grad_is_filled(client):
    client.save("tests/torch_grad@1", {"w": torch.ones(2, 3)})
    w = torch.nn.Parameter(torch.zeros(2, 3))
    strided = torch.zeros(3, 2, requires_grad=True)
    client.load("tests/torch_grad@1", into={"w": w})
    assert torch.equal(w, torch.ones(2, 3)) and w.requires_grad
    client.load("tests/torch_grad@1", into={"w": strided.T})
    assert torch.equal(strided, torch.ones(3, 2))


def test_shards_of_tensors(client):
    whole = torch.arange(24.0).reshape(4, 6)
    for writer in range(2):
        part = cairn.Shard(whole[2 * writer : 2 * writer + 2], whole.shape, (2 * writer, 0))
        client.save("tests/torch_shards@1", {"w": part}, writer=writer, writers=2, session_key="torch-shards")
    assert torch.equal(client.load("tests/torch_shards@1", framework="torch")["w"], whole)
    columns = torch.zeros(4, 2)
    client.load("tests/torch_shards@1", into={"w": cairn.Shard(columns, (4, 6), (0, 3))})
    assert torch.equal(columns, whole[:, 3:5])


def test_torch_dtypes_name_a_cast(client):
    client.save("tests/torch_cast@1", collections.OrderedDict(x=torch.ones(2), n=torch.ones(2, dtype=torch.int64)))
    back = client.load("tests/torch_cast@1", framework="torch", dtype=torch.bfloat16)
    assert back["x"].dtype == torch.bfloat16 and back["n"].dtype == torch.int64


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: torch.ones(2).to_sparse(), "sparse"),
        (lambda: torch.empty(2, device="meta"), "meta device"),
        (lambda: torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8), "quantized"),
        (lambda: torch.ones(2, dtype=torch.complex32), "complex32"),
        (lambda: torch.nn.Linear(1, 1), "state_dict"),
        (lambda: torch.float32, "neither an array nor a plain value"),
    ],
    ids=["sparse", "meta", "quantized", "complex32", "module", "dtype"],
)
def test_what_is_no_plain_tensor_is_refused_with_its_path(client, make, message):
    with pytest.raises(cairn.InvalidArgumentError, match=rf'"a/b": .*{message}'):
        client.save("tests/torch_refused@1", {"a": {"b": make()}})


def test_a_dtype_that_torch_lacks_says_what_to_do(client):
    import ml_dtypes

    client.save("tests/torch_lacks@1", {"x": np.ones(2, ml_dtypes.float8_e3m4)})
    with pytest.raises(
        cairn.UnimplementedError, match=r'entry "x": torch has no float8_e3m4; load with dtype="float32"'
    ):
        client.load("tests/torch_lacks@1", framework="torch")


def test_device_moves_what_is_loaded(client):
    client.save("tests/torch_device@1", {"x": torch.ones(2)})
    assert client.load("tests/torch_device@1", framework="torch", device="meta")["x"].device.type == "meta"
