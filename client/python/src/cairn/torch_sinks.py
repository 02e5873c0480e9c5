"""PyTorch tensors as destinations."""

from __future__ import annotations

import importlib
from collections.abc import Hashable, Sequence
from typing import Any

from cairn import _native, arrays, dtypes, torch_arrays
from cairn.sinks import Box, FilledSink


class NewTorch:
    """A new tensor on `device`; in the host's memory if None."""

    def __init__(self, device: Any, box: Box | None) -> None:
        self._device = device
        self._box = box
        self._tensor: Any = None

    def boxes(self, shape: tuple[int, ...]) -> Sequence[Box]:
        return () if self._box is None else (self._box,)

    def open(self, dtype: str, shape: tuple[int, ...], path: str) -> Sequence[Any]:
        torch = importlib.import_module("torch")
        wanted = torch_arrays.torch_shape(dtype, shape if self._box is None else self._box[1], path)
        self._tensor = torch.empty(wanted, dtype=dtypes.to_torch(dtype, path), device="cpu")
        memory = torch_arrays.host_bytes(self._tensor)
        _native.advise_huge_pages(memory)
        return (memory,)

    def close(self) -> Any:
        return self._tensor if self._device is None else self._tensor.to(self._device)


class FillTorch:
    """A tensor that is there already, on any device, of any strides."""

    makes_new = False

    def __init__(self, tensor: Any, name: str, shape: tuple[int, ...], box: Box | None, leaf: Any) -> None:
        self.dtype = name
        self.shape = shape
        self.identity: Hashable = torch_arrays.identity(tensor)
        self._tensor = tensor
        self._box = box
        self._leaf = leaf
        self._keep = False
        self._staged: Any = None

    def keep(self) -> bool:
        self._keep = True
        return True

    def boxes(self, shape: tuple[int, ...]) -> Sequence[Box]:
        return () if self._box is None else (self._box,)

    def open(self, dtype: str, shape: tuple[int, ...], path: str) -> Sequence[Any]:
        if torch_arrays.is_direct(self._tensor):
            return (torch_arrays.host_bytes(self._tensor),)
        torch = importlib.import_module("torch")
        self._staged = torch.empty(self._tensor.shape, dtype=self._tensor.dtype, device="cpu")
        if self._keep:
            self._staged.copy_(self._tensor.detach())
        return (torch_arrays.host_bytes(self._staged),)

    def close(self) -> Any:
        if self._staged is not None:
            self._tensor.detach().copy_(self._staged)
            self._staged = None
        return self._leaf


class ReplaceMeta(NewTorch):
    """In the place of a tensor on the meta device, which has no bytes: a new one in the host's memory."""

    makes_new = True

    def __init__(self, leaf: Any, name: str, shape: tuple[int, ...]) -> None:
        super().__init__(None, None)
        self.dtype = name
        self.shape = shape
        self.identity: Hashable = ("object", id(leaf))

    def keep(self) -> bool:
        return False


def fill_torch(tensor: Any, shape: tuple[int, ...] | None, box: Box | None, leaf: Any) -> FilledSink | str:
    """The sink for a tensor of a tree, or why there is none."""
    torch = importlib.import_module("torch")
    name = dtypes.of_torch(tensor.dtype)
    if name is None:
        return f"a tensor of dtype {tensor.dtype}, which Cairn lacks"
    if type(tensor).__name__ == "DTensor":
        return "a DTensor; fill its local part, as cairn.Shard(tensor.to_local(), shape, offset)"
    if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_nested:
        return "a sparse, quantized or nested tensor"
    own = torch_arrays.element_shape(name, tuple(tensor.shape))
    if tensor.device.type == "meta":
        return ReplaceMeta(leaf, name, own)
    if torch.is_inference(tensor) and not torch.is_inference_mode_enabled():
        return "a tensor made in inference mode"
    if arrays.overlaps_itself(tuple(tensor.shape), tensor.stride(), 1):
        return "a tensor whose elements share memory"
    return FillTorch(tensor, name, own if shape is None else shape, box, leaf)
