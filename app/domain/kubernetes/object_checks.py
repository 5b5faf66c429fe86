"""What the checks of Kubernetes' objects share: lists of objects, texts and numbers under a key, one of several keys."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from app.domain.errors import Fault
from app.domain.kubernetes.schema import schema_faults
from app.domain.pointers import either, pointer, shown, under

#: Why a text is wrong, None where it is right.
TextCheck = Callable[[str], str | None]

#: The faults of one object, with pointers relative to it.
ObjectCheck = Callable[[dict[str, Any]], Iterable[Fault]]


#: The faults of one value of any type, with pointers relative to it. What has the wrong type is passed over: the schema tells.
ValueCheck = Callable[[Any], Iterable[Fault]]


def is_templated(value: object) -> bool:
    """Whether a value is a text with an expression in it, so that what it will be is not known yet."""
    return isinstance(value, str) and "${{" in value


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


def each_faults(owner: dict[str, Any], key: str, check: ObjectCheck) -> Iterator[Fault]:
    """What a check finds in each object of a list under a key."""
    items = owner.get(key)
    for index, item in enumerate(items if isinstance(items, list) else ()):
        if isinstance(item, dict):
            yield from under(pointer(key, index), check(item))


def inner_faults(owner: dict[str, Any], key: str, check: ObjectCheck) -> Iterator[Fault]:
    """What a check finds in the object under a key."""
    if isinstance(owner.get(key), dict):
        yield from under(pointer(key), check(owner[key]))


def filled_faults(owner: dict[str, Any], *keys: str) -> Iterator[Fault]:
    """Faults of texts and lists that the API server requires to hold something."""
    for key in keys:
        if owner.get(key) is None:
            yield Fault("", f"the key {shown(key)} is required")
        elif owner[key] in ("", []):
            yield Fault(pointer(key), "must not be empty")


def range_faults(owner: dict[str, Any], key: str, least: int, most: int | None) -> Iterator[Fault]:
    """The fault of a whole number that is out of range; `most` None: without an upper bound."""
    value = owner.get(key)
    if not isinstance(value, int) or isinstance(value, bool):
        return
    if most is None and value < least:
        yield Fault(pointer(key), f"must be at least {least}, not {shown(value)}")
    elif most is not None and not least <= value <= most:
        yield Fault(pointer(key), f"must be between {least} and {most}, not {shown(value)}")


def again_faults(items: object, *names: str) -> Iterator[Fault]:
    """Faults of items of a list that have what an earlier item has already; `names` are the keys that tell them apart."""
    taken: set[tuple[Any, ...]] = set()
    for index, item in enumerate(items if isinstance(items, list) else ()):
        values = tuple(item.get(name) for name in names) if isinstance(item, dict) else ()
        if not values or not all(isinstance(value, str | int) and not is_templated(value) for value in values):
            continue
        if values in taken:
            told = " and ".join(shown(value) for value in values)
            yield Fault(pointer(index, names[0]), f"{told} is taken by an earlier item already: must be unique")
        taken.add(values)


def by_key_faults(owner: Mapping[str, Any], checks: Mapping[str, ValueCheck]) -> Iterator[Fault]:
    """What the checks of an object's keys find."""
    for key, value in owner.items():
        if value is not None and key in checks:
            yield from under(pointer(key), checks[key](value))


def text_check(check: TextCheck) -> ValueCheck:
    """A check of a text that may be empty."""

    def faults(value: object) -> Iterator[Fault]:
        if isinstance(value, str) and value and (fault := check(value)):
            yield Fault("", fault)

    return faults


def object_check(check: ObjectCheck) -> ValueCheck:
    """A check of an object."""
    return lambda value: check(value) if isinstance(value, dict) else ()


def items_check(check: ObjectCheck, *unique: str) -> ValueCheck:
    """A check of each object of a list; `unique` are keys whose values, taken together, no two items share."""

    def faults(value: object) -> Iterator[Fault]:
        for index, item in enumerate(value if isinstance(value, list) else ()):
            if isinstance(item, dict):
                yield from under(pointer(index), check(item))
        if unique:
            yield from again_faults(value, *unique)

    return faults


def choice(*values: str) -> TextCheck:
    """A check for one of some words."""
    return lambda text: None if text in values else f"must be {either(values)}, not {shown(text)}"
