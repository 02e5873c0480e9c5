"""`--resume` of targets that are one file: the process is killed on its way, here and in a daemon, and the same command goes on.

Needs numpy and safetensors. CAIRN_BIN and CAIRND_BIN name the binaries.
"""

import json
import shutil
import signal
import subprocess
import time

import numpy as np
import pytest
from programs import Daemon, cairn, needs_both, start
from safetensors.numpy import load_file, save_file

pytestmark = needs_both

BLOCK = 4 << 20
TENSORS = {f"t{i:02}": np.full((1 << 20,), i, np.float32) for i in range(28)} | {"small": np.arange(9, dtype=np.float32)}
TOTAL = 2 * sum(value.size for value in TENSORS.values())  # As bfloat16.
TARGETS = {"safetensors": "out.safetensors", "torch": "out.pt", "npz": "npz::out", "flax": "out.msgpack", "easylm": "params::out", "lightning": "lightning::out"}


def run(*arguments, code=0, **options):
    result = cairn(*arguments, **options)
    assert result.returncode == code, (result.returncode, result.stderr)
    return result.stdout, result.stderr


def done(*arguments, **options):
    out, said = run(*arguments, "--json", **options)
    return json.loads(out), said


def size_of(path):
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def kill_at(size, kept, target, begin):
    """Ends what `begin` starts without warning once so much of the file is there. It may be quicker than we are."""
    for _ in range(10):
        shutil.rmtree(kept, ignore_errors=True)
        target.unlink(missing_ok=True)
        process = begin()
        deadline = time.monotonic() + 60
        while size_of(kept / "file" / "bytes") < size and not target.exists() and time.monotonic() < deadline:
            time.sleep(0.0005)
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=60)
        if not target.exists():
            return
    raise AssertionError("the conversion was always over before it could be killed")


@pytest.fixture
def place(tmp_path):
    save_file(TENSORS, tmp_path / "in.safetensors")
    return tmp_path


def kept_for(path):
    return path.parent / f".{path.name}.cairn-tmp-resume"


@pytest.mark.parametrize("format", TARGETS)
def test_one_file_goes_on_where_it_was_killed(format, place):
    prefix, _, name = TARGETS[format].rpartition("::")
    target = place / name
    shown = f"{prefix}::{target}" if prefix else str(target)
    command = ["convert", place / "in.safetensors", shown, "--dtype", "bf16" if format != "npz" else "fp16"]
    first, _ = done(*command)
    whole = target.read_bytes()
    assert first["bytes_resumed"] == 0 and first["bytes"] == TOTAL
    target.unlink()
    command.append("--resume")
    for size in (2 * BLOCK, 6 * BLOCK, 11 * BLOCK):
        kill_at(size, kept_for(target), target, lambda: start(*command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        again, said = done(*command)
        assert target.read_bytes() == whole
        # Of each block that was on the disk most is not read again: what a writer gathers in a buffer is.
        assert size - 3 * BLOCK < again["bytes_resumed"] < TOTAL and again["bytes"] == TOTAL
        assert "begins anew" not in said
        assert sorted(path.name for path in place.iterdir()) == sorted(["in.safetensors", target.name])


def test_what_is_killed_again_and_again_gets_to_its_end(place):
    target = place / "out.safetensors"
    command = ["convert", place / "in.safetensors", target, "--resume"]
    resumed = []
    for size in (4, 10, 16, 22):
        # The system ends it at that size, as abruptly.
        _, _ = run(*command, code=-signal.SIGXFSZ, preexec_fn=lambda: limit(size * BLOCK))
        resumed.append(size_of(kept_for(target) / "file" / "bytes"))
    again, _ = done(*command)
    assert resumed == sorted(resumed) and again["bytes_resumed"] > 20 * BLOCK
    assert all(np.array_equal(value, TENSORS[name]) for name, value in load_file(target).items())


def limit(size):
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def test_another_source_or_other_options_begin_anew_and_say_so(place):
    target = place / "out.safetensors"
    command = ["convert", place / "in.safetensors", target, "--resume"]
    run(*command, code=-signal.SIGXFSZ, preexec_fn=lambda: limit(10 * BLOCK))
    changed, said = done(*command, "--prefix", "a.")
    assert changed["bytes_resumed"] == 0 and "begins anew" in said
    target.unlink()
    run(*command, code=-signal.SIGXFSZ, preexec_fn=lambda: limit(10 * BLOCK))
    other = {name: value + 1 for name, value in TENSORS.items()}
    save_file(other, place / "in.safetensors")
    changed, said = done(*command)
    assert changed["bytes_resumed"] == 0 and "begins anew" in said
    assert all(np.array_equal(value, other[name]) for name, value in load_file(target).items())


def test_damage_to_what_is_kept_is_seen(place):
    target = place / "out.safetensors"
    command = ["convert", place / "in.safetensors", target, "--resume"]
    run(*command, code=-signal.SIGXFSZ, preexec_fn=lambda: limit(10 * BLOCK))
    with open(kept_for(target) / "file" / "bytes", "r+b") as file:
        file.seek(5 * BLOCK + 17)
        file.write(b"!")
    again, said = done(*command)
    assert 4 * BLOCK < again["bytes_resumed"] <= 5 * BLOCK and "bytes are damaged" in said
    assert all(np.array_equal(value, TENSORS[name]) for name, value in load_file(target).items())


def test_a_run_without_resume_names_what_is_left(place):
    target = place / "out.safetensors"
    command = ["convert", place / "in.safetensors", target]
    run(*command, "--resume", code=-signal.SIGXFSZ, preexec_fn=lambda: limit(10 * BLOCK))
    _, said = done(*command)
    assert str(kept_for(target)) in said and kept_for(target).exists()


def test_assets_beside_and_resume_go_together(tmp_path):
    source = tmp_path / "model"
    source.mkdir()
    save_file(TENSORS, source / "model.safetensors")
    (source / "config.json").write_text("{}")
    (tmp_path / "out").mkdir()
    target = tmp_path / "out" / "one.safetensors"
    command = ["convert", source, target, "--resume", "--assets-beside"]
    run(*command, code=-signal.SIGXFSZ, preexec_fn=lambda: limit(10 * BLOCK))
    again, _ = done(*command)
    assert again["bytes_resumed"] > 8 * BLOCK
    assert sorted(path.name for path in target.parent.iterdir()) == ["config.json", "one.safetensors"]


# In a daemon.


@pytest.fixture
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("d")


@pytest.fixture
def daemon(home, tmp_path):
    daemon = Daemon(home, "--file-roots", tmp_path)
    yield daemon
    daemon.stop()


def test_the_daemon_goes_on_where_it_was_killed(home, place):
    target = place / "out.safetensors"
    command = ["convert", f"server::{place}/in.safetensors", f"server::{target}", "--dtype", "bf16"]
    running = []

    def begin():
        while running:
            running.pop().stop(signal.SIGKILL)
        running.append(Daemon(home, "--file-roots", place))
        client = start(*command, "--resume", server=running[0].server, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return Both(running[0].process, client)

    kill_at(5 * BLOCK, kept_for(target), target, begin)
    running.pop().stop(signal.SIGKILL)
    daemon = Daemon(home, "--file-roots", place)
    again, said = done(*command, "--resume", server=daemon.server)
    assert 2 * BLOCK < again["bytes_resumed"] < TOTAL and "begins anew" not in said
    whole = target.read_bytes()
    target.unlink()
    done(*command, server=daemon.server)
    assert target.read_bytes() == whole
    daemon.stop()


class Both:
    """A daemon, and the client that would wait for another."""

    def __init__(self, *processes):
        self.processes = processes

    def send_signal(self, how):
        for process in self.processes:
            process.send_signal(how)

    def wait(self, timeout):
        for process in self.processes:
            process.wait(timeout=timeout)


def test_the_daemon_says_why_it_begins_anew(daemon, place):
    target = place / "out.safetensors"
    run("convert", place / "in.safetensors", target, "--resume", code=-signal.SIGXFSZ, preexec_fn=lambda: limit(10 * BLOCK))
    command = ["convert", f"server::{place}/in.safetensors", f"server::{target}"]
    again, said = done(*command, "--resume", server=daemon.server)
    assert again["bytes_resumed"] == 0 and "begins anew" in said


def test_the_daemon_writes_assets_beside_and_parts(daemon, tmp_path):
    source = tmp_path / "model"
    source.mkdir()
    save_file({"model.w": np.ones((4, 4), np.float32)}, source / "model.safetensors")
    (source / "config.json").write_text("{}")
    (tmp_path / "out").mkdir()
    target = tmp_path / "out" / "one.safetensors"
    run("convert", f"server::{source}", f"server::{target}", "--assets-beside", server=daemon.server)
    assert sorted(path.name for path in target.parent.iterdir()) == ["config.json", "one.safetensors"]
    _, said = run("convert", f"server::{source}", f"server::{tmp_path}/two.pt", "--parts", "2", server=daemon.server, code=1)
    assert "llama does" in said
    for option in (["--resume"], ["--assets-beside"], ["--parts", "2"]):
        _, said = run("convert", f"server::{source}", "ref::a@1", *option, server=daemon.server, code=2)
        assert "the target is a ref" in said


def test_easylms_own_names_mean_bfloat16_in_the_daemon_too(daemon, tmp_path):
    save_file({"w": np.ones((4, 4), np.float32)}, tmp_path / "in.safetensors")
    for options, dtype in ([], "bfloat16"), (["--dtype", "keep"], "float32"):
        target = tmp_path / f"streaming_params_{dtype}"
        run("convert", f"server::{tmp_path}/in.safetensors", f"server::{target}", *options, server=daemon.server)
        out, _ = run("show", target, "--json")
        assert [entry["dtype"] for entry in json.loads(out)["entries"]] == [dtype]
