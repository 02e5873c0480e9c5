"""Conversions from and to URLs in this process. The S3 server is moto's; the judges of bytes are safetensors and boto3."""

import os
import pathlib
import signal
import sys
import threading
import time

import cairn
import numpy as np
import pytest
from safetensors.numpy import load, load_file, save, save_file

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "python"))
from url_servers import FileServer, S3Server, stall  # noqa: E402


@pytest.fixture(scope="module")
def state():
    generator = np.random.default_rng(1)
    return {"a.weight": generator.standard_normal((300, 700), np.float32), "b": np.arange(10)}


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    for name in os.environ:
        if name.startswith("AWS_") or "proxy" in name.lower():
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", "/nonexistent")


@pytest.fixture
def web():
    web = FileServer()
    yield web
    web.close()


@pytest.fixture(scope="module")
def bucket(tmp_path_factory):
    bucket = S3Server(tmp_path_factory.mktemp("s3"))
    yield bucket
    bucket.close()


@pytest.fixture
def s3(bucket, monkeypatch):
    for name, value in bucket.environment().items():
        monkeypatch.setenv(name, value)
    return bucket


def same(a, b):
    assert a.keys() == b.keys()
    for key in a:
        assert a[key].dtype == b[key].dtype and a[key].tobytes() == b[key].tobytes(), key


def test_a_file_goes_to_s3_and_comes_back(s3, state, tmp_path):
    save_file(state, tmp_path / "in.safetensors")
    result = cairn.convert(tmp_path / "in.safetensors", "s3://models/py/out.safetensors")
    assert result.url == "s3://models/py/out.safetensors" and result.path is None
    same(state, load(s3.get("py/out.safetensors")))
    result = cairn.convert("s3://models/py/out.safetensors", tmp_path / "back.safetensors")
    assert result.path == tmp_path / "back.safetensors" and result.url is None
    same(state, load_file(tmp_path / "back.safetensors"))
    with pytest.raises(cairn.AlreadyExistsError):
        cairn.convert(tmp_path / "in.safetensors", "s3://models/py/out.safetensors")
    for option in ({"resume": True}, {"assets_beside": True}):
        with pytest.raises(cairn.InvalidArgumentError, match="S3"):
            cairn.convert(tmp_path / "in.safetensors", "s3://models/py/other.safetensors", **option)


def test_a_url_is_saved_as_a_checkpoint_and_a_checkpoint_goes_to_s3(client, web, s3, state, name):
    web.files["/m.safetensors"] = save(state)
    result = client.convert(f"safetensors::{web.url('/m.safetensors')}?token=s3cret", f"{name}@1")
    assert result.entries == len(state)
    result = client.convert(f"{name}@1", f"s3://models/{name}.safetensors")
    same(state, load(s3.get(f"{name}.safetensors")))
    assert str(cairn.find_weights(web.url("/m.safetensors"))) == "state dict"


def test_a_conversion_from_a_url_goes_on_where_it_stopped(web, state, tmp_path):
    web.files["/m.safetensors"] = save(state)
    result = cairn.convert(web.url("/m.safetensors"), tmp_path / "out.npz", resume=True)
    assert result.entries == len(state)
    same(state, dict(np.load(tmp_path / "out.npz")))


def test_what_goes_wrong_at_a_server_is_said_without_secrets(web, s3, tmp_path):
    with pytest.raises(cairn.NotFoundError, match="404") as raised:
        cairn.convert(web.url("/nothing").replace("http://", "http://me:pa55@") + "?token=s3cret", tmp_path / "out.safetensors")
    assert "s3cret" not in str(raised.value) and "pa55" not in str(raised.value)
    with pytest.raises(cairn.InvalidArgumentError, match="nothing can be written over http"):
        cairn.convert(tmp_path / "in.safetensors", web.url("/out.safetensors"))
    assert not [path for path, _, _ in web.log if path != "/nothing"]


def test_import_and_export_are_about_files_of_this_machine(client, web, name):
    for call in (lambda: client.import_(web.url("/m.safetensors") + "?s3cret", f"{name}@1"), lambda: client.export(f"{name}@1", "s3://models/out.safetensors")):
        with pytest.raises(cairn.InvalidArgumentError, match="convert") as raised:
            call()
        assert "s3cret" not in str(raised.value)
    assert not web.log


@pytest.mark.parametrize("faults", [[stall] * 10, [None] + [stall] * 10], ids=["opened", "read"])
def test_an_interrupt_ends_the_wait_for_a_server(web, state, tmp_path, faults):
    web.files["/m.safetensors"] = save(state)
    web.faults["/m.safetensors"].extend(faults)
    threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
    begin = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        cairn.convert(web.url("/m.safetensors"), tmp_path / "out.safetensors")
    assert time.monotonic() - begin < 5
    assert not (tmp_path / "out.safetensors").exists()
