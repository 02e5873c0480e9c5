"""Arrays of any framework as what can be saved: dtype, shape, and memory that is borrowed, never kept.

Memory that lies in C order, little-endian, on the host is borrowed as it is. Everything else (transposed, strided,
big-endian, on a device) is copied when its turn comes, one array at a time; the copy lives until it is durable.
"""

from __future__ import annotations

import sys
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cairn import _native, dtypes
from cairn.errors import InvalidArgumentError


@dataclass(frozen=True, slots=True)
class Part:
    """A box of a tensor and its bytes; ``extent`` None is the whole tensor."""

    memory: Any
    """An object with the buffer protocol, or a function that makes one (called once, when its turn comes)."""
    offset: tuple[int, ...] | None = None
    extent: tuple[int, ...] | None = None

    def read(self) -> Any:
        """The bytes, for a look of our own."""
        return self.memory() if callable(self.memory) else self.memory


@dataclass(frozen=True, slots=True)
class Source:
    """A tensor to be saved."""

    dtype: str
    shape: tuple[int, ...]
    """Of the whole tensor, whatever part of it lies here."""
    parts: Sequence[Part]
    identity: Hashable = None
    """Equal for two arrays that are the same memory (tied weights); None: never equal."""
    replicated: bool = True
    """Any writer of a save with ``replicated=True`` could send it. Not so the parts of a sharded tensor."""

    @property
    def nbytes(self) -> int:
        """Bytes of the parts that are here."""
        return sum(dtypes.nbytes(self.dtype, self.shape if p.extent is None else p.extent) for p in self.parts)


@dataclass(frozen=True, slots=True, eq=False)
class Shard:
    """A part of a tensor: ``array`` is the box at ``offset`` of a tensor of the global ``shape``.

    As a leaf of a saved tree, each of several writers gives its own parts; together they must be the whole tensor,
    every element once. As a leaf of ``into=``, the box is what is loaded into ``array``.

    >>> half = cairn.Shard(np.ones((2, 3), np.float32), shape=(4, 3), offset=(0, 0))
    >>> half.extent
    (2, 3)
    """

    array: Any
    shape: tuple[int, ...]
    offset: tuple[int, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", tuple(int(n) for n in self.shape))
        object.__setattr__(self, "offset", tuple(int(n) for n in self.offset))
        inside = len(self.shape) == len(self.offset) == len(self.extent) and all(
            0 <= o and o + e <= n for o, e, n in zip(self.offset, self.extent, self.shape, strict=True)
        )
        if not inside:
            raise InvalidArgumentError(
                f"a shard of extent {self.extent} at offset {self.offset} does not lie in a tensor of shape "
                f"{self.shape}"
            )

    @property
    def extent(self) -> tuple[int, ...]:
        """The shape of the part."""
        return tuple(int(n) for n in np.shape(self.array))


def describe(leaf: Any, path: str) -> Source | None:
    """How to save `leaf`; None if it is no array.

    :param path: the shown key path, for messages.
    :raises InvalidArgumentError: for an array that cannot be saved, with the reason and the path.
    """
    if isinstance(leaf, (np.ndarray, np.generic)):
        return _from_numpy(leaf, path)
    if isinstance(leaf, Shard):
        return _from_shard(leaf, path)
    if (torch := sys.modules.get("torch")) is not None and isinstance(leaf, torch.Tensor):
        from cairn import torch_arrays

        return torch_arrays.describe(leaf, path)
    if (jax := sys.modules.get("jax")) is not None and isinstance(leaf, jax.Array):
        from cairn import jax_arrays

        return jax_arrays.describe(leaf, path)
    if isinstance(leaf, (str, bytes)):
        return None
    if hasattr(leaf, "__dlpack__") and hasattr(leaf, "__dlpack_device__"):
        return _from_dlpack(leaf, path)
    try:
        view = memoryview(leaf)
    except TypeError:
        return None
    try:
        array = np.asarray(view)
    except (ValueError, TypeError, NotImplementedError) as error:
        raise InvalidArgumentError(
            f'"{path}": a buffer of format {view.format!r}, which is no array: {error}'
        ) from None
    return _from_numpy(array, path)


def _from_numpy(leaf: npt.NDArray[Any] | np.generic, path: str) -> Source:
    array = np.asarray(leaf)
    name = dtypes.of_numpy(array.dtype)
    if isinstance(leaf, np.ma.MaskedArray):
        raise InvalidArgumentError(
            f'"{path}": a masked array, whose mask would be lost; save data and mask by themselves'
        )
    if name is None:
        hint = "; save its items as a list, or what they mean as numbers" if array.dtype.hasobject else ""
        raise InvalidArgumentError(
            f'"{path}": an array of dtype {array.dtype}, which Cairn lacks{hint}', metadata={"path": path}
        )
    shape = tuple(int(n) for n in array.shape)
    identity = None
    if isinstance(leaf, np.ndarray) and array.size > 0:
        identity = memory_identity(array)
    return Source(name, shape, (numpy_part(array),), identity)


def memory_identity(array: npt.NDArray[Any]) -> Hashable:
    """Equal for views of the same elements in the same order."""
    pointer = array.__array_interface__["data"][0]
    return ("host", pointer, array.shape, array.strides, dtypes.of_numpy(array.dtype), array.dtype.byteorder == ">")


def overlaps_itself(shape: Sequence[int], strides: Sequence[int], step: int) -> bool:
    """Whether elements may share memory, as in what ``expand`` and ``as_strided`` make.

    :param step: from one element to the next, in the unit of `strides`.
    """
    if 0 in shape:
        return False
    reach = step  # Of what the axes so far span.
    for stride, length in sorted((abs(stride), length) for stride, length in zip(strides, shape, strict=True) if length > 1):
        if stride < reach:
            return True
        reach += stride * (length - 1)
    return False


def numpy_part(
    array: npt.NDArray[Any], offset: tuple[int, ...] | None = None, extent: tuple[int, ...] | None = None
) -> Part:
    """The bytes of a NumPy array: borrowed if they lie as they are sent, or a copy made when they are wanted."""
    if array.flags.c_contiguous and array.dtype.isnative:
        return Part(dtypes.byte_view(array), offset, extent)
    return Part(lambda: dtypes.byte_view(_in_order(array)), offset, extent)


def _in_order(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("="))


def _from_shard(leaf: Shard, path: str) -> Source:
    inner = describe(leaf.array, path)
    if inner is None or len(inner.parts) != 1 or inner.parts[0].extent is not None:
        raise InvalidArgumentError(f'"{path}": a Shard holds one whole array, found {type(leaf.array).__name__}')
    part = Part(inner.parts[0].memory, leaf.offset, inner.shape)
    return Source(inner.dtype, leaf.shape, (part,), replicated=False)


def _from_dlpack(leaf: Any, path: str) -> Source:
    memory = _native.DlpackMemory(leaf.__dlpack__())
    if not memory.host:
        raise InvalidArgumentError(
            f'"{path}": a {type(leaf).__name__} on a device that only its framework can read; copy it to the host first'
        )
    if memory.contiguous:
        return Source(memory.dtype, memory.shape, (Part(memory),), ("object", id(leaf)))
    try:
        array = np.from_dlpack(leaf)
    except (BufferError, TypeError, ValueError, RuntimeError) as error:
        raise InvalidArgumentError(
            f'"{path}": a {type(leaf).__name__} of {memory.dtype} that does not lie in C order, and NumPy cannot copy it: '
            f"{error}; make it contiguous first",
            metadata={"path": path},
        ) from None
    return Source(memory.dtype, memory.shape, (numpy_part(array),), ("object", id(leaf)))
