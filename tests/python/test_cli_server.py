"""The program `cairn` against a daemon. CAIRN_BIN and CAIRND_BIN name the binaries; needs nothing but pytest."""

import json
import os
import random
import signal
import struct
import subprocess

import pytest
from plain_safetensors import read_safetensors, safetensors_header, write_safetensors
from programs import Daemon, needs_both, start

pytestmark = needs_both


@pytest.fixture
def daemon(tmp_path_factory):
    daemon = Daemon(tmp_path_factory.mktemp("d"))
    yield daemon
    daemon.stop()


def random_model(path, seed=1, megabytes=4):
    source = random.Random(seed)
    layers = {f"layer.{i}": ("F32", [512, 512], 1 << 20) for i in range(megabytes)}
    header, _ = safetensors_header({**layers, "step": ("I64", [], 8), "empty": ("F32", [0], 0)})
    with open(path, "wb") as file:
        file.write(header)
        for _ in layers:
            file.write(source.randbytes(1 << 20))
        file.write(struct.pack("<q", 7))
    return path


@pytest.fixture
def model(tmp_path):
    return random_model(tmp_path / "model.safetensors")


def test_what_is_pushed_comes_back_bit_for_bit(daemon, model, tmp_path):
    pushed = daemon.cairn("push", model, "team/run@1000", "--tag", "best", "--metadata", "loss=1.5")
    assert pushed.returncode == 0 and pushed.stdout.startswith("team/run@1000  "), pushed.stderr
    pulled = daemon.cairn("pull", "team/run@best", tmp_path / "back.safetensors")
    assert pulled.returncode == 0, pulled.stderr
    assert read_safetensors(tmp_path / "back.safetensors") == read_safetensors(model)
    shown = daemon.json("show", "team/run@best", "step", "--values")
    assert shown["ref"] == "team/run@1000" and shown["tags"] == ["best"] and shown["metadata"]["loss"] == "1.5"
    assert [entry["values"] for entry in shown["entries"]] == ["[7]"]
    (listed,) = [json.loads(line) for line in daemon.cairn("ls", "team/", "--json").stdout.splitlines()]
    assert listed["ref"] == "team/run@1000" and listed["bytes"] == (4 << 20) + 8
    assert "team/run@1000" in daemon.cairn("ls").stdout and "best" in daemon.cairn("ls").stdout


def test_server_and_program_cast_alike(daemon, tmp_path):
    values = [0.0, -0.0, 1.0, 3.14159, 65504.0, 1e30, 1e-42, float("inf"), -2.71828] * 500
    source = write_safetensors(tmp_path / "m.safetensors", {"w": ("F32", [4500], struct.pack("<4500f", *values))})
    assert daemon.cairn("push", source, "run@1").returncode == 0
    assert daemon.cairn("push", source, "run@2", "--dtype", "bf16").returncode == 0
    for ref, arguments, name in (("run@1", ["--dtype", "bf16"], "a"), ("run@2", [], "b")):
        assert daemon.cairn("pull", ref, tmp_path / name, "--to", "safetensors", *arguments).returncode == 0
    assert daemon.cairn("convert", source, tmp_path / "c", "--to", "safetensors", "--dtype", "bf16").returncode == 0
    assert read_safetensors(tmp_path / "a") == read_safetensors(tmp_path / "b") == read_safetensors(tmp_path / "c")


def test_pull_to_easylm_casts_to_bfloat16_and_says_so(daemon, model, tmp_path):
    assert daemon.cairn("push", model, "run@1").returncode == 0
    result = daemon.cairn("pull", "run", f"params::{tmp_path}/streaming")
    assert result.returncode == 0 and "bfloat16" in result.stderr
    kept = daemon.cairn("pull", "run", f"params::{tmp_path}/kept", "--dtype", "keep")
    assert kept.returncode == 0 and "bfloat16" not in kept.stderr
    assert daemon.json("show", f"params::{tmp_path}/streaming")["dtypes"] == {"bfloat16": 5, "int64": 1}
    assert daemon.json("show", f"params::{tmp_path}/kept")["dtypes"] == {"float32": 5, "int64": 1}


def test_a_repeated_push_is_no_error_and_another_one_is(daemon, model):
    first = daemon.json("push", model, "run@1")
    again = daemon.json("push", model, "run@1")
    assert not first["already_there"] and again["already_there"]
    assert again["checkpoint"]["uid"] == first["checkpoint"]["uid"] and again["bytes_sent"] == 0
    other = daemon.cairn("push", model, "run@1", "--metadata", "k=v")
    assert other.returncode == 4 and "--overwrite" in other.stderr
    replaced = daemon.json("push", model, "run@1", "--metadata", "k=v", "--overwrite")
    assert replaced["checkpoint"]["uid"] != first["checkpoint"]["uid"]
    assert replaced["checkpoint"]["new_bytes"] == 0  # The bytes were there.


def test_a_deleted_checkpoint_can_be_pushed_again(daemon, model):
    first = daemon.json("push", model, "run@1")
    assert daemon.cairn("rm", "run@1", "--yes").returncode == 0
    assert daemon.cairn("show", "run@1").returncode == 3
    again = daemon.json("push", model, "run@1")
    assert not again["already_there"] and again["checkpoint"]["uid"] != first["checkpoint"]["uid"]


def interrupted_push(daemon, source, *arguments):
    """Starts a push and interrupts it once the daemon has an open session that receives bytes."""
    process = start("push", source, "run@1", *arguments, server=daemon.server, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    objects = daemon.data / "objects"
    while process.poll() is None and sum(p.stat().st_size for p in objects.rglob("*") if p.is_file()) < 70 << 20:
        pass
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, (stdout, stderr)
    assert stdout == "" and stderr.splitlines()[-1].startswith("cairn: CANCELLED: interrupted"), stderr
    return stderr


def open_saves(daemon):
    (check,) = [c for c in daemon.json("doctor")["checks"] if c["name"] == "registry"]
    return check["detail"].split(", ")[1]


def test_an_interrupted_push_gives_its_session_up(daemon, tmp_path):
    source = random_model(tmp_path / "big.safetensors", megabytes=400)
    interrupted_push(daemon, source)
    assert open_saves(daemon) == "0 open saves"
    assert daemon.cairn("show", "run@1").returncode == 3
    assert daemon.json("push", source, "run@1")["bytes_resumed"] == 0


def test_a_kept_session_goes_on_where_it_stopped(daemon, tmp_path):
    source = random_model(tmp_path / "big.safetensors", megabytes=400)
    assert "goes on" in interrupted_push(daemon, source, "--keep-session")
    assert open_saves(daemon) == "1 open saves"
    assert daemon.json("push", source, "run@1")["bytes_resumed"] > 0
    assert daemon.cairn("verify", "run@1").returncode == 0


def test_tags_move_and_go(daemon, model):
    for step in (1, 2):
        assert daemon.cairn("push", model, f"run@{step}").returncode == 0
    assert daemon.cairn("tag", "run@1", "best").stdout == "run@best -> run@1\n"
    assert daemon.json("tag", "run@2", "best")["ref"] == "run@2"
    assert daemon.cairn("tag", "--delete", "run", "best").returncode == 0
    assert daemon.cairn("tag", "--delete", "run", "best").returncode == 3
    assert daemon.cairn("tag", "run@9", "best").returncode == 3
    assert daemon.cairn("tag", "run@1", "7up").returncode == 2


def test_rm_needs_a_yes_and_gc_frees_the_bytes(daemon, model):
    assert daemon.cairn("push", model, "run@1").returncode == 0
    refused = daemon.cairn("rm", "run@1")
    assert refused.returncode == 2 and "--yes" in refused.stderr
    assert daemon.cairn("show", "run@1").returncode == 0
    missing = daemon.cairn("rm", "run@1", "run@2", "--yes")
    assert missing.returncode == 3 and daemon.cairn("show", "run@1").returncode == 0, "nothing goes if one is missing"
    assert daemon.cairn("rm", "run@1", "--yes").stdout == "deleted run@1\n"
    assert {"dry_run", "purged_checkpoints", "deleted_objects", "deleted_bytes"} <= set(daemon.json("gc", "--dry-run"))
    assert daemon.cairn("gc").returncode == 0


def test_damage_in_the_store_is_found_and_ends_with_5(daemon, model, tmp_path):
    assert daemon.cairn("push", model, "run@1").returncode == 0
    assert daemon.json("verify", "run@1")["ok"] is True
    for path in (daemon.data / "objects").rglob("*"):
        if path.is_file() and path.stat().st_size > 1 << 20:
            with open(path, "r+b") as file:
                file.seek(path.stat().st_size // 2)
                byte = file.read(1)
                file.seek(-1, os.SEEK_CUR)
                file.write(bytes([byte[0] ^ 1]))
    result = daemon.cairn("verify", "run@1", "--json")
    assert result.returncode == 5, result.stderr
    assert json.loads(result.stdout)["ok"] is False and json.loads(result.stdout)["problems"]
    pulled = daemon.cairn("pull", "run@1", tmp_path / "back.safetensors")
    assert pulled.returncode == 5 and "layer." in pulled.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]


def test_doctor_writes_only_when_asked(daemon):
    assert daemon.json("doctor")["ok"] is True
    assert daemon.cairn("ls").stdout == ""
    written = daemon.json("doctor", "--write")
    assert written["ok"] and written["checks"][-1]["name"] == "round trip"
    assert daemon.cairn("ls").stdout == ""


def test_refs_are_completed(daemon, model):
    assert daemon.cairn("push", model, "team/run@10", "--tag", "best").returncode == 0
    assert daemon.cairn("__complete", "refs", "te").stdout == "team/run\n"
    assert daemon.cairn("__complete", "refs", "team/run@").stdout == "team/run@10\nteam/run@best\n"
