"""A test program that answers requests on its standard streams."""

import os
import struct
import subprocess


class Probe:
    def __init__(self, variable):
        """`variable` of the environment names the program."""
        program = os.environ.get(variable)
        assert program, f"{variable} must name the program to test"
        self._process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(self, data, request=""):
        """Whether it could do it, and the answer or what was wrong. `request` goes before the data where there are several kinds."""
        self._process.stdin.write(request.encode() + struct.pack("<I", len(data)) + data)
        self._process.stdin.flush()
        head = self._process.stdout.read(5)
        assert len(head) == 5, f"the program died with {self._process.wait()}"
        ok, size = struct.unpack("<cI", head)
        return ok == b"+", self._process.stdout.read(size)

    def close(self):
        self._process.stdin.close()
        self._process.stdout.close()
        assert self._process.wait(10) == 0
