"""A cairnd of a test's own that reads and writes files below one folder. CAIRND_BIN names the binary."""

import os
import signal
import subprocess


class RootsDaemon:
    def __init__(self, folder, roots):
        """Serves on a socket in `folder`; callers may name files below `roots`."""
        self.server = f"unix:{folder}/s"
        self.roots = roots
        self.process = subprocess.Popen(
            [os.environ["CAIRND_BIN"], "--data-dir", f"{folder}/data", "--listen=", "--unix-socket", f"{folder}/s", "--file-roots", str(roots)],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        while "serving" not in (line := self.process.stderr.readline()):
            assert line, "the daemon ended"
        self.drain = subprocess.Popen(["cat"], stdin=self.process.stderr, stdout=subprocess.DEVNULL)

    def end(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        self.process.wait(timeout=60)
        self.drain.wait(timeout=60)
        self.process.stderr.close()
