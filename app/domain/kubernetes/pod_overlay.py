"""`pod`, the overlay that is merged last over the pod that podrun makes: its shape, and what it must leave alone.

What comes of the merge is checked in `pod_references`, where the task's other keys are known.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from app.domain.errors import Fault
from app.domain.kubernetes.object_checks import text_faults
from app.domain.kubernetes.schema import schema_faults
from app.domain.kubernetes.strategic_merge import DIRECTIVE, RETAIN_KEYS, directive_faults
from app.domain.kubernetes.volumes import secret_volume_fault
from app.domain.pods import MAIN
from app.domain.pointers import pointer, shown, under

_REFUSED = {
    "restartPolicy": "is podrun's: an attempt is one pod, and retries say what comes after it",
    "ephemeralContainers": "can't be given to a new pod: Kubernetes adds them to one that runs",
    "schedulingGates": "must not be given: nobody would open them",
}


def pod_overlay_faults(value: object) -> Iterator[Fault]:
    """Faults of `pod`: Kubernetes' PodSpec, or a part of one, with the directives of a strategic merge if need be."""
    if not isinstance(value, dict):
        yield Fault("", f"must be an object, Kubernetes' PodSpec or a part of it, not {shown(value)}")
        return
    yield from directive_faults(value, "PodSpec")
    yield from _kept_faults(value)
    known = {key: item for key, item in _without_directives_in_place(value).items() if key not in _REFUSED}
    yield from schema_faults("PodSpec", known, is_part=True)


def _without_directives_in_place(node: Any) -> Any:
    """The overlay without its directives, each item of a list still at its place, so that pointers stay right."""
    if isinstance(node, list):
        return [_without_directives_in_place(item) for item in node]
    if isinstance(node, dict):
        kept = ((key, item) for key, item in node.items() if not str(key).startswith("$"))
        return {key: _without_directives_in_place(item) for key, item in kept}
    return node


def _kept_faults(value: dict[str, Any]) -> Iterator[Fault]:
    for key, why in _REFUSED.items():
        if key in value:
            yield Fault(pointer(key), f"{shown(key)} {why}")
    for key in (DIRECTIVE, RETAIN_KEYS):
        if key in value:
            yield Fault(pointer(key), "must not be given here: it would take away what podrun puts into the pod")
    for key, check in (("containers", _container_faults), ("volumes", _volume_faults)):
        items = value.get(key)
        for index, item in enumerate(items if isinstance(items, list) else ()):
            if isinstance(item, dict):
                yield from under(pointer(key, index), check(item))
    if "containers" in value and value["containers"] is None:
        yield Fault(pointer("containers"), f"must not be null: the container {shown(MAIN)} is the task")


def _volume_faults(volume: dict[str, Any]) -> Iterator[Fault]:
    yield from text_faults(volume, "name", secret_volume_fault)


def _container_faults(container: dict[str, Any]) -> Iterator[Fault]:
    directive, is_main = container.get(DIRECTIVE), container.get("name") == MAIN
    if directive == "replace" or (directive == "delete" and is_main):
        yield Fault(pointer(DIRECTIVE), f"must not be given here: the container {shown(MAIN)} is the task and stays")
    if not is_main:
        return
    if "terminationMessagePath" in container:
        yield Fault(pointer("terminationMessagePath"), "is podrun's: the task's outputs are handed on through it")
    for key in ("restartPolicy", "restartPolicyRules"):
        if container.get(key) is not None:
            yield Fault(pointer(key), "must not be given: podrun makes a new attempt where retries say so")
    if RETAIN_KEYS in container:
        yield Fault(pointer(RETAIN_KEYS), "must not be given here: it would take away what podrun puts into the container")
    if "image" in container and container["image"] is None:
        yield Fault(pointer("image"), "must not be null: the container needs an image")
