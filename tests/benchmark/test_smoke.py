"""The benchmark runs, small. What it measures here says nothing, and is not looked at."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

HERE = pathlib.Path(__file__).parent
BIN = os.environ.get("CAIRN_BENCHMARK_BIN")

pytestmark = pytest.mark.skipif(not BIN, reason="CAIRN_BENCHMARK_BIN names no folder of built programs")


def run(tmp_path, *arguments):
    folders = ["--out", tmp_path / "out", "--memory-dir", tmp_path / "memory", "--disk-dir", tmp_path / "disk"]
    command = [HERE / "run.sh", "--bin", BIN, "--python", sys.executable, *folders, "--rounds", "1", *arguments]
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=100)


def test_it_measures_prints_and_leaves_nothing_behind(tmp_path):
    arguments = ["--cases", "put,get,tls,durable,load,diff,many", "--size", "16MiB", "--count", "500"]
    done = run(tmp_path, *arguments, "--markdown", tmp_path / "table.md")
    assert done.returncode == 0, done.stderr
    groups = {group["title"]: group for group in json.loads((tmp_path / "out/benchmark.json").read_text())["groups"]}
    assert len(groups) == 11
    for group in groups.values():
        assert not group["left_out"]
        for contender in group["contenders"]:
            # Peers may not be installed, and not every file system has direct I/O.
            if contender["is_cairn"] or contender["key"] in ("raw", "buffered", "wire", "grpc"):
                assert contender["figures"]["median"] > 0, contender
    assert "Cairn / raw TCP" in done.stdout and "Cairn / raw TCP" in (tmp_path / "table.md").read_text()
    assert not list((tmp_path / "memory").iterdir()) and not list((tmp_path / "disk").iterdir())


def test_a_wrong_case_is_refused_with_those_there_are(tmp_path):
    done = run(tmp_path, "--cases", "putt")
    assert done.returncode == 2 and "no such case: putt" in done.stderr and "put, get" in done.stderr
