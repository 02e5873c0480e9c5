"""Where loaded tensors go: into new arrays of a framework, or into arrays that are there already."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Hashable, Sequence
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from cairn import arrays, dtypes
from cairn.errors import InvalidArgumentError

Framework: TypeAlias = Literal["numpy", "torch", "jax"]
Box: TypeAlias = tuple[tuple[int, ...], tuple[int, ...]]
"""Offset and extent."""


class Sink(Protocol):
    """Takes one tensor, of a dtype and global shape that the caller tells."""

    def boxes(self, shape: tuple[int, ...]) -> Sequence[Box]:
        """Which parts of the tensor it wants; none: the whole."""

    def open(self, dtype: str, shape: tuple[int, ...], path: str) -> Sequence[Any]:
        """The memory to fill, one for each box. Allocates, so call it just before the bytes come."""

    def close(self) -> Any:
        """What the bytes have become."""


class FilledSink(Sink, Protocol):
    """A sink that has dtype and shape of its own."""

    dtype: str
    shape: tuple[int, ...]
    identity: Hashable
    """Equal for two sinks that are the same memory; None: never equal."""
    makes_new: bool
    """It gives another object than the one in the tree."""

    def keep(self) -> bool:
        """Asks that the memory of open() hold what the array holds now. Whether it will."""


class NewNumpy:
    """A new NumPy array."""

    def __init__(self, box: Box | None = None) -> None:
        self._box = box
        self._array: npt.NDArray[Any] | None = None

    def boxes(self, shape: tuple[int, ...]) -> Sequence[Box]:
        return () if self._box is None else (self._box,)

    def open(self, dtype: str, shape: tuple[int, ...], path: str) -> Sequence[Any]:
        self._array = np.empty(shape if self._box is None else self._box[1], dtypes.to_numpy(dtype, path))
        return (dtypes.byte_view(self._array),)

    def close(self) -> Any:
        return self._array


class FillNumpy:
    """An array that is there already, of any layout and byte order; `box` is the part of the tensor that goes there."""

    makes_new = False

    def __init__(self, array: npt.NDArray[Any], name: str, shape: tuple[int, ...], box: Box | None, leaf: Any) -> None:
        self.dtype = name
        self.shape = shape
        self.identity: Hashable = arrays.memory_identity(array) if array.size else None
        self._array = array
        self._box = box
        self._leaf = leaf
        self._keep = False
        self._staged: npt.NDArray[Any] | None = None

    def keep(self) -> bool:
        self._keep = True
        return True

    def boxes(self, shape: tuple[int, ...]) -> Sequence[Box]:
        return () if self._box is None else (self._box,)

    def open(self, dtype: str, shape: tuple[int, ...], path: str) -> Sequence[Any]:
        if self._array.flags.c_contiguous and self._array.dtype.isnative:
            return (dtypes.byte_view(self._array),)
        self._staged = np.empty(self._array.shape, self._array.dtype.newbyteorder("="))
        if self._keep:
            self._staged[...] = self._array
        return (dtypes.byte_view(self._staged),)

    def close(self) -> Any:
        if self._staged is not None:
            self._array[...] = self._staged
            self._staged = None
        return self._leaf


class NewScalar:
    """In the place of a NumPy scalar, which cannot be filled: a new one of its type."""

    identity: Hashable = None
    makes_new = True

    def __init__(self, scalar: np.generic, name: str) -> None:
        self.dtype = name
        self.shape: tuple[int, ...] = ()
        self._array = np.empty((), scalar.dtype.newbyteorder("="))

    def keep(self) -> bool:
        return False

    def boxes(self, shape: tuple[int, ...]) -> Sequence[Box]:
        return ()

    def open(self, dtype: str, shape: tuple[int, ...], path: str) -> Sequence[Any]:
        return (dtypes.byte_view(self._array),)

    def close(self) -> Any:
        return self._array[()]


_NUMBERS = {bool: np.bool_, int: np.integer, float: np.inexact, complex: np.complexfloating}


class NewNumber:
    """In the place of a plain number: a tensor of no dimensions as a number of the same kind."""

    identity: Hashable = None
    makes_new = True

    def __init__(self, kind: type, dtype: np.dtype[Any], name: str) -> None:
        self.dtype = name
        self.shape: tuple[int, ...] = ()
        self._kind = kind
        self._array = np.empty((), dtype)

    def keep(self) -> bool:
        return False

    def boxes(self, shape: tuple[int, ...]) -> Sequence[Box]:
        return ()

    def open(self, dtype: str, shape: tuple[int, ...], path: str) -> Sequence[Any]:
        return (dtypes.byte_view(self._array),)

    def close(self) -> Any:
        return self._kind(self._array.item())


def number_sink(leaf: Any, name: str, path: str) -> NewNumber | None:
    """The sink for a number of a tree, if a tensor of no dimensions and that dtype is a number of its kind."""
    kind = type(leaf)
    if kind not in _NUMBERS:
        return None
    dtype = dtypes.to_numpy(name, path)
    # The types of ml_dtypes stand outside of NumPy's families.
    fits = np.issubdtype(dtype, _NUMBERS[kind]) or (kind is float and dtypes.is_float(name))
    fits = fits and not (kind is float and np.issubdtype(dtype, np.complexfloating))
    return NewNumber(kind, dtype, name) if fits else None


def as_number(value: Any, name: str) -> npt.NDArray[Any] | None:
    """A plain number as an array of no dimensions; None if that dtype does not hold exactly it."""
    if type(value) not in _NUMBERS:
        return None
    dtype = dtypes.to_numpy(name)
    if (type(value) is bool) != (dtype == np.bool_):
        return None
    try:
        with np.errstate(all="ignore"):
            array = np.asarray(value).astype(dtype)
        back = array.item()
    except (OverflowError, TypeError, ValueError):
        return None
    return array if back == value or (back != back and value != value) else None


def new_sink(framework: Framework, device: Any, box: Box | None) -> Callable[[], Sink]:
    """What makes sinks of new arrays. Imports the framework, which is the caller's wish.

    :raises InvalidArgumentError: for an unknown framework.
    :raises ImportError: if it is not installed.
    """
    if framework == "numpy":
        if device is not None:
            raise InvalidArgumentError('device: NumPy has none; choose framework="torch" or "jax"')
        return lambda: NewNumpy(box)
    if framework == "torch":
        importlib.import_module("torch")
        from cairn.torch_sinks import NewTorch

        return lambda: NewTorch(device, box)
    if framework == "jax":
        importlib.import_module("jax")
        from cairn.jax_sinks import NewJax

        return lambda: NewJax(device, box)
    raise InvalidArgumentError(f'framework {framework!r}; expected "numpy", "torch" or "jax"')


def fill_sink(leaf: Any, path: str) -> FilledSink | str | None:
    """The sink for an array of a tree; a sentence if it cannot be filled; None if it is no array."""
    if isinstance(leaf, arrays.Shard):
        inner = fill_sink(leaf.array, path)
        if isinstance(inner, FillNumpy):
            return FillNumpy(inner._array, inner.dtype, leaf.shape, (leaf.offset, leaf.extent), leaf)
        if (
            (torch := sys.modules.get("torch")) is not None
            and isinstance(leaf.array, torch.Tensor)
            and inner is not None
        ):
            from cairn.torch_sinks import fill_torch

            return fill_torch(leaf.array, leaf.shape, (leaf.offset, leaf.extent), leaf)
        return inner if isinstance(inner, str) else "a Shard of something that cannot be filled"
    if isinstance(leaf, np.generic) and not isinstance(leaf, (str, bytes)):
        name = dtypes.of_numpy(leaf.dtype)
        return f"a scalar of dtype {leaf.dtype}, which Cairn lacks" if name is None else NewScalar(leaf, name)
    if isinstance(leaf, np.ndarray):
        return _fill_numpy(leaf, leaf)
    if (torch := sys.modules.get("torch")) is not None and isinstance(leaf, torch.Tensor):
        from cairn.torch_sinks import fill_torch

        return fill_torch(leaf, None, None, leaf)
    if (jax := sys.modules.get("jax")) is not None and isinstance(leaf, (jax.Array, jax.ShapeDtypeStruct)):
        from cairn.jax_sinks import like_jax

        return like_jax(leaf)
    if isinstance(leaf, (str, bytes)):
        return None
    if hasattr(leaf, "__dlpack__"):
        try:
            return _fill_numpy(np.from_dlpack(leaf), leaf)
        except (BufferError, TypeError, ValueError, RuntimeError) as error:
            return f"a {type(leaf).__name__} that NumPy cannot write to: {error}"
    try:
        return _fill_numpy(np.asarray(memoryview(leaf)), leaf)
    except (TypeError, ValueError):
        return None


def _fill_numpy(array: npt.NDArray[Any], leaf: Any) -> FilledSink | str:
    name = dtypes.of_numpy(array.dtype)
    if name is None or isinstance(leaf, np.ma.MaskedArray):
        return f"an array of dtype {array.dtype}, which Cairn lacks"
    if not array.flags.writeable:
        return "a read-only array"
    if arrays.overlaps_itself(array.shape, array.strides, array.itemsize):
        return "an array whose elements share memory"
    return FillNumpy(array, name, tuple(int(n) for n in array.shape), None, leaf)
