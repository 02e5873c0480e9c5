"""The extension: conversions between files and checkpoints, each side one or the other."""

import pathlib

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from cairn import _native, errors


@pytest.fixture
def model(tmp_path):
    tensors = {"a.w": np.arange(12, dtype=np.float32).reshape(3, 4), "b": np.arange(5, dtype=np.int32)}
    save_file(tensors, tmp_path / "model.safetensors", metadata={"made by": "a test"})
    return str(tmp_path / "model.safetensors")


def test_a_file_becomes_a_checkpoint_and_a_file_again(native, name, model, tmp_path):
    seen = []
    put = _native.convert(model, f"{name}@7", target_client=native, metadata={"loss": "1"}, progress=seen.append)
    assert (put.entries, put.bytes, put.casts, put.float_dtype) == (2, 68, 0, None)
    assert put.checkpoint.ref == f"{name}@7" and put.checkpoint.metadata["loss"] == "1"
    assert (put.source_format, put.target_format, put.path) == ("safetensors", "", "")
    assert seen[-1].bytes_done == seen[-1].bytes_total == 68 and seen[-1].entries_done == 2

    out = str(tmp_path / "out.safetensors")
    got = _native.convert(name, out, source_client=native, dtype="float16")
    assert (got.casts, got.float_dtype, got.target_format, got.path) == (1, "float16", "safetensors", out)
    assert got.checkpoint is None
    found = load_file(out)
    assert found["a.w"].dtype == np.float16 and found["a.w"].tolist() == load_file(model)["a.w"].tolist()
    assert found["b"].tolist() == [0, 1, 2, 3, 4]


def test_a_checkpoint_becomes_another(native, name, model):
    _native.convert(model, f"{name}@1", target_client=native)
    copy = _native.convert(f"{name}@1", f"{name}-copy@2", source_client=native, target_client=native, select=["b"], parent=f"{name}@1")
    assert copy.entries == 1 and copy.checkpoint.parent == native.get_checkpoint(name).uid
    assert [entry.path for entry in native.list_entries(f"{name}-copy")] == [("b",)]


def test_a_repeated_conversion_with_the_same_key_is_the_same_checkpoint(native, name, model):
    first = _native.convert(model, f"{name}@1", target_client=native, session_key=f"key of {name}")
    again = _native.convert(model, f"{name}@1", target_client=native, session_key=f"key of {name}")
    assert first.checkpoint.uid == again.checkpoint.uid


def test_easylm_files_hold_bfloat16_unless_told_otherwise(model, tmp_path):
    out = str(tmp_path / "streaming_params")
    default = _native.convert(model, out)
    assert (default.target_format, default.float_dtype, default.casts) == ("easylm", "bfloat16", 1)
    kept = _native.convert(model, f"params::{tmp_path}/kept", dtype="keep")
    assert (kept.target_format, kept.float_dtype, kept.casts) == ("easylm", None, 0)
    back = str(tmp_path / "back.safetensors")
    assert _native.convert(out, back, dtype="fp32").source_format == "easylm"
    assert load_file(back)["a.w"].tolist() == load_file(model)["a.w"].astype(ml_dtypes.bfloat16).astype(np.float32).tolist()


def test_of_a_train_state_the_parameters_alone(native, name, tmp_path):
    writer = native.save(name, 1)
    for path in [("params", "w"), ("opt_state", "mu", "w")]:
        writer.put_tensor(path, "float32", (2,), np.ones(2, np.float32))
    writer.commit()
    out = str(tmp_path / "params.safetensors")
    _native.convert(name, out, source_client=native, weights_only=True)
    assert set(load_file(out)) == {"w"}
    place, candidates = _native.find_weights(name, client=native)
    assert (place.root, place.form, place.tensors, place.bytes, candidates) == ("params", "Flax train state", 1, 8, [])
    assert str(_native.find_weights(out)[0]) == "state dict"
    _native.convert(name, str(tmp_path / "root.safetensors"), source_client=native, root="opt_state/mu")
    assert set(load_file(str(tmp_path / "root.safetensors"))) == {"w"}
    writer = native.save(name, 2)
    writer.put_tensor(("opt_state", "mu"), "float32", (2,), np.ones(2, np.float32))
    writer.commit()
    with pytest.raises(errors.InvalidArgumentError, match="nothing looks like the weights"):
        _native.convert(f"{name}@2", str(tmp_path / "x.safetensors"), source_client=native, weights_only=True)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (dict(dtype="int8"), errors.InvalidArgumentError, 'expected "keep" or a float dtype'),
        (dict(format="pickle"), errors.InvalidArgumentError, "pickle"),
        (dict(select=["nothing"]), errors.InvalidArgumentError, "nothing"),
        (dict(format="easylm", max_shard_bytes=10), errors.InvalidArgumentError, "always one file"),
    ],
    ids=str,
)
def test_options_that_cannot_be_are_refused_and_leave_nothing(model, tmp_path, options, error, message):
    out = tmp_path / "out"
    with pytest.raises(error, match=message):
        _native.convert(model, str(out), **options)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model.safetensors"]


def test_files_that_are_missing_damaged_or_in_the_way(model, tmp_path, native):
    out = str(tmp_path / "out.safetensors")
    with pytest.raises(errors.NotFoundError, match="missing.safetensors"):
        _native.convert(str(tmp_path / "missing.safetensors"), out)
    (tmp_path / "cut.safetensors").write_bytes(pathlib.Path(model).read_bytes()[:-1])
    with pytest.raises(errors.DataLossError, match="cut.safetensors"):
        _native.convert(str(tmp_path / "cut.safetensors"), out)
    _native.convert(model, out)
    with pytest.raises(errors.AlreadyExistsError, match="out.safetensors"):
        _native.convert(model, out)
    _native.convert(model, out, overwrite=True)
    with pytest.raises(errors.InvalidArgumentError, match="NAME@STEP"):
        _native.convert(model, "team/run", target_client=native)


def test_what_a_callback_raises_leaves_no_file(model, tmp_path):
    with pytest.raises(ZeroDivisionError):
        _native.convert(model, str(tmp_path / "out.safetensors"), progress=lambda p: 1 / 0)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model.safetensors"]


def test_every_format_is_listed():
    formats = {f.name: f for f in _native.formats()}
    assert {"easylm", "safetensors"} <= set(formats)
    assert formats["easylm"].values and "params" in formats["easylm"].variants and formats["safetensors"].shards
