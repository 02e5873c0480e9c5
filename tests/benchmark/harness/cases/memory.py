"""The memory that save, load and convert need at their peak, whatever the size of the checkpoint."""

import contextlib
import json
import pathlib
import subprocess
import sys

from harness.figures import Sample, goal_figure
from harness.rounds import Contender, Group, LeftOut

LIMIT_MIB = 256
PROGRAM = pathlib.Path(__file__).resolve().parents[2] / "peak_memory.py"


def peak(place):
    size = place.options.peak_gib
    measured = {}

    @contextlib.contextmanager
    def prepare():
        place.program("cairn")
        command = [sys.executable, PROGRAM, "--bin", place.options.bin, "--gib", str(size), "--folder", place.disk, "--json"]
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
        lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
        if not lines:
            raise LeftOut(f"peak_memory.py: {done.stderr.strip()[-300:]}")
        measured.update({step["step"]: step for step in map(json.loads, lines)})
        contenders = []
        for name, step in measured.items():
            contenders.append(Contender(f"cairn {name}", f"cairn, {name}", lambda _, s=step: Sample(direct=s["cairn_mib"]), True))
        last = list(measured.values())[-1]
        contenders.append(Contender("cairnd", "cairnd, all of them", lambda _: Sample(direct=last["cairnd_mib"]), True))
        group.goals.extend(goal_figure(c.title, c.key, at_most=LIMIT_MIB) for c in contenders)
        yield contenders

    group = Group(
        "memory",
        f"Memory at its peak, checkpoint of {size:g} GiB",
        prepare,
        [],
        "MiB",
        rounds=1,
        warmup=False,
        note="cairn: resident; cairnd: anonymous and shared",
    )
    yield group
