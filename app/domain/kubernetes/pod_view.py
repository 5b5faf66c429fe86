"""A task's JSON seen as the PodSpec that it makes, the overlay merged in, with the way back from there to the task's keys.

Only for checks: it works on any JSON, wrong or with expressions in it, and leaves out what no check looks at. The pod itself is
made by `pods.manifest`, of a valid task.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from app.domain.errors import Fault
from app.domain.kubernetes.schema import keys_of, merge_rule
from app.domain.kubernetes.strategic_merge import DIRECTIVE, strategic_merge
from app.domain.kubernetes.volumes import SECRET_VOLUME_PREFIX
from app.domain.pods import MAIN
from app.domain.pointers import pointer, tokens

_SPEC = "PodSpec"

#: A task's key → the PodSpec's, where the value is the same.
POD_FIELDS: Mapping[str, str] = {
    "affinity": "affinity",
    "image_pull_secrets": "imagePullSecrets",
    "node_selector": "nodeSelector",
    "priority_class_name": "priorityClassName",
    "service_account_name": "serviceAccountName",
    "tolerations": "tolerations",
}
#: A task's key → the main container's, where the value is the same.
CONTAINER_FIELDS: Mapping[str, str] = {
    "args": "args",
    "command": "command",
    "env_from": "envFrom",
    "image": "image",
    "image_pull_policy": "imagePullPolicy",
    "resources": "resources",
    "working_dir": "workingDir",
}
#: A list of the spec → the task's keys that make it.
_LISTS: Mapping[str, tuple[str, ...]] = {
    "env": ("env",),
    "initContainers": ("init_containers", "sidecars"),
    "volumeMounts": ("volume_mounts", "secrets"),
    "volumes": ("volumes", "secrets"),
}
_TASK_KEYS = {kubernetes: ours for ours, kubernetes in (*POD_FIELDS.items(), *CONTAINER_FIELDS.items())}

Json = dict[str, Any]
Templated = Callable[[Any], bool]


@dataclass(slots=True)
class _Place:
    """A list of the spec, and where in the task each of its items stands."""

    items: list[Any] = field(default_factory=list)
    origins: list[str] = field(default_factory=list)
    is_verbatim: list[bool] = field(default_factory=list)  #: whether the item is written so in the task

    def add(self, item: object, *origin: str | int, is_verbatim: bool = True) -> None:
        self.items.append(item)
        self.origins.append(pointer(*origin))
        self.is_verbatim.append(is_verbatim)

    def pointer(self, index: int, rest: list[str | int]) -> str:
        return self.origins[index] + (pointer(*rest) if self.is_verbatim[index] else "")


class PodView:
    """The PodSpec of a task: `base` without the overlay, `spec` with it.

    `is_templated` tells whether a value holds an expression, so that what it will be is not known.
    """

    def __init__(self, task: Mapping[str, Any], is_templated: Templated) -> None:
        self._is_templated = is_templated
        overlay = task.get("pod")
        self.overlay: Json = overlay if isinstance(overlay, dict) else {}
        self._lists: dict[str, _Place] = {
            "volumes": _volumes(task),
            "initContainers": _init_containers(task),
            "volumeMounts": _mounts(task),
            "env": _env(task),
        }
        self.base = self._make_base(task)
        self.spec: Json = strategic_merge(self.base, self.overlay, _SPEC) if self.overlay else self.base

    def _make_base(self, task: Mapping[str, Any]) -> Json:
        context = task.get("security_context")
        context = context if isinstance(context, dict) else {}
        pod_keys = keys_of("PodSecurityContext") if context else frozenset()
        main = {"name": MAIN, "image": MAIN, **_renamed(task, CONTAINER_FIELDS)}
        for key in ("env", "volumeMounts"):
            main[key] = self._list_of(task, key)
        if for_main := {key: value for key, value in context.items() if key not in pod_keys}:
            main["securityContext"] = for_main
        elif self._is_templated(task.get("security_context")):
            main["securityContext"] = task["security_context"]
        base: Json = {**_renamed(task, POD_FIELDS), "containers": [main]}
        for key in ("volumes", "initContainers"):
            if items := self._list_of(task, key):
                base[key] = items
        if for_pod := {key: value for key, value in context.items() if key in pod_keys}:
            base["securityContext"] = for_pod
        return base

    def _list_of(self, task: Mapping[str, Any], key: str) -> Any:
        """A list of the spec, or the expression that a part of it is."""
        expressions = (task[ours] for ours in _LISTS[key] if self._is_templated(task.get(ours)))
        return next(expressions, self._lists[key].items)

    def to_task(self, faults: Iterable[Fault], own: Collection[Fault] = ()) -> Iterator[Fault]:
        """The same faults, of `spec`, at the task's keys: in the overlay, where it says what is wrong, else where it is from.

        `own` are faults, at the task's keys, of what stands there without the overlay: those are not the overlay's.
        """
        for fault in faults:
            path = tokens(fault.pointer)
            if self.overlay and self._meets_expression(path):
                continue
            origin = Fault(self._origin(path), fault.detail)
            in_overlay = _find_place(self.overlay, self.spec, path)
            is_own = in_overlay is None or origin in own
            yield origin if is_own else Fault(pointer("pod", *(in_overlay or ())), fault.detail)

    def _meets_expression(self, path: list[str]) -> bool:
        """Whether an expression stands where the overlay has something for a place of `spec`: who knows what they will be."""
        base: Any = self.base
        whole: Any = self.spec
        definition, merge_key = _SPEC, ""
        for token in path:
            if isinstance(whole, list):
                item, index = whole[int(token)], _index_in(base, whole, int(token), merge_key)
                names = [_name_of(other, merge_key) for other in (item, *(base if isinstance(base, list) else ()))]
                if index is None or self._is_templated(names[0]):
                    return any(map(self._is_templated, names))
                base, whole = base[index], item
            else:
                base, whole = (node.get(token) if isinstance(node, dict) else None for node in (base, whole))
                definition, merge_key = merge_rule(definition, token)
            if self._is_templated(base):
                return not self._is_templated(whole)
        return False

    def own_faults(self, faults: Iterable[Fault]) -> set[Fault]:
        """Faults of `base` at the task's keys."""
        return {Fault(self._task_pointer(_steps(self.base, tokens(fault.pointer))), fault.detail) for fault in faults}

    def _origin(self, path: list[str]) -> str:
        for length in range(len(path), -1, -1):
            place = _find_place(self.base, self.spec, path[:length])
            if place is not None:
                return self._task_pointer(place)
        return ""

    def _task_pointer(self, place: list[str | int]) -> str:
        match place:
            case ["volumes" | "initContainers" as key, int(index), *rest]:
                return self._lists[key].pointer(index, rest)
            case ["containers", _, "volumeMounts" | "env" as key, int(index), *rest]:
                return self._lists[key].pointer(index, rest)
            case ["containers", _, "securityContext", *rest] | ["securityContext", *rest]:
                return pointer("security_context", *rest)
            case ["containers", _, str(key), *rest]:
                return pointer(_TASK_KEYS.get(key, key), *rest)
            case [str(key), *rest] if key in _TASK_KEYS:
                return pointer(_TASK_KEYS[key], *rest)
        return ""


def _steps(value: Any, path: list[str]) -> list[str | int]:
    """The path with numbers where it leads into lists."""
    steps: list[str | int] = []
    for token in path:
        if isinstance(value, list):
            steps.append(int(token))
            value = value[int(token)]
        else:
            steps.append(token)
            value = value.get(token) if isinstance(value, dict) else None
    return steps


def _renamed(task: Mapping[str, Any], names: Mapping[str, str]) -> Json:
    return {kubernetes: task[ours] for ours, kubernetes in names.items() if task.get(ours) is not None}


def _listed(task: Mapping[str, Any], key: str) -> Iterator[tuple[int, Any]]:
    items = task.get(key)
    return enumerate(items if isinstance(items, list) else ())


def _volumes(task: Mapping[str, Any]) -> _Place:
    place = _Place()
    for index, secret in _listed(task, "secrets"):
        if isinstance(secret, dict) and secret.get("mount_path") is not None:
            volume = {"name": f"{SECRET_VOLUME_PREFIX}{index}", "secret": {"secretName": secret.get("secret")}}
            place.add(volume, "secrets", index, is_verbatim=False)
    for index, volume in _listed(task, "volumes"):
        place.add(volume, "volumes", index)
    return place


def _mounts(task: Mapping[str, Any]) -> _Place:
    place = _Place()
    for index, secret in _listed(task, "secrets"):
        if isinstance(secret, dict) and secret.get("mount_path") is not None:
            mount = {"name": f"{SECRET_VOLUME_PREFIX}{index}", "mountPath": secret["mount_path"], "readOnly": True}
            place.add(mount, "secrets", index, "mount_path", is_verbatim=False)
    for index, mount in _listed(task, "volume_mounts"):
        place.add(mount, "volume_mounts", index)
    return place


def _init_containers(task: Mapping[str, Any]) -> _Place:
    place = _Place()
    for index, container in _listed(task, "init_containers"):
        place.add(container, "init_containers", index)
    for index, container in _listed(task, "sidecars"):
        always = {**container, "restartPolicy": "Always"} if isinstance(container, dict) else container
        place.add(always, "sidecars", index)
    return place


def _env(task: Mapping[str, Any]) -> _Place:
    place, env = _Place(), task.get("env")
    for name, value in env.items() if isinstance(env, dict) else ():
        place.add({"name": name, "value": value}, "env", name, is_verbatim=False)
    for index, item in _listed(task, "env"):
        place.add(item, "env", index)
    return place


def _find_place(part: Any, whole: Any, path: list[str]) -> list[str | int] | None:
    """Where in `part`, of which `whole` was merged, the place is that `path` leads to in `whole`; None where it has none."""
    place: list[str | int] = []
    definition, merge_key = _SPEC, ""
    for token in path:
        if isinstance(whole, list):
            step: str | int | None = _index_in(part, whole, int(token), merge_key)
            whole = whole[int(token)]
        else:
            whole = whole.get(token) if isinstance(whole, dict) else None
            step = token if isinstance(part, dict) and token in part else None
            definition, merge_key = merge_rule(definition, token)
        if step is None:
            return None
        part = part[step]
        place.append(step)
    return place


def _name_of(item: Any, merge_key: str) -> Any:
    return item.get(merge_key) if isinstance(item, dict) else item


def _index_in(part: Any, whole: list[Any], index: int, merge_key: str) -> int | None:
    if not isinstance(part, list):
        return None
    if index < len(part) and part[index] is whole[index]:
        return index
    if not merge_key or not isinstance(whole[index], dict):
        return index if index < len(part) and part[index] == whole[index] else None
    name = whole[index].get(merge_key)
    found = (
        number
        for number, item in enumerate(part)
        if isinstance(item, dict) and item.get(merge_key) == name and not item.get(DIRECTIVE)
    )
    return next(found, None)
