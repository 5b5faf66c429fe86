"""Ports for the servers of tests."""

from __future__ import annotations

import os
import random
import socket
import threading
from collections.abc import Iterator

#: Below those that the system gives away by itself: a service that is started again must find its port free.
FIRST_PORT, PORTS_OF_A_WORKER, WORKERS = 20_000, 500, 16


def _ports() -> Iterator[int]:
    """The ports of this worker, round and round."""
    first = FIRST_PORT + PORTS_OF_A_WORKER * (int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]) % WORKERS)
    # Not always from the same one on: another run of the tests may be under way on this machine.
    number = random.SystemRandom().randrange(PORTS_OF_A_WORKER)
    while True:
        yield first + number
        number = (number + 1) % PORTS_OF_A_WORKER


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


_own_ports = _ports()
_lock = threading.Lock()


def free_port() -> int:
    """A port of 127.0.0.1 that nobody has, and that no other test is given."""
    with _lock:
        return next(filter(_is_free, _own_ports))
