#!/usr/bin/env python3
"""Writes tests/golden/easylm/ with the real flax and msgpack packages.

EasyLM is no package that can be installed, so `write_stream` repeats the loop with which it saves: flatten the state
dict, then one msgpack object (key, to_bytes(value)) after the other. Beside each file NAME lies NAME.txt, the tensors
that a reader must find in it, told by NumPy: key, dtype, shape, bytes as hex, separated by tabs.

Usage: python3 make_easylm_golden.py [OUTPUT_FOLDER]
"""
import importlib.metadata
import pathlib
import sys

import jax
import jax.numpy as jnp
import ml_dtypes
import msgpack
import numpy as np
import optax
from flax import serialization
from flax.training.train_state import TrainState
from flax.traverse_util import flatten_dict

# Pieces of 64 bytes instead of 2^30: the same shape of file, without the gigabyte.
SMALL_CHUNK_BYTES = 64

NUMPY_DTYPES = """bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 float32 float64 complex64
complex128""".split()
ML_DTYPES = """bfloat16 float8_e4m3fn float8_e5m2 float8_e4m3b11fnuz float8_e4m3fnuz float8_e5m2fnuz float8_e8m0fnu
float8_e3m4 float8_e4m3 float6_e2m3fn float6_e3m2fn float4_e2m1fn int4 uint4 int2 uint2""".split()


def write_stream(path, tree):
    """EasyLM's StreamingCheckpointer.save_train_state_to_file, less the sharding."""
    packer = msgpack.Packer()
    with open(path, "wb") as stream:
        for key, value in flatten_dict(serialization.to_state_dict(tree)).items():
            stream.write(packer.pack((key, serialization.to_bytes(value))))


def write_listing(path, tree):
    with open(path, "w", encoding="utf-8", newline="\n") as listing:
        for key, value in flatten_dict(serialization.to_state_dict(tree)).items():
            if isinstance(value, (np.ndarray, np.generic, jax.Array)):
                array = np.asarray(value)
                shape = ",".join(str(extent) for extent in array.shape)
                listing.write("\t".join(["/".join(key), array.dtype.name, shape, array.tobytes("C").hex()]) + "\n")


def write(folder, name, tree):
    write_stream(folder / name, tree)
    write_listing(folder / (name + ".txt"), tree)


def pattern(dtype, shape, salt=0):
    """An array with bytes of no regularity. Booleans and integers of few bits take the values that they can."""
    dtype = np.dtype(dtype)
    count = int(np.prod(shape))
    numbers = (np.arange(count * dtype.itemsize, dtype=np.uint64) * 2654435761 + salt) >> 7
    raw = (numbers % 256).astype(np.uint8)
    small_bits = {"bool": 1, "int4": 4, "uint4": 4, "int2": 2, "uint2": 2, "float4_e2m1fn": 4, "float6_e2m3fn": 6,
                  "float6_e3m2fn": 6}.get(dtype.name)
    if small_bits is not None:
        raw &= (1 << small_bits) - 1
    return np.frombuffer(raw.tobytes(), dtype=dtype).reshape(shape)


def params_tree():
    tree = {"transformer": {"wte": {"embedding": pattern("float32", (4, 3))}, "h": {}}, "lm_head": {}}
    for layer in range(2):
        tree["transformer"]["h"][str(layer)] = {
            "attention": {"wq": {"kernel": jnp.asarray(pattern("int16", (3, 3), layer), dtype=jnp.bfloat16)}},
            "ffn_norm": {"kernel": pattern("float16", (3,), layer)},
        }
    tree["transformer"]["ln_f"] = {"kernel": np.asfortranarray(pattern("float32", (3, 2), 9))}
    tree["lm_head"]["kernel"] = pattern("float64", (2, 0, 3))
    return tree


def train_state():
    params = {"params": {"dense": {"kernel": pattern("float32", (2, 3)) * 0 + 1, "bias": np.zeros(3, np.float32)}}}
    state = TrainState.create(apply_fn=None, params=params, tx=optax.adamw(1e-3))
    return state.apply_gradients(grads=jax.tree_util.tree_map(lambda leaf: leaf * 0.5 + 0.25, params))


def main():
    folder = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else pathlib.Path(__file__).parent / "easylm"
    folder.mkdir(parents=True, exist_ok=True)

    write(folder, "streaming_params", params_tree())
    write(folder, "streaming_train_state", train_state())

    dtypes = {name: pattern(name, (2, 3)) for name in NUMPY_DTYPES}
    dtypes |= {name: pattern(getattr(ml_dtypes, name), (2, 3)) for name in ML_DTYPES}
    dtypes["scalar_array"] = np.array(2.5, np.float32)
    dtypes["wide_header"] = pattern("uint8", (300,))  # ext 16 and bin 16.
    write(folder, "dtypes", dtypes)

    write(folder, "numpy_scalars", {"f32": np.float32(1.5), "i64": np.int64(-7), "flag": np.bool_(True),
                                    "bf16": ml_dtypes.bfloat16(3)})

    integers = [0, 127, 128, 255, 256, 65535, 65536, 2**32 - 1, 2**32, 2**63 - 1, 2**63, 2**64 - 1,
                -1, -32, -33, -128, -129, -32768, -32769, -(2**31), -(2**31) - 1, -(2**63)]
    write(folder, "values", {
        "step": 1200, "none": None, "yes": True, "no": False, "float": 0.1, "inf": float("-inf"), "nan": float("nan"),
        "complex": 1.5 - 2.0j, "text": "Größe 🪨", "empty_text": "", "long_text": "x" * 300, "bytes": b"\x00\xff",
        "long_bytes": bytes(range(256)) * 2,
        "integers": {f"{position:02}": integer for position, integer in enumerate(integers)},
        "list": [1, "two", {"three": 3.0}], "tuple": (4,), "empty": {"dict": {}, "list": [], "tuple": ()},
        "int_keys": {7: "seven"},
    })

    # Lists and dicts as whole leaves: to_bytes never writes them so, from_bytes reads them.
    packer = msgpack.Packer()
    with open(folder / "native_containers", "wb") as stream:
        for key, value in {"list": [1, [2.5, None], b"3"], "dict": {"a": [True], 5: "five"}}.items():
            stream.write(packer.pack(((key,), msgpack.packb(value))))

    whole = serialization.MAX_CHUNK_SIZE
    serialization.MAX_CHUNK_SIZE = SMALL_CHUNK_BYTES
    try:
        write(folder, "chunked", {
            "exactly_one": pattern("float32", (16,)), "one_more": pattern("float32", (17,)),
            "matrix": pattern(ml_dtypes.bfloat16, (7, 13)), "twelve_chunks": pattern("uint8", (12, 60)),
            "wide_item": pattern("complex128", (3, 3)),
        })
    finally:
        serialization.MAX_CHUNK_SIZE = whole

    with open(folder / "versions.txt", "w", encoding="utf-8", newline="\n") as versions:
        versions.write(f"python {sys.version_info.major}.{sys.version_info.minor}\n")
        for package in ("flax", "jax", "ml_dtypes", "msgpack", "numpy", "optax"):
            versions.write(f"{package} {importlib.metadata.version(package)}\n")


if __name__ == "__main__":
    main()
