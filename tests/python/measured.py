"""Processes with what they took. Memory counts from where a process is forked, so a small process starts them: this file, run
as a program."""

import collections
import json
import os
import subprocess
import sys
import time

Measured = collections.namedtuple("Measured", "code output errors wall processor peak")  # Seconds, and bytes.


class Launcher:
    """Runs commands one after the other."""

    def __init__(self):
        self._process = subprocess.Popen([sys.executable, "-I", "-S", __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def run(self, *command, limit=600):
        print(json.dumps([limit, *map(str, command)]), file=self._process.stdin, flush=True)
        return Measured(*json.loads(self._process.stdout.readline()))

    def close(self):
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()


def serve():
    import tempfile

    for line in sys.stdin:
        limit, *command = json.loads(line)
        with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
            started = time.monotonic()
            child = os.fork()
            if child == 0:
                import resource

                resource.setrlimit(resource.RLIMIT_CPU, (limit, limit))
                os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
                os.dup2(output.fileno(), 1)
                os.dup2(errors.fileno(), 2)
                try:
                    os.execv(command[0], command)
                finally:
                    os._exit(127)
            _, status, usage = os.wait4(child, 0)
            wall = time.monotonic() - started
            texts = []
            for file in (output, errors):
                file.seek(0)
                texts.append(file.read().decode(errors="replace"))
        code = os.waitstatus_to_exitcode(status)
        print(json.dumps([code, *texts, wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024]), flush=True)


if __name__ == "__main__":
    serve()
