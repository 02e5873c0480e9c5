#!/usr/bin/env python3
"""Writes tests/golden/flax/ with the real flax package.

Beside each file NAME lies NAME.txt, the tensors that a reader must find in it, told by NumPy out of what
flax.serialization.msgpack_restore gives: path, dtype, shape, bytes as hex, separated by tabs.

The folder of shards repeats what transformers (up to version 4) did for Flax models: leaves named by their path joined with
'/', cut greedily, each shard a nested tree of its own.

Usage: python3 make_flax_golden.py [OUTPUT_FOLDER]
"""
import importlib.metadata
import json
import pathlib
import sys
import tempfile

import flax
import jax
import ml_dtypes
import numpy as np
from flax import serialization
from flax.training import checkpoints
from flax.traverse_util import flatten_dict, unflatten_dict

from make_easylm_golden import ML_DTYPES, NUMPY_DTYPES, SMALL_CHUNK_BYTES, params_tree, pattern, train_state


def leaves(tree, path=()):
    """Leaves with their paths, as a key path shows them."""
    if isinstance(tree, dict) and tree:
        for key, value in tree.items():
            yield from leaves(value, (*path, f"[{key}]" if isinstance(key, int) else str(key)))
    elif isinstance(tree, list) and tree:
        for position, value in enumerate(tree):
            yield from leaves(value, (*path, f"[{position}]"))
    else:
        yield "/".join(path), tree


def write_listing(path, tree):
    with open(path, "w", encoding="utf-8", newline="\n") as listing:
        for name, value in leaves(tree):
            if isinstance(value, (np.ndarray, np.generic)):
                array = np.asarray(value)
                shape = ",".join(str(extent) for extent in array.shape)
                listing.write("\t".join([name, array.dtype.name, shape, array.tobytes("C").hex()]) + "\n")


def write(folder, name, encoded):
    (folder / name).write_bytes(encoded)
    write_listing(folder / (name + ".txt"), serialization.msgpack_restore(encoded))


def write_shards(folder, tree, shard_bytes):
    flat = flatten_dict(serialization.to_state_dict(tree), sep="/")
    shards, size = [{}], 0
    for name, value in flat.items():
        if size + value.nbytes > shard_bytes and shards[-1]:
            shards.append({})
            size = 0
        shards[-1][name] = value
        size += value.nbytes
    weight_map = {}
    for number, shard in enumerate(shards):
        file = f"flax_model-{number + 1:05d}-of-{len(shards):05d}.msgpack"
        (folder / file).write_bytes(serialization.to_bytes(unflatten_dict(shard, sep="/")))
        weight_map |= dict.fromkeys(shard, file)
    index = {"metadata": {"total_size": sum(value.nbytes for value in flat.values())}, "weight_map": weight_map}
    (folder / "flax_model.msgpack.index.json").write_text(json.dumps(index, indent=2, sort_keys=True) + "\n")


def main():
    folder = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else pathlib.Path(__file__).parent / "flax"
    folder.mkdir(parents=True, exist_ok=True)

    write(folder, "params", serialization.to_bytes(params_tree()))
    write(folder, "train_state", serialization.to_bytes(train_state()))

    dtypes = {name: pattern(name, (2, 3)) for name in NUMPY_DTYPES}
    dtypes |= {name: pattern(getattr(ml_dtypes, name), (2, 3)) for name in ML_DTYPES}
    dtypes["scalar_array"] = np.array(2.5, np.float32)
    dtypes["wide_header"] = pattern("uint8", (300,))  # ext 16 and bin 16.
    write(folder, "dtypes", serialization.to_bytes(dtypes))

    integers = [0, 127, 128, 255, 256, 65535, 65536, 2**32 - 1, 2**32, 2**63 - 1, 2**63, 2**64 - 1,
                -1, -32, -33, -128, -129, -32768, -32769, -(2**31), -(2**31) - 1, -(2**63)]
    write(folder, "values", serialization.to_bytes({
        "step": 1200, "none": None, "yes": True, "no": False, "float": 0.1, "inf": float("-inf"), "nan": float("nan"),
        "complex": 1.5 - 2.0j, "text": "Größe 🪨", "empty_text": "", "long_text": "x" * 300, "bytes": b"\x00\xff",
        "long_bytes": bytes(range(256)) * 2,
        "integers": {f"{position:02}": integer for position, integer in enumerate(integers)},
        "list": [1, "two", {"three": 3.0}], "tuple": (4,), "empty": {"dict": {}, "list": [], "tuple": ()},
        "many": {f"key{number}": number for number in range(20)},  # map 16.
    }))

    # What a state dict has not, and msgpack_serialize takes all the same.
    write(folder, "native", serialization.msgpack_serialize({
        "list": [1, [2.5, None], b"3", {"four": 4}], "empty_list": [], "int_keys": {7: pattern("int8", (2,)), -1: "minus"},
        "arrays": [pattern("float32", (2,)), {"deep": [pattern("uint8", (3,))]}, "text"],
        "odd_keys": {None: 1, 2.5: [True], b"raw": {}}, "numbers": {5: "five", "5": "text"},
        "scalars": {"f32": np.float32(1.5), "i64": np.int64(-7), "flag": np.bool_(True), "c64": np.complex64(1 + 2j),
                    "bf16": ml_dtypes.bfloat16(3), "array": np.array(1.5, np.float32)},
    }, in_place=True))

    whole = serialization.MAX_CHUNK_SIZE
    serialization.MAX_CHUNK_SIZE = SMALL_CHUNK_BYTES
    try:
        encoded = serialization.to_bytes({
            "exactly_one": pattern("float32", (16,)), "one_more": pattern("float32", (17,)),
            "nested": {"matrix": pattern(ml_dtypes.bfloat16, (7, 13)), "twelve_chunks": pattern("uint8", (12, 60))},
            "wide_item": pattern("complex128", (3, 3)),
        })
        write(folder, "chunked", encoded)
        write(folder, "list_is_not_chunked", serialization.msgpack_serialize({"list": [pattern("uint8", (100,))]}))
    finally:
        serialization.MAX_CHUNK_SIZE = whole

    flax.config.update("flax_use_orbax_checkpointing", False)
    with tempfile.TemporaryDirectory() as saved:
        checkpoints.save_checkpoint(saved, train_state(), step=7)
        write(folder, "checkpoint_7", (pathlib.Path(saved) / "checkpoint_7").read_bytes())

    shards = folder / "shards"
    shards.mkdir(exist_ok=True)
    write_shards(shards, params_tree(), 60)
    (shards / "config.json").write_text('{"hidden_size": 3}\n')
    write_listing(folder / "shards.txt", serialization.to_state_dict(jax.tree_util.tree_map(np.asarray, params_tree())))

    with open(folder / "versions.txt", "w", encoding="utf-8", newline="\n") as versions:
        versions.write(f"python {sys.version_info.major}.{sys.version_info.minor}\n")
        for package in ("flax", "jax", "ml_dtypes", "msgpack", "numpy", "optax"):
            versions.write(f"{package} {importlib.metadata.version(package)}\n")


if __name__ == "__main__":
    main()
