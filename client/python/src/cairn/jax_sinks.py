"""JAX arrays as destinations. They cannot be filled, so new ones are made, on the devices that the tree asks for."""

from __future__ import annotations

import importlib
import math
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cairn import dtypes
from cairn.errors import InvalidArgumentError
from cairn.jax_arrays import box_of
from cairn.sinks import Box, FilledSink


def numpy_dtype(name: str, path: str) -> np.dtype[Any]:
    """The dtype of a JAX array of that name.

    :raises InvalidArgumentError: for 64-bit types while JAX has them switched off: it would cut the values silently.
    """
    jax = importlib.import_module("jax")
    dtype = dtypes.to_numpy(name, path)
    if jax.dtypes.canonicalize_dtype(dtype) != dtype:
        cast = ', load with dtype="float32"' if dtypes.is_float(name) else ""
        raise InvalidArgumentError(
            f'entry "{path}": JAX has {name} switched off and would cut its values: '
            f'jax.config.update("jax_enable_x64", True){cast}, or load as NumPy',
            metadata={"path": path, "found": name},
        )
    return dtype


_ALIGNMENT = 64
"""What XLA wants of memory that it takes over as it is."""


def new_array(shape: tuple[int, ...], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """Memory for a JAX array. On the host ``jax.device_put`` makes an array of it without a copy; nobody else has it."""
    size = math.prod(shape) * dtype.itemsize
    memory = np.empty(size + _ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % _ALIGNMENT
    return memory[start : start + size].view(dtype).reshape(shape)


class NewJax:
    """A new array on `device` (or with that sharding); on JAX's default device if None."""

    def __init__(self, device: Any, box: Box | None) -> None:
        self._device = device
        self._box = box
        self._array: npt.NDArray[Any] | None = None

    def boxes(self, shape: tuple[int, ...]) -> Sequence[Box]:
        return () if self._box is None else (self._box,)

    def open(self, dtype: str, shape: tuple[int, ...], path: str) -> Sequence[Any]:
        self._array = new_array(shape if self._box is None else self._box[1], numpy_dtype(dtype, path))
        return (dtypes.byte_view(self._array),)

    def close(self) -> Any:
        array, self._array = self._array, None
        return importlib.import_module("jax").device_put(array, self._device)


class LikeJax:
    """A new array like one of the tree, in its sharding: each process loads the boxes that its devices hold."""

    makes_new = True

    def __init__(self, leaf: Any, name: str, shape: tuple[int, ...], sharding: Any) -> None:
        self.identity: Hashable = ("object", id(leaf))
        self.dtype = name
        self.shape = shape
        self._sharding = sharding
        whole = (tuple(0 for _ in shape), shape)
        placed = sharding.addressable_devices_indices_map(shape)
        self._devices = {d: whole if index is None else box_of(index, shape) for d, index in placed.items()}
        self._boxes = list(dict.fromkeys(self._devices.values()))
        self._whole = self._boxes == [whole]
        self._arrays: list[npt.NDArray[Any]] = []

    def keep(self) -> bool:
        return False

    def boxes(self, shape: tuple[int, ...]) -> Sequence[Box]:
        return () if self._whole else self._boxes

    def open(self, dtype: str, shape: tuple[int, ...], path: str) -> Sequence[Any]:
        kind = numpy_dtype(dtype, path)
        self._arrays = [new_array(extent, kind) for _, extent in self._boxes]
        return [dtypes.byte_view(array) for array in self._arrays]

    def close(self) -> Any:
        jax = importlib.import_module("jax")
        by_box = dict(zip(self._boxes, self._arrays, strict=True))
        self._arrays = []
        pieces = [jax.device_put(by_box[box], device) for device, box in self._devices.items()]
        return jax.make_array_from_single_device_arrays(self.shape, self._sharding, pieces)


class _Single(NewJax):
    """Like something abstract that names no device."""

    makes_new = True

    def __init__(self, leaf: Any, name: str, shape: tuple[int, ...]) -> None:
        super().__init__(None, None)
        self.identity: Hashable = ("object", id(leaf))
        self.dtype = name
        self.shape = shape

    def keep(self) -> bool:
        return False


def like_jax(leaf: Any) -> FilledSink | str:
    """The sink for a ``jax.Array`` or ``jax.ShapeDtypeStruct`` of a tree, or why there is none."""
    jax = importlib.import_module("jax")
    if isinstance(leaf, jax.core.Tracer):
        return "a traced value; load outside of jit"
    if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.extended):
        return f"an array of {leaf.dtype}"
    name = dtypes.of_numpy(np.dtype(leaf.dtype))
    if name is None:
        return f"an array of dtype {leaf.dtype}, which Cairn lacks"
    shape = tuple(int(n) for n in leaf.shape)
    sharding = getattr(leaf, "sharding", None)
    return _Single(leaf, name, shape) if sharding is None else LikeJax(leaf, name, shape, sharding)
