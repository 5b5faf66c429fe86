"""Reads the JSON that strangers send: strict, and safe before it is parsed.

Refused, beside what is no JSON: NaN and Infinity, which Python's parser would take; a key twice in one object, of which parsers
keep one or the other; nesting that would exhaust a stack; text that is not UTF-8.
"""

from __future__ import annotations

import json
import re
from itertools import accumulate
from typing import Any, NoReturn

from app.domain.errors import MalformedDocument
from app.domain.json_values import MAX_DEPTH
from app.domain.pointers import shown

#: A string, or one that never ends: it must swallow the rest, or each later quote would be tried as a beginning.
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)
_NO_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")
_STEPS = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}


def check_depth(text: bytes, limit: int = MAX_DEPTH) -> None:
    """Raise MalformedDocument if the JSON is nested deeper than `limit`. Nothing is parsed, and nothing recurs."""
    if text.count(b"[") + text.count(b"{") <= limit:
        return
    brackets = _STRING.sub(b"", text).translate(None, _NO_BRACKETS)
    if max(accumulate(map(_STEPS.__getitem__, brackets)), default=0) > limit:
        raise MalformedDocument(f"the JSON is nested deeper than {limit} levels")


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
