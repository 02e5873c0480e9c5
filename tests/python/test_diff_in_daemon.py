"""`cairn diff` and `cairn recover` in the daemon: the same reports as computed by the client, and diffs that never leave the daemon.

CAIRN_BIN, CAIRND_BIN and OLD_DAEMON_BIN name the binaries. Needs pytest, numpy and safetensors, which is the judge.
"""

import functools
import json
import os
import shutil
import signal
import subprocess
import time

import numpy as np
import pytest
from arrays import same
from programs import Daemon, cairn, needs_both, start
from safetensors.numpy import load_file, save_file

OLD_DAEMON = os.environ.get("OLD_DAEMON_BIN")
pytestmark = needs_both
DIFFERENT, PRECONDITION, DAMAGED, NOT_FOUND, USAGE = 7, 4, 5, 3, 2


def weights(seed, shape, dtype=np.float32):
    return (np.random.default_rng(seed).standard_normal(shape) * 0.02).astype(dtype)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("files")


@pytest.fixture(scope="module")
def states(folder):
    """Two files, of which the second differs from the first in every way that a report knows."""
    base = {f"h.{i}.w": weights(i, (300, 200)) for i in range(4)} | {"gone": weights(9, (2,)), "cast": weights(8, (50,))}
    base |= {"complex": weights(7, (9,)).astype(np.complex64), "big": weights(6, (3_000_000,)), "same": weights(5, (700_000,))}
    target = {name: array.copy() for name, array in base.items() if name != "gone"}
    target["h.1.w"][3, :7] += np.float32(0.01)
    target["h.1.w"][0, 0] = np.nan
    target["h.1.w"][0, 1] = np.inf
    target["h.3.w"] *= np.float32(1.0000001)
    target["complex"][2] += 1j
    target["cast"] = target["cast"].astype(np.float16)
    target["new"] = weights(10, (3,))
    target["h.2.w"] = target["h.2.w"].reshape(60_000)
    target["big"][1_500_000:1_500_100] = 0
    save_file(base, folder / "base.safetensors", metadata={"who": "base"})
    save_file(target, folder / "target.safetensors", metadata={"who": "target"})
    return base, target


@pytest.fixture(scope="module")
def daemon(tmp_path_factory, folder, states):
    daemon = Daemon(tmp_path_factory.mktemp("d"), "--file-roots", folder)
    daemon.ok("push", folder / "base.safetensors", "team/base@1")
    daemon.ok("push", folder / "target.safetensors", "team/tuned@1")
    yield daemon
    daemon.stop()


@pytest.fixture(scope="module")
def old(daemon):
    """The same daemon as it was before it could compare."""
    if not OLD_DAEMON:
        pytest.skip("OLD_DAEMON_BIN names no binary")
    socket = daemon.folder / "old"
    process = subprocess.Popen(
        [OLD_DAEMON, f"unix:{socket}", f"unix:{daemon.socket}"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "serving\n"
    yield functools.partial(cairn, server=f"unix:{socket}")
    process.stdin.close()
    process.wait(timeout=60)
    process.stdout.close()


def refs(daemon):
    return {c["name"] for c in map(json.loads, daemon.ok("ls", "--json").stdout.splitlines())}



# Reports.


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--json"],
        ["--json", "--summary"],
        ["--summary"],
        ["--only", "changed", "recast"],
        ["--atol", "1e-3"],
        ["--rtol", "1e-5", "--atol", "0.01", "--json"],
        ["--select", "h.*", "!h.0*"],
        ["--select", "h.0.w", "--json"],
    ],
    ids=" ".join,
)
def test_the_report_is_byte_for_byte_what_the_client_computes(daemon, old, options):
    there = daemon.cairn("diff", "team/base@1", "team/tuned@1", *options)
    here = old("diff", "team/base@1", "team/tuned@1", *options)
    assert "too old" in here.stderr and "too old" not in there.stderr
    assert there.stdout == here.stdout
    assert there.returncode == here.returncode == (0 if "h.0.w" in options else DIFFERENT), there.stderr
    assert there.stdout


def test_the_picture_is_the_same_too(daemon, old, tmp_path):
    daemon.cairn("diff", "team/base", "team/tuned", "--plot", tmp_path / "there.svg")
    old("diff", "team/base", "team/tuned", "--plot", tmp_path / "here.svg")
    assert (tmp_path / "there.svg").read_bytes() == (tmp_path / "here.svg").read_bytes()
    assert "team/base@1" in (tmp_path / "there.svg").read_text()


def test_files_of_the_daemons_machine_are_compared_where_they_are(daemon, folder):
    pair = [f"server::{folder}/base.safetensors", f"server::{folder}/target.safetensors"]
    there = daemon.cairn("diff", *pair, "--json")
    here = daemon.cairn("diff", folder / "base.safetensors", folder / "target.safetensors", "--json")
    assert there.returncode == here.returncode == DIFFERENT, there.stderr
    assert there.stdout == here.stdout
    mixed = daemon.cairn("diff", "ref::team/base@1", f"server::safetensors::{folder}/base.safetensors")
    assert mixed.returncode == 0, mixed.stderr


def test_a_ref_and_a_file_here_are_compared_here(daemon, folder):
    assert daemon.cairn("diff", "team/base@1", folder / "base.safetensors").returncode == 0
    assert daemon.cairn("diff", "ref::team/base@1", folder / "base.safetensors").returncode == 0


def test_files_there_and_files_here_do_not_mix(daemon, folder):
    result = daemon.cairn("diff", f"server::{folder}/base.safetensors", folder / "base.safetensors")
    assert result.returncode == USAGE and "on the daemon's machine" in result.stderr


def test_a_report_of_many_entries_arrives_whole(daemon, tmp_path):
    tensors = {f"layer.{i}.weight.with.a.long.name.to.fill.messages.quickly": np.full(2, i, np.float32) for i in range(6000)}
    save_file(tensors, tmp_path / "a.safetensors")
    save_file({name: array + 1 for name, array in tensors.items()}, tmp_path / "b.safetensors")
    daemon.ok("push", tmp_path / "a.safetensors", "many/a@1")
    daemon.ok("push", tmp_path / "b.safetensors", "many/b@1")
    lines = [json.loads(line) for line in daemon.cairn("diff", "many/a@1", "many/b@1", "--json").stdout.splitlines()]
    assert len(lines) == 6001 and lines[-1]["summary"]["counts"] == {"changed": 6000}
    assert {line["path"] for line in lines[:-1]} == set(tensors)
    daemon.ok("rm", "--yes", "many/a@1")
    daemon.ok("rm", "--yes", "many/b@1")


def test_what_is_not_there_is_named(daemon):
    gone = daemon.cairn("diff", "team/base@1", "team/none@3")
    assert gone.returncode == NOT_FOUND and "team/none" in gone.stderr
    word = daemon.cairn("diff", "team/base@1", "nothing")
    assert word.returncode == NOT_FOUND and "no file nothing" in word.stderr
    unmatched = daemon.cairn("diff", "team/base@1", "team/tuned@1", "--select", "no/such")
    assert unmatched.returncode == USAGE and "--select: matches nothing: no/such" in unmatched.stderr


def test_paths_outside_of_the_allowed_folders_are_refused(daemon, tmp_path):
    save_file({"w": np.ones(1)}, tmp_path / "a.safetensors")
    outside = f"server::{tmp_path}/a.safetensors"
    assert "lies outside" in daemon.refused("diff", outside, "ref::team/base@1")
    assert "lies outside" in daemon.refused("diff", "team/base@1", "team/tuned@1", "--output", f"server::{tmp_path}/d.cairndiff")
    assert "lies outside" in daemon.refused("recover", "team/base@1", outside, "team/x@1")
    assert list(tmp_path.iterdir()) == [tmp_path / "a.safetensors"]


# Exact diffs.


@pytest.fixture(scope="module")
def stored(daemon):
    done = json.loads(daemon.ok("diff", "team/base@1", "team/tuned@1", "--output", "team/delta@1", "--json").stdout)
    assert done["mode"] == "exact" and done["diff_bytes"] == done["bytes"] > 0
    return done


def test_a_diff_of_refs_is_the_one_that_the_client_makes(daemon, old, stored, folder, tmp_path):
    daemon.ok("pull", "team/delta@1", tmp_path / "there.cairndiff", "--to", "cairndiff")
    result = old("diff", "team/base@1", "team/tuned@1", "--output", "team/old-delta@1")
    assert result.returncode == 0, result.stderr
    daemon.ok("pull", "team/old-delta@1", tmp_path / "here.cairndiff", "--to", "cairndiff")
    assert (tmp_path / "there.cairndiff").read_bytes() == (tmp_path / "here.cairndiff").read_bytes()
    there, here = (json.loads(daemon.ok("show", ref, "--json").stdout) for ref in ("team/delta@1", "team/old-delta@1"))
    for key in ("metadata", "parent", "created_by"):
        assert there[key] == here[key], key
    assert there["metadata"]["cairn.diff.base_digest"] == stored["base_digest"]


def test_what_is_recovered_in_the_daemon_is_the_target(daemon, stored, states, tmp_path):
    done = json.loads(daemon.ok("recover", "team/base@1", "team/delta@1", "team/back@1", "--json").stdout)
    assert done["target_digest"] == stored["target_digest"] and done["checkpoint"]["name"] == "team/back"
    daemon.ok("verify", "team/back@1")
    daemon.ok("pull", "team/back@1", tmp_path / "back.safetensors")
    same(states[1], load_file(tmp_path / "back.safetensors"))
    assert daemon.cairn("diff", "team/tuned@1", "team/back@1").returncode == 0
    base, back = (json.loads(daemon.ok("show", ref, "--json").stdout) for ref in ("team/base@1", "team/back@1"))
    assert back["parent"] == base["uid"]


def test_a_diff_goes_into_a_file_there_and_back_from_it(daemon, states, folder):
    place = f"server::{folder}/d.cairndiff"
    line = daemon.ok("diff", "team/base@1", "team/tuned@1", "--output", place).stdout
    assert "exact diff of" in line
    assert "exists" in daemon.refused("diff", "team/base@1", "team/tuned@1", "--output", place)
    daemon.ok("diff", "team/base@1", "team/tuned@1", "--output", place, "--overwrite")
    daemon.ok("recover", f"server::{folder}/base.safetensors", place, f"server::{folder}/back.safetensors")
    same(states[1], load_file(folder / "back.safetensors"))
    assert "cairndiff, and not safetensors" in daemon.refused(
        "diff", "team/base@1", "team/tuned@1", "--output", f"server::safetensors::{folder}/d2"
    )


def test_a_repeated_diff_finds_what_it_has_made(daemon, stored):
    again = json.loads(daemon.ok("diff", "team/base@1", "team/tuned@1", "--output", "team/delta@1", "--json").stdout)
    for key in ("target_bytes", "diff_bytes", "base_digest", "target_digest"):
        assert again[key] == stored[key], key
    assert again["checkpoint"]["uid"] == stored["checkpoint"]["uid"]
    other = daemon.cairn("diff", "team/tuned@1", "team/base@1", "--output", "team/delta@1")
    assert other.returncode == PRECONDITION and "exists" in other.stderr
    # A diff that was removed is made again.
    daemon.ok("diff", "team/base@1", "team/tuned@1", "--output", "team/brief@1")
    daemon.ok("rm", "--yes", "team/brief@1")
    daemon.ok("diff", "team/base@1", "team/tuned@1", "--output", "team/brief@1")
    daemon.ok("show", "team/brief@1")
    daemon.ok("rm", "--yes", "team/brief@1")


def test_files_that_have_changed_are_not_taken_for_those_of_before(daemon, folder):
    """The session key of a command does not know the daemon's files, so the daemon adds what it knows of them."""
    for name, source in (("was", "base"), ("is", "target")):
        shutil.copy(folder / f"{source}.safetensors", folder / f"{name}.safetensors")
    command = ["diff", f"server::{folder}/was.safetensors", f"server::{folder}/is.safetensors", "--output", "ref::team/moving@1", "--json"]
    first = json.loads(daemon.ok(*command).stdout)
    assert json.loads(daemon.ok(*command).stdout)["checkpoint"]["uid"] == first["checkpoint"]["uid"]
    shutil.copy(folder / "base.safetensors", folder / "is.safetensors")
    again = daemon.cairn(*command)
    assert again.returncode == PRECONDITION and "exists" in again.stderr, again.stdout
    anew = json.loads(daemon.ok(*command, "--overwrite").stdout)
    assert anew["target_digest"] == anew["base_digest"] == first["base_digest"] != first["target_digest"]


def test_equal_checkpoints_give_a_small_diff_without_being_read(daemon, folder):
    daemon.ok("push", folder / "base.safetensors", "team/copy@1")
    done = json.loads(daemon.ok("diff", "team/base@1", "team/copy@1", "--output", "team/nothing@1", "--json").stdout)
    assert done["diff_bytes"] < 10_000 and done["base_digest"] == done["target_digest"]
    daemon.ok("recover", "team/base@1", "team/nothing@1", "team/copy-back@1")
    assert daemon.cairn("diff", "team/copy@1", "team/copy-back@1").returncode == 0


# Arithmetic diffs.


def test_arithmetic_diffs_work_in_the_daemon(daemon, folder, tmp_path):
    base = {"a": weights(1, (30, 20)), "n": np.arange(5)}
    target = {"a": weights(2, (30, 20)), "n": np.arange(5) * 3}
    for name, state in (("abase", base), ("atarget", target)):
        save_file(state, tmp_path / f"{name}.safetensors")
        daemon.ok("push", tmp_path / f"{name}.safetensors", f"team/{name}@1")
    done = json.loads(
        daemon.ok("diff", "team/abase@1", "team/atarget@1", "--mode", "arithmetic", "--output", "team/adiff@1", "--json").stdout
    )
    assert done["elements"] == 605 and done["inexact_elements"] < 605
    daemon.ok("pull", "team/adiff@1", tmp_path / "adiff.safetensors")
    same({"a": target["a"] - base["a"], "n": target["n"] - base["n"]}, load_file(tmp_path / "adiff.safetensors"))
    daemon.ok("recover", "team/abase@1", "team/adiff@1", "team/asum@1", "--mode", "arithmetic")
    daemon.ok("pull", "team/asum@1", tmp_path / "asum.safetensors")
    same({"a": base["a"] + (target["a"] - base["a"]), "n": target["n"]}, load_file(tmp_path / "asum.safetensors"))
    # Into EasyLM's files the dtype is theirs, here as there.
    daemon.ok("diff", "team/abase@1", "team/atarget@1", "--mode", "arithmetic", "--select", "a", "--output", f"server::params::{folder}/adiff")
    shown = json.loads(daemon.ok("show", f"params::{folder}/adiff", "--json").stdout)
    assert "bfloat16" in json.dumps(shown)


def test_trees_that_do_not_match_leave_nothing(daemon, folder):
    before = refs(daemon)
    result = daemon.cairn("diff", "team/base@1", "team/tuned@1", "--mode", "arithmetic", "--output", "team/wrong@1")
    assert result.returncode == PRECONDITION, result.stderr
    files = set(folder.iterdir())
    result = daemon.cairn("diff", "team/base@1", "team/tuned@1", "--mode", "arithmetic", "--output", f"server::{folder}/wrong.safetensors")
    assert result.returncode == PRECONDITION and set(folder.iterdir()) == files
    assert refs(daemon) == before


# What goes wrong.


def test_another_base_is_refused_with_the_right_one(daemon, stored, folder):
    before, files = refs(daemon), set(folder.iterdir())
    for output in ("team/wrong@1", f"server::{folder}/wrong.safetensors"):
        result = daemon.cairn("recover", "team/tuned@1", "team/delta@1", output)
        assert result.returncode == PRECONDITION, result.stderr
        assert "team/base@1" in result.stderr and stored["base_digest"] in result.stderr
    assert refs(daemon) == before and set(folder.iterdir()) == files


@pytest.mark.parametrize("damage", ["truncated", "tampered"])
def test_a_damaged_diff_is_data_loss(daemon, stored, folder, tmp_path, damage):
    daemon.ok("pull", "team/delta@1", tmp_path / "d.cairndiff", "--to", "cairndiff")
    bad = bytearray((tmp_path / "d.cairndiff").read_bytes())
    if damage == "truncated":
        del bad[-100:]
    else:
        bad[len(bad) // 3] ^= 1
    (folder / "bad.cairndiff").write_bytes(bad)
    before = refs(daemon)
    result = daemon.cairn("recover", "ref::team/base@1", f"server::{folder}/bad.cairndiff", "ref::team/wrong@1")
    assert result.returncode == DAMAGED and damage[:4] in result.stderr.replace("damaged", "tampered"), result.stderr
    assert "hint: where there is no other copy" in result.stderr and "cairn verify" not in result.stderr
    files = set(folder.iterdir())
    result = daemon.cairn("recover", "ref::team/base@1", f"server::{folder}/bad.cairndiff", f"server::{folder}/wrong.safetensors")
    assert result.returncode == DAMAGED and set(folder.iterdir()) == files
    assert refs(daemon) == before


def test_a_base_that_has_vanished_is_named(daemon, stored):
    daemon.ok("convert", "ref::team/base@1", "ref::team/short@1")
    daemon.ok("diff", "team/short@1", "team/tuned@1", "--output", "team/short-delta@1")
    daemon.ok("rm", "--yes", "team/short@1")
    result = daemon.cairn("recover", "team/short@1", "team/short-delta@1", "team/wrong@1")
    assert result.returncode == NOT_FOUND and "team/short" in result.stderr
    # Equal content is as good a base.
    daemon.ok("recover", "team/base@1", "team/short-delta@1", "team/right@1")


def test_what_is_no_diff_is_refused(daemon, folder):
    result = daemon.cairn("recover", "team/base@1", "team/tuned@1", "team/wrong@1")
    assert result.returncode == PRECONDITION and "no exact diff" in result.stderr


def test_nothing_is_left_of_a_diff_on_its_way(daemon, stored):
    """The diff lay in a file without a name: no file of the data directory has its bytes but the objects."""
    leftovers = [p for p in daemon.data.rglob("*") if "cairn-tmp" in p.name]
    assert leftovers == []


def test_a_killed_daemon_leaves_nothing_and_the_same_command_goes_on(tmp_path_factory, tmp_path):
    daemon = Daemon(tmp_path_factory.mktemp("k"))
    try:
        state = {f"w{i}": weights(i, (4_000_000,)) for i in range(8)}
        save_file(state, tmp_path / "a.safetensors")
        for i in range(8):
            state[f"w{i}"] = weights(100 + i, (4_000_000,))
        save_file(state, tmp_path / "b.safetensors")
        daemon.ok("push", tmp_path / "a.safetensors", "k/a@1")
        daemon.ok("push", tmp_path / "b.safetensors", "k/b@1")
        daemon.ok("diff", "k/a@1", "k/b@1", "--output", "k/d@1")
        command = ["recover", "k/a@1", "k/d@1", "k/back@1"]
        process = start(*command, server=daemon.server, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        deadline = time.monotonic() + 60
        objects = daemon.data
        before = sum(p.stat().st_size for p in objects.rglob("*") if p.is_file())
        while process.poll() is None and time.monotonic() < deadline:
            if sum(p.stat().st_size for p in objects.rglob("*") if p.is_file()) > before + 1_000_000:
                break
        daemon.stop(signal.SIGKILL)
        daemon.start()
        # The client that waited goes on by itself.
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        daemon.ok(*command)
        assert daemon.cairn("diff", "k/b@1", "k/back@1").returncode == 0
    finally:
        daemon.stop()
