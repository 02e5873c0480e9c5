"""Measures the peak memory of cairnd and cairn while a checkpoint is saved, loaded and converted.

    python tests/benchmark/peak_memory.py --bin build/release/bin --gib 10

Prints the peak resident memory of each step, and for the daemon the peak of its anonymous and shared memory (what
counts against a memory limit; the rest is the program itself). Fails if any of them is above --limit-mib.
"""

import argparse
import json
import os
import pathlib
import random
import shutil
import struct
import subprocess
import sys
import tempfile
import threading
import time


def write_safetensors(path, total_bytes, tensor_bytes=256 << 20):
    """A file of float32 tensors of random bytes, no two extents alike."""
    tensor_bytes = min(tensor_bytes, total_bytes)
    count = total_bytes // tensor_bytes
    header = {
        f"layer.{i}.weight": {
            "dtype": "F32",
            "shape": [tensor_bytes // 4096, 1024],
            "data_offsets": [i * tensor_bytes, (i + 1) * tensor_bytes],
        }
        for i in range(count)
    }
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    window = random.Random(1).randbytes(4 << 20)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for i in range(count * tensor_bytes // len(window)):
            file.write(struct.pack("<Q", i) + window[8:])


class Daemon:
    def __init__(self, binary, folder):
        self.socket = folder / "cairnd.sock"
        self.log = open(folder / "cairnd.log", "w")
        self.process = subprocess.Popen(
            [binary, "--data-dir", folder / "data", "--listen", "", "--unix-socket", self.socket], stderr=self.log
        )
        while not self.socket.exists():
            if self.process.poll() is not None:
                sys.exit(f"cairnd did not start: {(folder / 'cairnd.log').read_text()}")
            time.sleep(0.05)
        self.peak_kib = 0
        threading.Thread(target=self._sample, daemon=True).start()

    def _sample(self):
        """Anonymous and shared memory; the kernel keeps no peak of it."""
        while self.process.poll() is None:
            try:
                status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
            except OSError:
                return
            fields = dict(line.split(":", 1) for line in status.splitlines())
            used = sum(int(fields[name].split()[0]) for name in ("RssAnon", "RssShmem") if name in fields)
            self.peak_kib = max(self.peak_kib, used)
            time.sleep(0.02)

    def stop(self):
        self.process.terminate()
        if self.process.wait() != 0:
            sys.exit("cairnd did not stop cleanly")


def run(command, environment):
    """Returns (seconds, peak resident MiB) of a command that must succeed."""
    started = time.monotonic()
    process = subprocess.Popen([str(part) for part in command], stdout=subprocess.DEVNULL, env=environment)
    _, status, usage = os.wait4(process.pid, 0)
    if os.waitstatus_to_exitcode(status) != 0:
        sys.exit(f"failed: {' '.join(str(part) for part in command)}")
    return time.monotonic() - started, usage.ru_maxrss / 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", required=True, type=pathlib.Path, help="folder of cairn and cairnd")
    parser.add_argument("--gib", type=float, default=10)
    parser.add_argument("--limit-mib", type=float, default=256)
    parser.add_argument("--folder", help="where to work (three times the size)")
    parser.add_argument("--json", action="store_true", help="one object for each step")
    args = parser.parse_args()

    folder = pathlib.Path(tempfile.mkdtemp(prefix="cairn-memory-", dir=args.folder))
    too_much = []
    try:
        source, target = folder / "source.safetensors", folder / "target.safetensors"
        write_safetensors(source, int(args.gib * (1 << 30)))
        daemon = Daemon(args.bin / "cairnd", folder)
        environment = {**os.environ, "CAIRN_SERVER": f"unix:{daemon.socket}"}
        cairn = [args.bin / "cairn", "--quiet"]
        steps = [
            ("save", [*cairn, "push", source, "memory/run@1"]),
            ("load", [*cairn, "pull", "memory/run@1", target]),
            ("load as bfloat16", [*cairn, "pull", "memory/run@1", target, "--dtype", "bf16"]),
            ("convert to easylm, bfloat16", [*cairn, "convert", source, f"easylm::{folder / 'target.easylm'}"]),
            ("convert, no cast", [*cairn, "convert", source, target, "--dtype", "keep"]),
        ]
        for name, command in steps:
            seconds, mib = run(command, environment)
            if args.json:
                step = {"step": name, "cairn_mib": mib, "cairnd_mib": daemon.peak_kib / 1024, "seconds": seconds}
                print(json.dumps(step), flush=True)
            else:
                print(f"{name:28} cairn {mib:6.0f} MiB   cairnd {daemon.peak_kib / 1024:6.0f} MiB   {seconds:6.1f} s", flush=True)
            if max(mib, daemon.peak_kib / 1024) > args.limit_mib:
                too_much.append(name)
            for made in (target, folder / "target.easylm"):
                made.unlink(missing_ok=True)
        daemon.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if too_much:
        sys.exit(f"above {args.limit_mib} MiB: {', '.join(too_much)}")


if __name__ == "__main__":
    main()
