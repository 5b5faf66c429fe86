"""What is wrong with single keys of a task that the plan reads: trigger rule, condition, fan-out.

Every check gives the faults of one key's value, with pointers relative to it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from math import prod

import msgspec

from app.domain.errors import Fault, InvalidTemplate
from app.domain.expressions.templates import OPENING, source_alone
from app.domain.pointers import either, pointer, shown
from app.domain.suggestions import suggest_key
from app.domain.workflow.trigger_rules import TriggerRule

MAX_PARALLEL = 1_000_000  #: items of a fan-out at a time
MAX_TASKS = 10_000  #: of one workflow, items of fan-outs counted
MAX_ITEMS_BYTES = 16 * 1024 * 1024  #: of a fan-out's items as JSON: of named lists, each in every combination
TRIGGER_RULES = tuple(rule.value for rule in TriggerRule)

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
_INT64 = range(-(2**63), 2**63)


def name_fault(text: str) -> str | None:
    """Why a text can't be the name of a param, or of a list of `foreach`; None if it can."""
    if _NAME.fullmatch(text):
        return None
    return f"{shown(text)} is no name for an expression: at most 63 letters, digits and '_', not starting with a digit"


def whole_numbers_faults(value: object) -> Iterator[Fault]:
    """Whole numbers in a JSON value that are too large for an expression, which has 64 bits for them."""
    stack: list[tuple[object, str]] = [(value, "")]
    while stack:
        node, place = stack.pop()
        if isinstance(node, dict):
            stack.extend((child, place + pointer(key)) for key, child in node.items() if not isinstance(child, str))
        elif isinstance(node, list):
            stack.extend((child, f"{place}/{index}") for index, child in enumerate(node) if not isinstance(child, str))
        elif isinstance(node, int) and node not in _INT64:
            yield Fault(place, f"must be between -2^63 and 2^63-1, not {shown(node)}")


def trigger_rule_fault(text: str) -> str | None:
    """Why a text is no trigger rule, None if it is one."""
    if text in TRIGGER_RULES:
        return None
    if meant := suggest_key(text, TRIGGER_RULES):
        return f"there is no trigger rule {shown(text)}: did you mean {shown(meant)}?"
    return f"must be {either(TRIGGER_RULES)}, not {shown(text)}"


def when_faults(value: object) -> Iterator[Fault]:
    """Faults of `when`: true, false, or one expression."""
    if isinstance(value, bool) or _is_expression(value):
        return
    if isinstance(value, str) and OPENING in value:
        yield Fault("", f"must be exactly one expression, with nothing around it, not {shown(value)}")
        return
    hint = f": write {value}" if value in ("true", "false") else ""
    yield Fault("", f"must be true, false or one ${{{{ }}}} that gives a boolean, not {shown(value)}{hint}")


def foreach_faults(value: object) -> Iterator[Fault]:
    """Faults of `foreach`: a list, an object of lists, or an expression; a list in the object may be one, too."""
    if isinstance(value, dict):
        yield from _named_lists_faults(value)
    else:
        yield from _list_faults(value, "a list, an object of lists, or one ${{ }} that gives a list")
    count = static_count(value)
    if count is not None and (detail := items_fault(value, count)):
        yield Fault("", detail)
    else:
        yield from whole_numbers_faults(value)


def _named_lists_faults(value: dict[str, object]) -> Iterator[Fault]:
    if not value:
        yield Fault("", "must have at least one list")
    for name, items in value.items():
        if isinstance(name, str) and (fault := name_fault(name)):
            yield Fault(pointer(name), fault)
        for fault_ in _list_faults(items, "a list, or one ${{ }} that gives a list"):
            yield Fault(pointer(name), fault_.detail)


def _list_faults(value: object, wanted: str) -> Iterator[Fault]:
    if isinstance(value, str) and OPENING in value:
        if not _is_expression(value):
            yield Fault("", f"must be exactly one expression, with nothing around it, not {shown(value)}")
    elif not isinstance(value, list):
        yield Fault("", f"must be {wanted}, not {shown(value)}")


def static_count(value: object) -> int | None:
    """How many items a fan-out has, None where that is not known from the document."""
    if isinstance(value, list):
        return len(value)
    if isinstance(value, Mapping) and value and all(isinstance(items, list) for items in value.values()):
        return prod(len(items) for items in value.values())
    return None


def items_fault(lists: object, count: int) -> str | None:
    """Why a fan-out over these lists has too many items, or too large ones, None if it has not; `count`: of its items."""
    if count > MAX_TASKS:
        # Of lists of ten that are many the product has thousands of digits.
        return (
            f"must have at most {MAX_TASKS:,} items, not {count:,}"
            if count < 10**18
            else f"must have at most {MAX_TASKS:,} items"
        )
    if isinstance(lists, dict) and _combined_bytes(lists, count) > MAX_ITEMS_BYTES:
        return f"its items may have {MAX_ITEMS_BYTES // 2**20} MiB in all: each stands in every combination with the others"
    return None


def _combined_bytes(lists: Mapping[str, object], count: int) -> int:
    """How many bytes of JSON all combinations have, about; once there are too many, fewer."""
    found = 0
    for items in lists.values():
        if isinstance(items, list) and items:
            for item in items:
                found += _bytes_of(item) * (count // len(items))
                if found > MAX_ITEMS_BYTES:
                    return found
    return found


def _bytes_of(value: object) -> int:
    if value is None or isinstance(value, bool | int | float):
        return 8
    try:
        return len(value) if isinstance(value, str) else len(msgspec.json.encode(value))
    except (TypeError, ValueError, OverflowError, RecursionError):
        return 0  # it is no JSON, which is told elsewhere


def _is_expression(value: object) -> bool:
    """Whether a value is one expression and nothing else; one that does not end is told of elsewhere."""
    try:
        return isinstance(value, str) and source_alone(value) is not None
    except InvalidTemplate:
        return True
