"""The containers that a document gives a task, by name. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

#: Where lists of containers stand: in a task, or in the PodSpec of its overlay.
_LISTS = ("init_containers", "sidecars", "initContainers", "containers")


def declared_containers(document: bytes, task: str) -> list[str]:
    """The names of the containers of a task of the document beside those that the cluster adds, the defaults' too."""
    workflow = msgspec.json.decode(document)
    if not isinstance(workflow, dict):
        return []
    tasks = [*(workflow.get("tasks") or ()), *(workflow.get("on_exit") or ())]
    written = [workflow.get("task_defaults"), *(one for one in tasks if isinstance(one, dict) and one.get("name") == task)]
    return list(dict.fromkeys(name for one in written for name in _names(one)))


def _names(task: Any) -> Iterator[str]:
    if not isinstance(task, dict):
        return
    for part in (task, task.get("pod")):
        for key in _LISTS:
            containers = part.get(key) if isinstance(part, dict) else None
            for container in containers if isinstance(containers, list) else ():
                name = container.get("name") if isinstance(container, dict) else None
                if isinstance(name, str):
                    yield name
