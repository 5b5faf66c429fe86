"""Patience with a full disk, and a log that goes on where it had to stop."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from app.pods.local.disk import Patience
from app.pods.local.logfile import LogWriter


def full() -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_patience__full_disk__again_later():
    patience = Patience()
    assert not patience.attempt(full)
    assert patience.retry_at is not None
    assert patience.attempt(lambda: None)
    assert patience.retry_at is None


def test_patience__full_for_too_long__raises():
    with pytest.raises(OSError, match="No space left"):
        Patience(seconds=0).insist(full)


def test_patience__another_trouble__raises_at_once():
    with pytest.raises(FileNotFoundError):
        Patience().attempt(lambda: os.open("/nowhere/x", os.O_RDONLY))


def test_log_writer__disk_full_meanwhile__nothing_lost_and_nothing_twice(tmp_path: Path):
    path = tmp_path / "log"
    path.symlink_to("/dev/full")
    fd = os.open(path, os.O_WRONLY)
    writer = LogWriter(fd, lambda: 0)
    with pytest.raises(OSError, match="No space left"):
        writer.feed(b"a\nb")
    with pytest.raises(OSError, match="No space left"):
        writer.flush()
    path.unlink()
    roomy = os.open(path, os.O_WRONLY | os.O_CREAT)
    os.dup2(roomy, fd)
    writer.flush()
    writer.flush()
    writer.finish()
    for each in (roomy, fd):
        os.close(each)
    assert path.read_bytes() == b"1970-01-01T00:00:00.000000000Z a\n1970-01-01T00:00:00.000000001Z b"
