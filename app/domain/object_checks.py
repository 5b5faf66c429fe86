"""What the checks of Kubernetes' objects share: lists of objects, texts under a key, one of several keys."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from app.domain.errors import Fault
from app.domain.kubernetes_schema import schema_faults
from app.domain.pointers import either, pointer, shown, under

#: Why a text is wrong, None where it is right.
TextCheck = Callable[[str], str | None]


def items_faults(value: object, definition: str, more: Callable[[dict[str, Any]], Iterable[Fault]]) -> Iterator[Fault]:
    """Faults of a list of Kubernetes objects: of the list, of each item's shape, and `more` of each item."""
    if not isinstance(value, list):
        yield Fault("", f"must be a list, not {shown(value)}")
        return
    for index, item in enumerate(value):
        yield from under(pointer(index), schema_faults(definition, item))
        if isinstance(item, dict):
            yield from under(pointer(index), more(item))


def text_faults(owner: dict[str, Any], key: str, check: TextCheck) -> Iterator[Fault]:
    """The fault of a text whose presence the schema sees to."""
    text = owner.get(key)
    if isinstance(text, str) and (fault := check(text)):
        yield Fault(pointer(key), fault)


def optional_text_faults(owner: dict[str, Any], key: str, check: TextCheck) -> Iterator[Fault]:
    """The fault of a text that may be missing or empty."""
    if owner.get(key):
        yield from text_faults(owner, key, check)


def needed_text_faults(owner: dict[str, Any], key: str, check: TextCheck) -> Iterator[Fault]:
    """The fault of a text that the API server requires although the schema does not."""
    if owner.get(key) is None:
        yield Fault("", f"the key {shown(key)} is required")
    yield from text_faults(owner, key, check)


def one_of_faults(owner: dict[str, Any], keys: tuple[str, ...]) -> Iterator[Fault]:
    """Faults of an object that must have exactly one of some keys."""
    given = [key for key in keys if owner.get(key) is not None]
    if not given:
        yield Fault("", f"must have one of {either(keys)}")
    for key in given[1:]:
        yield Fault(pointer(key), f"must not stand beside {shown(given[0])}: one of {either(keys)}")


def choice(*values: str) -> TextCheck:
    """A check for one of some words."""
    return lambda text: None if text in values else f"must be {either(values)}, not {shown(text)}"
