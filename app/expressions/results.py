"""What an expression may give: JSON that a document may hold, and not too much of it."""

from __future__ import annotations

import math
import re
from typing import Any, Final

import msgspec

from app.domain.expressions.cel_functions import INT64_MAX, INT64_MIN

MAX_RESULT_BYTES: Final = 64 * 1024
MAX_LIST_BYTES: Final = 1024 * 1024
MAX_DEPTH: Final = 100
#: A map of CEL has no order: sorted, the same expression gives the same text, in every process.
_encode = msgspec.json.Encoder(order="deterministic").encode
_PLAIN: Final = (str, bool, type(None))
#: Nineteen digits in a row are the least that might not fit into 64 bits.
_MANY_DIGITS: Final = re.compile(rb"\d{19}")

_KINDS: Final = {
    "datetime": "a timestamp: string(…) makes it a string",
    "timedelta": "a duration: string(…) makes it a string",
    "bytes": "bytes: string(…) or base64 makes them a string",
    "bytearray": "bytes: string(…) makes them a string",
    "Type": "a type: string(…) can't show it, compare it instead",
}


class BadResult(Exception):
    """The result can't be used; the text goes on after "the expression x"."""


def encode_result(value: Any) -> bytes:
    """The result as JSON.

    Raises:
        BadResult: it is no JSON, or there is too much of it.
    """
    if type(value) not in _PLAIN:
        _check(value)
    encoded = _encode(value)
    limit = MAX_LIST_BYTES if isinstance(value, list) else MAX_RESULT_BYTES
    if len(encoded) > limit:
        raise BadResult(f"gives {len(encoded)} bytes of JSON: at most {limit} are allowed")
    if b"\\u0000" in encoded:
        _check_text(value)
    return encoded


def _check(value: Any) -> None:
    """That there is only JSON in the value, at any depth."""
    stack: list[tuple[Any, int]] = [(value, 0)]
    while stack:
        node, depth = stack.pop()
        kind = type(node)
        if kind in _PLAIN:
            continue
        if kind is int:
            if not INT64_MIN <= node <= INT64_MAX:
                raise BadResult(f"gives {node}, which does not fit into 64 bits with a sign")
        elif kind is float:
            if not math.isfinite(node):
                raise BadResult(f"gives {node}, which is no number of JSON")
        elif kind is list or kind is dict:
            if depth == MAX_DEPTH:
                raise BadResult(f"gives a value that is nested deeper than {MAX_DEPTH} levels")
            if kind is dict and not all(type(key) is str for key in node):
                raise BadResult("gives a map whose keys are not all strings")
            stack.extend((child, depth + 1) for child in (node.values() if kind is dict else node) if type(child) not in _PLAIN)
        else:
            raise BadResult(f"gives {_KINDS.get(kind.__name__, f'a {kind.__name__}')}")


def _check_text(value: Any) -> None:
    stack = [value]
    while stack:
        node = stack.pop()
        if isinstance(node, str) and "\0" in node:
            raise BadResult("gives text with a NUL character: no process and no database takes it")
        if isinstance(node, dict):
            stack += [*node.keys(), *node.values()]
        elif isinstance(node, list):
            stack += node


def may_hold_big_integers(encoded: bytes) -> bool:
    """Whether the JSON could hold an integer that does not fit into 64 bits. Looks at bytes only."""
    return _MANY_DIGITS.search(encoded) is not None


def refuse_big_integers(name: str, value: Any) -> None:
    """CEL would take some of them for unsigned, and refuse others in its own words.

    Raises:
        BadResult: there is one in the value.
    """
    stack = [(name, value)]
    while stack:
        place, node = stack.pop()
        if type(node) is int and not INT64_MIN <= node <= INT64_MAX:
            raise BadResult(f"`{place}` is {node}, which does not fit into 64 bits: expressions can't use it")
        if isinstance(node, dict):
            stack += [(f"{place}.{key}", child) for key, child in node.items()]
        elif isinstance(node, list):
            stack += [(f"{place}[{index}]", child) for index, child in enumerate(node)]
