#!/usr/bin/env python3
"""Writes tests/golden/npz/ with the real NumPy.

Byte i of array number k of a file is (i * 37 + k) mod 256, of a Boolean the lowest bit of that, as the array lies in C order
and little-endian: the C++ test knows it too.

Usage: python3 make_npz_golden.py [OUTPUT_FOLDER]
"""
import importlib.metadata
import io
import pathlib
import sys
import zipfile

import ml_dtypes
import numpy as np

DTYPES = "bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 float32 float64 complex64 complex128".split()


def array(number, dtype, shape):
    dtype = np.dtype(dtype)
    size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    data = bytes((i * 37 + number) % 256 for i in range(size))
    if dtype == bool:
        data = bytes(b & 1 for b in data)
    return np.frombuffer(data, dtype.newbyteorder("<")).reshape(shape)


def swapped(value):
    return value.astype(value.dtype.newbyteorder(">"))


def with_version(path, arrays, version):
    """savez writes the oldest version that will do."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, value in arrays.items():
            file = io.BytesIO()
            np.lib.format.write_array(file, value, version)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), file.getvalue())


def main():
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent / "npz")
    folder.mkdir(parents=True, exist_ok=True)
    dtypes = {name: array(number, name, (3, 4)) for number, name in enumerate(DTYPES)}
    np.savez(folder / "dtypes.npz", **dtypes)
    np.savez_compressed(folder / "compressed.npz", **dtypes)
    np.savez(folder / "big_endian.npz", **{name: swapped(value) for name, value in dtypes.items()})
    np.savez(folder / "fortran.npz", **{name: np.asfortranarray(swapped(value)) for name, value in dtypes.items()})
    np.savez_compressed(folder / "fortran_compressed.npz", cube=np.asfortranarray(array(0, "float32", (5, 6, 7))))
    shapes = {
        "scalar": array(0, "float32", ()), "empty": array(1, "float32", (0,)), "empty rows": array(2, "int8", (3, 0)),
        "ones": array(3, "float16", (1,) * 8), "a/b.c": array(4, "uint8", (5,)), "é中": array(5, "uint8", (1,)), "": array(6, "int16", (2,)),
    }
    np.savez(folder / "shapes.npz", **shapes)
    np.savez(folder / "empty.npz")
    np.savez(folder / "texts.npz", text=np.array("aé中🙂"), none=np.array(""), raw=np.array(b"\x00\xff\x00"), big=np.array("big", ">U5"))
    for version in (2, 3):
        with_version(folder / f"version_{version}.npz", {"a": array(0, "float32", (2, 3)), "b": array(1, "int64", ())}, (version, 0))

    # What is refused, each with another array in front.
    refused = {
        "object": np.array([{"a": 1}], dtype=object), "structured": np.zeros(2, [("a", "<i4"), ("b", "<f8")]),
        "bfloat16": np.zeros(3, ml_dtypes.bfloat16), "float8_e4m3fn": np.zeros(3, ml_dtypes.float8_e4m3fn),
        "float8_e5m2": np.zeros(3, ml_dtypes.float8_e5m2), "dates": np.zeros(2, "<M8[s]"), "longdouble": np.zeros(2, np.longdouble),
        "texts": np.array(["a", "b"]),
    }
    for name, value in refused.items():
        np.savez(folder / f"refused_{name}.npz", good=np.zeros(2, np.float32), **{name: value})

    versions = [f"python {sys.version.split()[0]}"]
    versions += [f"{name} {importlib.metadata.version(name)}" for name in ("ml_dtypes", "numpy")]
    (folder / "versions.txt").write_text("\n".join(versions) + "\n")


if __name__ == "__main__":
    main()
