"""Conditions that are awaited, each with a deadline."""
import time

POLL_S = 0.02


class TimedOut(AssertionError):
    """A condition did not become true in time."""


def wait_for(condition, what, timeout=60, errors=()):
    """Calls `condition` until it returns something true, and returns that. Exceptions in `errors` count as "not
    yet"; the last one is part of the message when time runs out."""
    deadline = time.monotonic() + timeout
    last = None
    while True:
        try:
            value = condition()
            if value:
                return value
            last = value
        except errors as error:
            last = error
        if time.monotonic() > deadline:
            raise TimedOut(f"after {timeout} s still not: {what} (last: {last!r})")
        time.sleep(POLL_S)
