"""Keys of a task, short to write: each function gives those of a task with one volume, one sidecar, ... of the given keys."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from enum import StrEnum
from typing import Any

Keys = dict[str, Any]


class Verdict(StrEnum):
    """Who refuses."""

    GOOD = "nobody"
    BAD = "podrun at submit, and the API server would too"
    STRICTER = "podrun alone: Kubernetes takes it, and it can't be meant"
    CLUSTER = "the API server alone: only a cluster knows (feature gates, admission)"


def volume(**source: Any) -> Keys:
    return {"volumes": [{"name": "data", **source}]}


def mounted(**mount: Any) -> Keys:
    return {"volumes": [{"name": "data", "emptyDir": {}}], "volume_mounts": [{"name": "data", "mountPath": "/data", **mount}]}


def sidecar(**keys: Any) -> Keys:
    return {"sidecars": [{"name": "side", "image": "busybox:1", **keys}]}


def init(**keys: Any) -> Keys:
    return {"init_containers": [{"name": "first", "image": "busybox:1", **keys}]}


def overlay(**keys: Any) -> Keys:
    return {"pod": keys}


def main_overlay(**keys: Any) -> Keys:
    return overlay(containers=[{"name": "main", **keys}])


def claim(**spec: Any) -> Keys:
    given = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}} | spec
    return volume(ephemeral={"volumeClaimTemplate": {"spec": given}})


def probe(**keys: Any) -> Keys:
    return sidecar(livenessProbe={"tcpSocket": {"port": 80}} | keys)


def port(**keys: Any) -> Keys:
    return sidecar(ports=[{"containerPort": 80, **keys}])


def env(**source: Any) -> Keys:
    return sidecar(env=[{"name": "A", "valueFrom": source}])


def projected(*sources: Keys) -> Keys:
    return volume(projected={"sources": list(sources)})


Path = tuple[str | int, ...]


def places(node: Any, path: Path = ()) -> Iterator[Path]:
    """Every place in a task's keys at which another value could stand."""
    if path:
        yield path
    for key, item in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        if not str(key).startswith("$"):
            yield from places(item, (*path, key))


def with_value(keys: Keys, path: Path, value: object) -> Keys:
    """The same keys with another value at a place."""
    made: Any = deepcopy(keys)
    owner = made
    for step in path[:-1]:
        owner = owner[step]
    owner[path[-1]] = value
    return made  # type: ignore[no-any-return]
