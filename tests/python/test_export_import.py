"""`cairn export` and `cairn import`: files that the daemon makes and reads, and that only the client has.

CAIRN_BIN and CAIRND_BIN name the binaries, built with fail points. Needs pytest, numpy and safetensors, which is the judge.
`cairn pull` and `cairn push`, whose formats are this side's, say what is right.
"""

import json
import pathlib
import signal
import subprocess
import time

import numpy as np
import pytest
from arrays import same
from programs import Daemon, needs_both, start
from safetensors.numpy import load_file, save_file

pytestmark = needs_both

FORMATS = ["safetensors", "torch", "npz", "flax", "easylm", "dcp", "litgpt", "llama", "lightning", "colossalai"]


@pytest.fixture(scope="module")
def daemon(tmp_path_factory):
    daemon = Daemon(tmp_path_factory.mktemp("d"))
    yield daemon
    daemon.stop()


@pytest.fixture(scope="module")
def state():
    generator = np.random.default_rng(1)
    state = {f"layers.{i}.weight": generator.standard_normal((300, 1000 + i), np.float32) for i in range(6)}
    return {**state, "counts": generator.integers(0, 9, 5), "empty": np.zeros((0, 3), np.float32), "scale": np.ones(1, np.float16)}


@pytest.fixture(scope="module")
def saved(daemon, state, tmp_path_factory):
    file = tmp_path_factory.mktemp("saved") / "in.safetensors"
    save_file(state, file, metadata={"who": "me"})
    daemon.ok("push", file, "saved/all@1")
    daemon.ok("push", file, "saved/floats@1", "--select", "layers.*")
    return file


def tree(path):
    """Every file below the path, by name."""
    path = pathlib.Path(path)
    if path.is_file():
        return {"": path.read_bytes()}
    return {str(file.relative_to(path)): file.read_bytes() for file in sorted(path.rglob("*")) if file.is_file()}


def digest(daemon, ref):
    return json.loads(daemon.ok("show", ref, "--json").stdout)["manifest_digest"]


def ends(daemon, *arguments):
    """Starts a command that somebody will stop."""
    return start(*arguments, server=daemon.server, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


@pytest.mark.parametrize("folder", [False, True])
@pytest.mark.parametrize("format", FORMATS)
def test_both_ways_are_what_push_and_pull_do(daemon, saved, tmp_path, format, folder):
    slash = "/" if folder else ""
    pulled, exported = tmp_path / "pulled" / "m", tmp_path / "exported" / "m"
    pulled.parent.mkdir(), exported.parent.mkdir()
    refs = ["saved/all@1", "saved/floats@1"]
    for ref in refs:
        pull = daemon.cairn("pull", ref, f"{pulled}{slash}", "--to", format)
        if pull.returncode == 0:
            break
        # What one cannot write, the other cannot either.
        export = daemon.cairn("export", ref, f"{exported}{slash}", "--to", format)
        assert export.returncode != 0 and not exported.exists(), pull.stderr
    else:
        return
    daemon.ok("export", ref, f"{exported}{slash}", "--to", format)
    assert tree(pulled).keys() == tree(exported).keys()
    assert tree(pulled) == tree(exported)

    name = f"{format}{'-folder' if folder else ''}"
    daemon.ok("push", f"{format}::{pulled}", f"pushed/{name}@1")
    daemon.ok("import", f"{format}::{exported}", f"imported/{name}@1")
    assert digest(daemon, f"pushed/{name}@1") == digest(daemon, f"imported/{name}@1")


def test_options_apply_and_formats_go_by_name_and_content(daemon, saved, state, tmp_path):
    daemon.ok("export", "saved/all@1", tmp_path / "model/", "--to", "safetensors", "--max-shard-size", "2MB", "--dtype", "fp16", "--select", "layers.*")
    files = sorted(tree(tmp_path / "model"))
    assert len(files) >= 3 and files[-1] == "model.safetensors.index.json"
    wanted = {name: value.astype(np.float16) for name, value in state.items() if name.startswith("layers")}
    loaded = {}
    for file in files[:-1]:
        loaded |= load_file(tmp_path / "model" / file)
    same(wanted, loaded)
    # A folder, its index, and one of its shards.
    daemon.ok("import", tmp_path / "model", "by/folder@1")
    daemon.ok("import", tmp_path / "model" / "model.safetensors.index.json", "by/index@1")
    daemon.ok("import", tmp_path / "model" / files[0], "by/shard@1", "--metadata", "why=test")
    assert digest(daemon, "by/folder@1") == digest(daemon, "by/index@1")
    shard = json.loads(daemon.ok("show", "by/shard@1", "--json").stdout)
    assert 0 < shard["entry_count"] < len(wanted) and shard["metadata"]["why"] == "test" and "@" in shard["created_by"]

    daemon.ok("export", "saved/floats@1", tmp_path / "model.npz")
    assert np.load(tmp_path / "model.npz")["layers.0.weight"].shape == (300, 1000)
    note = daemon.ok("export", "saved/floats@1", tmp_path / "streaming_params", "--json")
    assert json.loads(note.stdout)["format"] == "easylm"
    daemon.ok("import", f"params::{tmp_path}/streaming_params", "by/easylm@1")
    assert json.loads(daemon.ok("show", "by/easylm@1", "--json").stdout)["dtypes"] == {"bfloat16": 6}


def test_results_say_what_was_done(daemon, saved, state, tmp_path):
    total = sum(value.nbytes for value in state.values())
    exported = json.loads(daemon.ok("export", "saved/all", tmp_path / "out.safetensors", "--json").stdout)
    assert exported["bytes"] == total and exported["entries"] == len(state) and exported["format"] == "safetensors"
    assert exported["checkpoint"]["ref"] == "saved/all@1"
    imported = json.loads(daemon.ok("import", tmp_path / "out.safetensors", "results/run@1", "--json").stdout)
    assert imported["bytes"] == total and imported["source_format"] == "safetensors" and not imported["already_there"]
    assert imported["checkpoint"]["metadata"]["who"] == "me"
    again = json.loads(daemon.ok("import", tmp_path / "out.safetensors", "results/run@1", "--json").stdout)
    assert again["already_there"] and again["checkpoint"]["uid"] == imported["checkpoint"]["uid"]
    # Once that is gone, the same command does it again.
    daemon.ok("rm", "results/run@1", "--yes")
    assert json.loads(daemon.ok("import", tmp_path / "out.safetensors", "results/run@1", "--json").stdout)["checkpoint"]["uid"] != again["checkpoint"]["uid"]


def test_what_is_there_is_replaced_only_on_request(daemon, saved, state, tmp_path):
    target = tmp_path / "out.safetensors"
    save_file({"old": np.ones(3, np.float32)}, target)
    assert "exists" in daemon.refused("export", "saved/all@1", target)
    daemon.ok("export", "saved/all@1", target, "--overwrite")
    same(state, load_file(target))
    daemon.ok("import", target, "replace/run@1")
    save_file({"new": np.ones(3, np.float32)}, target)
    assert "exists" in daemon.refused("import", target, "replace/run@1")
    daemon.ok("import", target, "replace/run@1", "--overwrite")
    daemon.ok("export", "replace/run@1", tmp_path / "new.safetensors")
    assert set(load_file(tmp_path / "new.safetensors")) == {"new"}


def test_a_folder_that_is_there_is_written_over_with_an_index_that_leaves_old_shards_out(daemon, saved, state, tmp_path):
    folder = tmp_path / "model"
    daemon.ok("export", "saved/all@1", f"{folder}/", "--to", "safetensors", "--max-shard-size", "2MB")
    daemon.ok("export", "saved/all@1", folder, "--to", "safetensors", "--overwrite")
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    assert set(index["weight_map"].values()) == {"model.safetensors"}
    daemon.ok("import", folder, "over/run@1")
    assert json.loads(daemon.ok("show", "over/run@1", "--json").stdout)["entry_count"] == len(state)


def test_an_index_does_not_lead_out_of_what_the_client_lists(daemon, state, tmp_path):
    (tmp_path / "secret").mkdir()
    (tmp_path / "model").mkdir()
    save_file(state, tmp_path / "secret" / "x.safetensors")
    index = tmp_path / "model" / "model.safetensors.index.json"
    for file, word in (("../secret/x.safetensors", "leaves the folder"), (str(tmp_path / "secret/x.safetensors"), "absolute"), ("y.safetensors", "none of those")):
        index.write_text(json.dumps({"weight_map": {name: file for name in state}}))
        assert word in daemon.refused("import", f"safetensors::{tmp_path}/model", "hostile/run@1"), file
        assert word in daemon.refused("import", f"safetensors::{index}", "hostile/run@1"), file


def test_a_damaged_file_and_a_wrong_format_are_refused_by_name(daemon, state, tmp_path):
    file = tmp_path / "in.safetensors"
    save_file(state, file)
    data = file.read_bytes()
    file.write_bytes(data[:-5])
    assert "in.safetensors" in daemon.refused("import", f"safetensors::{file}", "damaged/run@1")
    (tmp_path / "junk").write_bytes(b"junk")
    assert "no known format" in daemon.refused("import", tmp_path / "junk", "damaged/run@1")
    assert "nonsense" in daemon.refused("import", f"nonsense::{tmp_path}/junk", "damaged/run@1")
    assert "nonsense" in daemon.refused("export", "saved/all@1", tmp_path / "out", "--to", "nonsense")
    (tmp_path / "nothing").mkdir()
    assert "nothing" in daemon.refused("import", tmp_path / "nothing", "damaged/run@1")
    assert "saved/none" in daemon.refused("export", "saved/none", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.fixture
def big(tmp_path):
    """A file of which many objects become, and what is in it."""
    generator = np.random.default_rng(2)
    big = {f"w{i}": generator.standard_normal((512, 1024), np.float32) for i in range(48)}
    save_file(big, tmp_path / "big.safetensors")
    return tmp_path / "big.safetensors"


def test_a_killed_daemon_is_waited_for_and_an_import_goes_on(tmp_path_factory, big, tmp_path):
    daemon = Daemon(tmp_path_factory.mktemp("d"), "--object-bytes", "8MiB")
    daemon.stop()
    daemon.start(CAIRN_FAIL_POINT="upload.after_record=kill:4")
    command = ends(daemon, "import", big, "crash/run@1", "--json")
    assert daemon.process.wait(timeout=60) == -signal.SIGKILL
    daemon.start()
    out, err = command.communicate(timeout=120)
    assert command.returncode == 0, err
    done = json.loads(out)
    assert done["bytes_resumed"] >= 3 * (8 << 20) and done["bytes"] == 48 << 21
    daemon.ok("export", "crash/run@1", tmp_path / "out.safetensors")
    same(load_file(big), load_file(tmp_path / "out.safetensors"))
    daemon.stop()


def test_a_killed_daemon_is_waited_for_and_an_export_goes_on(tmp_path_factory, big, tmp_path):
    daemon = Daemon(tmp_path_factory.mktemp("d"))
    daemon.ok("push", big, "crash/run@1")
    target = tmp_path / "out"
    target.mkdir()
    command = ends(daemon, "export", "crash/run@1", target, "--to", "safetensors", "--max-shard-size", "20MB")
    while command.poll() is None and not any(file.name.endswith("00002-of-00005.safetensors") for file in target.rglob("*")):
        time.sleep(0.001)
    daemon.stop(signal.SIGKILL)
    # Nothing of it is to be seen yet, unless it was faster than we.
    assert command.poll() is not None or not [file for file in target.iterdir() if "cairn-tmp" not in file.name]
    daemon.start()
    _, err = command.communicate(timeout=120)
    assert command.returncode == 0, err
    loaded = {}
    for file in target.glob("*.safetensors"):
        loaded |= load_file(file)
    same(load_file(big), loaded)
    assert not [file for file in target.iterdir() if "cairn-tmp" in file.name]
    daemon.stop()


def test_an_interrupted_import_goes_on_and_an_interrupted_export_leaves_nothing(tmp_path_factory, big, tmp_path):
    daemon = Daemon(tmp_path_factory.mktemp("d"), "--object-bytes", "4MiB")
    objects = lambda: sum(1 for file in daemon.data.rglob("*") if file.is_file() and file.stat().st_size >= 4 << 20)
    command = ends(daemon, "import", big, "stop/run@1")
    while command.poll() is None and objects() < 4:
        time.sleep(0.001)
    command.send_signal(signal.SIGINT)
    command.communicate(timeout=60)
    if command.returncode == 130:  # Not faster than we.
        assert "stop/run" not in daemon.ok("ls").stdout
        done = json.loads(daemon.ok("import", big, "stop/run@1", "--json").stdout)
        assert done["bytes_resumed"] > 0
    (tmp_path / "out").mkdir()
    command = ends(daemon, "export", "stop/run@1", tmp_path / "out" / "x.safetensors")
    while command.poll() is None and not list((tmp_path / "out").iterdir()):
        time.sleep(0.001)
    command.send_signal(signal.SIGINT)
    command.communicate(timeout=60)
    left = list((tmp_path / "out").iterdir())
    assert (left == [] and command.returncode == 130) or (command.returncode == 0 and [file.name for file in left] == ["x.safetensors"])
    # And a client that is killed leaves a daemon that serves others.
    for _ in range(6):
        command = ends(daemon, "export", "stop/run@1", tmp_path / "y.safetensors")
        time.sleep(0.02)
        command.kill()
        command.communicate(timeout=60)
    daemon.ok("export", "stop/run@1", tmp_path / "z.safetensors")
    same(load_file(big), load_file(tmp_path / "z.safetensors"))
    daemon.stop()


def test_memory_does_not_grow_with_the_checkpoint(tmp_path_factory, tmp_path):
    daemon = Daemon(tmp_path_factory.mktemp("d"), "--memory-budget", "64MiB")
    generator = np.random.default_rng(3)
    save_file({f"w{i}": generator.standard_normal((4096, 4096), np.float32) for i in range(4)}, tmp_path / "in.safetensors")

    def peak():
        """Of the daemon, in MiB."""
        status = dict(line.split(":", 1) for line in pathlib.Path(f"/proc/{daemon.process.pid}/status").read_text().splitlines())
        return int(status["VmHWM"].split()[0]) / 1024

    idle = peak()
    for verb, ends_of in (("import", lambda i: (tmp_path / "in.safetensors", f"memory/run@{i}")), ("export", lambda i: ("memory/run@1", tmp_path / f"out{i}.safetensors"))):
        commands = [ends(daemon, verb, *ends_of(i)) for i in range(2)]
        for command in commands:
            _, err = command.communicate(timeout=240)
            assert command.returncode == 0, err
    # 256 MiB at a time went through. Its budget, and what is not counted in it (docs/architecture.md, "Memory").
    assert peak() - idle < 128, f"{idle} MiB before, {peak()} MiB after"
    print(f"peak {peak():.0f} MiB, {idle:.0f} MiB before")
    daemon.stop()
