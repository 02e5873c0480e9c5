"""Compares an EasyLM streaming file with a safetensors file, every value, with the real packages.

Both were written by different programs: the EasyLM file by flax, the safetensors file by `cairn pull`. Floats must be
what NumPy (ml_dtypes for bfloat16) makes of the original under the target dtype; everything else must be equal.
"""

import argparse
import sys

import flax.serialization
import ml_dtypes
import msgpack
import numpy as np
from safetensors import safe_open

FLOATS = {np.dtype(t) for t in (np.float16, np.float32, np.float64, ml_dtypes.bfloat16)}


def read_easylm(path):
    """Yields (key tuple, array), as EasyLM's own loader does."""
    with open(path, "rb") as stream:
        unpacker = msgpack.Unpacker(stream, read_size=83886080, max_buffer_size=0)
        for key, value in unpacker:
            yield tuple(key), np.asarray(flax.serialization.from_bytes(None, value))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--easylm", required=True)
    parser.add_argument("--safetensors", required=True)
    parser.add_argument("--dtype", required=True, help="NumPy or ml_dtypes name of the floats in the safetensors file")
    args = parser.parse_args()
    dtype = np.dtype(getattr(ml_dtypes, args.dtype, args.dtype))

    tensors = values = 0
    with safe_open(args.safetensors, framework="numpy") as target:
        left = set(target.keys())
        for key, original in read_easylm(args.easylm):
            name = ".".join(key)
            if name not in left:
                sys.exit(f"{name}: missing in {args.safetensors}")
            left.remove(name)
            found = target.get_tensor(name)
            expected = original.astype(dtype) if original.dtype in FLOATS else original
            if found.dtype != expected.dtype or found.shape != expected.shape:
                sys.exit(f"{name}: found {found.dtype} {found.shape}, expected {expected.dtype} {expected.shape}")
            if found.tobytes() != expected.tobytes():
                sys.exit(f"{name}: {np.sum(found != expected)} of {found.size} values differ")
            tensors += 1
            values += found.size
        if left:
            sys.exit(f"not in {args.easylm}: {sorted(left)[:5]}")
    print(f"{tensors} tensors, {values} values: all as expected")


if __name__ == "__main__":
    main()
