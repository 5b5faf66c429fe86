"""What readers ask for and what they get: the values between `logs.reader` and whoever serves logs over HTTP."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, NamedTuple, Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class LogQuery:
    """Which lines of which logs. Where it begins is said by `cursor`, else by `from_line`, else by `tail`."""

    run_id: str
    task: str | None = None  #: None: of the whole run, in the order in which it was stored
    attempt: int | Literal["all"] | None = None  #: None: each task's last one now, and those that come after it
    container: str = "main"  #: "*": all containers
    tail: int | None = None  #: begin with the last so many lines
    limit: int | None = None  #: end after so many lines
    from_line: int | None = None  #: begin with that line, from 0 (of a whole run: of each log)
    cursor: str | None = None  #: go on behind it
    grep: str | None = None  #: only lines that hold these characters (as UTF-8 bytes)


class WakeUps(Protocol):
    """Tells when a log of the run may have grown: `storage.broker.Subscription`."""

    def clear(self) -> None:
        """From here on, wake me."""

    async def wait(self, timeout_seconds: float) -> bool:
        """Whether something happened since `clear`; False when the time is over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Follow:
    """How to wait for more.

    `is_over` is asked before each read of the index that might be the last: it says whether nothing more can come (all
    attempts are over and their logs sealed). One attempt's log of one container ends by itself when it is sealed.
    """

    wake: WakeUps
    is_over: Callable[[], Awaitable[bool]]


class LogLine(NamedTuple):
    """A line, or a piece of one that is too long for a frame."""

    cursor: str  #: behind this piece
    line: int  #: number in its log, from 0
    time_ns: int  #: since 1970, UTC
    task: str
    attempt: int
    container: str
    text: bytes  #: without the line feed
    partial: bool  #: the line goes on in the next object
    ends_with_newline: bool  #: False also of a last line without a line feed


@dataclass(frozen=True, slots=True)
class Lines:
    """Some lines, about 200 KiB of text at most; never empty. Many readers may be given the same ones: nobody changes them."""

    lines: list[LogLine]
    memo: dict[str, Any] = field(default_factory=dict, compare=False)  #: what was made of them, once for all readers


@dataclass(frozen=True, slots=True)
class Gap:
    """Lines may be missing here."""

    cursor: str
    from_at: datetime | None  #: time of the line before; None: nothing came before
    to_at: datetime | None  #: time of the line after; None: nothing came after
    reason: str
    task: str
    attempt: int
    container: str


@dataclass(frozen=True, slots=True)
class End:
    """The reader gave all there is. `cursor` is where it stands; `complete` is False where the query's limit ended it."""

    cursor: str
    complete: bool = True


LogFrame = Lines | Gap | End
