"""Starts programs, and counts what they use."""

import contextlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import threading
import time

from harness.figures import Sample

TICKS = os.sysconf("SC_CLK_TCK")


def run_text(command, environment=None, timeout=1800):
    """What a program prints."""
    command = [str(part) for part in command]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, env=environment)
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()[-3:]
        raise RuntimeError(f"{' '.join(command[:3])} ... failed: {' / '.join(said)}")
    return done.stdout


def run_json(command, environment=None):
    """The result of a program that prints it as its last line, in JSON."""
    return json.loads(run_text(command, environment).strip().splitlines()[-1])


def run_program(command, total_bytes, environment=None):
    """A program that measures nothing itself: all of it, from start to end."""
    command = [str(part) for part in command]
    machine, started = machine_seconds(), time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment)
    said = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    process.stderr.close()
    if process.returncode != 0:
        raise RuntimeError(f"{' '.join(command[:3])} ... failed: {said.strip()[-300:]}")
    return Sample(
        seconds=seconds,
        bytes=total_bytes,
        client_seconds=usage.ru_utime + usage.ru_stime,
        machine_seconds=machine_seconds() - machine,
        peak_mib=usage.ru_maxrss / 1024,
    )


def machine_seconds():
    """All that the processors did: user, nice, system, irq, softirq and steal of /proc/stat, proc(5)."""
    fields = [int(field) for field in pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return sum(fields[i] for i in (0, 1, 2, 5, 6, 7)) / TICKS


def processor_seconds(pid):
    """User and system time of a process, its threads, and its children that have ended."""
    text = pathlib.Path(f"/proc/{pid}/stat").read_text()
    fields = text[text.rindex(")") + 2 :].split()  # From the state on: proc(5), field 3.
    return sum(int(field) for field in fields[11:15]) / TICKS


def sample_of(result, server_seconds=0.0):
    return Sample(
        seconds=result["seconds"],
        bytes=int(result.get("bytes", 0)),
        items=int(result.get("items", 0)),
        client_seconds=result["cpu_seconds"],
        server_seconds=server_seconds,
        machine_seconds=result.get("machine_seconds", 0.0),
    )


def measure(command, server=None, environment=None):
    """A client's run; `server` is the process (with a pid) that serves it."""
    before = processor_seconds(server.pid) if server else 0.0
    result = run_json(command, environment)
    return sample_of(result, processor_seconds(server.pid) - before if server else 0.0)


class Peer:
    """A server that says {"address": ...} in its first line."""

    def __init__(self, command, environment=None, log=None):
        self._log = open(log, "w") if log else subprocess.DEVNULL
        self.process = subprocess.Popen(
            [str(part) for part in command], stdout=subprocess.PIPE, stderr=self._log, text=True, env=environment
        )
        line = self.process.stdout.readline()
        if not line:
            self.process.wait()
            said = pathlib.Path(log).read_text().strip().splitlines()[-1:] if log else []
            raise RuntimeError(f"{command[0]} did not start: {' '.join(said)}")
        self.address = json.loads(line)["address"]

    @property
    def pid(self):
        return self.process.pid

    def result(self):
        """What a server that ends by itself says last."""
        output, _ = self.process.communicate(timeout=600)
        if self.process.returncode != 0:
            raise RuntimeError(f"the server failed with status {self.process.returncode}")
        return json.loads(output.strip().splitlines()[-1])

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
        self.process.communicate(timeout=60)


class Daemon:
    """A cairnd on a free TCP port and a Unix socket, with all defaults but where its data lies."""

    def __init__(self, binary, folder, flags=()):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.data = self.folder / "data"
        # A path that is short whatever the folder's is: the kernel takes 107 bytes.
        self.sockets = pathlib.Path(tempfile.mkdtemp(prefix="cairn-"))
        self.log = self.folder / "cairnd.log"
        self.peak_kib = 0
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(
                [str(binary), "--data-dir", str(self.data), "--listen", "127.0.0.1:0"]
                + ["--unix-socket", str(self.sockets / "s"), *flags],
                stderr=log,
            )
        deadline = time.monotonic() + 60
        while (serving := re.search(r"addresses=(\S+?),unix:", self.log.read_text())) is None:
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"cairnd did not start: {self.log.read_text().strip()[-500:]}")
            time.sleep(0.02)
        self.tcp = serving.group(1)
        self.unix = f"unix:{self.sockets / 's'}"
        threading.Thread(target=self._watch_memory, daemon=True).start()

    @property
    def pid(self):
        return self.process.pid

    def _watch_memory(self):
        """Anonymous and shared memory: what counts against a limit. The kernel keeps no peak of it."""
        while self.process.poll() is None:
            try:
                lines = pathlib.Path(f"/proc/{self.pid}/status").read_text().splitlines()
            except OSError:
                return
            fields = dict(line.split(":", 1) for line in lines)
            used = sum(int(fields[name].split()[0]) for name in ("RssAnon", "RssShmem") if name in fields)
            self.peak_kib = max(self.peak_kib, used)
            time.sleep(0.05)

    def drop_cache(self):
        """Makes the next read of every object come from the disk."""
        for path in self.data.rglob("*"):
            if path.is_file():
                drop_cache(path)

    def stop(self):
        self.process.terminate()
        status = self.process.wait(timeout=60)
        shutil.rmtree(self.sockets, ignore_errors=True)
        if status != 0:
            raise RuntimeError("cairnd did not stop cleanly")


@contextlib.contextmanager
def stopping(server):
    try:
        yield server
    finally:
        server.stop()


def drop_cache(path):
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(fd)
