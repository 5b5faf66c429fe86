"""How much JavaScript the page sends: all of it, and what the first view needs."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

from benchmarks.measuring import table
from tests.support.chromium import PAGE_FILES

GOAL_BYTES = 350_000
_CODINGS = {"brotli": ".br", "gzip": ".gz"}


def measure_size() -> str:
    """A table: each script's size as it is, with brotli and with gzip."""
    scripts = sorted((PAGE_FILES / "assets").glob("*.js"), key=lambda path: -path.stat().st_size)
    rows = [[path.name, *map(_kilobytes, _sizes(path))] for path in scripts]
    totals = [sum(sizes) for sizes in zip(*map(_sizes, scripts), strict=True)]
    styles = [sum(sizes) for sizes in zip(*map(_sizes, (PAGE_FILES / "assets").glob("*.css")), strict=True)]
    rows.append(["**all JavaScript**", *(f"**{_kilobytes(size)}**" for size in totals)])
    first = [_sizes(path) for path in scripts if _is_first(path)]
    rows.append(["of it before any view", *(_kilobytes(sum(sizes)) for sizes in zip(*first, strict=True))])
    rows.append(["all style sheets", *map(_kilobytes, styles)])
    return table(f"JavaScript (goal: at most {GOAL_BYTES // 1000} kB compressed)", ("file", "as it is", *_CODINGS), rows)


def _sizes(path: Path) -> list[int]:
    return [path.stat().st_size, *(_compressed(path, coding, suffix) for coding, suffix in _CODINGS.items())]


def _compressed(path: Path, coding: str, suffix: str) -> int:
    """Its size as the service sends it: a file too small to gain by a coding has no twin."""
    twin = path.with_name(path.name + suffix)
    if twin.is_file():
        return twin.stat().st_size
    return len(gzip.compress(path.read_bytes())) if coding == "gzip" else path.stat().st_size


def _is_first(path: Path) -> bool:
    """Whether index.html names it."""
    return bool(re.search(rf"/assets/{re.escape(path.name)}\b", (PAGE_FILES / "index.html").read_text()))


def _kilobytes(size: int) -> str:
    return f"{size / 1000:.1f} kB"
