"""Element types by name, and what NumPy, ml_dtypes, PyTorch and JAX call them.

A dtype is named as in NumPy and ml_dtypes: ``"float32"``, ``"bfloat16"``, ``"float8_e4m3fn"``, ``"int4"``. Wherever
this package takes a dtype, it also takes other spellings (``"bf16"``, ``"F8_E4M3"``) and the dtype objects of the
frameworks.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

import numpy as np
import numpy.typing as npt

from cairn import _native
from cairn.errors import InvalidArgumentError, UnimplementedError

NUMPY_NAMES = frozenset(
    ["bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16", "float32", "float64",
     "complex64", "complex128"]
)  # fmt: skip
"""Those that NumPy has by itself. The others are from ml_dtypes."""

_TORCH_NAMES = NUMPY_NAMES | {
    "bfloat16", "float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz", "float8_e8m0fnu",
}  # fmt: skip


def name_of(dtype: Any) -> str:
    """The name of a dtype, whatever it is given as.

    :param dtype: a name in any spelling, or a dtype of NumPy, ml_dtypes, PyTorch or JAX.
    :raises InvalidArgumentError: for anything else.

    >>> cairn.dtypes.name_of("bf16"), cairn.dtypes.name_of(np.float32), cairn.dtypes.name_of(np.dtype("<i8"))
    ('bfloat16', 'float32', 'int64')
    """
    if isinstance(dtype, str):
        name = _native.parse_dtype(dtype)
        if name is not None:
            return name
    elif (torch := sys.modules.get("torch")) is not None and isinstance(dtype, torch.dtype):
        name = of_torch(dtype)
        if name is not None:
            return name
    else:
        try:
            name = of_numpy(np.dtype(dtype))
        except TypeError:
            name = None
        if name is not None and dtype is not None:
            return name
    raise InvalidArgumentError(
        f"{dtype!r} is no dtype that Cairn has; expected one of {', '.join(sorted(_native.DTYPES))}"
    )


def of_numpy(dtype: np.dtype[Any]) -> str | None:
    """The name of a NumPy dtype of any byte order; None for one that Cairn lacks (object, text, records, long
    double)."""
    name = dtype.name
    if name in NUMPY_NAMES:
        return name
    # ml_dtypes registers its types as void or as numbers of its own; their names are those of Cairn.
    if dtype.fields is None and dtype.subdtype is None and name in _native.DTYPES and dtype.itemsize == itemsize(name):
        return name
    return None


def itemsize(name: str) -> int:
    """Bytes of one element in an array; 0 for the packed types, which have less than one."""
    return 0 if is_packed(name) else _native.DTYPES[name] // 8


def is_packed(name: str) -> bool:
    """Several elements share a byte."""
    return _native.DTYPES[name] % 8 != 0


def to_numpy(name: str, path: str = "") -> np.dtype[Any]:
    """The NumPy dtype of that name.

    :param path: which entry needs it, for the message.
    :raises UnimplementedError: if NumPy has no such type: then ml_dtypes is needed, or a cast (``dtype="float32"``).
    """
    if name in NUMPY_NAMES:
        return np.dtype(name)
    where = f'entry "{path}": ' if path else ""
    if is_packed(name):
        raise UnimplementedError(
            f"{where}{name} packs several elements into a byte, which NumPy cannot hold; `cairn pull` "
            "writes it into a file"
        )
    try:
        ml_dtypes = importlib.import_module("ml_dtypes")
    except ImportError:
        cast = ', or load with dtype="float32" (or another float that NumPy has)' if is_float(name) else ""
        raise UnimplementedError(
            f"{where}NumPy has no {name} without the package ml_dtypes; `pip install ml_dtypes`{cast}",
            metadata={"path": path, "found": name},
        ) from None
    try:
        dtype: np.dtype[Any] = np.dtype(getattr(ml_dtypes, name))
    except AttributeError:
        raise UnimplementedError(f"{where}this version of ml_dtypes has no {name}; update it") from None
    return dtype


def is_float(name: str) -> bool:
    """What a cast on the way out applies to, and may name."""
    return name in _native.FLOAT_DTYPES


def of_torch(dtype: Any) -> str | None:
    """The name of a torch dtype; None for one that Cairn lacks."""
    name = str(dtype).removeprefix("torch.")
    if name == "float4_e2m1fn_x2":
        return "float4_e2m1fn_packed"
    return name if name in _TORCH_NAMES else None


def to_torch(name: str, path: str = "") -> Any:
    """The torch dtype of that name.

    :raises UnimplementedError: if torch has no such type.
    """
    torch = importlib.import_module("torch")
    wanted = "float4_e2m1fn_x2" if name == "float4_e2m1fn_packed" else name
    dtype = getattr(torch, wanted, None) if wanted in _TORCH_NAMES or wanted != name else None
    if dtype is None:
        where = f'entry "{path}": ' if path else ""
        advice = 'load with dtype="float32", or as NumPy' if is_float(name) else "load as NumPy"
        raise UnimplementedError(f"{where}torch has no {name}; {advice}", metadata={"path": path, "found": name})
    return dtype


def nbytes(name: str, shape: tuple[int, ...]) -> int:
    """Bytes of a tensor."""
    return _native.byte_size(name, shape)


def byte_view(array: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """The bytes of a C-contiguous array as a flat array, without a copy."""
    return array.reshape(-1).view(np.uint8)
