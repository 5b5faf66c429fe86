"""Reads the JSON that strangers send: strict, and safe before it is parsed.

Refused, beside what is no JSON: NaN and Infinity, which Python's parser would take; a key twice in one object, of which parsers
keep one or the other; nesting that would exhaust a stack; text that is not UTF-8.
"""

from __future__ import annotations

import json
from itertools import accumulate
from typing import Any, NoReturn

from app.domain.errors import MalformedDocument
from app.domain.json_values import MAX_DEPTH
from app.domain.pointers import shown

#: All that is left of a text to count its depth: brackets, and the quotes that tell which of them stand in strings.
_NOT_TOLD = bytes(byte for byte in range(256) if byte not in b'[]{}"')
_STEPS = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
_PART_BYTES = 65_536  #: brackets counted in one go, between which other threads have their turn


def check_depth(text: bytes, limit: int = MAX_DEPTH) -> None:
    """Raise MalformedDocument if the JSON is nested deeper than `limit`. Nothing is parsed, and nothing recurs.

    Takes few passes over the bytes, each a few milliseconds for megabytes: a pass holds up all threads.
    """
    if text.count(b"[") + text.count(b"{") <= limit:
        return
    if b"\\" in text:  # escaped quotes end no string; outside of strings a backslash ends the parsing, whatever follows
        text = text.replace(b"\\\\", b"").replace(b'\\"', b"")
    # Two quotes side by side change nothing for what comes behind them; most strings are just that here.
    told = text.translate(None, _NOT_TOLD).replace(b'""', b"")
    brackets = b"".join(told.split(b'"')[::2])
    depth = 0
    for start in range(0, len(brackets), _PART_BYTES):
        depths = list(accumulate(map(_STEPS.__getitem__, brackets[start : start + _PART_BYTES]), initial=depth))
        if max(depths) > limit:
            raise MalformedDocument(f"the JSON is nested deeper than {limit} levels")
        depth = depths[-1]


def parse_json(text: bytes) -> Any:
    """The value of a JSON text.

    Raises:
        MalformedDocument: it is none, by the rules above; the message says where.
    """
    check_depth(text)
    try:
        return json.loads(text.decode(), parse_constant=_refuse_constant, object_pairs_hook=_unique)
    except UnicodeDecodeError as error:
        raise MalformedDocument(f"the body is not UTF-8: byte {error.start} ({error.reason})") from error
    except json.JSONDecodeError as error:
        raise MalformedDocument(f"the body is not JSON: {error}") from error
    except ValueError as error:  # a number of thousands of digits
        raise MalformedDocument(f"the body is not JSON that can be read: {error}") from error


def _refuse_constant(name: str) -> NoReturn:
    raise MalformedDocument(f"the body is not JSON: {name} is no JSON number")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]  # add() is None
        raise MalformedDocument(f"the key {shown(twice)} stands twice in one object")
    return found
