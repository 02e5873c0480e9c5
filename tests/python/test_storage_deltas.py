"""Steps of a run that are stored as differences to the one before, through the programs. CAIRN_BIN and CAIRND_BIN name the
binaries. What is asserted of sizes is what was asked for, not what is measured: that is in docs/performance.md."""

import pathlib

import numpy
import pytest
from plain_safetensors import read_safetensors, write_safetensors
from programs import Daemon, needs_both

pytestmark = needs_both


@pytest.fixture
def daemon(tmp_path_factory):
    daemon = Daemon(tmp_path_factory.mktemp("d"))
    yield daemon
    daemon.stop()


def weights(random, count):
    """As they are trained: normally distributed, in bfloat16, here as its bits."""
    return (random.standard_normal(count, "float32") * numpy.float32(0.02)).view("uint32").__rshift__(16).astype("<u2")


def one_percent(random, values):
    changed = values.copy()
    at = random.choice(values.size, values.size // 100, replace=False)
    changed[at] ^= random.integers(1, 8, at.size, dtype="<u2")
    return changed


def write(path, tensors):
    return write_safetensors(path, {name: ("BF16", [values.size], values.tobytes()) for name, values in tensors.items()})


def read(path):
    return {name: numpy.frombuffer(data, "<u2") for name, (_, _, data) in read_safetensors(path).items()}


def bytes_on_disk(daemon):
    return sum(path.stat().st_size for path in pathlib.Path(daemon.data, "objects").rglob("*") if path.is_file())


def push(daemon, path, ref, *options):
    """Of the step: its bytes, and what the folder of objects grew by, the manifest included."""
    before = bytes_on_disk(daemon)
    checkpoint = daemon.json("push", path, ref, *options)["checkpoint"]
    return checkpoint, bytes_on_disk(daemon) - before


def test_steps_cost_what_changed_and_outlive_those_before_them(daemon, tmp_path):
    random = numpy.random.default_rng(3)
    steps = [{"base": weights(random, 4 << 20), "adapter": weights(random, 20_000)}]
    steps.append({name: one_percent(random, values) for name, values in steps[0].items()})
    steps.append({**steps[1], "adapter": weights(random, 20_000)})
    steps.append(steps[2])
    files = [write(tmp_path / f"{i}.safetensors", step) for i, step in enumerate(steps)]
    raw = sum(values.nbytes for values in steps[0].values())

    first, grown = push(daemon, files[0], "run@1", "--parent", "previous")
    assert first["parent"] == "" and grown >= raw, "nothing is there yet"
    second, grown = push(daemon, files[1], "run@2", "--parent", "previous")
    assert second["parent"] == first["uid"]
    assert grown * 40 <= raw, "one percent of the values changed"
    assert second["new_bytes"] <= grown
    third, grown = push(daemon, files[2], "run@3", "--parent", "previous")
    assert grown * 100 <= raw, "the base is frozen, an adapter changed"
    fourth, grown = push(daemon, files[3], "run@4", "--parent", "run@3")
    assert fourth["parent"] == third["uid"]
    assert fourth["new_bytes"] == 0 and grown * 100 <= raw, "nothing changed"
    unrelated = write(tmp_path / "unrelated.safetensors", {name: weights(random, values.size) for name, values in steps[0].items()})
    _, grown = push(daemon, unrelated, "run@5", "--parent", "previous")
    assert grown * 10 <= raw * 7, "other weights"

    assert daemon.json("show", "run@2")["new_bytes"] == second["new_bytes"]
    for ref in ("run@1", "run@2", "run@3"):
        assert daemon.cairn("rm", ref, "--yes").returncode == 0
        assert daemon.cairn("gc").returncode == 0
    daemon.stop()
    daemon.start()
    assert daemon.cairn("verify", "run@4").returncode == 0
    out = tmp_path / "out.safetensors"
    assert daemon.cairn("pull", "run@4", out).returncode == 0
    loaded = read(out)
    assert loaded.keys() == steps[3].keys()
    for name, values in steps[3].items():
        assert numpy.array_equal(loaded[name], values), name

    for ref in ("run@4", "run@5"):
        assert daemon.cairn("rm", ref, "--yes").returncode == 0
    assert daemon.cairn("gc").returncode == 0
    assert bytes_on_disk(daemon) == 0
