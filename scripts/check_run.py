"""A run of checks: what is printed about each, how long is waited, and when the whole has taken too long."""

import contextlib
import signal
import sys
import time

# Seconds to wait for something that should take none.
PATIENCE = 30


class OutOfTime(BaseException):
    """The whole run takes too long."""


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
    """Calls `checks` with a Report; the exit code."""

    def out_of_time(*_):
        raise OutOfTime(f"not done after {seconds} s")

    # Both end the run through the `with` blocks, so that no process stays behind.
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
