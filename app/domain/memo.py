"""Checks of values that come again: ten thousand tasks with the same resources cost one check."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from app.domain.errors import Fault
from app.domain.faults import first_faults

#: The faults of one value, with pointers relative to it.
Check = Callable[[Any], Iterable[Fault]]

_MEMO_VALUES = 4096
_MEMO_BYTES = 4096  #: of one value; larger ones are checked each time
_memo: dict[tuple[Check, bytes], tuple[Fault, ...]] = {}


def faults_of(check: Check, value: object) -> tuple[Fault, ...]:
    """The faults that a check finds, as many as are told.

    Equal values are checked once: ten thousand tasks with the same resources cost one.
    """
    try:
        key = (check, msgspec.msgpack.encode(value))
    except (TypeError, ValueError, OverflowError, RecursionError):
        return tuple(first_faults(check(value)))
    found = _memo.get(key)
    if found is None:
        found = tuple(first_faults(check(value)))
        if len(key[1]) <= _MEMO_BYTES:
            if len(_memo) >= _MEMO_VALUES:
                _memo.clear()
            _memo[key] = found
    return found
