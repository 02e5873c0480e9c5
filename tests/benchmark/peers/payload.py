"""The bytes that are saved: new ones for each seed, that do not compress and of which no two pieces are alike."""

import os

import numpy as np

PIECE = 4096
PATTERN = 4 << 20


def fill(array, seed, offset=0):
    """Any array of a multiple of 4 KiB. Finite numbers, whatever float the bytes are taken for."""
    flat = array.reshape(-1).view(np.uint8)
    words = np.random.default_rng(1).integers(0, 1 << 63, PATTERN // 8, dtype=np.uint64)
    pattern = (words & np.uint64(0xBFFFBFFFBFFFBFFF)).view(np.uint8)
    for at in range(0, flat.size, PATTERN):
        piece = flat[at : at + PATTERN]
        piece[:] = pattern[: piece.size]
    stamps = flat.reshape(-1, PIECE)[:, :16].view(np.uint64)
    stamps[:, 0] = np.uint64((seed * 0x9E3779B97F4A7C15) & 0xBFFFBFFFBFFFBFFF)
    stamps[:, 1] = (np.arange(len(stamps), dtype=np.uint64) + np.uint64(offset // PIECE)) & np.uint64(0xBFFFFFFFFFFF)


def model(total_bytes, seed, tensor_bytes=64 << 20):
    """A tree of float32 matrices, as a trainer has it: {"params": {"layer0": {"kernel": ...}, ...}}."""
    tensor_bytes = min(tensor_bytes, total_bytes)
    layers, offset = {}, 0
    while offset < total_bytes:
        length = min(tensor_bytes, total_bytes - offset)
        rows = np.empty((length // PIECE, PIECE // 4), np.float32)
        fill(rows, seed, offset)
        layers[f"layer{len(layers)}"] = {"kernel": rows}
        offset += length
    return {"params": layers}


def sync(path):
    """Files below `path`, and the folders that name them, durable."""
    paths = [path]
    for folder, _, files in os.walk(path):
        paths += [os.path.join(folder, name) for name in files] + [folder]
    for name in dict.fromkeys([*paths, os.path.dirname(os.path.abspath(path))]):
        fd = os.open(name, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
