"""Runs checks: prints one line for each, polls with a deadline, and limits the whole run."""

import contextlib
import signal
import sys
import time

# Seconds to wait for something that should happen at once.
PATIENCE = 30


class OutOfTime(BaseException):
    """The run has exceeded its time limit."""


class Report:
    def __init__(self):
        self.passed = self.failed = 0

    @contextlib.contextmanager
    def check(self, sentence):
        start = time.monotonic()
        try:
            yield
        except Exception as error:  # whatever it is, the other checks still tell something
            self.failed += 1
            print(f"FAIL  {sentence}\n      {type(error).__name__}: {error}", flush=True)
        else:
            self.passed += 1
            print(f"ok    {sentence} ({time.monotonic() - start:.1f} s)", flush=True)


def run(checks, seconds):
    """Calls `checks` with a Report and returns the exit code."""

    def out_of_time(*_):
        raise OutOfTime(f"not done after {seconds} s")

    # Both unwind the `with` blocks, so that no process is left running.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.signal(signal.SIGALRM, out_of_time)
    signal.alarm(seconds)
    report = Report()
    try:
        checks(report)
    except OutOfTime as error:
        report.failed += 1
        print(f"FAIL  {error}")
    print(f"{report.passed} passed, {report.failed} failed")
    return 1 if report.failed else 0


def wait_until(is_so, what):
    until = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < until, f"waited {PATIENCE} s in vain until {what}"
        time.sleep(0.1)
