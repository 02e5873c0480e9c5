"""`cairn push --parent-file` and `cairn pull --have`: what is the same does not travel. Needs nothing but pytest and NumPy."""

import hashlib
import struct

import numpy as np
import pytest
from plain_safetensors import write_safetensors
from programs import Daemon, needs_both

pytestmark = needs_both


def write(path, tensors):
    return write_safetensors(path, {name: ("BF16", [bits.size], bits.tobytes()) for name, bits in tensors.items()})


def weights(count, seed):
    return (np.random.default_rng(seed).standard_normal(count, np.float32).view(np.uint32) >> 16).astype(np.uint16)


def trained(bits, seed):
    rng = np.random.default_rng(seed)
    where = rng.random(bits.shape) < 0.01
    changed = bits.copy()
    changed[where] ^= rng.integers(1, 16, int(where.sum()), np.uint16)
    return changed


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def daemon(tmp_path_factory):
    daemon = Daemon(tmp_path_factory.mktemp("d"))
    yield daemon
    daemon.stop()


@pytest.fixture(scope="module")
def steps(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    first = {"a": weights(2 << 20, 1), "b": weights(100_000, 2), "gone": weights(1000, 3)}
    second = {"a": trained(first["a"], 4), "b": first["b"], "new": weights(1000, 5)}
    return write(folder / "step1.safetensors", first), write(folder / "step2.safetensors", second)


@pytest.fixture(scope="module")
def saved(daemon, steps):
    daemon.ok("push", steps[0], "team/run@1")
    pushed = daemon.json("push", steps[1], "team/run@2", "--parent", "team/run@1", "--parent-file", steps[0])
    return pushed


def test_a_push_sends_what_is_different(daemon, steps, saved, tmp_path):
    assert saved["bytes_sent_raw"] == steps[1].stat().st_size - 8 - struct.unpack("<Q", steps[1].read_bytes()[:8])[0]
    assert saved["bytes_sent"] * 40 < saved["bytes_sent_raw"]
    assert saved["checkpoint"]["parent"]
    daemon.ok("pull", "team/run@2", tmp_path / "all.safetensors")
    daemon.ok("diff", tmp_path / "all.safetensors", steps[1])


def test_a_pull_takes_the_rest_from_the_file_that_it_has(daemon, steps, saved, tmp_path):
    plain = daemon.json("pull", "team/run@2", tmp_path / "plain.safetensors")
    pulled = daemon.json("pull", "team/run@2", tmp_path / "delta.safetensors", "--have", f"team/run@1={steps[0]}")
    assert plain["bytes_received"] == plain["bytes"]
    assert pulled["bytes_received"] * 40 < pulled["bytes"]
    assert digest(tmp_path / "delta.safetensors") == digest(tmp_path / "plain.safetensors")


def test_files_of_other_formats_dtypes_and_names_do(daemon, steps, saved, tmp_path):
    daemon.ok("pull", "team/run@1", tmp_path / "one.npz", "--dtype", "float32")
    pulled = daemon.json("pull", "team/run@2", tmp_path / "two.npz", "--dtype", "float32", "--have", f"team/run@1={tmp_path / 'one.npz'}")
    assert pulled["bytes_received"] * 40 < pulled["bytes"]
    daemon.ok("pull", "team/run@2", tmp_path / "plain.npz", "--dtype", "float32")
    daemon.ok("diff", tmp_path / "two.npz", tmp_path / "plain.npz")


def test_a_file_that_holds_something_else_costs_bytes_and_nothing_else(daemon, steps, saved, tmp_path):
    line = daemon.ok("push", steps[1], "team/run@3", "--parent", "team/run@1", "--parent-file", steps[1]).stdout
    assert "team/run@3" in line
    daemon.ok("pull", "team/run@3", tmp_path / "three.safetensors", "--have", f"team/run@1={steps[1]}")
    daemon.ok("diff", tmp_path / "three.safetensors", steps[1])


def test_the_last_line_tells_what_travelled(daemon, steps, saved, tmp_path):
    line = daemon.ok("push", steps[1], "team/run@4", "--parent", "team/run@2", "--parent-file", steps[1]).stdout
    assert " for 4." in line and "sent " in line
    line = daemon.ok("pull", "team/run@4", tmp_path / "four.safetensors", "--have", f"team/run@2={steps[1]}").stdout
    assert "received " in line


def test_options_that_make_no_sense_are_refused_before_anything_is_sent(daemon, steps, tmp_path):
    assert "--parent" in daemon.refused("push", steps[0], "team/run@9", "--parent-file", steps[0], code=2)
    assert "REF=FILE" in daemon.refused("pull", "team/run@1", tmp_path / "x.safetensors", "--have", "team/run@1", code=2)
