"""Writes to standard output and error: aligned columns, JSON, notes.

Text from a server is made safe before it comes here, or in here; colours of our own only go to a terminal.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, TextIO

from podrun.cli.escape import plain

_COLOURS = {
    "Succeeded": "32",
    "Failed": "31",
    "Error": "31",
    "Omitted": "33",
    "Cancelled": "33",
    "Cancelling": "33",
    "Running": "36",
}


def print_line(text: str, *, out: TextIO | None = None) -> None:
    """Print one line of safe text, at once."""
    stream = out or sys.stdout
    stream.write(text + "\n")
    stream.flush()


def note(text: str) -> None:
    """Say something to the person: on standard error, never part of the result."""
    print_line(text, out=sys.stderr)


def print_document(document: Any) -> None:
    """Print one JSON document. Only ASCII: no character of it can control a terminal."""
    print_line(json.dumps(document, indent=2))


def print_item(item: Any) -> None:
    """Print one JSON line of a stream."""
    print_line(json.dumps(item, separators=(",", ":")))


def print_columns(rows: Sequence[Sequence[str]], *, phase_column: int | None = None) -> None:
    """Print rows of safe text in aligned columns, the first being the heading."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for number, row in enumerate(rows):
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        if phase_column is not None and number:
            cells[phase_column] = paint(row[phase_column], cells[phase_column])
        print_line("  ".join(cells).rstrip())


def paint(phase: str, text: str | None = None, *, out: TextIO | None = None) -> str:
    """`text` (by default the phase itself) in the phase's colour, where it goes to a terminal that may be coloured."""
    text = phase if text is None else text
    colour = _COLOURS.get(phase)
    stream = out or sys.stdout
    return f"\x1b[{colour}m{text}\x1b[0m" if colour and stream.isatty() and not os.environ.get("NO_COLOR") else text


def why(thing: Any) -> str:
    """`Reason: message` of a run, task, attempt or event, as far as it has them."""
    return ": ".join(part for part in (plain(thing.get("reason")), plain(thing.get("message"))) if part)


def duration(started_at: str | None, finished_at: str | None) -> str:
    """How long something took or has taken until now, for a person; empty if it has not started."""
    start = _moment(started_at)
    if start is None:
        return ""
    seconds = ((_moment(finished_at) or datetime.now(UTC)) - start).total_seconds()
    if seconds < 60:
        return f"{max(seconds, 0.0):.1f}s"
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02}m{seconds:02}s" if hours else f"{minutes}m{seconds:02}s"


def _moment(text: str | None) -> datetime | None:
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
