"""The local pods' log format: bytes in, the kubelet's stamped lines out."""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.pods.local.logfile import PIECE_BYTES, EvenClock, LogWriter, find_line_since

NOON = int(datetime(2026, 11, 22, 12, tzinfo=UTC).timestamp()) * 1_000_000_000
STAMP = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z ")


class Clock:
    def __init__(self, now: int = NOON) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def log(tmp_path: Path):
    path = tmp_path / "log"
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
    yield fd
    os.close(fd)


def content(fd: int) -> bytes:
    return os.pread(fd, os.fstat(fd).st_size, 0)


def test_log_writer__lines_in_one_chunk__stamps_increase_by_a_nanosecond(log):
    LogWriter(log, Clock()).feed(b"a\n\nb\r\n")
    assert content(log) == (
        b"2026-11-22T12:00:00.000000000Z a\n2026-11-22T12:00:00.000000001Z \n2026-11-22T12:00:00.000000002Z b\r\n"
    )


def test_log_writer__clock_goes_back__stamps_do_not(log):
    clock = Clock()
    writer = LogWriter(log, clock)
    writer.feed(b"a\n")
    clock.now -= 5_000_000_000
    writer.feed(b"b\n")
    assert content(log).endswith(b"2026-11-22T12:00:00.000000001Z b\n")


def test_log_writer__end_of_a_second__lines_of_a_chunk_share_the_next(log):
    LogWriter(log, Clock(NOON - 1)).feed(b"a\nb\n")
    assert content(log) == b"2026-11-22T12:00:00.000000000Z a\n2026-11-22T12:00:00.000000001Z b\n"


def test_log_writer__unfinished_line__waits_for_its_end(log):
    writer = LogWriter(log, Clock())
    writer.feed(b"a\nb")
    assert content(log).endswith(b"a\n")
    writer.finish()
    assert content(log).endswith(b"Z b")


def test_log_writer__long_line__written_in_pieces_under_one_stamp(log):
    writer = LogWriter(log, Clock())
    writer.feed(b"x" * (PIECE_BYTES + 1))
    assert len(content(log)) == 31 + PIECE_BYTES
    writer.feed(b"y\nnext\n")
    assert content(log) == (
        b"2026-11-22T12:00:00.000000000Z " + b"x" * (PIECE_BYTES + 1) + b"y\n2026-11-22T12:00:00.000000001Z next\n"
    )


@given(st.lists(st.binary(max_size=40).map(lambda b: b.replace(b"q", b"\n")), max_size=20), st.booleans())
def test_log_writer__any_chunks__text_comes_back(tmp_path_factory, chunks, is_long):
    if is_long:
        chunks = [chunk * 3000 for chunk in chunks]
    path = tmp_path_factory.mktemp("log") / "log"
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
    try:
        writer = LogWriter(fd, Clock())
        for chunk in chunks:
            writer.feed(chunk)
        writer.finish()
        lines = content(fd).split(b"\n")
        text = b"".join(chunks)
        if text.endswith(b"\n") or not text:
            assert lines.pop() == b""
        assert all(STAMP.match(line) for line in lines)
        assert [line[31:] for line in lines] == (text.split(b"\n")[:-1] if text.endswith(b"\n") else text.split(b"\n"))[
            : len(lines)
        ]
    finally:
        os.close(fd)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 300)), max_size=40), st.integers(-1, 60), st.booleans())
def test_find_line_since__any_log__first_line_not_before(tmp_path_factory, lines, since, is_finished):
    path = tmp_path_factory.mktemp("log") / "log"
    clock, starts = Clock(), []
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
    try:
        writer = LogWriter(fd, clock)
        for gap, length in lines:
            clock.now += gap * 1_000_000_000
            starts.append(((clock.now - NOON) // 1_000_000_000, os.fstat(fd).st_size))
            writer.feed(b"x" * length + b"\n")
        if lines and not is_finished:
            os.ftruncate(fd, os.fstat(fd).st_size - 1)
        size = os.fstat(fd).st_size
        second = datetime.fromtimestamp(NOON // 1_000_000_000 + since, UTC).strftime("%Y-%m-%dT%H:%M:%S").encode()
        expected = next((at for when, at in starts if when >= since), None)
        found = find_line_since(fd, second)
        assert found == ((expected, False) if expected is not None else (size, bool(lines) and not is_finished))
    finally:
        os.close(fd)


def test_even_clock__clock_on_the_wall_is_set__goes_on_evenly():
    wall, passed = NOON, 0
    clock = EvenClock(lambda: wall, lambda: passed)
    wall, passed = wall - 3_600_000_000_000, passed + 1_000_000_000
    assert clock() == NOON + 1_000_000_000
