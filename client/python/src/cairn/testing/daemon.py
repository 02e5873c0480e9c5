"""Starts, watches and ends a `cairnd` that nobody else uses."""

from __future__ import annotations

import collections
import contextlib
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from typing import Any, Final

from cairn.client import Client

_LONGEST_SOCKET: Final = 107  # What an address of a Unix socket has room for.
_START_SECONDS: Final = 60.0
_STOP_SECONDS: Final = 60.0

# The daemon ends, and its folder goes, when the process that holds the other end of standard input is gone: a test run
# that was killed leaves nothing behind. A line on standard input means that it has been ended in good order.
_SUPERVISOR: Final = """
"$@" & daemon=$!
echo "supervised pid=$daemon" >&2
exec 2>/dev/null
if read -r _; then
  wait $daemon
else
  kill -TERM $daemon && wait $daemon
  rm -rf "$0"
fi
"""


def find_cairnd(path: str | os.PathLike[str] | None = None) -> pathlib.Path:
    """The program `cairnd`: `path` if it is given, else the environment variable ``CAIRN_CAIRND``, else the first
    of these that exists: in the package's own folder ``bin``, beside the running Python, on ``PATH``.

    :raises FileNotFoundError: with the places that were looked at.
    """
    named = [("the argument cairnd", path), ("CAIRN_CAIRND", os.environ.get("CAIRN_CAIRND"))]
    for source, place in named:
        if place:
            found = pathlib.Path(place)
            if not os.access(found, os.X_OK) or found.is_dir():
                raise FileNotFoundError(f"{source} is {str(found)!r}, which is no program")
            return found.resolve()
    places = [
        pathlib.Path(__file__).parents[1] / "bin" / "cairnd",
        pathlib.Path(sys.executable).parent / "cairnd",
    ]
    for candidate in places:
        if os.access(candidate, os.X_OK):
            return candidate
    on_path = shutil.which("cairnd")
    if on_path is None:
        looked = ", ".join(str(p) for p in places)
        raise FileNotFoundError(
            f"no cairnd: CAIRN_CAIRND is not set, and there is none at {looked}, nor on PATH; build it, or give "
            "server(cairnd=...)"
        )
    return pathlib.Path(on_path)


class Server:
    """A running daemon of one's own; made by :func:`server`."""

    def __init__(
        self, program: pathlib.Path, folder: pathlib.Path, port: int | None, options: Mapping[str, Any]
    ) -> None:
        self._program = program
        self._folder = folder
        self._port = port
        self._options = dict(options)
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = os.getpid()
        self._reader: threading.Thread | None = None
        self._daemon_pid: int | None = None
        self._ready = threading.Event()
        self._log: collections.deque[str] = collections.deque(maxlen=2000)
        self._target = ""

    @property
    def target(self) -> str:
        """What a client connects to: ``"unix:/..."`` or ``"localhost:PORT"``."""
        return self._target

    @property
    def data_dir(self) -> pathlib.Path:
        """Where it keeps its data. Removed in the end."""
        return self._folder / "data"

    @property
    def is_mine(self) -> bool:
        """Not so in a forked child of the process that made it."""
        return os.getpid() == self._owner

    @property
    def log(self) -> str:
        """What it has written so far: the last 2000 lines."""
        return "\n".join(self._log)

    def client(self, **options: Any) -> Client:
        """A client of this server, with the options of :class:`cairn.Client`.

        Unless told otherwise it gives up after 10 seconds without an answer.
        """
        return Client(self.target, **{"retry_for": 10.0, **options})

    def start(self) -> None:
        """Starts it, over the same data if it has run before.

        :raises RuntimeError: if it ends at once, with what it wrote.
        """
        if self._process is not None:
            raise RuntimeError("the server is running")
        self._ready.clear()
        self._daemon_pid = None
        self._target = ""
        self._process = subprocess.Popen(
            ["/bin/sh", "-c", _SUPERVISOR, str(self._folder), *self._command()],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,  # So that an interrupt of the tests is not an interrupt of the daemon.
        )
        self._reader = threading.Thread(target=self._read_log, args=(self._process,), daemon=True)
        self._reader.start()
        if not self._ready.wait(_START_SECONDS) or not self._target:
            self.kill()
            raise RuntimeError(f"{self._program} does not serve; it wrote:\n{self.log}")

    def stop(self) -> None:
        """Ends it as SIGTERM does. The data stay until the context of :func:`server` ends."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Ends it as a crash does (SIGKILL)."""
        self._end(signal.SIGKILL)

    def _command(self) -> list[str]:
        flags = {"data_dir": self.data_dir, "durable_writes": False, "gc_interval": 0, **self._options}
        if self._port is None:
            flags |= {"listen": "", "unix_socket": self._folder / "s"}
        else:
            flags |= {"listen": f"localhost:{self._port}"}
        return [str(self._program), *(f"--{name.replace('_', '-')}={_text(value)}" for name, value in flags.items())]

    def _read_log(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stderr is not None
        with process.stderr as log:
            for raw in log:
                line = raw.decode(errors="replace").rstrip()
                if line.startswith("supervised pid="):
                    self._daemon_pid = int(line.partition("=")[2])
                else:
                    self._log.append(line)
                    self._look_for_target(line)
                if self._target and self._daemon_pid is not None:
                    self._ready.set()
        self._ready.set()

    def _look_for_target(self, line: str) -> None:
        serving = re.search(r" serving .*addresses=(\S+)", line)
        if serving is not None:
            self._target = serving[1].split(",")[0]
            if self._port is not None:
                self._port = int(self._target.rpartition(":")[2])  # The same one after a restart.

    def _end(self, signum: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None or not self.is_mine:  # It is the parent's.
            return
        if self._daemon_pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._daemon_pid, signum)
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError), process.stdin as supervisor:
            supervisor.write(b"\n")
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            if signum == signal.SIGKILL or self._daemon_pid is None:
                raise
            os.kill(self._daemon_pid, signal.SIGKILL)
            process.wait(_STOP_SECONDS)
        if self._reader is not None:
            self._reader.join(_STOP_SECONDS)


@contextlib.contextmanager
def server(
    *,
    cairnd: str | os.PathLike[str] | None = None,
    port: int | None = None,
    directory: str | os.PathLike[str] | None = None,
    **options: Any,
) -> Iterator[Server]:
    """A daemon of one's own, with an empty store, for as long as the context lasts.

    It serves on a Unix socket below its folder, so any number of them run side by side.

    :param cairnd: the program; see :func:`find_cairnd`.
    :param port: serve on ``localhost:PORT`` instead of a Unix socket; 0 takes a free port.
    :param directory: below which folder its own temporary folder is made.
    :param options: of `cairnd`, as in its configuration file: ``server(memory_budget="64MiB")``. It does not wait
        for the disk (``durable_writes=False``) and collects garbage only when asked to, unless told otherwise.
    :raises FileNotFoundError: if there is no `cairnd`.
    :raises RuntimeError: if it does not start, with what it wrote.

    >>> with cairn.testing.server() as mine, mine.client() as its_client:
    ...     _ = its_client.save("a/b@1", {"x": 1})
    ...     its_client.load("a/b")
    {'x': 1}
    """
    program = find_cairnd(cairnd)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="cairn-", dir=directory)).resolve()
    if port is None and len(os.fsencode(folder / "s")) > _LONGEST_SOCKET:
        folder.rmdir()
        if directory is not None:
            raise ValueError(
                f"directory {str(directory)!r} is too long a path for a Unix socket; give another, or port=0"
            )
        folder = pathlib.Path(tempfile.mkdtemp(prefix="cairn-", dir="/tmp")).resolve()
    running = Server(program, folder, port, options)
    try:
        running.start()
        yield running
    finally:
        running.stop()
        if running.is_mine:
            shutil.rmtree(folder, ignore_errors=True)


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
