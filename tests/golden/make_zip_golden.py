#!/usr/bin/env python3
"""Writes tests/golden/zip/: archives by the real torch and by Python's zipfile. The C++ tests write those of torch again, byte
by byte.

torch_large.bin is a file of torch above 4 GiB without the one large entry (zeros), whose place and size are in its name.

Usage: python3 make_zip_golden.py [OUTPUT_FOLDER]
"""
import importlib.metadata
import io
import pathlib
import sys
import zipfile

import numpy as np
import torch

LARGE = 0xFFFFFFFF  # The first size that needs zip64.


class WithoutLargeWrites(io.RawIOBase):
    """What is written, but for writes of a megabyte and more."""

    def __init__(self):
        self.kept, self.cut, self.position = bytearray(), None, 0

    def writable(self):
        return True

    def tell(self):
        return self.position

    def write(self, data):
        size = memoryview(data).nbytes
        if size < 1 << 20:
            self.kept += bytes(data)
        else:
            assert self.cut is None
            self.cut = self.position, size
        self.position += size
        return size


def small_state():
    return {"a": torch.arange(10), "empty": torch.zeros(0), "c": torch.ones(3, dtype=torch.bfloat16), "same.64": torch.zeros(16)}


class Pipe(io.RawIOBase):
    """A target that cannot seek: zipfile then writes descriptors."""

    def __init__(self, path):
        self.file = open(path, "wb")

    def writable(self):
        return True

    def write(self, data):
        return self.file.write(data)


def member(name, method):
    info = zipfile.ZipInfo(name)
    info.compress_type = method
    return info


def fill(archive, method):
    archive.mkdir("folder")
    archive.writestr(member("folder/text", method), "A cairn is a pile of stones. " * 100)
    archive.writestr(member("empty", method), b"")
    archive.writestr(member("é中", method), bytes(range(256)) * 4)
    with archive.open(member("zip64", method), "w", force_zip64=True) as file:
        file.write(b"sixty-four")
    archive.comment = b"a comment"


def main():
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent / "zip")
    folder.mkdir(parents=True, exist_ok=True)

    torch.save(small_state(), folder / "torch.pt")
    torch.utils.serialization.config.save.compute_crc32 = False
    torch.utils.serialization.config.save.storage_alignment = 256
    torch.save(small_state(), folder / "torch_aligned_without_crc.pt")
    torch.utils.serialization.config.save.compute_crc32 = True
    torch.utils.serialization.config.save.storage_alignment = 64

    large = WithoutLargeWrites()
    zeros = torch.from_numpy(np.zeros(LARGE, np.uint8))  # Never touched: it takes no memory.
    few = torch.arange(5, dtype=torch.uint8)
    torch.save({"few": few, "large": zeros, "far": few.clone(), "far and empty": torch.zeros(0)}, large)
    for old in folder.glob("torch_large_*"):
        old.unlink()
    (folder / "torch_large_{}_{}.bin".format(*large.cut)).write_bytes(large.kept)

    for name, method in ("stored", zipfile.ZIP_STORED), ("deflated", zipfile.ZIP_DEFLATED):
        with zipfile.ZipFile(folder / f"{name}.zip", "w", method) as archive:
            fill(archive, method)
        pipe = Pipe(folder / f"{name}_to_pipe.zip")
        with zipfile.ZipFile(pipe, "w", method) as archive:
            fill(archive, method)
        pipe.file.close()

    versions = [f"python {sys.version.split()[0]}"]
    versions += [f"{name} {importlib.metadata.version(name)}" for name in ("numpy", "torch")]
    (folder / "versions.txt").write_text("\n".join(versions) + "\n")


if __name__ == "__main__":
    main()
