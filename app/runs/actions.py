"""Reads the bodies of what users ask of a run: cancel, retry, approve, reject. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.domain.errors import Fault, InvalidBody
from app.domain.faults import first_faults, told
from app.domain.json_text import parse_json
from app.domain.json_values import json_faults
from app.domain.pointers import in_document_order, pointer, shown
from app.domain.suggestions import CloseNames
from app.domain.workflow.task_checks import MAX_TASKS
from app.runs.documents import unknown_keys

_MAX_TEXT = 1024
#: In a retry: of all tasks, and of all that are for the end.
MAX_NAMES = 2 * MAX_TASKS


@dataclass(frozen=True, slots=True)
class CancelRequest:
    """A body of `POST /runs/{id}/cancel`."""

    reason: str = ""
    force: bool = False


def read_cancel(body: bytes) -> CancelRequest:
    """Read the body of a cancel; an empty one asks for nothing special. Raises MalformedDocument, InvalidBody."""
    request, faults = _read(body, ("reason", "force"))
    faults += _text_faults(request, "reason")
    force = request.get("force")
    if force is not None and not isinstance(force, bool):
        faults.append(Fault("/force", f"must be true or false, not {shown(force)}"))
    _refuse(request, faults)
    return CancelRequest(request.get("reason") or "", bool(force))


def read_comment(body: bytes) -> str:
    """The comment in the body of an approval or a rejection; it may be empty. Raises MalformedDocument, InvalidBody."""
    request, faults = _read(body, ("comment",))
    _refuse(request, [*faults, *_text_faults(request, "comment")])
    return request.get("comment") or ""


def read_nothing(body: bytes) -> None:
    """See that a body asks for nothing: it is empty, or an empty object. Raises MalformedDocument, InvalidBody."""
    request = parse_json(body) if body.strip() else {}
    if request != {}:
        raise InvalidBody([Fault("", f"must be empty, or an empty object, not {shown(request)}")])


def read_retry(body: bytes) -> tuple[str, ...] | None:
    """The tasks that a retry names; None: what failed. Whether there are such tasks is not checked here.

    Raises MalformedDocument, InvalidBody.
    """
    request, faults = _read(body, ("tasks",))
    tasks = request.get("tasks")
    if isinstance(tasks, list):
        if not tasks:
            faults.append(Fault("/tasks", "must name a task; leave it out for all that failed"))
        if len(tasks) > MAX_NAMES:
            faults.append(Fault("/tasks", f"must have at most {MAX_NAMES:,} names, not {len(tasks):,}"))
        faults += first_faults(
            Fault(pointer("tasks", index), f"must be the name of a task, not {shown(name)}")
            for index, name in enumerate(tasks)
            if not isinstance(name, str)
        )
    elif tasks is not None:
        faults.append(Fault("/tasks", f"must be a list of names, not {shown(tasks)}"))
    _refuse(request, faults)
    return None if tasks is None else tuple(tasks)


def task_names_faults(named: Sequence[str], known: Collection[str]) -> list[Fault]:
    """Faults of a retry's names that are none of the run's tasks."""
    there, close = frozenset(known), CloseNames(known)

    def faults() -> Iterator[Fault]:
        for index, name in enumerate(named):
            if name not in there:
                meant = close.find(name)
                hint = f", did you mean {shown(meant)}?" if meant else ""
                yield Fault(pointer("tasks", index), f"the run has no task {shown(name)}{hint}")

    return told(first_faults(faults()))


def _read(body: bytes, keys: Sequence[str]) -> tuple[Mapping[str, Any], list[Fault]]:
    request = parse_json(body) if body.strip() else {}
    faults = first_faults(unknown_keys(request, keys))
    return request if isinstance(request, dict) else {}, faults


def _refuse(request: object, faults: Sequence[Fault]) -> None:
    if faults:
        raise InvalidBody(in_document_order(request, faults))


def _text_faults(request: Mapping[str, Any], key: str) -> Iterator[Fault]:
    text = request.get(key)
    if text is None:
        return
    if not isinstance(text, str):
        yield Fault(pointer(key), f"must be text of at most {_MAX_TEXT:,} characters, not {shown(text)}")
    elif len(text) > _MAX_TEXT:
        yield Fault(pointer(key), f"has {len(text):,} characters, and may have {_MAX_TEXT:,}")
    else:
        yield from (Fault(pointer(key), fault.detail) for fault in json_faults(text))
