"""The clock of the peers' programs: prints what programs/stopwatch.h prints."""

import json
import os
import pathlib
import resource
import time

TICKS = os.sysconf("SC_CLK_TCK")


def _process():
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in usage)


def _machine():
    """User, nice, system, irq, softirq and steal of /proc/stat: proc(5)."""
    fields = [int(field) for field in pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return sum(fields[i] for i in (0, 1, 2, 5, 6, 7)) / TICKS


class Stopwatch:
    def __init__(self):
        self._process, self._machine, self._wall = _process(), _machine(), time.perf_counter()

    def read(self):
        wall = time.perf_counter() - self._wall
        return {
            "seconds": wall,
            "cpu_seconds": _process() - self._process,
            "machine_seconds": _machine() - self._machine,
        }


def print_result(result, total_bytes):
    print(json.dumps({**result, "bytes": total_bytes}), flush=True)
