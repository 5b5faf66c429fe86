"""The containers of a task, by name: those that its document gives it, and those that have a log."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec
from sqlmodel import Session

from app.domain.pods import MAIN
from app.domain.workflow.merging import has_pod, merge_task
from app.storage.runs import find_document, find_task, list_log_containers

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


class _Task(msgspec.Struct):
    """What tells a task's containers, as posted. A document may have ten thousand tasks: the rest is passed over."""

    name: Any = None
    image: Any = msgspec.UNSET
    approval: Any = msgspec.UNSET
    init_containers: Any = msgspec.UNSET
    sidecars: Any = msgspec.UNSET
    pod: Any = msgspec.UNSET

    def written(self) -> dict[str, Any]:
        """The keys that are there, null included."""
        found = {key: getattr(self, key) for key in self.__struct_fields__}
        return {key: value for key, value in found.items() if value is not msgspec.UNSET}


class _Document(msgspec.Struct):
    tasks: list[_Task] | None = None
    on_exit: list[_Task] | None = None
    task_defaults: _Task | None = None


_DECODER = msgspec.json.Decoder(_Document | None)


def list_containers(session: Session, run_id: str, task: str) -> list[str]:
    """The containers of a task of a run whose logs can be asked for: those of its document, then others that have a log.

    Those that the cluster adds are known when they have said something, as are those whose names are expressions.
    """
    row = find_task(session, run_id, task)
    # An item of a list that was shorter when the run was retried has no row any more.
    node = task.rpartition(".")[0] or task if row is None else row.foreach_task or row.name
    declared = declared_containers(find_document(session, run_id) or b"null", node)
    return list(dict.fromkeys((*declared, *list_log_containers(session, run_id, task))))


def declared_containers(document: bytes, task: str) -> list[str]:
    """The containers of a task of the document, in the order in which its pod has them; none where it has no pod."""
    workflow = _DECODER.decode(document) or _Document()
    found = next((one for one in (*(workflow.tasks or ()), *(workflow.on_exit or ())) if one.name == task), None)
    if found is None:
        return [MAIN]
    written, defaults = found.written(), workflow.task_defaults.written() if workflow.task_defaults else {}
    if not has_pod(written, defaults):
        return []
    merged = merge_task(written, defaults, is_exit=False).task
    overlay = merged.get("pod")
    overlay = overlay if isinstance(overlay, dict) else {}
    names = (
        *_names(merged.get("init_containers")), MAIN, *_names(merged.get("sidecars")),
        *_names(overlay.get("initContainers")), *_names(overlay.get("containers")),
    )  # fmt: skip
    return list(dict.fromkeys(names))


def _names(containers: Any) -> Iterator[str]:
    for container in containers if isinstance(containers, list) else ():
        name = container.get("name") if isinstance(container, dict) else None
        if isinstance(name, str) and _NAME.fullmatch(name):
            yield name
