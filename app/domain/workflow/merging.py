"""Brings a task's defaults into it, on the JSON as posted: what counts is what was written, null included.

Nothing here expects the document to be right: values of the wrong type are carried along, the checks tell of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from app.domain.expressions.templates import OPENING
from app.domain.workflow.document import EXIT_TIMEOUT_SECONDS, MERGED_BY_KEY, POD_KEYS, Task

_OF_A_POD = POD_KEYS | {"image"}
#: Null says the same as leaving these out; under any other key it is wrong, and stays for the checks to see.
_OPTIONAL = frozenset(Task.model_fields) - {"name"}


@dataclass(frozen=True, slots=True)
class Merged:
    """A task with its defaults in it."""

    task: dict[str, Any]  #: nulls of optional keys left out: they say nothing any more
    inherited: frozenset[str] = frozenset()  #: keys whose value, or a part of it, comes from the defaults
    #: What the defaults have for a key that merges by key, where only an expression tells whether there are two objects.
    late: Mapping[str, Any] = field(default_factory=dict)


def has_pod(written: Mapping[str, Any], defaults: Mapping[str, Any]) -> bool:
    """Whether a task has a pod: an image of its own, or the defaults'. An approval that is its own has none."""
    if "image" in written:
        return written["image"] is not None
    return defaults.get("image") is not None and written.get("approval") is None


def merge_task(written: Mapping[str, Any], defaults: Mapping[str, Any], *, is_exit: bool) -> Merged:
    """The task as it is with the defaults in it; those that it can't have are left out."""
    task = {key: _without_nulls(key, value) for key, value in written.items() if value is not None or key not in _OPTIONAL}
    inherited: set[str] = set()
    late: dict[str, Any] = {}
    if defaults:
        with_pod, fans_out = has_pod(written, defaults), _fans_out(written, defaults)
        for key, value in defaults.items():
            if value is None or not _may_have(key, with_pod=with_pod, fans_out=fans_out):
                continue
            if key not in written:
                task[key] = _without_nulls(key, value)
            elif key not in MERGED_BY_KEY or written[key] is None:
                continue
            elif isinstance(value, dict) and isinstance(written[key], dict):
                task[key] = _without_nulls(key, {**value, **written[key]})
            elif _may_be_object(value) and _may_be_object(written[key]):
                task[key], late[key] = written[key], value
            else:
                continue
            inherited.add(key)
    if is_exit:
        task.setdefault("timeout_seconds", EXIT_TIMEOUT_SECONDS)
    return Merged(task, frozenset(inherited), late)


def merge_maps(default: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Two objects that merge by key; null takes a default away."""
    return {name: value for name, value in {**default, **own}.items() if value is not None}


def is_overridden(key: str, inner: str | None, written: Mapping[str, Any], defaults: Mapping[str, Any]) -> bool:
    """Whether the task itself says what stands in the defaults at a key, and below it at `inner`."""
    if key not in written:
        return False
    own = written[key]
    if key in MERGED_BY_KEY and isinstance(own, dict) and isinstance(defaults.get(key), dict):
        return inner in own
    return True


def _fans_out(written: Mapping[str, Any], defaults: Mapping[str, Any]) -> bool:
    return (written["foreach"] if "foreach" in written else defaults.get("foreach")) is not None


def _may_have(key: str, *, with_pod: bool, fans_out: bool) -> bool:
    if key in _OF_A_POD:
        return with_pod
    if key == "approval":
        return not with_pod
    return fans_out or key != "max_parallel"


def _without_nulls(key: str, value: Any) -> Any:
    if key in MERGED_BY_KEY and isinstance(value, dict) and None in value.values():
        return {name: text for name, text in value.items() if text is not None}
    return value


def _may_be_object(value: object) -> bool:
    return isinstance(value, dict) or (isinstance(value, str) and OPENING in value)
