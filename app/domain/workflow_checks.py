"""What is wrong with a workflow document beyond single values: keys that do not go together, and the graph.

The checks work on the document as posted, so that they speak up together with all else that is wrong: whatever has the wrong
type is passed over here, the models tell of it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from app.domain.errors import Fault
from app.domain.field_types import MAX_TASKS
from app.domain.graph import graph_faults
from app.domain.pointers import pointer, shown, under


def workflow_faults(document: object, pod_keys: Collection[str]) -> Iterator[Fault]:
    """All of it, with pointers from the document's root. `pod_keys` are those that a task without image must not have."""
    if not isinstance(document, dict):
        return
    defaults, tasks = document.get("task_defaults"), document.get("tasks")
    defaults = defaults if isinstance(defaults, dict) else {}
    yield from under(pointer("task_defaults"), secrets_faults(defaults.get("secrets")))
    if not isinstance(tasks, list) or len(tasks) > MAX_TASKS:
        return
    for index, task in enumerate(tasks):
        if isinstance(task, dict):
            yield from under(pointer("tasks", index), _task_faults(task, defaults, pod_keys))
    yield from graph_faults(tasks)


def _task_faults(task: dict[str, Any], defaults: dict[str, Any], pod_keys: Collection[str]) -> Iterator[Fault]:
    if task.get("secrets"):
        yield from secrets_faults(task["secrets"])
    if (task["image"] if "image" in task else defaults.get("image")) is None:
        for key, value in task.items():
            if key in pod_keys and value is not None:
                yield Fault(pointer(key), f"{shown(key)} is for a pod, and a task without image has none: give it an image")


def secrets_faults(secrets: object) -> Iterator[Fault]:
    """Faults of a list of secrets, each `{secret, key, env}` or `{secret, mount_path, items}`; pointers from its owner."""
    taken: dict[tuple[str, str], int] = {}
    for index, secret in enumerate(secrets if isinstance(secrets, list) else ()):
        if not isinstance(secret, dict):
            continue
        yield from under(pointer("secrets", index), _secret_faults(secret))
        for key in ("env", "mount_path"):
            target = secret.get(key)
            if isinstance(target, str) and taken.setdefault((key, target), index) != index:
                detail = f"{shown(target)} is what secrets/{taken[key, target]} goes to already: use another"
                yield Fault(pointer("secrets", index, key), detail)


def _secret_faults(secret: dict[str, Any]) -> Iterator[Fault]:
    has_env, has_path = (secret.get(key) is not None for key in ("env", "mount_path"))
    if has_env and has_path:
        yield Fault(
            pointer("mount_path"), 'must not stand beside "env": a secret is a variable or files, use two items for both'
        )
    elif has_env:
        if secret.get("key") is None:
            yield Fault("", 'the key "key" is required beside "env": which key of the secret')
        if secret.get("items") is not None:
            yield Fault(pointer("items"), '"items" goes with "mount_path", not with "env"')
    elif has_path:
        if secret.get("key") is not None:
            yield Fault(pointer("key"), '"key" goes with "env"; with "mount_path" write "items": [{"key": …, "path": …}]')
    else:
        yield Fault("", 'must have "env" (with "key") or "mount_path"')
