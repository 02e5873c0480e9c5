"""cairn.testing: a daemon for people's own tests."""

import os
import pathlib
import signal
import stat
import subprocess
import sys
import textwrap
import time

import pytest

import cairn
import cairn.testing


def gone(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    # A process that nobody has waited for still has a number.
    return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


def wait_until(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_servers_run_side_by_side_and_leave_nothing():
    with cairn.testing.server() as a, cairn.testing.server() as b:
        assert a.target != b.target and a.target.startswith("unix:")
        with a.client() as client:
            client.save("x@1", {"v": 1})
            assert len(client.ls()) == 1
        with b.client() as client:
            assert len(client.ls()) == 0
        assert "serving" in a.log and a.data_dir.is_dir()
        folders = [a.data_dir.parent, b.data_dir.parent]
    assert not any(f.exists() for f in folders)


def test_a_server_on_a_port():
    with cairn.testing.server(port=0) as server:
        assert server.target.startswith("localhost:") and not server.target.endswith(":0")
        with server.client() as client:
            client.save("x@1", {"v": 1})
            target = server.target
            server.kill()
            server.start()
            assert server.target == target and client.load("x@1") == {"v": 1}


def test_data_outlive_a_stop_and_a_crash():
    with cairn.testing.server(durable_writes=True) as server:
        with server.client() as client:
            client.save("x@1", {"v": 1})
        server.stop()
        server.stop()
        server.start()
        with pytest.raises(RuntimeError, match="is running"):
            server.start()
        server.kill()
        server.start()
        with server.client() as client:
            assert client.load("x@1") == {"v": 1}


def test_options_reach_the_daemon():
    with cairn.testing.server(extent_bytes="64KiB", log_level="debug") as server:
        assert server.client().info().version


def test_a_daemon_that_does_not_start_says_why():
    with pytest.raises(RuntimeError, match=r"(?s)does not serve; it wrote:.*--no-such-option"):
        with cairn.testing.server(no_such_option=1):
            pass


def test_nothing_is_left_after_a_killed_test_run(tmp_path):
    program = """
        import os, sys
        import cairn.testing
        with cairn.testing.server() as server:
            print(server._daemon_pid, server.data_dir.parent, flush=True)
            sys.stdin.read()
    """
    run = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )  # fmt: skip
    pid, folder = run.stdout.readline().split()
    os.kill(run.pid, signal.SIGKILL)
    run.communicate()
    wait_until(lambda: gone(int(pid)) and not pathlib.Path(folder).exists())


def test_cairnd_is_looked_for_in_the_argument_the_environment_and_on_path(tmp_path, monkeypatch):
    real = cairn.testing.find_cairnd()
    program = tmp_path / "cairnd"
    program.write_text("#!/bin/sh\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    assert cairn.testing.find_cairnd(program) == program.resolve()
    monkeypatch.setenv("CAIRN_CAIRND", str(program))
    assert cairn.testing.find_cairnd() == program.resolve()
    monkeypatch.delenv("CAIRN_CAIRND")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert cairn.testing.find_cairnd() == program or cairn.testing.find_cairnd() == real
    for wrong in (tmp_path / "missing", tmp_path):
        with pytest.raises(FileNotFoundError, match="the argument cairnd is .* which is no program"):
            cairn.testing.find_cairnd(wrong)


def test_no_cairnd_anywhere_says_where_it_was_looked_for(tmp_path, monkeypatch):
    monkeypatch.delenv("CAIRN_CAIRND", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setattr(cairn.testing.daemon, "__file__", str(tmp_path / "cairn" / "testing" / "daemon.py"))
    with pytest.raises(
        FileNotFoundError, match=r"CAIRN_CAIRND is not set, and there is none at .*bin/cairnd.*nor on PATH"
    ):
        cairn.testing.find_cairnd()


def test_a_folder_too_deep_for_a_socket(tmp_path, monkeypatch):
    deep = tmp_path / ("d" * 100)
    deep.mkdir()
    with pytest.raises(ValueError, match="too long a path for a Unix socket"):
        with cairn.testing.server(directory=deep):
            pass
    monkeypatch.setattr("tempfile.tempdir", str(deep))
    with cairn.testing.server() as server:
        assert server.client().info().version
    assert list(deep.iterdir()) == []


def test_a_forked_child_that_leaves_the_context_leaves_the_daemon_alone():
    program = """
        import os, sys
        import cairn.testing
        with cairn.testing.server() as mine:
            child = os.fork()
            if child == 0:
                sys.exit(0)
            assert os.waitpid(child, 0)[1] == 0
            with mine.client() as client:
                assert client.info().checkpoints == 0
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=True, timeout=60)
