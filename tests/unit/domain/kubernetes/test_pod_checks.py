"""Tasks that make wrong pods are refused, right ones are not, nor those with expressions. A cluster is asked the corpus too."""

from __future__ import annotations

from typing import Any

import pytest

from app.domain.errors import Fault
from app.domain.kubernetes.containers import resources_faults, security_context_faults
from app.domain.kubernetes.object_checks import is_templated
from app.domain.kubernetes.pod_containers import init_containers_faults, sidecars_faults
from app.domain.kubernetes.pod_overlay import pod_overlay_faults
from app.domain.kubernetes.pod_references import pod_references_faults
from app.domain.kubernetes.scheduling import tolerations_faults
from app.domain.kubernetes.volumes import volume_mounts_faults, volumes_faults
from app.domain.memo import Check
from app.domain.pointers import pointer, under
from tests.support.pod_corpus import corpus
from tests.support.pod_keys import Keys, Verdict, places, with_value

CHECKS: dict[str, Check] = {
    "volumes": volumes_faults,
    "volume_mounts": volume_mounts_faults,
    "init_containers": init_containers_faults,
    "sidecars": sidecars_faults,
    "pod": pod_overlay_faults,
    "resources": resources_faults,
    "security_context": security_context_faults,
    "tolerations": tolerations_faults,
}
EXPRESSION = "${{ params.x }}"
#: Known by the models of the document, not by these checks.
OF_THE_MODELS = {"priority class's name"}
CORPUS = corpus()


def faults_of(task: Keys) -> list[Fault]:
    found = [fault for key, check in CHECKS.items() if key in task for fault in under(pointer(key), check(task[key]))]
    found += pod_references_faults(task, is_templated)
    return list(dict.fromkeys(found))


@pytest.mark.parametrize(("name", "keys", "verdict"), CORPUS, ids=[f"{case[2].name} {case[0]}" for case in CORPUS])
def test_checks__the_corpus__refuse_what_they_should(name: str, keys: Keys, verdict: Verdict):
    faults = faults_of({"image": "busybox:1", **keys})
    refuses = verdict in (Verdict.BAD, Verdict.STRICTER) and name not in OF_THE_MODELS
    assert bool(faults) is refuses, faults
    for fault in faults:
        assert find(keys, fault.pointer) is not None, fault


def find(node: Any, place: str) -> Any:
    """What a pointer leads to; None: nothing."""
    for token in place.split("/")[1:]:
        key = token.replace("~1", "/").replace("~0", "~")
        try:
            node = node[int(key) if isinstance(node, list) else key]
        except (KeyError, IndexError, ValueError, TypeError):
            return None
    return node if node is not None else "null"


RIGHT = {name: keys for name, keys, verdict in CORPUS if verdict is Verdict.GOOD}


@pytest.mark.parametrize("keys", RIGHT.values(), ids=RIGHT)
def test_checks__an_expression_at_any_place__no_fault_anywhere_else(keys: Keys):
    for path in places(keys):
        place = pointer(*path)
        others = [fault for fault in faults_of(with_value(keys, path, EXPRESSION)) if not fault.pointer.startswith(place)]
        assert not others, (place, others)


SHAPES: list[Any] = [
    None,
    5,
    "x",
    True,
    [],
    {},
    [None],
    [5],
    [[]],
    [{}],
    [{"name": 5}],
    {"a": {}},
    {"containers": [5, {"name": []}]},
]


@pytest.mark.parametrize("key", sorted(CHECKS))
@pytest.mark.parametrize("value", SHAPES, ids=repr)
def test_checks__a_value_of_any_shape__raise_nothing(key: str, value: Any):
    faults_of({key: value})
    faults_of({"volumes": value, "secrets": value, "env": value, "resources": value, "security_context": value, key: value})


REFERENCES: list[tuple[Keys, str, str]] = [
    ({"volume_mounts": [{"name": "a", "mountPath": "/a"}]}, "/volume_mounts/0/name", "there are none"),
    (
        {"volumes": [{"name": "b", "emptyDir": {}}], "init_containers": [{"name": "i", "volumeMounts": [{"name": "a"}]}]},
        "/init_containers/0/volumeMounts/0/name",
        'there is no volume "a": the volumes here are b',
    ),
    ({"sidecars": [{"name": "s", "volumeMounts": [{"name": "a"}]}]}, "/sidecars/0/volumeMounts/0/name", 'no volume "a"'),
    ({"init_containers": [{"name": "x"}], "sidecars": [{"name": "x"}]}, "/sidecars/0/name", "another container"),
    (
        {"pod": {"containers": [{"name": "b", "volumeMounts": [{"name": "a"}]}]}},
        "/pod/containers/0/volumeMounts/0/name",
        "none",
    ),
    (
        {"sidecars": [{"name": "s"}], "pod": {"containers": [{"name": "s", "image": "x"}]}},
        "/sidecars/0/name",
        "another container",
    ),
    (
        {"secrets": [{"secret": "s", "mount_path": "/s"}], "volumes": [], "volume_mounts": [{"name": "a", "mountPath": "/s"}]},
        "/volume_mounts/0/mountPath",
        '"/s" is taken',
    ),
    (
        {"volumes": [{"name": "a", "emptyDir": {}}], "pod": {"volumes": [{"name": "a", "hostPath": {"path": "/"}}]}},
        "/pod/volumes/0/hostPath",
        "a volume has one source",
    ),
    (
        {"resources": {"limits": {"cpu": 1}}, "pod": {"containers": [{"name": "main", "resources": {"requests": {"cpu": 2}}}]}},
        "/pod/containers/0/resources/requests/cpu",
        "must be at most its limit",
    ),
    ({"resources": {"claims": [{"name": "gpu"}]}}, "/resources/claims/0/name", "pod.resourceClaims declares them"),
    ({"security_context": {"procMount": "Unmasked"}}, "/security_context/procMount", "hostUsers"),
    (
        {"env": {"A": "1"}, "pod": {"containers": [{"name": "main", "env": [{"name": "="}]}]}},
        "/pod/containers/0/env/0/name",
        "=",
    ),
    ({"pod": {"initContainers": [{"name": "i"}]}}, "/pod/initContainers/0", '"image" is required'),
]


@pytest.mark.parametrize(("task", "place", "detail"), REFERENCES)
def test_pod_references_faults__keys_that_do_not_go_together__told_where_it_is_written(task: Keys, place: str, detail: str):
    found = list(pod_references_faults({"image": "x", **task}, is_templated))
    assert any(fault.pointer == place and detail in fault.detail for fault in found), found


OVERLAYS: list[tuple[Any, str, str]] = [
    ([], "", "must be an object"),
    ({"restartPolicy": "Never"}, "/restartPolicy", "is podrun's"),
    ({"ephemeralContainers": []}, "/ephemeralContainers", "can't be given"),
    ({"schedulingGates": None}, "/schedulingGates", "nobody would open them"),
    ({"containers": None}, "/containers", "must not be null"),
    ({"containers": "x"}, "/containers", "must be a list"),
    ({"containers": [{"name": "main", "$patch": "delete"}]}, "/containers/0/$patch", "is the task and stays"),
    ({"containers": [{"$patch": "replace"}, {"name": "main"}]}, "/containers/0/$patch", "is the task and stays"),
    ({"containers": [{"name": "main", "terminationMessagePath": "/x"}]}, "/containers/0/terminationMessagePath", "outputs"),
    ({"containers": [{"name": "main", "restartPolicy": "Always"}]}, "/containers/0/restartPolicy", "retries"),
    ({"containers": [{"name": "main", "image": None}]}, "/containers/0/image", "must not be null"),
    ({"containers": [{"name": "main", "$retainKeys": ["name"]}]}, "/containers/0/$retainKeys", "take away"),
    ({"containers": [{"image": "x"}]}, "/containers/0", 'the key "name" is required: the list is merged by it'),
    ({"volumes": [{"name": "podrun-secret-0", "emptyDir": {}}]}, "/volumes/0/name", "choose another name"),
    ({"$patch": "replace"}, "/$patch", "take away"),
    ({"$retainKeys": []}, "/$retainKeys", "take away"),
    ({"nodeSelector": {"$patch": "merge"}}, "/nodeSelector/$patch", 'must be "replace" or "delete"'),
    ({"$setElementOrder/volumes": 5}, "/$setElementOrder~1volumes", "must be a list"),
    ({"$order": 5}, "/$order", "unknown directive"),
    ({"volumes": [{"name": "a", "$retainKeys": ["name"], "emptyDir": {}}]}, "/volumes/0/emptyDir", "names all keys that stay"),
    ({"containers": [{"name": "main", "comand": []}]}, "/containers/0/comand", 'did you mean "command"'),
]


@pytest.mark.parametrize(("value", "place", "detail"), OVERLAYS)
def test_pod_overlay_faults__what_must_stay__told_at_its_pointer(value: Any, place: str, detail: str):
    found = list(pod_overlay_faults(value))
    assert any(fault.pointer == place and detail in fault.detail for fault in found), found
