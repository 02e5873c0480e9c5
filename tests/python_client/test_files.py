"""`Client.export` and `Client.import_`: files that the daemon makes and reads."""

import pathlib
import threading

import numpy as np
import pytest

import cairn

safetensors = pytest.importorskip("safetensors.numpy")


@pytest.fixture
def state():
    generator = np.random.default_rng(1)
    return {"params": {"w": generator.standard_normal((500, 700), np.float32), "b": np.arange(5)}, "extra": {"x": np.ones(3)}}


def test_a_checkpoint_becomes_files_and_a_checkpoint_again(client, state, tmp_path):
    client.save("files/a@1", state)
    out = client.export("files/a@1", tmp_path / "a.safetensors", drop_unsupported=True)
    assert (out.entries, out.format, out.checkpoint.ref) == (3, "safetensors", "files/a@1")
    loaded = safetensors.load_file(tmp_path / "a.safetensors")
    assert loaded["params.w"].tobytes() == state["params"]["w"].tobytes()
    back = client.import_(tmp_path / "a.safetensors", "files/b@1", metadata={"why": "test"})
    assert back.nbytes == out.nbytes and back.format == "safetensors" and back.already == 0
    assert client.show("files/b@1").metadata["why"] == "test"
    assert client.load("files/b@1")["params.w"].tobytes() == state["params"]["w"].tobytes()


def test_options_are_those_of_the_daemons_conversions(client, state, tmp_path):
    client.save("files/c@1", state)
    out = client.export("files/c@1", f"{tmp_path}/model/", format="safetensors", root="params", dtype="float16", max_shard_bytes=1 << 20, prefix="model.")
    loaded = {}
    for file in (tmp_path / "model").glob("*.safetensors"):
        loaded |= safetensors.load_file(file)
    assert set(loaded) == {"model.w", "model.b"} and loaded["model.w"].dtype == np.float16 and out.entries == 2
    client.import_(pathlib.Path(tmp_path / "model"), "files/d@1", select="!**b", strip_prefix="model.", dtype=np.float64)
    assert {entry.path: entry.dtype for entry in client.show("files/d@1").entries} == {"w": "float64"}


def test_progress_is_told_to_the_end(client, state, tmp_path):
    client.save("files/e@1", state)
    seen = []
    client.export("files/e@1", tmp_path / "e.npz", drop_unsupported=True, progress=seen.append)
    assert seen[-1].bytes == seen[-1].total == client.show("files/e@1").nbytes
    client.import_(tmp_path / "e.npz", "files/f@1", progress=seen.append)
    assert seen[-1].bytes == seen[-1].total > 0


def test_errors_are_those_of_other_calls(client, state, tmp_path):
    client.save("files/g@1", {"w": np.ones(3)})
    with pytest.raises(cairn.NotFoundError, match="files/none"):
        client.export("files/none", tmp_path / "x")
    with pytest.raises(cairn.NotFoundError, match="nothing"):
        client.import_(tmp_path / "nothing", "files/h@1")
    with pytest.raises(cairn.InvalidArgumentError, match="nonsense"):
        client.export("files/g@1", tmp_path / "x", format="nonsense")
    client.export("files/g@1", tmp_path / "x.npz")
    with pytest.raises(cairn.AlreadyExistsError):
        client.export("files/g@1", tmp_path / "x.npz")
    client.export("files/g@1", tmp_path / "x.npz", overwrite=True)
    client.import_(tmp_path / "x.npz", "files/h@1")
    with pytest.raises(cairn.AlreadyExistsError):
        client.import_(tmp_path / "x.npz", "files/h@1")
    assert client.import_(tmp_path / "x.npz", "files/h@1", overwrite=True).checkpoint.ref == "files/h@1"


def test_what_a_progress_callback_raises_ends_the_transfer_and_leaves_nothing(client, tmp_path):
    client.save("files/i@1", {f"w{i}": np.random.default_rng(i).standard_normal(1 << 20) for i in range(16)})

    def stop(_):
        raise KeyError("enough")

    with pytest.raises(KeyError, match="enough"):
        client.export("files/i@1", tmp_path / "out.npz", progress=stop)
    # Unless it was faster than the first report: the end is one too, and by then all is there.
    assert [path.name for path in tmp_path.iterdir()] in ([], ["out.npz"])


def test_other_threads_run_meanwhile(client, tmp_path):
    client.save("files/j@1", {"w": np.random.default_rng(1).standard_normal(4 << 20)})
    threads = [threading.Thread(target=client.export, args=("files/j@1", tmp_path / f"{i}.npz")) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    contents = {(tmp_path / f"{i}.npz").read_bytes() for i in range(4)}
    assert len(contents) == 1
