"""Small disks of the tests' own, which they fill up, make read-only, and take away."""

from __future__ import annotations

import errno
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

#: A file that is being written keeps a disk from becoming read-only, or going.
BUSY_SECONDS = 10.0
FILL_SECONDS = 0.05
_CHUNK = bytes(64 * 1024)


class Disk:
    """A file system in memory, mounted at `folder`."""

    def __init__(self, folder: Path, size_bytes: int) -> None:
        self.folder, self._size_bytes = folder, size_bytes
        self._filler = folder / ".filler"

    @contextmanager
    def kept_full(self) -> Iterator[None]:
        """Full for as long as the block runs, whatever room others give back meanwhile; there is room again afterwards."""
        is_over = threading.Event()

        def keep() -> None:
            while not is_over.wait(FILL_SECONDS):
                self.fill()

        keeper = threading.Thread(target=keep, name="full disk")
        self.fill()
        keeper.start()
        try:
            yield
        finally:
            is_over.set()
            keeper.join()
            self.free()

    def fill(self, leave_bytes: int = 0) -> None:
        """Leave that much room and no more. Others who write meanwhile may get a part of what is left."""
        with self._filler.open("ab", buffering=0) as file:
            while (room := self.room_bytes() - leave_bytes) > 0:
                try:
                    file.write(_CHUNK[:room])
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
                    return

    def free(self) -> None:
        """Give back what `fill` took."""
        self._filler.unlink(missing_ok=True)

    def room_bytes(self) -> int:
        """How much can be written."""
        there_is = os.statvfs(self.folder)
        return there_is.f_bavail * there_is.f_frsize

    def set_read_only(self, *, is_on: bool) -> None:
        """Refuse all writing, or take it again."""
        _insist("mount", "-o", f"remount,{'ro' if is_on else 'rw'}", str(self.folder))

    def move_to(self, folder: Path) -> None:
        """Mount it elsewhere: where it was there is the folder below it."""
        _insist("mount", "--move", str(self.folder), str(folder))
        self.folder = folder


@contextmanager
def small_disk(folder: Path, size_bytes: int) -> Iterator[Disk]:
    """A disk of that size, mounted at this folder, which is made; gone after the block. Skips where nothing can be mounted."""
    folder.mkdir(parents=True)
    mounted = _mount("-t", "tmpfs", "-o", f"size={size_bytes},mode=0755", "podrun-test", str(folder))
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    # Only mounts that nobody shares can be moved.
    assert not _mount("--make-private", str(folder)).returncode
    disk = Disk(folder, size_bytes)
    try:
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", disk.folder], check=True)


def _mount(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["mount", *arguments], check=False, capture_output=True, text=True, timeout=10)


def _insist(*command: str) -> None:
    deadline = time.monotonic() + BUSY_SECONDS
    while (done := subprocess.run(command, check=False, capture_output=True, text=True, timeout=10)).returncode:
        assert time.monotonic() < deadline, done.stderr
        time.sleep(0.05)
