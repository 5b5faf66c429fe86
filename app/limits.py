"""What the operating system grants this process. The composition root raises it; pods get what was there before."""

from __future__ import annotations

import contextlib
import resource
from typing import Final

#: How many files this process could have open when it was started: what its pods get, too. Many programs, and `select`,
#: take a low limit for granted. Source: https://man7.org/linux/man-pages/man2/select.2.html (BUGS)
OPEN_FILES_AT_START: Final = resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def raise_open_files_limit() -> None:
    """Let this process have as many files open as it is allowed to: each pod, log and connection is one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
