"""Where in a part of the document expressions stand, and which faults can't be known because of them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple, cast

import msgspec

from app.domain.errors import Fault, InvalidTemplate
from app.domain.expressions.templates import OPENING, Expression, parse
from app.domain.pointers import pointer, shown, tokens

#: What no text can be: a string in which an expression is only a part stays one, whatever its value.
_NO_TEXT = re.compile(r"must be (exactly one expression|a number|a whole number|true or false|a list|an object)\b")
_STATIC = "no expression may stand here: it must be known when the workflow is posted"


def may_hold_expressions(value: object) -> bool:
    """Whether an expression may stand anywhere in a value, keys included; fast where there is none."""
    try:
        return OPENING.encode() in msgspec.json.encode(value)
    except (TypeError, ValueError, OverflowError, RecursionError):
        return True


class Placed(NamedTuple):
    """An expression where it stands."""

    pointer: str  #: of the text that it stands in
    key: str  #: the first step to it
    inner: str | None  #: the second one
    source: str


class Placeholders:
    """The expressions in one object of the document (a task, the defaults, ...), with pointers from it."""

    def __init__(self, value: Mapping[str, Any], *, static: Collection[str] = ()) -> None:
        """Find them in `value`; none may stand in its keys `static`."""
        self.found: list[Placed] = []
        self._faults: list[Fault] = []
        self._places: dict[str, bool] = {}  #: texts with expressions, and whether one is all of the text
        for path, text in _texts(value, ()):
            self._add(path, text, static)

    def _add(self, path: tuple[str | int, ...], text: str | None, static: Collection[str]) -> None:
        place = pointer(*path)
        if text is None:
            self._faults.append(Fault(place, "no expression may stand in a key, only in a value"))
            return
        self._places[place] = True
        if path[0] in static:
            self._faults.append(Fault(place, _STATIC))
            return
        try:
            parts = parse(text)
        except InvalidTemplate as error:
            self._faults.append(Fault(place, str(error)))
            return
        self._places[place] = len(parts) == 1
        key, inner = str(path[0]), str(path[1]) if len(path) > 1 else None
        self.found.extend(Placed(place, key, inner, part.source) for part in parts if isinstance(part, Expression))

    def faults(self) -> Sequence[Fault]:
        """Expressions that do not end, and those at places where none may stand."""
        return self._faults

    def known(self, faults: Iterable[Fault]) -> Iterator[Fault]:
        """Those of the faults, found in the text as it is written, that stand whatever the expressions' values are."""
        return (fault for fault in faults if self._is_known(fault))

    def _is_known(self, fault: Fault) -> bool:
        if not self._places:
            return True
        if fault.pointer in self._places:
            if _is_about_key(fault):
                return True
            return not self._places[fault.pointer] and _NO_TEXT.match(fault.detail) is not None
        parent = fault.pointer.rpartition("/")[0]
        takes_part = (*self._children.get(parent, ()), *self._children.get(fault.pointer, ()))
        return not any(f'"{key}"' in fault.detail or f"the {key} is" in fault.detail for key in takes_part)

    @cached_property
    def _children(self) -> dict[str, list[str]]:
        """Keys of the texts with expressions, by the object that they stand in."""
        found: dict[str, list[str]] = {}
        for place in self._places:
            parent, _, _ = place.rpartition("/")
            found.setdefault(parent, []).append(tokens(place)[-1])
        return found


def _is_about_key(fault: Fault) -> bool:
    """Whether a fault says that the key itself is wrong, which no value mends."""
    key = shown(tokens(fault.pointer)[-1]) if fault.pointer else ""
    return bool(key) and fault.detail.startswith((f"unknown key {key}", f"{key} "))


def _texts(node: object, path: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], str | None]]:
    """The way to each text with expressions, and the text; None where they stand in a key."""
    children: Iterable[tuple[str | int, Any]]
    if isinstance(node, dict):
        children = node.items()
        for key in node:
            if OPENING in str(key):
                yield (*path, str(key)), None
    else:
        children = enumerate(cast("list[Any]", node))
    for step, child in children:
        if isinstance(child, str):
            if OPENING in child:
                yield (*path, step), child
        elif isinstance(child, dict | list):
            yield from _texts(child, (*path, step))
