"""What is wrong with a task beyond single values: keys that do not go together.

The checks work on the document as posted, so that they speak up together with all else that is wrong: whatever has the wrong
type is passed over here, the models tell of it. Pointers are from the task, or the defaults, that is checked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from app.domain.errors import Fault
from app.domain.kubernetes.object_checks import is_templated
from app.domain.kubernetes.pod_references import pod_references_faults
from app.domain.pointers import pointer, shown, under
from app.domain.workflow.document import POD_KEYS
from app.domain.workflow.merging import has_pod
from app.domain.workflow.task_checks import MAX_TASKS, static_count

MAX_FAN_OUT_NAME = 57  #: characters: the items are named NAME.0 to NAME.9999, in 63

_IMAGE_AND_APPROVAL = 'must not stand beside "image": a task that waits for approval has no pod'


def written_task_faults(task: dict[str, Any], defaults: Mapping[str, Any]) -> Iterator[Fault]:
    """Faults of a task's keys together, as it is written."""
    if not has_pod(task, defaults):
        lacks = "a task without image has none: give it an image"
        if task.get("approval") is not None:
            lacks = "a task that waits for approval has none"
        for key, value in task.items():
            if key in POD_KEYS and value is not None:
                yield Fault(pointer(key), f"{shown(key)} is for a pod, and {lacks}")
    elif task.get("approval") is not None:
        yield Fault(pointer("approval"), _IMAGE_AND_APPROVAL)
    foreach = task["foreach"] if "foreach" in task else defaults.get("foreach")
    name = task.get("name")
    if foreach is None:
        if task.get("max_parallel") is not None:
            yield Fault(pointer("max_parallel"), '"max_parallel" goes with "foreach": it is how many items may be under way')
    elif isinstance(name, str) and MAX_FAN_OUT_NAME < len(name) <= MAX_FAN_OUT_NAME + 6:
        detail = f"{shown(name)} has {len(name)} characters; a task with foreach may have {MAX_FAN_OUT_NAME}"
        yield Fault(pointer("name"), f"{detail}, because its items are {name[:8]}….0, ….1 and so on")


def defaults_faults(defaults: Mapping[str, Any]) -> Iterator[Fault]:
    """Faults of the defaults' keys together."""
    if defaults.get("image") is not None and defaults.get("approval") is not None:
        yield Fault(pointer("approval"), _IMAGE_AND_APPROVAL)
    yield from secrets_faults(defaults.get("secrets"))


def merged_task_faults(task: Mapping[str, Any]) -> Iterator[Fault]:
    """Faults of a task's keys together, with the defaults merged in."""
    return pod_references_faults(task, is_templated)


def count_tasks(tasks: list[Any], defaults: Mapping[str, Any]) -> int:
    """How many tasks a run has at least: items of fan-outs are counted where they are known."""
    return sum(_count(task, defaults) for task in tasks)


def _count(task: object, defaults: Mapping[str, Any]) -> int:
    if not isinstance(task, dict):
        return 1
    count = static_count(task["foreach"] if "foreach" in task else defaults.get("foreach"))
    # One that is too long by itself is told of by itself.
    return count if count is not None and 1 <= count <= MAX_TASKS else 1


def secrets_faults(secrets: object) -> Iterator[Fault]:
    """Faults of a list of secrets, each `{secret, key, env}` or `{secret, mount_path, items}`; pointers from its owner."""
    taken: dict[tuple[str, str], int] = {}
    for index, secret in enumerate(secrets if isinstance(secrets, list) else ()):
        if not isinstance(secret, dict):
            continue
        yield from under(pointer("secrets", index), _secret_faults(secret))
        for key in ("env", "mount_path"):
            target = secret.get(key)
            if isinstance(target, str) and not is_templated(target) and taken.setdefault((key, target), index) != index:
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
