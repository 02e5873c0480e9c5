"""safetensors against the real package, which is the judge: it writes -> `cairn convert` -> it reads the same.

CAIRN_BIN names the binary; a run without it fails. Needs pytest, numpy, ml_dtypes and safetensors.
"""

import json
import pathlib
import struct

import ml_dtypes  # noqa: F401  (NumPy then knows its dtypes by name.)
import numpy as np
import pytest
import safetensors
from arrays import SHAPES, array
from programs import cairn, ok
from safetensors import TensorSpec, safe_open, serialize_file
from safetensors.numpy import load_file, save_file

NUMPY = "bool uint8 int8 int16 uint16 float16 int32 uint32 float32 float64 int64 uint64 complex64".split()
# Which the package writes through TensorSpec, and NumPy does not have by itself.
ML_DTYPES = "bfloat16 float8_e4m3fn float8_e5m2 float8_e4m3fnuz float8_e5m2fnuz float8_e8m0fnu".split()


def convert(*arguments):
    return ok("convert", *arguments)


def save(path, arrays, metadata=None):
    """The package's own writer, also for the dtypes that its NumPy front lacks."""
    specs = {
        name: TensorSpec(dtype=value.dtype.name, shape=value.shape, data_ptr=value.ctypes.data, data_len=value.nbytes)
        for name, value in arrays.items()
    }
    serialize_file(specs, str(path), metadata=metadata)


def load(path):
    """What the package finds in a file: name -> (dtype, shape, bytes)."""
    found = safetensors.deserialize(pathlib.Path(path).read_bytes())
    return {name: (view["dtype"], list(view["shape"]), bytes(view["data"])) for name, view in found}


def metadata_of(path):
    with safe_open(path, framework="np") as file:
        return file.metadata()


def sharded(folder, shards, metadata=None):
    """A Hugging Face folder of these shards (a list of name -> array)."""
    folder.mkdir()
    weight_map, total = {}, 0
    for number, arrays in enumerate(shards, start=1):
        name = f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        save(folder / name, arrays, metadata)
        weight_map.update({tensor: name for tensor in arrays})
        total += sum(value.nbytes for value in arrays.values())
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2))
    return folder


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def load_folder(folder):
    """A folder as the libraries of Hugging Face read it: by its index, or its only file."""
    index = folder / "model.safetensors.index.json"
    if not index.exists():
        return load(folder / "model.safetensors")
    weight_map = json.loads(index.read_text())["weight_map"]
    files = {name: load(folder / name) for name in set(weight_map.values())}
    assert {name: file for file, found in files.items() for name in found} == weight_map
    return {name: files[file][name] for name, file in weight_map.items()}


@pytest.mark.parametrize("dtype", NUMPY + ML_DTYPES)
def test_every_dtype_comes_back_bit_for_bit(dtype, tmp_path):
    arrays = {f"t{number}": array(dtype, shape, number) for number, shape in enumerate(SHAPES)}
    save(tmp_path / "in.safetensors", arrays)
    convert("--dtype", "keep", tmp_path / "in.safetensors", tmp_path / "out.safetensors")
    assert load(tmp_path / "out.safetensors") == load(tmp_path / "in.safetensors")
    assert (tmp_path / "out.safetensors").read_bytes() == (tmp_path / "in.safetensors").read_bytes()


@pytest.mark.parametrize("dtype,bits", [("F4", 4), ("F6_E2M3", 6), ("F6_E3M2", 6)])
def test_packed_dtypes_come_back_bit_for_bit(dtype, bits, tmp_path):
    # The package reads F6 but has no way to write it, so the file is laid out by hand; the package judges both ends.
    data = bytes(range(3 * 8 * bits // 8))
    header = json.dumps({"t": {"dtype": dtype, "shape": [3, 8], "data_offsets": [0, len(data)]}}).encode()
    (tmp_path / "in.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + data)
    assert load(tmp_path / "in.safetensors") == {"t": (dtype, [3, 8], data)}
    convert("--dtype", "keep", tmp_path / "in.safetensors", tmp_path / "out.safetensors")
    assert load(tmp_path / "out.safetensors") == {"t": (dtype, [3, 8], data)}


def test_a_mixed_model_becomes_the_very_bytes_that_the_package_writes(tmp_path):
    arrays = {f"{dtype}.{number}": array(dtype, (2, 3), number) for number, dtype in enumerate(NUMPY + ML_DTYPES)}
    save(tmp_path / "in.safetensors", arrays, {"format": "pt"})
    convert("--dtype", "keep", tmp_path / "in.safetensors", tmp_path / "out.safetensors")
    assert (tmp_path / "out.safetensors").read_bytes() == (tmp_path / "in.safetensors").read_bytes()


def test_odd_names_and_metadata_come_back(tmp_path):
    odd = ["", " ", "a/b", "a.b.c", '"', "\\", "\n", "\x01", "\x7f", "é中🙂", "[7]", "*", "..", "__metadata", "n" * 1000]
    arrays = {name: np.full(2, number, np.int32) for number, name in enumerate(odd)}
    metadata = {"format": "pt", "quote": '"\\\n\x00é', "": "empty"}
    save_file(arrays, tmp_path / "in.safetensors", metadata)
    convert(tmp_path / "in.safetensors", tmp_path / "out.safetensors")
    found = load_file(tmp_path / "out.safetensors")
    assert set(found) == set(odd)
    assert all(np.array_equal(found[name], arrays[name]) for name in odd)
    assert metadata_of(tmp_path / "out.safetensors") == metadata


def test_an_empty_file_comes_back(tmp_path):
    save_file({}, tmp_path / "in.safetensors")
    convert(tmp_path / "in.safetensors", tmp_path / "out.safetensors")
    assert (tmp_path / "out.safetensors").read_bytes() == (tmp_path / "in.safetensors").read_bytes()


def test_a_file_with_an_unpadded_header_in_another_order_is_read(tmp_path):
    # As older writers left them: data by name, nothing aligned, the header in the order of a Python dict.
    header = json.dumps({
        "b": {"shape": [2], "data_offsets": [3, 11], "dtype": "F32"},
        "a": {"shape": [3], "data_offsets": [0, 3], "dtype": "U8"},
    }).encode()
    data = b"abc" + struct.pack("<2f", 1.5, -2)
    (tmp_path / "in.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + data)
    convert("--dtype", "keep", tmp_path / "in.safetensors", tmp_path / "out.safetensors")
    assert load(tmp_path / "out.safetensors") == load(tmp_path / "in.safetensors")


def test_a_sharded_folder_becomes_one_folder_with_its_assets(tmp_path):
    shards = [
        {"embed": array("bfloat16", (8, 4), 1), "norm": array("float32", (4,), 2)},
        {"head": array("bfloat16", (8, 4), 3), "empty": array("float32", (0,), 4)},
    ]
    source = sharded(tmp_path / "in", shards, {"format": "pt"})
    assets = {"config.json": '{"model_type": "tiny"}', "tokenizer.json": "{}", "merges.txt": "", "tokenizer.model": "\x00\x01"}
    for name, text in assets.items():
        (source / name).write_text(text)
    (source / "pytorch_model.bin").write_bytes(b"weights of another kind")
    (source / ".gitattributes").write_text("hidden")

    convert("--dtype", "keep", "--to", "safetensors", source, f"{tmp_path}/out/")
    assert names(tmp_path / "out") == sorted([*assets, "model.safetensors"])
    assert load_folder(tmp_path / "out") == load_folder(source)
    assert {name: (tmp_path / "out" / name).read_text() for name in assets} == assets
    assert metadata_of(tmp_path / "out" / "model.safetensors") == {"format": "pt"}

    # By its index alone it is the same checkpoint.
    convert("--dtype", "keep", "--to", "safetensors", source / "model.safetensors.index.json", f"{tmp_path}/indexed/")
    assert load_folder(tmp_path / "indexed") == load_folder(source)


def test_a_single_file_drops_the_assets_only_when_asked(tmp_path):
    source = sharded(tmp_path / "in", [{"a": array("float32", (2,))}, {"b": array("float32", (2,))}])
    (source / "config.json").write_text("{}")
    refused = cairn("convert", "--dtype", "keep", source, tmp_path / "out.safetensors")
    assert refused.returncode != 0 and "config.json" in refused.stderr
    assert not (tmp_path / "out.safetensors").exists()
    convert("--dtype", "keep", "--drop-unsupported", source, tmp_path / "out.safetensors")
    assert load(tmp_path / "out.safetensors") == load_folder(source)


def test_shards_are_cut_as_asked_and_read_back(tmp_path):
    arrays = {f"layers.{number}.weight": array("float32", (10, 10), number) for number in range(10)}
    save(tmp_path / "in.safetensors", arrays, {"format": "pt"})
    convert("--dtype", "keep", "--to", "safetensors", "--max-shard-size", "1000", tmp_path / "in.safetensors", tmp_path / "out")
    files = names(tmp_path / "out")
    assert files == [f"model-{number:05d}-of-00005.safetensors" for number in range(1, 6)] + ["model.safetensors.index.json"]
    assert load_folder(tmp_path / "out") == load(tmp_path / "in.safetensors")
    index = json.loads((tmp_path / "out" / "model.safetensors.index.json").read_text())
    assert index["metadata"]["total_size"] == 4000
    for name in files[:-1]:
        assert metadata_of(tmp_path / "out" / name) == {"format": "pt"}
        assert sum(len(data) for _, _, data in load(tmp_path / "out" / name).values()) <= 1000

    convert("--dtype", "keep", "--to", "safetensors", tmp_path / "out", tmp_path / "back.safetensors")
    assert load(tmp_path / "back.safetensors") == load(tmp_path / "in.safetensors")


def test_what_is_there_is_replaced_only_when_asked(tmp_path):
    save(tmp_path / "in.safetensors", {"a": array("float32", (2,))})
    (tmp_path / "out.safetensors").write_text("precious")
    refused = cairn("convert", tmp_path / "in.safetensors", tmp_path / "out.safetensors")
    assert refused.returncode != 0 and "exists already" in refused.stderr
    assert (tmp_path / "out.safetensors").read_text() == "precious"
    convert("--dtype", "keep", "--overwrite", tmp_path / "in.safetensors", tmp_path / "out.safetensors")
    assert load(tmp_path / "out.safetensors") == load(tmp_path / "in.safetensors")


@pytest.mark.parametrize("cut", [0, 7, 8, 40, -1])
def test_a_file_that_the_package_refuses_is_refused_and_leaves_nothing(cut, tmp_path):
    save(tmp_path / "whole.safetensors", {"a": array("float32", (2, 3))})
    whole = (tmp_path / "whole.safetensors").read_bytes()
    (tmp_path / "in.safetensors").write_bytes(whole[:cut])
    with pytest.raises(safetensors.SafetensorError):
        safetensors.deserialize(whole[:cut])
    refused = cairn("convert", f"safetensors::{tmp_path}/in.safetensors", tmp_path / "out.safetensors")
    assert refused.returncode != 0 and "in.safetensors" in refused.stderr
    assert names(tmp_path) == ["in.safetensors", "whole.safetensors"]
