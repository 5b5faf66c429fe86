"""Patience with a disk that is full: what is to be written waits for room, for a while. Standard library only."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable

PATIENCE_SECONDS = 300.0
RETRY_SECONDS = 0.5

_PASSING = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ENOMEM, errno.EMFILE, errno.ENFILE})


class Patience:
    """Tries one kind of writing again until it works. Not for several threads."""

    def __init__(self, seconds: float = PATIENCE_SECONDS) -> None:
        self._seconds = seconds
        self._since: float | None = None  #: monotonic; when it last began to fail
        self.retry_at: float | None = None  #: monotonic; when to try again, None while all is written

    def attempt(self, write: Callable[[], object]) -> bool:
        """Whether it is written; if not, it is to be tried again at `retry_at`.

        Raises:
            OSError: there has been no room for too long, or that is not the trouble.
        """
        now = time.monotonic()
        try:
            write()
        except OSError as error:
            self._since = now if self._since is None else self._since
            if error.errno not in _PASSING or now - self._since >= self._seconds:
                raise
            self.retry_at = now + RETRY_SECONDS
            return False
        self._since = self.retry_at = None
        return True

    def insist(self, write: Callable[[], object]) -> None:
        """Return when it is written. Raises OSError as `attempt`."""
        while not self.attempt(write):
            time.sleep(RETRY_SECONDS)
