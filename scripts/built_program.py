"""Starts the built program the way Function Compute does, for checks of the whole program."""

import contextlib
import http.client
import json
import os
import pathlib
import subprocess
import sys
import threading
import time

from check_run import PATIENCE
from content import KIB

ROOT = pathlib.Path(__file__).resolve().parent.parent


def add_arguments(parser):
    parser.add_argument("--release", action="store_true", help="the release build instead of the debug build")
    parser.add_argument("--binary", type=pathlib.Path, help="this program")


def built(arguments):
    """Path of the program."""
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    binary = arguments.binary or target / ("release" if arguments.release else "debug") / "bootstrap"
    if not binary.exists():
        sys.exit(f"{binary} is not there: cargo build{' --release' if arguments.release else ''}")
    return binary


class Program:
    """The built binary as Function Compute starts it; runs from `with` to its end."""

    def __init__(self, binary, variables):
        environment = {"FC_FUNCTION_NAME": "x", "UPLOAD_ADDR": "127.0.0.1:0", **variables}
        self.start = lambda: subprocess.Popen(
            [binary], env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.lines, self.changed = [], threading.Condition()

    def __enter__(self):
        self.child = self.start()
        threading.Thread(target=self.read_log, daemon=True).start()
        try:
            self.address = self.line_with("listening on http://").split("http://")[1].split(",")[0]
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.child.terminate()
        try:
            self.child.wait(15)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()

    def read_log(self):
        for line in self.child.stdout:
            with self.changed:
                self.lines.append(line)
                self.changed.notify_all()

    def line_with(self, text, after=0):
        """The first log line containing `text`, not counting the first `after` lines."""

        def find():
            return next((line for line in self.lines[after:] if text in line), None)

        with self.changed:
            self.changed.wait_for(find, PATIENCE)
            assert find(), f"no {text!r} in the program's log:\n" + "".join(self.lines[-5:])
            return find()

    def request(self, method, path, body=None, headers=(), chunked=False):
        """Status and JSON of the response."""
        connection = http.client.HTTPConnection(self.address, timeout=120)
        with contextlib.closing(connection):
            connection.request(method, path, body=body, headers=dict(headers), encode_chunked=chunked)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())

    def peak_mib(self):
        """Peak resident memory so far."""
        status = pathlib.Path(f"/proc/{self.child.pid}/status").read_text()
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")) / KIB

    def cpu_ms(self):
        """Processor time used so far, user and system."""
        # The clock id that clock_getcpuclockid(3) returns for a process; /proc counts in steps of 10 ms.
        return time.clock_gettime((~self.child.pid << 3) | 2) * 1000
