"""PyTorch tensors as sources and destinations. Imported only where torch is imported already, or asked for."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Hashable
from typing import Any

import numpy as np

from cairn import dtypes
from cairn.arrays import Part, Source
from cairn.errors import InvalidArgumentError

_STAGING_BYTES = 64 << 20
"""Of the pinned memory that tensors of an accelerator come to the host through."""


def describe(tensor: Any, path: str) -> Source:
    """How to save a torch tensor (parameters too)."""
    torch = importlib.import_module("torch")
    problem = _problem(torch, tensor)
    if problem is not None:
        raise InvalidArgumentError(f'"{path}": {problem}', metadata={"path": path})
    name = dtypes.of_torch(tensor.dtype)
    if name is None:
        raise InvalidArgumentError(
            f'"{path}": a tensor of dtype {tensor.dtype}, which Cairn lacks', metadata={"path": path}
        )
    tensor = tensor.detach()
    shape = element_shape(name, tuple(tensor.shape))
    if is_direct(tensor):
        return Source(name, shape, (Part(host_bytes(tensor)),), identity(tensor))
    return Source(name, shape, (Part(functools.partial(_to_host, tensor)),), identity(tensor))


def _problem(torch: Any, tensor: Any) -> str | None:
    if type(tensor).__name__ == "DTensor":
        return (
            "a DTensor; save its local part as cairn.Shard(tensor.to_local(), shape, offset), or tensor.full_tensor()"
        )
    if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_nested:
        return "a sparse, quantized or nested tensor; save the dense tensors that it is made of"
    if tensor.device.type == "meta":
        return "a tensor on the meta device, which has no bytes"
    return None


def element_shape(name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape in elements. torch counts bytes in its one packed type, of two elements each."""
    shape = tuple(int(n) for n in shape)
    return (*shape[:-1], shape[-1] * 2) if dtypes.is_packed(name) and shape else shape


def torch_shape(name: str, shape: tuple[int, ...], path: str) -> tuple[int, ...]:
    """The inverse of element_shape."""
    if not dtypes.is_packed(name):
        return shape
    if not shape or shape[-1] % 2:
        raise InvalidArgumentError(f'"{path}": {name} of shape {shape} ends within a byte, which torch cannot hold')
    return (*shape[:-1], shape[-1] // 2)


class _HostMemory:
    """The memory of a tensor for NumPy. ``tensor.numpy()`` would forbid for ever to resize its storage, which fully
    sharded training does."""

    def __init__(self, tensor: Any) -> None:
        self._tensor = tensor  # Lives as long as the array.
        self.__array_interface__ = {
            "version": 3,
            "data": (tensor.data_ptr(), False),
            "shape": (tensor.numel() * tensor.element_size(),),
            "typestr": "|u1",
        }


def is_direct(tensor: Any) -> bool:
    """Its bytes lie in the host's memory as they are sent."""
    return tensor.device.type == "cpu" and tensor.is_contiguous() and not tensor.is_conj() and not tensor.is_neg()


def host_bytes(tensor: Any) -> Any:
    """The bytes of a direct tensor as a flat NumPy array, without a copy."""
    return np.asarray(_HostMemory(tensor.detach())) if tensor.numel() else np.empty(0, np.uint8)


def identity(tensor: Any) -> Hashable:
    """Equal for tensors that are the same elements of the same storage; None for empty ones."""
    if tensor.numel() == 0:
        return None
    # CPU tensors may share memory with NumPy arrays.
    place = "host" if tensor.device.type == "cpu" else str(tensor.device)
    width = tensor.element_size()
    strides = tuple(int(s) * width for s in tensor.stride())
    name = dtypes.of_torch(tensor.dtype)
    return (place, tensor.data_ptr(), tuple(tensor.shape), strides, name, tensor.is_conj() or tensor.is_neg())


def _to_host(tensor: Any) -> Any:
    """A copy in C order on the host. From an accelerator through a bounded piece of pinned memory."""
    torch = importlib.import_module("torch")
    source = tensor.resolve_conj().resolve_neg().contiguous()
    if source.device.type == "cpu":
        # contiguous() gives back what is so already, as the two before it do.
        return host_bytes(source)
    flat = source.reshape(-1).view(torch.uint8)
    copy = torch.empty(flat.numel(), dtype=torch.uint8)
    staging = torch.empty(min(_STAGING_BYTES, flat.numel()), dtype=torch.uint8, pin_memory=flat.device.type == "cuda")
    for start in range(0, flat.numel(), _STAGING_BYTES):
        piece = flat[start : start + _STAGING_BYTES]
        staged = staging[: piece.numel()]
        staged.copy_(piece)
        copy[start : start + piece.numel()].copy_(staged)
    return copy.numpy()
