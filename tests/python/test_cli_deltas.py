"""`cairn push --parent-file` and `cairn pull --have`: what is the same does not travel. Needs nothing but pytest and NumPy."""

import hashlib
import json
import os
import struct
import subprocess

import numpy as np
import pytest

CAIRN = os.environ.get("CAIRN_BIN")
CAIRND = os.environ.get("CAIRND_BIN")
pytestmark = pytest.mark.skipif(not (CAIRN and CAIRND), reason="CAIRN_BIN and CAIRND_BIN name no binaries")


def write(path, tensors):
    header, offset = {}, 0
    for name, bits in tensors.items():
        header[name] = {"dtype": "BF16", "shape": [bits.size], "data_offsets": [offset, offset + bits.nbytes]}
        offset += bits.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(bits.tobytes() for bits in tensors.values()))
    return path


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
def cairn(tmp_path_factory):
    folder = tmp_path_factory.mktemp("d")
    socket = folder / "cairn.sock"
    environment = {**os.environ, "CAIRN_SERVER": f"unix:{socket}", "LC_ALL": "C.UTF-8"}
    command = [CAIRND, "--data-dir", str(folder / "data"), "--listen=", "--unix-socket", str(socket)]
    with open(folder / "log", "w") as log:
        daemon = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=log)

        def run(*arguments, code=0):
            result = subprocess.run([CAIRN, *map(str, arguments)], capture_output=True, text=True, env=environment, timeout=120)
            assert result.returncode == code, result.stderr
            return result

        yield run
        daemon.terminate()
        assert daemon.wait(timeout=60) == 0


@pytest.fixture(scope="module")
def steps(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    first = {"a": weights(2 << 20, 1), "b": weights(100_000, 2), "gone": weights(1000, 3)}
    second = {"a": trained(first["a"], 4), "b": first["b"], "new": weights(1000, 5)}
    return write(folder / "step1.safetensors", first), write(folder / "step2.safetensors", second)


@pytest.fixture(scope="module")
def saved(cairn, steps):
    cairn("push", steps[0], "team/run@1")
    pushed = json.loads(cairn("push", steps[1], "team/run@2", "--parent", "team/run@1", "--parent-file", steps[0], "--json").stdout)
    return pushed


def test_a_push_sends_what_is_different(cairn, steps, saved, tmp_path):
    assert saved["bytes_sent_raw"] == steps[1].stat().st_size - 8 - struct.unpack("<Q", steps[1].read_bytes()[:8])[0]
    assert saved["bytes_sent"] * 40 < saved["bytes_sent_raw"]
    assert saved["checkpoint"]["parent"]
    cairn("pull", "team/run@2", tmp_path / "all.safetensors")
    cairn("diff", tmp_path / "all.safetensors", steps[1])


def test_a_pull_takes_the_rest_from_the_file_that_it_has(cairn, steps, saved, tmp_path):
    plain = json.loads(cairn("pull", "team/run@2", tmp_path / "plain.safetensors", "--json").stdout)
    pulled = json.loads(
        cairn("pull", "team/run@2", tmp_path / "delta.safetensors", "--have", f"team/run@1={steps[0]}", "--json").stdout
    )
    assert plain["bytes_received"] == plain["bytes"]
    assert pulled["bytes_received"] * 40 < pulled["bytes"]
    assert digest(tmp_path / "delta.safetensors") == digest(tmp_path / "plain.safetensors")


def test_files_of_other_formats_dtypes_and_names_do(cairn, steps, saved, tmp_path):
    cairn("pull", "team/run@1", tmp_path / "one.npz", "--dtype", "float32")
    pulled = json.loads(
        cairn("pull", "team/run@2", tmp_path / "two.npz", "--dtype", "float32", "--have", f"team/run@1={tmp_path / 'one.npz'}", "--json").stdout
    )
    assert pulled["bytes_received"] * 40 < pulled["bytes"]
    cairn("pull", "team/run@2", tmp_path / "plain.npz", "--dtype", "float32")
    cairn("diff", tmp_path / "two.npz", tmp_path / "plain.npz")


def test_a_file_that_holds_something_else_costs_bytes_and_nothing_else(cairn, steps, saved, tmp_path):
    line = cairn("push", steps[1], "team/run@3", "--parent", "team/run@1", "--parent-file", steps[1]).stdout
    assert "team/run@3" in line
    cairn("pull", "team/run@3", tmp_path / "three.safetensors", "--have", f"team/run@1={steps[1]}")
    cairn("diff", tmp_path / "three.safetensors", steps[1])


def test_the_last_line_tells_what_travelled(cairn, steps, saved, tmp_path):
    line = cairn("push", steps[1], "team/run@4", "--parent", "team/run@2", "--parent-file", steps[1]).stdout
    assert " for 4." in line and "sent " in line
    line = cairn("pull", "team/run@4", tmp_path / "four.safetensors", "--have", f"team/run@2={steps[1]}").stdout
    assert "received " in line


def test_options_that_make_no_sense_are_refused_before_anything_is_sent(cairn, steps, tmp_path):
    assert "--parent" in cairn("push", steps[0], "team/run@9", "--parent-file", steps[0], code=2).stderr
    assert "REF=FILE" in cairn("pull", "team/run@1", tmp_path / "x.safetensors", "--have", "team/run@1", code=2).stderr
