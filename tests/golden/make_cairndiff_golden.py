"""Writes tests/golden/cairndiff: a small base, a target and the diff between them, in a file made here from FORMAT.md and DELTA.md alone.

Independent of the C++ code, so it shows that the documents say enough. Usage: make_cairndiff_golden.py (needs xxhash)."""

import hashlib
import pathlib
import struct

import xxhash

FOLDER = pathlib.Path(__file__).parent / "cairndiff"
FLOAT32, BFLOAT16, INT8 = 12, 11, 2
TENSOR, VALUE, ASSET, ALIAS = 1, 2, 3, 4
SAME, SPARSE, XOR_PLANES, PLANES, RAW = range(5)


def number(value):
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out + bytes([value]))


def text(data):
    data = data.encode() if isinstance(data, str) else data
    return number(len(data)) + data


def path(*segments):
    out = number(len(segments))
    for segment in segments:
        out += b"\x00" + text(segment) if isinstance(segment, str) else b"\x01" + number(segment * 2 if segment >= 0 else -segment * 2 - 1)
    return out


def shape(*extents):
    return number(len(extents)) + b"".join(map(number, extents))


def piece_digest(data):
    return xxhash.xxh3_128_digest(data)


def bytes_digest(data):
    assert len(data) <= 1 << 20
    return hashlib.sha256(piece_digest(data) if data else b"").digest()


def blob(data):
    if len(set(data)) == 1:
        return number(1 << 2 | 2) + data[:1]
    return number(len(data) << 2) + data


def planes(units, width):
    turned = [(unit << 1 | unit >> 8 * width - 1) & (1 << 8 * width) - 1 for unit in units]
    return b"".join(blob(bytes(unit >> 8 * plane & 0xFF for unit in turned)) for plane in range(width))


def units_of(data, width):
    return [int.from_bytes(data[i : i + width], "little") for i in range(0, len(data), width)]


def dense(mode, base, target, width):
    units = units_of(target, width)
    if mode == XOR_PLANES:
        units = [a ^ b for a, b in zip(units, units_of(base, width))]
    return bytes([mode, width]) + planes(units, width)


def sparse(base, target, width):
    positions, values, last = b"", [], 0
    for i, (a, b) in enumerate(zip(units_of(base, width), units_of(target, width))):
        if a != b:
            positions += number(i - last)
            values.append(a ^ b)
            last = i + 1
    return bytes([SPARSE, width]) + number(len(values)) + number(len(positions)) + blob(positions) + planes(values, width)


def floats(*values):
    return struct.pack(f"<{len(values)}f", *values)


# (kind, path segments, layout, bytes)
BASE = [
    (TENSOR, ("layers", 0, "w"), (FLOAT32, (2, 3)), floats(1, 2, 3, 4, 5, 6)),
    (TENSOR, ("layers", 0, "h"), (BFLOAT16, (8,)), bytes(range(16))),
    (TENSOR, ("same",), (INT8, (4,)), b"abcd"),
    (TENSOR, ("reshaped",), (INT8, (2, 2)), b"efgh"),
    (TENSOR, ("gone",), (INT8, (1,)), b"g"),
    (VALUE, ("step",), b"\x02\x02", None),
    (ASSET, ("config.json",), None, b"{}"),
]
TARGET = [
    (TENSOR, ("layers", 0, "w"), (FLOAT32, (2, 3)), floats(1.5, 2.5, float("nan"), -0.0, 5.5, 7)),
    (TENSOR, ("layers", 0, "h"), (BFLOAT16, (8,)), bytes(range(10)) + b"\xff\x7f" + bytes(range(12, 16))),
    (TENSOR, ("same",), (INT8, (4,)), b"abcd"),
    (TENSOR, ("reshaped",), (INT8, (4,)), b"efgx"),
    (TENSOR, ("empty",), (FLOAT32, (0, 2)), b""),
    (TENSOR, ("new",), (FLOAT32, (8,)), floats(*[0.25] * 7, 0.5)),
    (ALIAS, ("tied",), ("layers", 0, "w"), None),
    (VALUE, ("step",), b"\x02\x04", None),
    (ASSET, ("config.json",), None, b"{ }"),
]


def head(entry):
    kind, segments, layout, data = entry
    record = bytes([kind]) + path(*segments)
    if kind == TENSOR:
        return record + bytes([layout[0]]) + shape(*layout[1])
    if kind == ASSET:
        return record + number(len(data))
    return record + (text(layout) if kind == VALUE else path(*layout))


def content_digest(entries):
    def order(entry):
        return entry[0] == ASSET, [(isinstance(s, int), s if isinstance(s, int) else 0, s.encode() if isinstance(s, str) else b"") for s in entry[1]]

    whole = b"cairn content 1\n"
    for entry in sorted(entries, key=order):
        whole += head(entry) + (bytes_digest(entry[3]) if entry[3] is not None else b"")
    return hashlib.sha256(whole).digest()


def make():
    by_path = {(kind, segments): (layout, data) for kind, segments, layout, data in BASE}
    deltas = {
        ("layers", 0, "w"): lambda base, target: dense(XOR_PLANES, base, target, 4),
        ("layers", 0, "h"): lambda base, target: sparse(base, target, 2),
        ("reshaped",): lambda base, target: bytes([RAW]) + target,
        ("new",): lambda base, target: dense(PLANES, base, target, 4),
        ("config.json",): lambda base, target: bytes([RAW]) + target,
    }
    file = b"\x89CAIRND\n" + struct.pack("<II", 1, 1 << 20)
    index = content_digest(BASE) + text("team/run@1") + content_digest(TARGET) + text("team/run@2")
    index += number(1) + text("loss") + text("1.93") + number(len(TARGET))
    for entry in TARGET:
        kind, segments, layout, data = entry
        index += head(entry)
        if data is None:
            continue
        old_layout, old = by_path.get((kind, segments), (None, None))
        has_base = old is not None and len(old) == len(data)
        if not has_base:
            index += b"\x00"
        elif kind == TENSOR and old_layout[1] != layout[1]:
            index += b"\x02" + shape(*old_layout[1])
        else:
            index += b"\x01"
        if not data:
            continue
        delta = b"" if has_base and old == data else deltas[segments](old, data)
        file += delta
        index += number(len(delta)) + (piece_digest(old) if has_base else b"") + (piece_digest(data) if delta else b"")
    index += number(1) + bytes([TENSOR]) + path("gone")
    return file + index + struct.pack("<QQ", len(file), len(index)) + hashlib.sha256(index).digest() + b"\nDNRIAC\x89"


if __name__ == "__main__":
    (FOLDER / "all_modes.cairndiff").write_bytes(make())
