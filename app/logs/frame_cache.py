"""Frames of lines that many readers of one log are given: made once, and kept as long as there is room."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from app.logs.frames import Lines
from app.logs.spans import Span

#: Small spans are not worth it: those of many tasks are put together in one frame.
SHARED_BYTES = 4096
#: What a line takes in memory, as a value and as JSON, beside its bytes, which are there twice.
_LINE_BYTES = 900

_Name = tuple[int, int, int, str, int]


def is_shared(span: Span) -> bool:
    """Whether the span's frames depend on nothing but the span: it ends with a line, so nothing of it may be held back."""
    return len(span.text) >= SHARED_BYTES and span.text.endswith(b"\n")


class FrameCache:
    """The frames of the spans that were read last, up to a size."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._frames: OrderedDict[_Name, tuple[Sequence[Lines], int]] = OrderedDict()
        self._bytes = 0

    def find(self, span: Span) -> Sequence[Lines] | None:
        """The span's frames, None where they are to be made."""
        found = self._frames.get(_name(span))
        if found is None:
            return None
        self._frames.move_to_end(_name(span))
        return found[0]

    def keep(self, span: Span, frames: Sequence[Lines]) -> None:
        """Keep all frames of the span."""
        size = 2 * len(span.text) + _LINE_BYTES * len(span.times)
        if _name(span) not in self._frames:
            self._frames[_name(span)] = (frames, size)
            self._bytes += size
        while self._bytes > self._max_bytes and self._frames:
            self._bytes -= self._frames.popitem(last=False)[1][1]


def _name(span: Span) -> _Name:
    # A log's number may come again when the log is deleted; its times do not.
    return (span.log.log_id, span.first_byte, span.end_byte, span.prefix, span.times[-1] if span.times else 0)
