"""The programs under test: `cairn`, and a cairnd of a test's own. CAIRN_BIN and CAIRND_BIN name the binaries."""

import json
import os
import signal
import subprocess
import time

import pytest

CAIRN = os.environ.get("CAIRN_BIN")
CAIRND = os.environ.get("CAIRND_BIN")
needs_cairn = pytest.mark.skipif(not CAIRN, reason="CAIRN_BIN names no binary")
needs_both = pytest.mark.skipif(not (CAIRN and CAIRND), reason="CAIRN_BIN and CAIRND_BIN name no binaries")

# Nobody listens here, so a command that talks to a server by mistake fails at once.
NOBODY = "unix:/nonexistent/cairn.sock"


def environment(server=NOBODY, variables=os.environ):
    """What `cairn` finds in its environment: `variables`, and `server` as the daemon that it takes."""
    return {**variables, "CAIRN_SERVER": server, "LC_ALL": "C.UTF-8"}


def start(*arguments, server=NOBODY, variables=os.environ, **options):
    """`cairn` as a process; `options` are those of Popen."""
    assert CAIRN, "CAIRN_BIN must name the program to test"
    return subprocess.Popen([CAIRN, *map(str, arguments)], env=environment(server, variables), text=True, **options)


def cairn(*arguments, server=NOBODY, variables=os.environ, timeout=120, **options):
    """`cairn` when it has ended; `options` are those of subprocess.run."""
    assert CAIRN, "CAIRN_BIN must name the program to test"
    command = [CAIRN, *map(str, arguments)]
    return subprocess.run(command, env=environment(server, variables), capture_output=True, text=True, timeout=timeout, **options)


def ok(*arguments, **options):
    result = cairn(*arguments, **options)
    assert result.returncode == 0, result.stderr
    return result


def refused(*arguments, code=None, **options):
    """What it says of a command that must end with `code`, or with any but 0."""
    result = cairn(*arguments, **options)
    expected = result.returncode != 0 if code is None else result.returncode == code
    assert expected, (result.returncode, result.stdout, result.stderr)
    return result.stderr


class Daemon:
    """A cairnd, and `cairn` with it as its server."""

    def __init__(self, folder, *options, variables=os.environ, **own):
        """Serves on a socket in `folder`, whose path must be short: the address of a Unix socket has room for 107 bytes.
        `variables` are the environment of the daemon and of its clients; `own` are more of the daemon alone."""
        self.folder, self.options = folder, options
        self.data, self.log, self.socket = folder / "data", folder / "log", folder / "s"
        self.server = f"unix:{self.socket}"
        self.variables, self.own = variables, own
        self.start()

    def start(self, **more):
        """Also after a stop; `more` are variables of this start alone."""
        command = [CAIRND, "--data-dir", self.data, "--listen=", "--unix-socket", self.socket, *self.options]
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(list(map(str, command)), env={**self.variables, **self.own, **more}, stdout=log, stderr=log)
        while "serving" not in self.log.read_text():
            assert self.process.poll() is None, f"the daemon ended: {self.log.read_text()}"
            time.sleep(0.002)

    def stop(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        code = self.process.wait(timeout=60)
        assert code == (0 if how == signal.SIGTERM else -how), f"the daemon ended with {code}: {self.log.read_text()}"

    def cairn(self, *arguments, **more):
        """`more` are variables of the client alone."""
        return cairn(*arguments, server=self.server, variables={**self.variables, **more})

    def ok(self, *arguments, **more):
        return ok(*arguments, server=self.server, variables={**self.variables, **more})

    def refused(self, *arguments, code=None, **more):
        return refused(*arguments, code=code, server=self.server, variables={**self.variables, **more})

    def json(self, *arguments, **more):
        return json.loads(self.ok(*arguments, "--json", **more).stdout)
