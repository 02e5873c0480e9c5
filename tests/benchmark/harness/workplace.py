"""What every case works with: programs, folders, daemons and raw streams."""

import contextlib
import dataclasses
import os
import pathlib
import shutil
import subprocess
import tempfile

from harness.processes import Daemon, Peer, measure, run_json, run_text, sample_of, stopping
from harness.rounds import LeftOut

PEERS = pathlib.Path(__file__).resolve().parent.parent / "peers"


class Workplace:
    def __init__(self, options, folders):
        self.options = options
        self.size = options.size
        self.memory, self.disk = folders

    def without_checks(self):
        """The same with programs that were built with CAIRN_WITHOUT_CHECKS."""
        folder = self.options.bin_without_checks
        if folder is None:
            raise LeftOut("no programs without checks (--bin-without-checks)")
        return Workplace(dataclasses.replace(self.options, bin=folder.resolve()), (self.memory, self.disk))

    def program(self, name):
        path = self.options.bin / name
        if not path.exists():
            raise LeftOut(f"{name} is not built")
        return path

    @contextlib.contextmanager
    def daemon(self, parent, flags=()):
        """A new daemon with an empty store below `parent`; both are gone afterwards."""
        folder = pathlib.Path(tempfile.mkdtemp(prefix="cairnd-", dir=parent))
        try:
            with stopping(Daemon(self.program("cairnd"), folder, flags)) as daemon:
                yield daemon
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    @contextlib.contextmanager
    def scratch(self, parent):
        folder = pathlib.Path(tempfile.mkdtemp(prefix="work-", dir=parent))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    # --- the C++ client ---

    def client(self, command, daemon, ref, seed, target=None, flags=()):
        command = [self.program("client_benchmark"), command, "--server", target or daemon.tcp, "--ref", ref]
        return [*command, "--seed", seed, "--bytes", self.size, *flags]

    def put_once(self, daemon, seed, target=None, flags=()):
        """Saves a tensor that no checkpoint has, and removes it again: that is not measured."""
        ref = f"bench/put@{seed}"
        try:
            return measure(self.client("put", daemon, ref, seed, target, flags), daemon)
        finally:
            self.remove(daemon, ref)

    def put(self, daemon, ref, seed):
        """For cases that load: not measured, and over the socket, which is plain whatever the port speaks."""
        run_json(self.client("put", daemon, ref, seed, daemon.unix))

    def get(self, daemon, ref, seed, target=None, flags=()):
        return measure(self.client("get", daemon, ref, seed, target, flags), daemon)

    def remove(self, daemon, ref):
        run_json(self.client("remove", daemon, ref, 0, daemon.unix))

    # --- baselines ---

    def make_file(self, path, seed):
        run_text([self.program("disk_baseline"), "make", "--file", path, "--bytes", self.size, "--seed", seed])

    def sequential(self, command, path, flags=()):
        return measure([self.program("disk_baseline"), command, "--file", path, "--bytes", self.size, *flags])

    def raw(self, seed, server, client, streams=1, unix=None):
        """One round of wire_baseline; `server` and `client` are its flags."""
        program = self.program("wire_baseline")
        common = ["--bytes", self.size, "--streams", streams, "--seed", seed]
        listen = ["--listen", f"unix:{unix}"] if unix else []
        peer = Peer([program, "server", *server, *common, *listen])
        try:
            result = run_json([program, "client", *client, *common, "--connect", peer.address])
            return sample_of(result, peer.result()["cpu_seconds"])
        finally:
            peer.stop()
            if unix:
                pathlib.Path(unix).unlink(missing_ok=True)

    # --- the peers' packages ---

    def needs_package(self, name):
        if subprocess.run([self.options.python, "-c", f"import {name}"], capture_output=True).returncode != 0:
            raise LeftOut(f"{self.options.python} has no {name}")

    def needs_cairn_package(self):
        command = [self.options.python, "-c", "import cairn"]
        done = subprocess.run(command, capture_output=True, text=True, env=self.python_environment())
        if done.returncode != 0:
            raise LeftOut(f"the Python package cairn cannot be imported: {done.stderr.strip().splitlines()[-1]}")

    def peer(self, script, *arguments):
        return [self.options.python, PEERS / script, *arguments]

    def python_environment(self):
        path = [str(PEERS)] + ([self.options.python_path] if self.options.python_path else [])
        return {**os.environ, "PYTHONPATH": os.pathsep.join(path), "PYTHONDONTWRITEBYTECODE": "1", "JAX_PLATFORMS": "cpu"}

