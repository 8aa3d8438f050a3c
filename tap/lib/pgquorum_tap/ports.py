"""Runs of free ports. Several test programs choose at the same time, so a run is held by a lock file."""
import fcntl
import os
import socket

# Below the range that the kernel hands out for outgoing connections (32768 and up on Linux).
FIRST, LAST, STEP = 12000, 32000, 40

_held = []


def _is_free(port):
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_ports(count):
    """The first of `count` consecutive free ports, ours until this process ends."""
    assert count <= STEP
    runs = (LAST - FIRST) // STEP
    for i in range(runs):
        base = FIRST + (os.getpid() * 7 + i) % runs * STEP
        path = f"/tmp/.pgquorum-ports-{base}"
        try:
            lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except PermissionError:  # another account's
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            continue
        if all(_is_free(base + k) for k in range(count)):
            _held.append(lock)
            return base
        os.close(lock)
    raise RuntimeError(f"found no {count} free ports in a row between {FIRST} and {LAST}")
