"""What is wrong between the keys of one task that make its pod: a mount without a volume, a name twice, a misfit overlay.

The checks work on a task's JSON with the defaults merged in, wrong or not: what has the wrong shape is passed over, and so is
whatever an expression has a part in: it is checked once the task is rendered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from app.domain.errors import Fault
from app.domain.kubernetes.container_references import container_references_faults
from app.domain.kubernetes.object_checks import is_templated as holds_expression
from app.domain.kubernetes.pod_host import host_faults
from app.domain.kubernetes.pod_spec import pod_spec_faults
from app.domain.kubernetes.pod_view import CONTAINER_FIELDS, POD_FIELDS, PodView
from app.domain.kubernetes.schema import required_faults
from app.domain.memo import Check, faults_of

Templated = Callable[[Any], bool]

#: Keys without which there is nothing that could be wrong between keys.
_JOINING = ("init_containers", "pod", "secrets", "sidecars", "volume_mounts", "volumes")
#: Keys that are looked at; of the main container's own only where the overlay has something for it.
_ALWAYS = (*_JOINING, "resources", "security_context")
_WITH_OVERLAY = (*POD_FIELDS, *CONTAINER_FIELDS, "env")


def pod_references_faults(task: Mapping[str, Any], is_templated: Templated = holds_expression) -> Iterator[Fault]:
    """Faults between the keys of one task, its defaults merged in, with pointers relative to it.

    Args:
        task: its JSON.
        is_templated: whether a value holds an expression, so that what it will be is not known.
    """
    if not any(task.get(key) for key in _JOINING) and not task.get("resources") and not task.get("security_context"):
        return
    keys = (*_ALWAYS, *_WITH_OVERLAY) if task.get("pod") else _ALWAYS
    looked_at = {key: task[key] for key in keys if key in task}
    yield from faults_of(_check_with(is_templated), looked_at)


@lru_cache(maxsize=4)
def _check_with(is_templated: Templated) -> Check:
    """One check for one `is_templated`: what is remembered of equal tasks hangs on it."""
    return lambda task: _faults(task, is_templated)


def _faults(task: Mapping[str, Any], is_templated: Templated) -> Iterator[Fault]:
    view = PodView(task, is_templated)
    is_open = any(is_templated(task.get(key)) for key in ("pod", "secrets", "volumes"))
    yield from view.to_task(container_references_faults(view.spec, is_templated, is_open=is_open))
    yield from view.to_task(host_faults(view.spec))
    if view.overlay:
        own = view.own_faults(_spec_faults(view.base))
        yield from view.to_task(_spec_faults({key: view.spec[key] for key in view.overlay if key in view.spec}), own)


def _spec_faults(spec: Mapping[str, Any]) -> Iterator[Fault]:
    yield from pod_spec_faults(spec)
    yield from required_faults("PodSpec", {"containers": [], **spec})
