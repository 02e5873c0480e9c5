"""npz against the real NumPy, which is the judge: it writes -> `cairn convert` -> it reads the same.

CAIRN_BIN names the binary; a run without it fails. Needs pytest, numpy, ml_dtypes, safetensors and torch.
"""

import pathlib
import zipfile

import ml_dtypes
import numpy as np
import pytest
import torch
from arrays import SHAPES, array
from programs import cairn, ok
from safetensors.numpy import load_file, save_file

DTYPES = "bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 float32 float64 complex64 complex128".split()


def convert(*arguments):
    return ok("convert", *arguments)


def refused(tmp_path, *arguments):
    """The message of a conversion into tmp_path / "refused" that fails and leaves nothing."""
    target = tmp_path / "refused"
    result = cairn("convert", *arguments, target)
    assert result.returncode != 0, result.stdout
    assert not target.exists()
    return result.stderr


def little(value):
    return value.astype(value.dtype.newbyteorder("<"))


def found(path):
    """What NumPy finds in a file: name -> (dtype, shape, bytes in C order, little-endian)."""
    with np.load(path) as archive:
        return {name: as_found(archive[name]) for name in archive.files}


def as_found(value):
    return value.dtype.newbyteorder("<").str, value.shape, little(value).tobytes()


def members(path):
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        return {info.filename: archive.read(info) for info in archive.infolist()}


def model(dtypes=DTYPES):
    return {f"{dtype}.{number}": array(dtype, shape, number) for dtype in dtypes for number, shape in enumerate(SHAPES)}


def test_every_dtype_and_shape_comes_back_bit_for_bit(tmp_path):
    np.savez(tmp_path / "in.npz", **model())
    convert(tmp_path / "in.npz", tmp_path / "out.npz")
    assert found(tmp_path / "out.npz") == found(tmp_path / "in.npz")
    # Not only what they mean: every array is the very bytes that NumPy writes.
    assert members(tmp_path / "out.npz") == members(tmp_path / "in.npz")
    assert list(members(tmp_path / "out.npz")) == list(members(tmp_path / "in.npz"))


def test_the_same_arrays_give_the_same_file(tmp_path):
    np.savez(tmp_path / "in.npz", **model(["float32"]))
    for name in "a.npz", "b.npz":
        convert(tmp_path / "in.npz", tmp_path / name)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_compressed_archives_are_read(tmp_path):
    arrays = model() | {"long": np.repeat(array("float64", (1000,)), 500)}
    np.savez_compressed(tmp_path / "in.npz", **arrays)
    assert (tmp_path / "in.npz").stat().st_size < arrays["long"].nbytes / 10
    convert(tmp_path / "in.npz", tmp_path / "out.npz")
    assert found(tmp_path / "out.npz") == {name: as_found(value) for name, value in arrays.items()}


@pytest.mark.parametrize("dtype", [dtype for dtype in DTYPES if np.dtype(dtype).itemsize > 1])
def test_big_endian_arrays_are_swapped(dtype, tmp_path):
    arrays = {f"t{number}": array(dtype, shape, number) for number, shape in enumerate(SHAPES)}
    np.savez(tmp_path / "in.npz", **{name: value.view(value.dtype.newbyteorder(">")) for name, value in arrays.items()})
    expected = found(tmp_path / "in.npz")
    convert(tmp_path / "in.npz", tmp_path / "out.npz")
    assert found(tmp_path / "out.npz") == expected
    with np.load(tmp_path / "out.npz") as archive:
        assert all(archive[name].dtype.isnative for name in archive.files)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_stored_column_by_column_are_transposed(save, tmp_path):
    arrays = {
        "matrix": array("float32", (300, 500), 1), "cube": array("int16", (30, 7, 40), 2), "tall": array("uint8", (100_000, 3), 3),
        "wide": array("complex128", (2, 5_000), 4), "row": array("float64", (1, 9), 5), "hyper": array("float16", (3, 4, 5, 6, 7), 6),
        "swapped": array("float32", (31, 17), 7).view(">f4"),
    }
    fortran = {name: np.asfortranarray(value) for name, value in arrays.items()}
    save(tmp_path / "in.npz", **fortran)
    assert b"'fortran_order': True" in members(tmp_path / "in.npz")["matrix.npy"]
    convert(tmp_path / "in.npz", tmp_path / "out.npz")
    assert found(tmp_path / "out.npz") == {name: as_found(value) for name, value in arrays.items()}


def test_a_transposed_array_larger_than_the_memory_for_it_comes_back(tmp_path):
    value = array("float32", (3000, 2500), 8)  # 30 MB.
    np.savez(tmp_path / "in.npz", big=np.asfortranarray(value))
    convert(tmp_path / "in.npz", tmp_path / "out.npz")
    assert found(tmp_path / "out.npz") == {"big": as_found(value)}


def test_odd_names_come_back_and_are_never_split(tmp_path):
    odd = [" ", "a/b", "a.b.c", '"', "\\", "\n", "\x01", "é中🙂", "[7]", "*", "..", "x.npy", "n" * 1000]
    np.savez(tmp_path / "in.npz", **{name: np.full(2, number, np.int32) for number, name in enumerate(odd)})
    convert(tmp_path / "in.npz", tmp_path / "out.npz")
    assert found(tmp_path / "out.npz") == found(tmp_path / "in.npz")
    assert list(members(tmp_path / "out.npz")) == [f"{name}.npy" for name in odd]


def test_an_archive_without_arrays_comes_back(tmp_path):
    np.savez(tmp_path / "in.npz")
    convert(f"npz::{tmp_path}/in.npz", tmp_path / "out.npz")
    assert found(tmp_path / "out.npz") == {}


def test_safetensors_and_npz_become_each_other(tmp_path):
    arrays = {name: value for name, value in model().items() if value.dtype != np.complex128}
    save_file(arrays, tmp_path / "in.safetensors")
    convert(tmp_path / "in.safetensors", tmp_path / "out.npz")
    assert found(tmp_path / "out.npz") == {name: as_found(value) for name, value in arrays.items()}
    convert(tmp_path / "out.npz", tmp_path / "back.safetensors")
    back = load_file(tmp_path / "back.safetensors")
    assert {name: as_found(value) for name, value in back.items()} == {name: as_found(value) for name, value in arrays.items()}


def test_floats_are_cast_when_asked(tmp_path):
    value = np.linspace(-3, 3, 1000, dtype=np.float32).reshape(10, 100)
    np.savez(tmp_path / "in.npz", f=value, i=np.arange(3))
    convert(tmp_path / "in.npz", tmp_path / "out.npz", "--dtype", "fp16")
    with np.load(tmp_path / "out.npz") as archive:
        assert archive["f"].tobytes() == value.astype(np.float16).tobytes()
        assert archive["i"].dtype == np.int64


def test_bfloat16_is_refused_with_advice_that_works(tmp_path):
    value = np.linspace(-3, 3, 24, dtype=np.float32).astype(ml_dtypes.bfloat16).reshape(4, 6)
    save_file({"w": value, "step": np.array(7)}, tmp_path / "in.safetensors")
    message = refused(tmp_path, "--to", "npz", tmp_path / "in.safetensors")
    assert '"w" has dtype bfloat16' in message and "--dtype fp32" in message
    convert("--dtype", "fp32", tmp_path / "in.safetensors", tmp_path / "out.npz")
    assert found(tmp_path / "out.npz") == {"w": as_found(value.astype(np.float32)), "step": as_found(np.array(7))}


def test_nested_paths_are_joined_with_the_separator(tmp_path):
    golden = pathlib.Path(__file__).parents[1] / "golden" / "easylm" / "streaming_params"
    convert("--dtype", "fp32", "--separator", "/", f"params::{golden}", tmp_path / "out.npz")
    assert "transformer/h/0/attention/wq/kernel" in found(tmp_path / "out.npz")


class Bomb:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return pathlib.Path.touch, (pathlib.Path(self.path),)


def test_objects_are_refused_and_never_run(tmp_path):
    proof = tmp_path / "proof"
    np.savez(tmp_path / "in.npz", good=np.zeros(3), bad=np.array([Bomb(proof)], dtype=object))
    assert b"touch" in members(tmp_path / "in.npz")["bad.npy"]
    message = refused(tmp_path, tmp_path / "in.npz")
    assert 'entry "bad.npy"' in message and "pickle" in message
    assert not proof.exists()


@pytest.mark.parametrize("what,value", [
    ("structured", np.zeros(2, [("a", "<i4"), ("é", "<f8")])), ("dates", np.zeros(2, "<M8[s]")), ("texts", np.array(["a", "bc"])),
    ("long_double", np.zeros(2, np.longdouble)), ("void", np.zeros(2, "V3")),
    *((name, np.zeros((2, 3), getattr(ml_dtypes, name))) for name in ("bfloat16", "float8_e4m3fn", "float8_e5m2", "int4")),
])
def test_what_is_no_tensor_is_refused_by_name(what, value, tmp_path):
    np.savez(tmp_path / "in.npz", good=np.zeros(3), **{what: value})
    message = refused(tmp_path, tmp_path / "in.npz")
    assert f'entry "{what}.npy"' in message and "in.npz" in message


def test_texts_without_dimensions_are_values(tmp_path):
    np.savez(tmp_path / "in.npz", text=np.array("aé中🙂"), raw=np.array(b"\x00\xff"), x=np.zeros(2))
    shown = cairn("show", tmp_path / "in.npz", "--json")
    assert shown.returncode == 0, shown.stderr
    assert "aé中🙂" in shown.stdout
    assert '"text" is a value' in refused(tmp_path, "--to", "npz", tmp_path / "in.npz")
    convert("--drop-unsupported", tmp_path / "in.npz", tmp_path / "out.npz")
    assert list(found(tmp_path / "out.npz")) == ["x"]


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_a_damaged_array_is_never_taken_for_a_good_one(save, tmp_path):
    save(tmp_path / "in.npz", first=array("float32", (50, 50), 1), second=array("float32", (50, 50), 2))
    good = (tmp_path / "in.npz").read_bytes()
    at = good.index(b"second.npy") + 2000
    (tmp_path / "in.npz").write_bytes(good[:at] + bytes([good[at] ^ 0x10]) + good[at + 1:])
    message = refused(tmp_path, tmp_path / "in.npz")
    assert 'entry "second.npy"' in message


def test_a_cut_archive_is_refused(tmp_path):
    np.savez(tmp_path / "whole.npz", a=np.zeros(100))
    whole = (tmp_path / "whole.npz").read_bytes()
    for size in 0, 30, len(whole) // 2, len(whole) - 1:
        (tmp_path / "in.npz").write_bytes(whole[:size])
        assert "in.npz" in refused(tmp_path, f"npz::{tmp_path}/in.npz")


def test_other_archives_are_not_taken_for_npz(tmp_path):
    torch.save({"w": torch.zeros(3)}, tmp_path / "model.npz")
    assert "does not end in .npy" in refused(tmp_path, f"npz::{tmp_path}/model.npz")
    with zipfile.ZipFile(tmp_path / "other.npz", "w") as archive:
        archive.writestr("a.npy", b"")
        archive.writestr("readme.txt", b"text")
    assert "no known format" in refused(tmp_path, tmp_path / "other.npz")


def test_archives_of_other_tools_are_read(tmp_path):
    arrays = {name: value for name, value in model(["float32"]).items()}
    np.savez(tmp_path / "numpy.npz", **arrays)
    with zipfile.ZipFile(tmp_path / "in.npz", "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        archive.mkdir("folder")
        for name, content in members(tmp_path / "numpy.npz").items():
            archive.writestr(name, content)
        archive.comment = b"packed again"
    convert(tmp_path / "in.npz", tmp_path / "out.npz")
    assert members(tmp_path / "out.npz") == members(tmp_path / "numpy.npz")
