"""Limits of time in tests: they tell a second from a minute, on a machine that does other work too."""

import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager

SLOW = 5  # how much slower than the machine on which the limits were found another one may be


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Fails if what is inside takes more than these seconds of processor time, on a machine like the one that the limits are from.
    The garbage of earlier tests is not collected meanwhile."""
    gc.disable()
    began = time.process_time()
    try:
        yield
    finally:
        taken = time.process_time() - began
        gc.enable()
    assert taken < SLOW * seconds, f"{taken:.2f} s of processor time are more than {SLOW} times {seconds:g} s"
