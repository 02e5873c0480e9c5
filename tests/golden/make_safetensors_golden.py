#!/usr/bin/env python3
"""Writes tests/golden/safetensors/ with the real safetensors package.

Byte i of tensor number k of a file is (i * 37 + k) mod 256, of a Boolean the lowest bit of that: the C++ test knows
it too. The shards are files of the package; their index is the JSON text that Hugging Face's libraries write.

Usage: python3 make_safetensors_golden.py [OUTPUT_FOLDER]
"""
import ctypes
import importlib.metadata
import json
import pathlib
import sys

import numpy as np
from safetensors import TensorSpec, serialize_file
from safetensors.numpy import save_file

# What the package takes, with the bits of one element. F6_E2M3 and F6_E3M2 it reads but cannot write.
DTYPES = {
    "bool": 8, "uint8": 8, "int8": 8, "int16": 16, "uint16": 16, "float16": 16, "bfloat16": 16, "int32": 32,
    "uint32": 32, "float32": 32, "float64": 64, "int64": 64, "uint64": 64, "complex64": 64, "float8_e4m3fn": 8,
    "float8_e5m2": 8, "float8_e4m3fnuz": 8, "float8_e5m2fnuz": 8, "float8_e8m0fnu": 8, "float4_e2m1fn_x2": 4,
}


def pattern(number, size, dtype):
    data = bytes((i * 37 + number) % 256 for i in range(size))
    return bytes(b & 1 for b in data) if dtype == "bool" else data


def write(path, tensors, metadata=None):
    """`tensors`: name -> (dtype, shape)."""
    alive, specs = [], {}
    for number, (name, (dtype, shape)) in enumerate(tensors.items()):
        elements = int(np.prod(shape, dtype=np.int64))
        size = elements * DTYPES[dtype] // 8
        alive.append(ctypes.create_string_buffer(pattern(number, size, dtype), max(size, 1)))
        # The package counts the storage of two F4 as one element, and doubles the last dimension in the header.
        if dtype == "float4_e2m1fn_x2":
            shape = [*shape[:-1], shape[-1] // 2]
        specs[name] = TensorSpec(dtype=dtype, shape=shape, data_ptr=ctypes.addressof(alive[-1]), data_len=size)
    serialize_file(specs, str(path), metadata=metadata)


def main():
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent / "safetensors")
    folder.mkdir(parents=True, exist_ok=True)
    write(folder / "dtypes.safetensors", {dtype: (dtype, [2, 4]) for dtype in DTYPES})
    write(
        folder / "shapes.safetensors",
        {
            "scalar": ("float32", []),
            "empty": ("float32", [0]),
            "empty rows": ("int8", [3, 0]),
            "ones": ("float16", [1] * 6),
            "model.layers.0.weight": ("bfloat16", [3, 5]),
            "é中🙂/\"\\\n": ("uint8", [3]),
            "": ("uint8", [1]),
        },
        metadata={"format": "pt"},
    )
    save_file({}, folder / "empty.safetensors")

    sharded = folder / "sharded"
    sharded.mkdir(exist_ok=True)
    shards = [
        {"model.embed.weight": ("bfloat16", [4, 2]), "model.norm.weight": ("float32", [2])},
        {"lm_head.weight": ("bfloat16", [4, 2])},
    ]
    weight_map = {}
    for number, tensors in enumerate(shards, start=1):
        name = f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        write(sharded / name, tensors, metadata={"format": "pt"})
        weight_map.update({tensor: name for tensor in tensors})
    index = {"metadata": {"total_size": 40}, "weight_map": weight_map}
    (sharded / "model.safetensors.index.json").write_text(json.dumps(index, indent=2, sort_keys=True) + "\n")
    (sharded / "config.json").write_text('{\n  "model_type": "tiny"\n}\n')

    versions = [f"python {sys.version.split()[0]}"]
    versions += [f"{name} {importlib.metadata.version(name)}" for name in ("numpy", "safetensors")]
    (folder / "versions.txt").write_text("\n".join(versions) + "\n")


if __name__ == "__main__":
    main()
