"""What no document may hold, whatever key it stands under: values that are not JSON, or that nothing behind us can take."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Final

from app.domain.errors import Fault
from app.domain.faults import are_too_many, first_faults
from app.domain.pointers import pointer, shown

MAX_DEPTH = 100  #: levels of nesting
#: Of all the keys together that lead to a value: each thing that is said of the value repeats them.
MAX_PATH: Final = 4096
_TOO_DEEP: Final = f"is nested deeper than {MAX_DEPTH} levels"
_TOO_LONG: Final = f"the keys that lead to a value may have {MAX_PATH:,} characters in all, and these have more"

#: A path from the root, newest first: (parent's path, key or index).
_Path = tuple[Any, str | int] | None


def _pointer(path: _Path) -> str:
    found: list[str | int] = []
    while path is not None:
        path, token = path
        found.append(token)
    return pointer(*reversed(found))


def _text_fault(text: str) -> str | None:
    if "\0" in text:
        return "must not hold a NUL character: no process and no database takes it"
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            return "must be Unicode text: it holds half of a surrogate pair"
    return None


def _scalar_fault(value: object) -> str | None:
    if isinstance(value, str):
        return _text_fault(value)
    if value is None or isinstance(value, bool | int):
        return None
    if isinstance(value, float):
        return None if math.isfinite(value) else f"must be a finite number, not {shown(value)}"
    return f"must be a JSON value, not a {type(value).__name__}"


def first_json_faults(document: object) -> tuple[list[Fault], bool]:
    """As much as is told of what is not JSON in a document, and whether anything else can be asked of it."""
    faults = first_faults(json_faults(document))
    return faults, not are_too_many(faults) and not any(fault.detail in (_TOO_DEEP, _TOO_LONG) for fault in faults)


def json_faults(document: object) -> Iterator[Fault]:
    """Everything in the document that is not JSON: NaN, other types, keys that are no text; NUL; nested too deeply."""
    if not isinstance(document, dict | list):
        if fault := _scalar_fault(document):
            yield Fault("", fault)
        return
    yield from _keys_faults(document, None, MAX_PATH)
    #: Of each container on the way to where we are: its path, the length of that, and what of it is still to come.
    open_ones: list[tuple[_Path, int, Iterator[tuple[Any, Any]]]] = [(None, 0, _children(document))]
    while open_ones:
        path, length, children = open_ones[-1]
        for key, child in children:
            if not isinstance(child, dict | list):
                if fault := _scalar_fault(child):
                    yield Fault(_pointer((path, key)), fault)
                continue
            longer = length + len(key) if isinstance(key, str) else length
            if longer > MAX_PATH:
                continue  # its key has been told of
            if len(open_ones) == MAX_DEPTH:
                yield Fault(_pointer((path, key)), _TOO_DEEP)
                continue
            yield from _keys_faults(child, (path, key), MAX_PATH - longer)
            open_ones.append(((path, key), longer, _children(child)))
            break
        else:
            open_ones.pop()


def _children(container: dict[Any, Any] | list[Any]) -> Iterator[tuple[Any, Any]]:
    """Keys or indices, and values; those left out that are plain text, as most are."""
    children = container.items() if isinstance(container, dict) else enumerate(container)
    return ((key, child) for key, child in children if type(child) is not str or not child.isascii() or "\0" in child)


def _keys_faults(container: dict[Any, Any] | list[Any], path: _Path, room: int) -> Iterator[Fault]:
    """Faults of an object's keys, of which none may have more characters than there is room for."""
    for key in container if isinstance(container, dict) else ():
        if not isinstance(key, str):
            yield Fault(_pointer(path), f"keys must be strings, not {shown(key)}")
        elif len(key) > room:
            yield Fault(_pointer(path), _TOO_LONG)
        elif fault := _text_fault(key):
            yield Fault(_pointer(path), f"the key {shown(key)} {fault}")
