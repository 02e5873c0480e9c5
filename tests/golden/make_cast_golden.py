#!/usr/bin/env python3
"""Writes tests/golden/cast/ with real NumPy and ml_dtypes: what every float dtype becomes in every other one.

SOURCE.bin, little-endian: the number of inputs as uint32, the inputs, then for each other dtype, in the order of
DTYPES, what every input becomes. The inputs are all codes of an 8-bit dtype, and values around the edges of every
dtype for the wider ones. digests.txt has, for 16-bit sources, "SOURCE TARGET SHA-256" over what all 65536 codes
become, with zeros for those that are NaN.

NumPy has no cast between some 8-bit dtypes; these go through float32, which holds all of them exactly.

Usage: python3 make_cast_golden.py [OUTPUT_FOLDER]
"""
import hashlib
import pathlib
import platform
import struct
import sys

import ml_dtypes
import numpy as np

# In the order of our enumeration. The number is the significant bits of a code.
DTYPES = {
    "float16": 16, "bfloat16": 16, "float32": 32, "float64": 64, "float8_e4m3fn": 8, "float8_e5m2": 8,
    "float8_e4m3b11fnuz": 8, "float8_e4m3fnuz": 8, "float8_e5m2fnuz": 8, "float8_e8m0fnu": 8, "float8_e3m4": 8,
    "float8_e4m3": 8, "float6_e2m3fn": 6, "float6_e3m2fn": 6, "float4_e2m1fn": 4,
}
COUNTS = {2: 500, 4: 2000, 8: 2000}
UNSIGNED = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64}


def dtype_of(name):
    return np.dtype(getattr(ml_dtypes, name, None) or getattr(np, name))


def codes_of(values):
    return values.view(UNSIGNED[values.dtype.itemsize])


def all_codes(name):
    return np.arange(1 << DTYPES[name], dtype=UNSIGNED[dtype_of(name).itemsize])


def cast(codes, source, target):
    values = codes.view(dtype_of(source))
    try:
        return codes_of(values.astype(dtype_of(target)))
    except TypeError:
        return codes_of(values.astype(np.float32).astype(dtype_of(target)))


def edges(name):
    """Values of a dtype and the middles between neighbours: the outermost of each, and a sample between."""
    if DTYPES[name] > 16:
        tiny, huge = np.finfo(name).smallest_subnormal, np.finfo(name).max
        return np.array([tiny, np.finfo(name).tiny, huge], dtype=np.float64)
    values = all_codes(name).view(dtype_of(name)).astype(np.float64)
    values = np.unique(values[np.isfinite(values) & (values >= 0)])
    beyond = values[-1] + (values[-1] - values[-2])
    values = np.append(values, beyond)
    middles = (values[1:] + values[:-1]) / 2
    if name == "float8_e8m0fnu":
        middles = np.append(middles, values[0] / 2)
    pick = np.unique(np.concatenate([np.arange(min(6, len(middles))), np.arange(len(middles) - 5, len(middles)),
                                     np.linspace(0, len(middles) - 1, 9).astype(int)]) % len(middles))
    return np.concatenate([values[pick], middles[pick]])


def inputs(name):
    bits = DTYPES[name]
    if bits <= 8:
        return all_codes(name)
    unsigned = UNSIGNED[bits // 8]
    around = codes_of(np.concatenate([edges(other) for other in DTYPES]).astype(dtype_of(name)))
    sign = unsigned(1 << (bits - 1))
    infinity = codes_of(np.array([np.inf], dtype=dtype_of(name)))[0]
    payloads = [infinity | infinity >> unsigned(1), infinity + (sign - infinity) // unsigned(3)]
    special = np.array([0, 1, infinity, infinity - 1, infinity + 1, sign - unsigned(1), *payloads], dtype=unsigned)
    fixed = np.unique(np.concatenate([special, special | sign]))
    steps = np.concatenate([around, around - unsigned(1), around + unsigned(1)])
    near = np.unique(np.concatenate([steps, steps | sign]))
    near = near[~np.isin(near, fixed)]
    generator = np.random.Generator(np.random.PCG64(20))
    room = COUNTS[bits // 8] - len(fixed)
    if len(near) > room - room // 5:
        near = generator.permutation(near)[: room - room // 5]
    random = generator.integers(0, (1 << bits) - 1, room - len(near), dtype=unsigned, endpoint=True)
    return np.concatenate([fixed, np.sort(near), random])


def main():
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent / "cast")
    folder.mkdir(parents=True, exist_ok=True)
    digests = []
    for source in DTYPES:
        codes = inputs(source)
        tables = [codes.tobytes()] + [cast(codes, source, target).tobytes() for target in DTYPES if target != source]
        (folder / f"{source}.bin").write_bytes(struct.pack("<I", len(codes)) + b"".join(tables))
        if DTYPES[source] != 16:
            continue
        codes = all_codes(source)
        is_nan = np.isnan(codes.view(dtype_of(source)).astype(np.float64))
        for target in DTYPES:
            if target != source:
                results = cast(codes, source, target)
                results[is_nan] = 0
                digests.append(f"{source} {target} {hashlib.sha256(results.tobytes()).hexdigest()}\n")
    (folder / "digests.txt").write_text("".join(digests))
    (folder / "versions.txt").write_text(
        f"python {platform.python_version()}\nnumpy {np.__version__}\nml_dtypes {ml_dtypes.__version__}\n")


if __name__ == "__main__":
    with np.errstate(all="ignore"):
        main()
