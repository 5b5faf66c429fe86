"""What evaluator and worker say to each other, through the worker's standard input and output: JSON behind its length."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, BinaryIO, Final, TypeVar

import msgspec

_Value = TypeVar("_Value")

HEADER_BYTES: Final = 4
#: The worker's first frame: it can take requests.
READY: Final = b"ready"
#: The worker's exit code when its memory was used up.
EXIT_NO_MEMORY: Final = 75
#: How many contexts the worker keeps. Both sides count alike, so the evaluator knows what the worker still has.
_CONTEXTS_KEPT: Final = 4
_SHOWN_SOURCE: Final = 120


class Request(msgspec.Struct, array_like=True):
    """Expressions to evaluate, once or for each item."""

    sources: list[str]
    condition: str | None
    context_key: str
    brings_context: bool  #: the next frame is the context; else the worker still has it
    items: list[Any] | None  #: None: once, without `item`
    cpu_seconds: float  #: for one item's expressions


class Outcome(msgspec.Struct, array_like=True):
    """What came of one item: `failure`, or values."""

    failure: str | None = None
    condition: Any = None
    values: list[Any] | None = None  #: one for each source; None where the condition is false


class Reply(msgspec.Struct, array_like=True):
    """The outcomes of the first items, at least one: the worker stops where it took long, or the answer grew large."""

    outcomes: list[msgspec.Raw]


def shortened(source: str) -> str:
    """An expression as a message repeats it."""
    line = " ".join(source.split())
    return line if len(line) <= _SHOWN_SOURCE else f"{line[:_SHOWN_SOURCE]}…"


def header(length: int) -> bytes:
    """What stands before a payload of so many bytes."""
    return length.to_bytes(HEADER_BYTES, "big")


def read_frame(stream: BinaryIO) -> bytes | None:
    """The next payload; None at the stream's end. Blocks."""
    header = stream.read(HEADER_BYTES)
    if len(header) < HEADER_BYTES:
        return None
    length = int.from_bytes(header, "big")
    payload = stream.read(length)
    return payload if len(payload) == length else None


class RecentContexts(OrderedDict[str, _Value]):
    """The contexts that were used last, by key."""

    def use(self, key: str) -> bool:
        """Whether the key is here; it counts as used."""
        if key not in self:
            return False
        self.move_to_end(key)
        return True

    def keep(self, key: str, value: _Value) -> None:
        """Keep one more; the oldest goes."""
        self[key] = value
        while len(self) > _CONTEXTS_KEPT:
            self.popitem(last=False)
