"""Tensors above 5 GiB and checkpoints of 200,000 entries, in every format.

What is large is zeros with islands of other bytes on both sides of 2^30, 2^31, 2^32 and at the ends. Sources and targets have
holes instead of the zeros (convert_with_holes.cc), so nothing here needs more than some MiB of disk or memory. CAIRN_BIN and
CONVERT_WITH_HOLES name the binaries."""

import collections
import io
import json
import mmap
import os
import pathlib
import shutil
import struct
import zipfile

import measured
import numpy as np
import pytest
import safetensors
import safetensors.numpy
import torch

CAIRN = os.environ.get("CAIRN_BIN")
CONVERT_WITH_HOLES = os.environ.get("CONVERT_WITH_HOLES")
pytestmark = pytest.mark.skipif(not CAIRN or not CONVERT_WITH_HOLES, reason="CAIRN_BIN and CONVERT_WITH_HOLES name no binaries")

MIB = 1 << 20
LARGE = 5 * 2**30 + 7  # Elements of one byte: more of them than 32 bits count, too.
ISLANDS = {at: 1 + at % 251 for edge in (0, 2**30, 2**31, 2**32, LARGE) for at in range(max(0, edge - 3), min(LARGE, edge + 3))}
SMALL = {"a": np.array([1, 2, 3], np.float32), "z": np.arange(4, dtype=np.float16).reshape(2, 2)}
ENTRIES = 200_000
TARGETS = {
    "safetensors": "model.safetensors", "torch": "model.pt", "npz": "model.npz", "flax": "model.msgpack", "dcp": "step/", "litgpt": "model/",
    "lightning": "model.ckpt", "llama": "llama/", "colossalai": "model/", "easylm": "params",
}  # fmt: skip
# Prefixes that read a model back as it was given, where the format itself adds what it needs.
READ_AS = {"lightning": "lightning_weights"}


@pytest.fixture(scope="module")
def launcher():
    launcher = measured.Launcher()
    yield launcher
    launcher.close()


def done(launcher, *command):
    result = launcher.run(*command)
    assert result.code == 0, result.errors
    return result


def report(name, written, read):
    print(f"{name}: written with {written.processor:.1f} s of processor and {written.peak / MIB:.0f} MiB, "
          f"read with {read.processor:.1f} s and {read.peak / MIB:.0f} MiB")  # fmt: skip


# Tensors above 5 GiB.


def write_source(path):
    begin = SMALL["a"].nbytes
    header = {
        "a": {"dtype": "F32", "shape": [3], "data_offsets": [0, begin]},
        "big": {"dtype": "U8", "shape": [LARGE], "data_offsets": [begin, begin + LARGE]},
        "z": {"dtype": "F16", "shape": [2, 2], "data_offsets": [begin + LARGE, begin + LARGE + SMALL["z"].nbytes]},
    }
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + SMALL["a"].tobytes())
        for at, byte in ISLANDS.items():
            file.seek(8 + len(text) + begin + at)
            file.write(bytes([byte]))
        file.seek(8 + len(text) + begin + LARGE)
        file.write(SMALL["z"].tobytes())
    return path


def parts_with_bytes(path):
    """Offset and bytes of what is no hole of a file."""
    with open(path, "rb") as file:
        end = file.seek(0, os.SEEK_END)
        at = 0
        while at < end:
            try:
                begin = os.lseek(file.fileno(), at, os.SEEK_DATA)
            except OSError:  # A hole up to the end.
                return
            at = os.lseek(file.fileno(), begin, os.SEEK_HOLE)
            assert at - begin < 16 * MIB, "the file has no holes"
            yield begin, os.pread(file.fileno(), at - begin, begin)


def assert_is_the_source(path):
    """Of a safetensors file: every byte of it, by what the holes leave."""
    with open(path, "rb") as file:
        length = struct.unpack("<Q", file.read(8))[0]
        header = json.loads(file.read(length))
        header.pop("__metadata__", None)
        assert set(header) == {"a", "big", "z"}
        assert header["big"]["dtype"] == "U8" and header["big"]["shape"] == [LARGE]
        begin, end = (8 + length + at for at in header["big"]["data_offsets"])
        assert end - begin == LARGE
    found = {}
    for at, data in parts_with_bytes(path):
        part = np.frombuffer(data, np.uint8)
        found |= {at + int(i) - begin: int(part[i]) for i in np.flatnonzero(part) if begin <= at + i < end}
    assert found == ISLANDS
    with safetensors.safe_open(path, "np") as file:
        for name, array in SMALL.items():
            got = file.get_tensor(name)
            assert got.dtype == array.dtype and np.array_equal(got, array)


def assert_islands(big):
    assert big.shape == (LARGE,)
    for at, byte in ISLANDS.items():
        assert big[at] == byte, at
    assert not big[2**31 + 3 : 2**31 + 5000].any()


def judged_by_torch(path):
    state = torch.load(path, weights_only=True, mmap=True)
    assert_islands(state.get("state_dict", state)["big"])


def judged_by_zipfile(path):
    with zipfile.ZipFile(path) as archive, archive.open("big.npy") as file:
        assert np.lib.format.read_magic(file)[0] in (1, 2)
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
        assert shape == (LARGE,) and dtype == np.uint8
        at, found = 0, {}
        while window := file.read(16 * MIB):  # zipfile checks the CRC at the end.
            if window.count(0) != len(window):
                part = np.frombuffer(window, np.uint8)
                found |= {at + int(i): int(part[i]) for i in np.flatnonzero(part)}
            at += len(window)
        assert at == LARGE and found == ISLANDS


def judged_by_dcp(path):
    from torch.distributed.checkpoint import FileSystemReader

    metadata = FileSystemReader(path).read_metadata()
    assert metadata.state_dict_metadata["big"].size == torch.Size([LARGE])
    (place,) = [info for index, info in metadata.storage_data.items() if index.fqn == "big"]
    with open(path / place.relative_path, "rb") as file:
        memory = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    # What lies there is a file of torch.save; the package itself reads it into memory as a whole.
    item = memoryview(memory)[place.offset : place.offset + place.length]
    with zipfile.ZipFile(Item(item)) as archive:
        (storage,) = [info for info in archive.infolist() if info.filename.endswith("/data/0")]
        assert storage.file_size == storage.compress_size == LARGE
        local = bytes(item[storage.header_offset : storage.header_offset + 30])
        begin = storage.header_offset + 30 + sum(struct.unpack("<HH", local[26:30]))
    assert_islands(np.frombuffer(item, np.uint8, LARGE, begin))


class Item(io.RawIOBase):
    """A part of a file as one of its own."""

    def __init__(self, view):
        self.view, self.at = view, 0

    def readable(self):
        return True

    def seekable(self):
        return True

    def seek(self, offset, whence=os.SEEK_SET):
        self.at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self.at, os.SEEK_END: len(self.view)}[whence]
        return self.at

    def tell(self):
        return self.at

    def readinto(self, buffer):
        part = self.view[self.at : self.at + len(buffer)]
        buffer[: len(part)] = part
        self.at += len(part)
        return len(part)


JUDGES = {
    "torch": judged_by_torch,
    "litgpt": lambda path: judged_by_torch(path / "lit_model.pth"),
    "lightning": judged_by_torch,
    "llama": lambda path: judged_by_torch(path / "consolidated.00.pth"),
    "npz": judged_by_zipfile,
    "dcp": judged_by_dcp,
}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return write_source(tmp_path_factory.mktemp("large") / "source.safetensors")


@pytest.mark.parametrize("name", [name for name in TARGETS if name != "easylm"])
def test_a_tensor_above_5_gib_survives(name, source, tmp_path, launcher):
    target = f"{tmp_path}/{TARGETS[name]}"
    back = tmp_path / "back.safetensors"
    try:
        written = done(launcher, CONVERT_WITH_HOLES, source, f"{name}::{target}")
        read = done(launcher, CONVERT_WITH_HOLES, f"{READ_AS.get(name, name)}::{target}", back)
        report(name, written, read)
        assert_is_the_source(back)
        if name in JUDGES:
            JUDGES[name](pathlib.Path(target))
        assert max(written.peak, read.peak) < 64 * MIB
    finally:
        shutil.rmtree(tmp_path)


def test_easylm_refuses_a_value_above_4_gib_by_name_and_writes_nothing(source, tmp_path, launcher):
    result = launcher.run(CAIRN, "convert", source, f"easylm::{tmp_path}/params", "--dtype", "keep")
    assert result.code == 1, result.errors
    assert '"big"' in result.errors and "4294967295 at most" in result.errors
    assert list(tmp_path.iterdir()) == []


# 200,000 entries.


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    arrays = {f"blöcke.{i}.{'wß'[i % 2]}": np.arange(i, i + 1 + i % 3, dtype=np.float32) for i in range(ENTRIES)}
    path = tmp_path_factory.mktemp("many") / "source.safetensors"
    safetensors.numpy.save_file(arrays, path)
    return path, arrays


def loaded(name, target):
    """By the real package, where it loads as many in a time that a test has."""
    if name == "safetensors":
        return safetensors.numpy.load_file(target)
    if name in ("torch", "lightning"):
        state = torch.load(target, weights_only=True)
        return {key: value.numpy() for key, value in state.get("state_dict", state).items()}
    if name == "flax":
        from flax import serialization

        return serialization.msgpack_restore(pathlib.Path(target).read_bytes())
    return None


# What is known of an entry is in memory, so the peak grows with their number: about 1 KiB for each, and more where a pickle
# says it together with what its reader makes of it. With some room, for allocators and builds differ.
MOST = collections.defaultdict(lambda: 272 * MIB)
MOST |= {"lightning": 352 * MIB, "colossalai": 368 * MIB, "dcp": 464 * MIB}


@pytest.mark.parametrize("name", TARGETS)
def test_200000_entries_survive(name, many, tmp_path, launcher):
    path, arrays = many
    target = f"{tmp_path}/{TARGETS[name]}"
    back = tmp_path / "back.safetensors"
    written = done(launcher, CAIRN, "--quiet", "convert", path, f"{name}::{target}", "--dtype", "keep")
    read = done(launcher, CAIRN, "--quiet", "convert", f"{READ_AS.get(name, name)}::{target}", back)
    report(name, written, read)
    for got in filter(None, (loaded(name, target), safetensors.numpy.load_file(back))):
        assert len(got) == ENTRIES
        assert all(np.array_equal(got[key], array) for key, array in arrays.items())
    assert max(written.processor, read.processor) < 60  # Some seconds, unless something looks at all entries for each of them.
    assert max(written.peak, read.peak) < MOST[name]
