"""How large a workflow may be beyond its bytes: a default stands in each task, and a short text may stand for much work.

Looked at before anything else is made of a document.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from app.domain.errors import Fault
from app.domain.expressions.templates import OPENING
from app.domain.pointers import pointer

#: Of a task without its `foreach`. etcd takes no pod of 1.5 MiB, nor Linux a command of 2 MiB.
MAX_TASK_BYTES: Final = 2 * 1024 * 1024
#: Values and characters of the defaults, times the tasks that have them: 500 values of 100 KiB in each of 10,000 tasks.
MAX_DEFAULT_VALUES: Final = 5_000_000
MAX_DEFAULT_BYTES: Final = 1024 * 1024 * 1024
#: Places in all tasks where an expression stands, those of the defaults counted in each.
MAX_EXPRESSIONS: Final = 500_000


def size_faults(defaults: Mapping[str, Any], sections: Mapping[str, Sequence[object]]) -> Iterator[Fault]:
    """What is too large to be looked at; `sections` are the lists of tasks by their keys."""
    encoded = _encoded(defaults)
    if len(encoded) > MAX_TASK_BYTES:
        yield Fault("/task_defaults", _task_detail(encoded))
    count = sum(map(len, sections.values()))
    if count_values(defaults) * count > MAX_DEFAULT_VALUES or len(encoded) * count > MAX_DEFAULT_BYTES:
        yield Fault("/task_defaults", f"are too large to stand in each of {count:,} tasks")
    expressions = encoded.count(OPENING.encode()) * count
    for section, tasks in sections.items():
        for index, task in enumerate(tasks):
            encoded = _encoded(task)
            expressions += encoded.count(OPENING.encode())
            if len(encoded) > MAX_TASK_BYTES:
                yield from _task_faults(pointer(section, index), task)
    if expressions > MAX_EXPRESSIONS:
        yield Fault("/tasks", f"may hold at most {MAX_EXPRESSIONS:,} expressions in all, not {expressions:,}")


def _task_faults(place: str, task: object) -> Iterator[Fault]:
    if isinstance(task, dict):
        encoded = _encoded({key: value for key, value in task.items() if key != "foreach"})
        if len(encoded) > MAX_TASK_BYTES:
            yield Fault(place, _task_detail(encoded))


def _task_detail(encoded: bytes) -> str:
    return f"may have at most {MAX_TASK_BYTES:,} bytes as JSON, not {len(encoded):,}: no pod and no command takes more"


def _encoded(value: object) -> bytes:
    try:
        return msgspec.json.encode(value)
    except (TypeError, ValueError, OverflowError, RecursionError):
        return b""  # it is no JSON, which is told elsewhere


def count_values(value: object) -> int:
    """How many values there are in a value, itself not counted."""
    count, waiting = 0, [value]
    while waiting:
        node = waiting.pop()
        children = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
        count += len(children)
        waiting.extend(child for child in children if isinstance(child, dict | list))
    return count
