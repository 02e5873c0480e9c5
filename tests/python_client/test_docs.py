"""What the documentation says runs as it stands there; and the package is typed throughout."""

import doctest
import importlib
import os
import pathlib
import pkgutil
import re
import socket
import subprocess
import sys

import numpy as np
import pytest

import cairn
import cairn.testing

ROOT = pathlib.Path(__file__).parents[2]
PAGE = ROOT / "docs" / "python.md"
MODULES = sorted(m.name for m in pkgutil.walk_packages(cairn.__path__, "cairn.") if m.name != "cairn._native")


def blocks():
    """(first line, text, the line in the page) of each Python example."""
    found = []
    page = PAGE.read_text()
    for match in re.finditer(r"^```python\n(.*?)^```$", page, re.S | re.M):
        line = page[: match.start(1)].count("\n")
        found.append((match[1].partition("\n")[0], match[1], line))
    return found


@pytest.mark.parametrize("module", MODULES)
def test_examples_in_docstrings(module, client, server, tmp_path):
    names = {"client": client, "server": server, "cairn": cairn, "np": np, "tmp_path": tmp_path}
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    for example in doctest.DocTestFinder(exclude_empty=True).find(importlib.import_module(module), extraglobs=names):
        runner.run(example)
    assert runner.failures == 0


def test_public_methods_have_examples():
    finder = doctest.DocTestFinder()
    with_examples = {t.name.removeprefix("Client.") for t in finder.find(cairn.Client, "Client") if t.examples}
    assert {"Client", "save", "load", "ls", "show", "verify", "info"} <= with_examples


def test_examples_of_the_page_run_in_their_order(server, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("CAIRN_SERVER", server.target)
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "page"}
    for first, text, line in blocks():
        if first.startswith("# ") and first.endswith(".py"):
            continue
        # As many empty lines as stand before it in the page, so that a traceback has the page's own line.
        exec(compile("\n" * line + text, str(PAGE), "exec"), names)
    assert "NOT_FOUND" in capsys.readouterr().out


def program(name, tmp_path):
    (text,) = [text for first, text, _ in blocks() if first == f"# {name}"]
    (tmp_path / name).write_text(text)
    return tmp_path / name


def run(commands, **environment):
    processes = [
        subprocess.Popen(
            c, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env={**os.environ, **environment}
        )
        for c in commands
    ]
    outputs = [p.communicate(timeout=240)[0] for p in processes]
    assert [p.returncode for p in processes] == [0] * len(commands), "\n".join(outputs)


def test_the_example_of_torch_writers_runs(server, tmp_path):
    pytest.importorskip("torch")
    file = program("torch_writers.py", tmp_path)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(file)]
    run([command], CAIRN_SERVER=server.target, OMP_NUM_THREADS="1")
    with server.client() as client:
        assert client.load("team/sharded@100")["table"].shape == (4, 8)


def test_the_example_of_jax_writers_runs(server, tmp_path):
    pytest.importorskip("jax")
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    text = program("jax_writers.py", tmp_path).read_text()
    commands = []
    for i in range(2):
        by_hand = f'jax.distributed.initialize("localhost:{port}", num_processes=2, process_id={i})'
        assert "jax.distributed.initialize()" in text
        file = tmp_path / f"{i}.py"
        file.write_text(text.replace("jax.distributed.initialize()", by_hand))
        commands.append([sys.executable, str(file)])
    flags = "--xla_force_host_platform_device_count=2"
    run(commands, CAIRN_SERVER=server.target, JOB_ID="docs", XLA_FLAGS=flags, JAX_PLATFORMS="cpu")
    with server.client() as client:
        np.testing.assert_array_equal(client.load("team/global@100")["w"], np.arange(64.0).reshape(16, 4))


def test_the_package_is_typed_throughout(tmp_path):
    pytest.importorskip("mypy")
    package = ROOT / "client" / "python" / "src"
    user = tmp_path / "user.py"
    user.write_text(
        "import cairn\n"
        "import cairn.testing\n"
        "client = cairn.Client('localhost:1')\n"
        "result: cairn.SaveResult = client.save('a@1', {'x': 1}, progress=lambda p: print(p.fraction))\n"
        "names: list[str] = [c.ref for c in client.ls()]\n"
        "with cairn.testing.server() as server:\n"
        "    target: str = server.target\n"
    )
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache"), "-p", "cairn"]
    checked = subprocess.run(command, cwd=package, capture_output=True, text=True, check=False, timeout=300)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    command[-2:] = [str(user)]
    checked = subprocess.run(
        command,
        cwd=tmp_path,
        env={**os.environ, "MYPYPATH": str(package)},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
