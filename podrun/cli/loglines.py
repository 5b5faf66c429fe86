"""Prints a log's items as lines: `[task] text`, or `[task/container] text`; of all escape sequences only colours."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import TextIO

from podrun.cli.escape import RESET, Sanitizer, plain
from podrun.cli.output import note, print_item
from podrun.types import LogItem

_Source = tuple[str, int, str]


@dataclass(slots=True)
class LinePrinter:
    """Prints lines as they come. A long line comes in pieces, and pieces of another source may come between."""

    prefix: bool  #: put `[task] ` or `[task/container] ` before each line
    timestamps: bool = False
    as_json: bool = False
    flush: bool = True  #: for a follower, who must see each line at once
    out: TextIO = field(default_factory=lambda: sys.stdout)
    _unfinished: dict[_Source, Sanitizer] = field(default_factory=dict)
    _open: _Source | None = None  #: whose line the cursor stands in

    def take(self, item: LogItem) -> None:
        """Print one item. An end is for the caller."""
        kind = item.get("type")
        if kind == "end":
            self.close()
        elif self.as_json:
            print_item(item)
        elif kind == "gap":
            self.close()
            where = f" of {plain(item['task'])}" if item.get("task") else ""
            note(f"-- lines of the log{where} may be missing here: {plain(item.get('reason'))}")
        else:
            self._line(item)

    def close(self) -> None:
        """End a line that is still open."""
        if self._open is not None:
            self.out.write("\n")
            self._open = None
        self.out.flush()

    def _line(self, item: LogItem) -> None:
        source = (item.get("task", ""), item.get("attempt", 0), item.get("container", ""))
        if self._open != source:
            if self._open is not None:
                self.out.write("\n")
            self.out.write(self._head(item))
        sanitizer = self._unfinished.pop(source, None) or Sanitizer()
        partial = bool(item.get("partial"))
        # The runtime keeps the carriage return of a program that ends its lines with one.
        text = item.get("text", "")
        text = sanitizer.feed(text if partial else text.removesuffix("\r"))
        if partial:
            self._unfinished[source] = sanitizer
            self._open = source
        else:
            text += sanitizer.finish()
            # With a prefix the next line may be another task's.
            text += RESET if sanitizer.coloured and self.prefix else ""
            text += "\n"
            self._open = None
        self.out.write(text)
        if self.flush:
            self.out.flush()

    def _head(self, item: LogItem) -> str:
        time = plain(item.get("time")) + " " if self.timestamps else ""
        container = plain(item.get("container"))
        source = plain(item.get("task")) + (f"/{container}" if container not in {"", "main"} else "")
        return time + (f"[{source}] " if self.prefix else "")
