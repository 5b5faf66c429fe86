"""How much is told of what is wrong: all of it, up to more than anybody reads.

To tell of a mistake takes a hundred times what it takes to make it: a document of nothing but mistakes would cost more memory
than a service has. So checks find their faults one by one, and whoever gathers them stops when there are enough.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Final

from app.domain.errors import Fault

MOST_FAULTS: Final = 10_000
MOST_CHARACTERS: Final = 2 * 1024 * 1024  #: of their pointers and sentences together
_THERE_IS_MORE: Final = "more is wrong than is told here: mend this first"


def first_faults(faults: Iterable[Fault]) -> list[Fault]:
    """The faults, up to the first that is not told any more; the others are not looked for."""
    found: list[Fault] = []
    size = 0
    for fault in faults:
        found.append(fault)
        size += _size(fault)
        if len(found) > MOST_FAULTS or size > MOST_CHARACTERS:
            break
    return found


def are_too_many(faults: Sequence[Fault]) -> bool:
    """Whether some of the faults are not told: there is no use in looking for more."""
    return _count_told(faults) < len(faults)


def told(faults: Sequence[Fault]) -> list[Fault]:
    """As many of the faults as are told, the first at least, and where there are more a last one that says so."""
    kept = [fault for fault in faults if fault.detail != _THERE_IS_MORE]
    count = max(_count_told(kept), 1)
    if len(kept) == len(faults) and count >= len(kept):
        return kept
    return [*kept[:count], Fault("", _THERE_IS_MORE)]


def _count_told(faults: Sequence[Fault]) -> int:
    sizes = accumulate(map(_size, faults[:MOST_FAULTS]))
    return sum(1 for size in sizes if size <= MOST_CHARACTERS)


def _size(fault: Fault) -> int:
    return len(fault.pointer) + len(fault.detail)
