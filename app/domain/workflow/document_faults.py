"""From pydantic's errors to faults: RFC 6901 pointers, and sentences that say what would be right."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from pydantic import ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from app.domain.errors import Fault
from app.domain.faults import first_faults
from app.domain.kubernetes.schema import unknown_key
from app.domain.pointers import pointer, shown, under

#: Keys and indices that lead to a place in the document.
Loc = tuple[int | str, ...]

_FAULTS = "faults"


def refuse(faults: Iterable[Fault]) -> None:
    """Fail a pydantic validator with these faults, as many as are told, if there are any."""
    if found := tuple(first_faults(faults)):
        raise PydanticCustomError(_FAULTS, "is not valid", {_FAULTS: found})


def list_faults(value: object, *, at_least: int, at_most: int) -> Iterator[Fault]:
    """Faults of a list that no model reads, as those of the models are told."""
    if not isinstance(value, list):
        hint = f": write [{shown(value)}]" if isinstance(value, str) else ""
        yield Fault("", f"must be a list, not {shown(value)}{hint}")
    elif len(value) < at_least:
        yield Fault("", f"must have at least {at_least} item, not {len(value)}")
    elif len(value) > at_most:
        yield Fault("", f"must have at most {at_most:,} items, not {len(value):,}")


def model_faults(error: ValidationError, known_keys: Callable[[Loc], tuple[str, ...]]) -> Iterator[Fault]:
    """What pydantic found wrong with a document, with pointers from its root.

    Args:
        error: as raised.
        known_keys: the keys that the object which `loc` leads to may have.
    """
    for found in error.errors(include_url=False):
        place = pointer(*found["loc"])
        if found["type"] == _FAULTS:
            yield from under(place, found["ctx"][_FAULTS])
        elif found["type"] == "missing":
            yield Fault(pointer(*found["loc"][:-1]), f"the key {shown(found['loc'][-1])} is required")
        elif found["type"] == "extra_forbidden":
            yield Fault(place, unknown_key(str(found["loc"][-1]), known_keys(found["loc"][:-1])))
        elif not _is_said_elsewhere(found):
            yield Fault(place, _sentence(found))


def _is_said_elsewhere(found: ErrorDetails) -> bool:
    """Whether an error is none of its own: a key that is no text is no JSON; wrong items make no list too short."""
    if found["type"] == "too_short":
        return bool(len(found["input"]) >= found["ctx"]["min_length"])
    return found["type"] == "invalid_key"


#: By pydantic's kind of error; formatted with what it tells.
_SENTENCES = {
    "string_type": "must be a string",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "bool_type": "must be true or false",
    "tuple_type": "must be a list",
    "list_type": "must be a list",
    "model_type": "must be an object",
    "dict_type": "must be an object",
    "greater_than": "must be greater than {gt:.12g}",
    "greater_than_equal": "must be at least {ge:.12g}",
    "less_than_equal": "must be at most {le:,.12g}",
    "string_too_short": "must have at least {min_length:,} character",
    "string_too_long": "must have at most {max_length:,} characters",
    "literal_error": "must be {expected}",
}


def _sentence(found: ErrorDetails) -> str:
    kind, value, told = found["type"], found["input"], found.get("ctx", {})
    if kind == "too_short":
        return f"must have at least {told['min_length']} item, not {len(value)}"
    if kind == "too_long":
        return f"must have at most {told['max_length']:,} items, not {len(value):,}"
    if kind not in _SENTENCES:
        return f"{found['msg']}: {shown(value)}"
    wanted = _SENTENCES[kind].format(**told).replace("'", '"')
    hint = f": write [{shown(value)}]" if kind in ("tuple_type", "list_type") and isinstance(value, str) else ""
    return f"{wanted}, not {f'{len(value):,}' if kind.startswith('string_too') else shown(value)}{hint}"
