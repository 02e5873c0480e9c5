"""Conversions that run in the daemon: `cairn convert` between refs and files on its machine.

CAIRN_BIN and CAIRND_BIN name the binaries. Needs pytest, numpy and safetensors, which is the judge.
"""

import json
import os
import signal
import subprocess
import time

import numpy as np
import pytest
from arrays import same
from programs import Daemon, needs_both, start
from safetensors.numpy import load_file, save_file

pytestmark = needs_both


@pytest.fixture
def roots(tmp_path):
    (tmp_path / "allowed").mkdir()
    (tmp_path / "secret").mkdir()
    return tmp_path / "allowed"


@pytest.fixture
def daemon(tmp_path_factory, roots):
    daemon = Daemon(tmp_path_factory.mktemp("d"), "--file-roots", roots)
    yield daemon
    daemon.stop()


@pytest.fixture
def state():
    generator = np.random.default_rng(1)
    return {"a.weight": generator.standard_normal((300, 70), np.float32), "b": generator.integers(0, 9, 5), "empty": np.zeros((0, 3), np.float32)}


def test_a_file_becomes_a_checkpoint_and_a_file_again(daemon, roots, state):
    save_file(state, roots / "in.safetensors", metadata={"who": "me"})
    daemon.ok("convert", f"server::{roots}/in.safetensors", "ref::team/run@1")
    shown = json.loads(daemon.ok("show", "team/run@1", "--json").stdout)
    assert "me" in json.dumps(shown)
    daemon.ok("convert", "ref::team/run@1", f"server::{roots}/out.safetensors")
    same(state, load_file(roots / "out.safetensors"))


def test_more_entries_than_the_budget_has_room_for_are_converted_and_their_memory_is_given_back(daemon, roots):
    state = {f"layers.{i}.weight": np.array([i], np.float32) for i in range(80_000)}
    save_file(state, roots / "in.safetensors")
    idle = memory(daemon, "VmRSS")
    daemon.ok("convert", f"server::{roots}/in.safetensors", f"server::{roots}/out.safetensors")
    same(state, load_file(roots / "out.safetensors"))
    peak = memory(daemon, "VmHWM")
    assert idle + 40 < peak < idle + 160
    # The answer is sent before the job is taken down.
    deadline = time.monotonic() + 30
    while memory(daemon, "VmRSS") > idle + (peak - idle) / 2:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_large_value_is_the_same_value_in_the_daemon_as_it_is_here(daemon, roots):
    torch = pytest.importorskip("torch")
    shared = "s" * 100_000
    torch.save({"v": {(i,): shared for i in range(30)}, "w": torch.ones(2)}, roots / "in.pt")
    daemon.ok("convert", f"server::{roots}/in.pt", f"server::{roots}/there.pt")
    daemon.ok("convert", roots / "in.pt", roots / "here.pt")
    assert (roots / "there.pt").read_bytes() == (roots / "here.pt").read_bytes()


def memory(daemon, line):
    """Of the daemon's process, in MiB."""
    with open(f"/proc/{daemon.process.pid}/status") as status:
        return next(int(text.split()[1]) / 1024 for text in status if text.startswith(line + ":"))


def test_progress_ends_with_what_was_written(daemon, roots, state):
    save_file(state, roots / "in.safetensors")
    done = json.loads(daemon.ok("convert", f"server::{roots}/in.safetensors", "ref::team/run@1", "--json").stdout)
    assert done["bytes"] == sum(value.nbytes for value in state.values()) and done["entries"] == 3
    assert done["source_format"] == "safetensors" and done["checkpoint"]["name"] == "team/run"


def test_selection_cast_and_shards_apply(daemon, roots, state):
    save_file(state, roots / "in.safetensors")
    daemon.ok("convert", f"server::{roots}/in.safetensors", f"server::safetensors::{roots}/out/", "--select", "a.*", "--dtype", "fp16", "--max-shard-size", "1MiB")
    same({"a.weight": state["a.weight"].astype(np.float16)}, load_file(roots / "out/model.safetensors"))


def test_a_checkpoint_is_copied_under_another_name_with_its_origin(daemon, roots, state):
    save_file(state, roots / "in.safetensors")
    daemon.ok("push", roots / "in.safetensors", "team/run@1")
    daemon.ok("convert", "ref::team/run", "ref::team/half@1", "--dtype", "bf16")
    source, target = (json.loads(daemon.ok("show", ref, "--json").stdout) for ref in ("team/run@1", "team/half@1"))
    assert target["parent"] == source["uid"]
    daemon.ok("verify", "team/half@1")


def test_paths_outside_of_the_allowed_folders_are_refused(daemon, roots, state, tmp_path):
    outside = tmp_path / "secret" / "in.safetensors"
    save_file(state, outside)
    save_file(state, roots / "in.safetensors")
    os.symlink(outside, roots / "link.safetensors")
    os.symlink(tmp_path / "secret", roots / "folder")
    assert "lies outside" in daemon.refused("convert", f"server::{outside}", "ref::team/run@1")
    assert "lies outside" in daemon.refused("convert", f"server::{roots}/link.safetensors", "ref::team/run@1")
    assert "lies outside" in daemon.refused("convert", f"server::{roots}/folder/in.safetensors", "ref::team/run@1")
    assert "lies outside" in daemon.refused("convert", f"server::{roots}/in.safetensors", f"server::{tmp_path}/secret/out.safetensors")
    assert "lies outside" in daemon.refused("convert", f"server::{roots}/in.safetensors", f"server::{roots}/folder/out.safetensors")
    assert "lies outside" in daemon.refused("convert", f"server::{roots}/in.safetensors", f"server::{roots}/folder/", "--to", "safetensors")
    assert ".." in daemon.refused("convert", f"server::{roots}/../secret/in.safetensors", "ref::team/run@1")
    assert "absolute" in daemon.refused("convert", "server::in.safetensors", "ref::team/run@1")
    assert sorted(path.name for path in (tmp_path / "secret").iterdir()) == ["in.safetensors"]


def test_an_index_does_not_lead_out_of_its_folder(daemon, roots, state, tmp_path):
    save_file(state, tmp_path / "secret" / "x.safetensors")
    (roots / "model").mkdir()
    os.symlink(tmp_path / "secret" / "x.safetensors", roots / "model" / "x.safetensors")
    index = roots / "model" / "model.safetensors.index.json"
    for file, word in (("x.safetensors", "leads out"), ("../../secret/x.safetensors", "leaves the folder"), (str(tmp_path / "secret/x.safetensors"), "absolute")):
        index.write_text(json.dumps({"weight_map": {name: file for name in state}}))
        assert word in daemon.refused("convert", f"server::safetensors::{roots}/model", "ref::team/run@1"), file


def test_a_pipe_in_an_allowed_folder_does_not_hang(daemon, roots):
    os.mkfifo(roots / "pipe.safetensors")
    assert "pipe" in daemon.refused("convert", f"server::{roots}/pipe.safetensors", "ref::team/run@1")


def test_a_daemon_without_allowed_folders_touches_no_files(tmp_path_factory, tmp_path, state):
    daemon = Daemon(tmp_path_factory.mktemp("d"))
    save_file(state, tmp_path / "in.safetensors")
    said = daemon.refused("convert", f"server::{tmp_path}/in.safetensors", "ref::team/run@1")
    assert "--file-roots" in said
    daemon.stop()


def test_what_is_there_is_replaced_only_on_request(daemon, roots, state):
    save_file(state, roots / "in.safetensors")
    for target in ("ref::team/run@1", f"server::{roots}/out.safetensors"):
        daemon.ok("convert", f"server::{roots}/in.safetensors", target)
        assert "exists" in daemon.refused("convert", f"server::{roots}/in.safetensors", target)
        daemon.ok("convert", f"server::{roots}/in.safetensors", target, "--overwrite")


def test_a_damaged_file_leaves_nothing(daemon, roots, state):
    save_file(state, roots / "in.safetensors")
    data = (roots / "in.safetensors").read_bytes()
    (roots / "in.safetensors").write_bytes(data[:-5])
    assert "in.safetensors" in daemon.refused("convert", f"server::safetensors::{roots}/in.safetensors", f"server::{roots}/out.safetensors")
    assert sorted(path.name for path in roots.iterdir()) == ["in.safetensors"]


def test_mixed_places_are_a_mistake_of_usage(daemon, tmp_path, state):
    save_file(state, tmp_path / "in.safetensors")
    result = daemon.cairn("convert", tmp_path / "in.safetensors", "ref::team/run@1")
    assert result.returncode == 2 and "push or pull" in result.stderr


def test_a_target_ref_needs_a_step(daemon, roots, state):
    save_file(state, roots / "in.safetensors")
    assert "NAME@STEP" in daemon.refused("convert", f"server::{roots}/in.safetensors", "ref::team/run")


def test_a_killed_daemon_leaves_the_old_target(tmp_path_factory, roots):
    daemon = Daemon(tmp_path_factory.mktemp("d"), "--file-roots", roots)
    big = {f"w{i}": np.full((1 << 20,), i, np.float32) for i in range(64)}
    save_file(big, roots / "in.safetensors")
    old = {"old": np.ones(3, np.float32)}
    save_file(old, roots / "out.safetensors")
    client = start(
        "convert", f"server::{roots}/in.safetensors", f"server::{roots}/out.safetensors", "--overwrite",
        server=daemon.server, variables={**os.environ, "CAIRN_TIMEOUT": "1"}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    deadline = time.monotonic() + 30
    while not any("cairn-tmp" in path.name for path in roots.iterdir()) and time.monotonic() < deadline and client.poll() is None:
        time.sleep(0.002)
    daemon.stop(signal.SIGKILL)
    client.kill()
    client.wait()
    found = load_file(roots / "out.safetensors")
    assert set(found) in ({"old"}, set(big))
