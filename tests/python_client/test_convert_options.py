"""The options of `convert`, `export` and `import_`: which entries, under which names, and what an interruption leaves."""

import json
import pathlib
import resource
import signal
import subprocess
import sys

import numpy as np
import pytest

import cairn
from cairn.recipe import shard_size

safetensors = pytest.importorskip("safetensors.numpy")

BLOCK = 4 << 20


@pytest.fixture
def model(tmp_path):
    tensors = {"model.layers.0.w": np.ones((2, 3), np.float32), "model.layers.1.w": np.zeros((2, 3), np.float32), "head.w": np.full((3,), 2, np.float32)}
    safetensors.save_file(tensors, tmp_path / "in.safetensors")
    return tmp_path / "in.safetensors"


def names(path):
    return set(safetensors.load_file(path))


def test_entries_and_names_are_chosen(model, tmp_path):
    out = tmp_path / "out.safetensors"
    result = cairn.convert(model, out, exclude="head.w", strip_prefix="model.", rename={"layers.{i}.w": "blocks.{i}.kernel"}, prefix="net.")
    assert names(out) == {"net.blocks.0.kernel", "net.blocks.1.kernel"}
    assert (result.entries, result.already, result.map, result.dropped, result.left_out, result.notes) == (2, 0, "", (), (), ())
    (tmp_path / "names.yaml").write_text("head.w: lm_head.w\n")
    cairn.convert(model, out, rename=tmp_path / "names.yaml", select=["head.w", "!model.**"], overwrite=True)
    assert names(out) == {"lm_head.w"}


def test_a_map_of_ones_own_has_its_files_and_numbers(model, tmp_path):
    with pytest.raises(cairn.InvalidArgumentError, match="go with a map"):
        cairn.convert(model, tmp_path / "x", map_symbols={"heads": 2})
    with pytest.raises(cairn.InvalidArgumentError, match="nonsense"):
        cairn.convert(model, tmp_path / "x", map="nonsense")
    with pytest.raises(cairn.InvalidArgumentError, match="cannot be read"):
        cairn.convert(model, tmp_path / "x", map="./no-such-file.yaml")


def test_renames_work_for_files_that_the_daemon_makes_and_reads(client, model, tmp_path):
    saved = client.import_(model, "options/a@1", rename={"model.layers.{i}.w": "w.{i}"}, exclude=["head.w"])
    assert {entry.path for entry in saved.checkpoint.entries} == {"w.0", "w.1"}
    out = tmp_path / "out.safetensors"
    client.export("options/a@1", out, rename={"w.0": "first"}, exclude="w.1")
    assert names(out) == {"first"}
    back = client.convert(out, "options/b@1", rename={"first": "second"})
    assert [entry.path for entry in back.checkpoint.entries] == ["second"]
    with pytest.raises(cairn.InvalidArgumentError, match="llama does"):
        client.export("options/a@1", tmp_path / "x.safetensors", parts=2)
    with pytest.raises(cairn.InvalidArgumentError, match="is a ref"):
        client.convert(out, "options/b@2", resume=True)


def test_shards_and_assets_beside(tmp_path):
    source = tmp_path / "model"
    source.mkdir()
    safetensors.save_file({f"t{i}": np.ones(300_000, np.float32) for i in range(4)}, source / "model.safetensors")
    (source / "config.json").write_text("{}")
    cairn.convert(source, f"{tmp_path}/cut/", format="safetensors", max_shard_size="2.5MB")
    assert len(list((tmp_path / "cut").glob("*.safetensors"))) == 2
    (tmp_path / "beside").mkdir()
    cairn.convert(source, tmp_path / "beside" / "one.safetensors", assets_beside=True)
    assert sorted(path.name for path in (tmp_path / "beside").iterdir()) == ["config.json", "one.safetensors"]
    with pytest.raises(cairn.InvalidArgumentError, match="one of them"):
        cairn.convert(source, tmp_path / "x", max_shard_size=5, max_shard_bytes=5)
    for wrong in ("5XB", "GB", "5iB", "0GB", "-5"):
        with pytest.raises(cairn.InvalidArgumentError, match="max_shard_size"):
            shard_size(wrong, 0)


def test_a_process_that_dies_is_gone_on_with(tmp_path):
    tensors = {f"t{i}": np.full((1 << 20,), i, np.float32) for i in range(12)}
    safetensors.save_file(tensors, tmp_path / "in.safetensors")
    code = f"import cairn; cairn.convert({str(tmp_path / 'in.safetensors')!r}, {str(tmp_path / 'out.safetensors')!r}, resume=True)"

    def limit():
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (6 * BLOCK, 6 * BLOCK))
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)

    # Python itself ignores the signal, and would see an error instead.
    died = subprocess.run([sys.executable, "-c", "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_DFL); " + code], preexec_fn=limit)
    assert died.returncode == -signal.SIGXFSZ
    result = cairn.convert(pathlib.Path(tmp_path / "in.safetensors"), tmp_path / "out.safetensors", resume=True)
    assert 4 * BLOCK < result.already < result.nbytes and result.notes == ()
    loaded = safetensors.load_file(tmp_path / "out.safetensors")
    assert all(np.array_equal(loaded[name], value) for name, value in tensors.items())
    # Other options begin anew.
    (tmp_path / "out.safetensors").unlink()
    subprocess.run([sys.executable, "-c", "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_DFL); " + code], preexec_fn=limit)
    again = cairn.convert(tmp_path / "in.safetensors", tmp_path / "out.safetensors", resume=True, prefix="a.")
    assert again.already == 0 and "begins anew" in again.notes[0]


def test_what_cannot_be_carried_is_refused_if_one_is_strict(tmp_path):
    torch = pytest.importorskip("torch")
    quantized = torch.quantize_per_tensor(torch.ones(4), 0.1, 0, torch.qint8)
    torch.save({"w": torch.ones(2), "q": quantized}, tmp_path / "in.pt")
    result = cairn.convert(tmp_path / "in.pt", tmp_path / "out.safetensors")
    assert result.entries == 1 and "q" in json.dumps(result.left_out)
    with pytest.raises(cairn.InvalidArgumentError, match="strict"):
        cairn.convert(tmp_path / "in.pt", tmp_path / "strict.safetensors", strict=True)
