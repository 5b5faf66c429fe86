"""Checks of Kubernetes' own objects: shape by the published schemas, and what the API server refuses beyond."""

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest

from app.domain.kubernetes.containers import (
    env_faults,
    env_from_faults,
    image_pull_secrets_faults,
    resources_faults,
    security_context_faults,
)
from app.domain.kubernetes.labels import annotations_faults, label_key_fault, label_value_fault, subdomain_fault
from app.domain.kubernetes.scheduling import affinity_faults, tolerations_faults
from app.domain.kubernetes.schema import keys_of, schema_faults
from app.domain.pointers import pointer

REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"


def source(**selector: Any) -> list[dict[str, Any]]:
    return [{"name": "A", "valueFrom": selector}]


def node_terms(*terms: Any) -> dict[str, Any]:
    return {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": list(terms)}}}


def expression(**item: Any) -> dict[str, Any]:
    return node_terms({"matchExpressions": [item]})


GOOD = [
    (env_faults, {}),
    (env_faults, {"A": "", "a.b-c": "x", "9": "x", "B": None}),
    (env_faults, []),
    (env_faults, [{"name": "A"}, {"name": "C", "value": "$(A)"}, {"name": "B", "value": None}]),
    (env_faults, source(secretKeyRef={"name": "s", "key": "k", "optional": True})),
    (env_faults, source(configMapKeyRef={"name": "s", "key": "k"})),
    (env_faults, source(fieldRef={"fieldPath": "metadata.annotations['example.com/x']", "apiVersion": "v1"})),
    (env_faults, source(resourceFieldRef={"resource": "limits.cpu", "divisor": "1m"})),
    (env_from_faults, [{"secretRef": {"name": "s"}}, {"configMapRef": {"name": "c", "optional": True}, "prefix": "C_"}]),
    (resources_faults, {}),
    (resources_faults, {"requests": {"cpu": 0.5, "memory": "1Gi"}, "limits": {"cpu": "500m", "memory": "1Gi"}}),
    (
        resources_faults,
        {"limits": {"example.com/gpu": 1, "hugepages-2Mi": "4Mi", "memory": "1"}, "requests": {"example.com/gpu": "1"}},
    ),
    (resources_faults, {"requests": {"cpu": "1"}, "limits": None}),
    (resources_faults, {"claims": [{"name": "gpu"}]}),
    (tolerations_faults, [{"operator": "Exists"}, {"key": "a", "value": "b", "effect": ""}]),
    (tolerations_faults, [{"key": "a", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 0}]),
    (affinity_faults, {}),
    (affinity_faults, node_terms({"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["node-1"]}]})),
    (affinity_faults, expression(key="a/b", operator="Gt", values=["5"])),
    (affinity_faults, {"nodeAffinity": {PREFERRED: [{"weight": 100, "preference": {}}]}}),
    (affinity_faults, {"podAffinity": {REQUIRED: [{"topologyKey": "zone", "labelSelector": {"matchLabels": {"a": "b"}}}]}}),
    (security_context_faults, {"runAsUser": 0, "runAsNonRoot": False, "capabilities": {"drop": ["ALL"]}}),
    (security_context_faults, {"fsGroup": 1, "supplementalGroups": [1], "seccompProfile": {"type": "RuntimeDefault"}}),
    (image_pull_secrets_faults, [{"name": "registry.example.com"}]),
    (annotations_faults, {"Example.COM/x": "any ☃ text", "a": None}),
]

BAD = [
    (env_faults, [None], "/0", "must not be null"),
    (env_faults, ["A"], "/0", 'must be an object, not "A"'),
    (env_faults, [{"value": "x"}], "/0", 'the key "name" is required'),
    (env_faults, [{"name": ""}], "/0/name", "is not the name"),
    (env_faults, [{"name": "PODRUN_X"}], "/0/name", "podrun sets those itself"),
    (env_faults, [{"name": "A"}, {"name": "A"}], "/1/name", "is taken by an earlier item already"),
    (env_faults, [{"name": "A", "value": 5}], "/0/value", "must be a string, not 5"),
    (env_faults, [{"name": "A", "valu": "5"}], "/0/valu", 'did you mean "value"?'),
    (env_faults, [{"name": "A", "value_from": {}}], "/0/value_from", 'did you mean "valueFrom"?'),
    (env_faults, [{"name": "A", "value": "x", **source(fieldRef={"fieldPath": "spec.nodeName"})[0]}], "/0/valueFrom", "beside"),
    (env_faults, source(), "/0/valueFrom", "must have one of"),
    (env_faults, source(secretKeyRef={"key": "k"}), "/0/valueFrom/secretKeyRef", 'the key "name" is required'),
    (env_faults, source(secretKeyRef={"name": "s"}), "/0/valueFrom/secretKeyRef", 'the key "key" is required'),
    (env_faults, source(secretKeyRef={"name": "S", "key": "k"}), "/0/valueFrom/secretKeyRef/name", "is not the name of"),
    (env_faults, source(secretKeyRef={"name": "s", "key": "a/b"}), "/0/valueFrom/secretKeyRef/key", "is not a key"),
    (env_faults, source(fieldRef={"fieldPath": "spec.x"}), "/0/valueFrom/fieldRef/fieldPath", "is no field"),
    (
        env_faults,
        source(fieldRef={"fieldPath": "spec.nodeName", "apiVersion": "v2"}),
        "/0/valueFrom/fieldRef/apiVersion",
        '"v1"',
    ),
    (env_faults, source(resourceFieldRef={"resource": "cpu"}), "/0/valueFrom/resourceFieldRef/resource", "must be limits."),
    (
        env_faults,
        source(resourceFieldRef={"resource": "limits.cpu", "divisor": "1Mi"}),
        "/0/valueFrom/resourceFieldRef/divisor",
        'must be "1m" or "1"',
    ),
    (
        env_faults,
        source(resourceFieldRef={"resource": "limits.cpu", "divisor": "x"}),
        "/0/valueFrom/resourceFieldRef/divisor",
        "is not a quantity",
    ),
    (env_from_faults, {}, "", "must be a list, not an object"),
    (env_from_faults, [{}], "/0", 'must have one of "configMapRef" or "secretRef"'),
    (env_from_faults, [{"configMapRef": {"name": "a"}, "secretRef": {"name": "a"}}], "/0/secretRef", "must not stand beside"),
    (env_from_faults, [{"secretRef": {}}], "/0/secretRef", 'the key "name" is required'),
    (env_from_faults, [{"secretRef": {"name": "a"}, "prefix": "="}], "/0/prefix", "is not the name"),
    (resources_faults, {"requests": {"cpu": "one"}}, "/requests/cpu", '"one" is not a quantity'),
    (resources_faults, {"requests": {"cpu": True}}, "/requests/cpu", "must be a number or a string, not true"),
    (resources_faults, {"requests": {"cpu": None}}, "/requests/cpu", "must not be null"),
    (resources_faults, {"requests": {"cpu": "-1"}}, "/requests/cpu", "must not be negative"),
    (resources_faults, {"requests": {"cpus": "1"}}, "/requests/cpus", 'there is no resource "cpus": cpu, '),
    (resources_faults, {"limits": {"gpu": "1"}}, "/limits/gpu", "example.com/gpu"),
    (resources_faults, {"cpu": "1"}, "/cpu", "the keys here are claims, limits, requests"),
    (resources_faults, {"requests": []}, "/requests", "must be an object, not a list"),
    (resources_faults, {"requests": {"cpu": "2"}, "limits": {"cpu": "1500m"}}, "/requests/cpu", 'at most its limit, "1500m"'),
    (resources_faults, {"limits": {"example.com/gpu": "1500m"}}, "/limits/example.com~1gpu", "must be a whole number"),
    (resources_faults, {"requests": {"example.com/gpu": 1}}, "/requests/example.com~1gpu", "needs a limit"),
    (resources_faults, {"limits": {"hugepages-2Mi": "4Mi"}}, "", "huge pages need"),
    (resources_faults, {"limits": {"hugepages-2Mi": "3Mi", "cpu": 1}}, "/limits/hugepages-2Mi", "multiple of the pages' size"),
    (tolerations_faults, [{"operator": "Is", "key": "a"}], "/0/operator", '"Exists", "Equal", "Lt" or "Gt", not "Is"'),
    (tolerations_faults, [{"effect": "No", "key": "a"}], "/0/effect", '"NoExecute", not "No"'),
    (tolerations_faults, [{"value": "x"}], "/0", 'without a key the operator must be "Exists"'),
    (tolerations_faults, [{"key": "a", "operator": "Exists", "value": "x"}], "/0/value", "must be empty"),
    (tolerations_faults, [{"key": "a", "tolerationSeconds": 5}], "/0/tolerationSeconds", '"NoExecute"'),
    (
        tolerations_faults,
        [{"key": "a", "effect": "NoExecute", "tolerationSeconds": 5.0}],
        "/0/tolerationSeconds",
        "must be a whole number, not 5.0: write 5",
    ),
    (
        tolerations_faults,
        [{"key": "a", "effect": "NoExecute", "tolerationSeconds": 2**63}],
        "/0/tolerationSeconds",
        "must be at most",
    ),
    (affinity_faults, [], "", "must be an object, not a list"),
    (affinity_faults, {"node": {}}, "/node", "unknown key"),
    (affinity_faults, node_terms(), f"/nodeAffinity/{REQUIRED}/nodeSelectorTerms", "at least one term"),
    (affinity_faults, node_terms(None), f"/nodeAffinity/{REQUIRED}/nodeSelectorTerms/0", "must not be null"),
    (
        affinity_faults,
        expression(key="a", operator="Is"),
        f"/nodeAffinity/{REQUIRED}/nodeSelectorTerms/0/matchExpressions/0/operator",
        'must be "In"',
    ),
    (
        affinity_faults,
        expression(key="a", operator="In"),
        f"/nodeAffinity/{REQUIRED}/nodeSelectorTerms/0/matchExpressions/0",
        "must have values",
    ),
    (
        affinity_faults,
        expression(key="a", operator="Exists", values=["x"]),
        f"/nodeAffinity/{REQUIRED}/nodeSelectorTerms/0/matchExpressions/0/values",
        "must be empty",
    ),
    (
        affinity_faults,
        expression(key="a", operator="Lt", values=["x"]),
        f"/nodeAffinity/{REQUIRED}/nodeSelectorTerms/0/matchExpressions/0",
        "a whole number",
    ),
    (
        affinity_faults,
        {"nodeAffinity": {PREFERRED: [{"weight": 101, "preference": {}}]}},
        f"/nodeAffinity/{PREFERRED}/0/weight",
        "between 1 and 100",
    ),
    (affinity_faults, {"podAffinity": {REQUIRED: [{}]}}, f"/podAffinity/{REQUIRED}/0", 'the key "topologyKey" is required'),
    (
        affinity_faults,
        {"podAffinity": {REQUIRED: [{"topologyKey": "z", "labelSelector": {"matchLabels": {"a": "b c"}}}]}},
        f"/podAffinity/{REQUIRED}/0/labelSelector/matchLabels/a",
        "is not a label value",
    ),
    (security_context_faults, {"runAsUser": "1000"}, "/runAsUser", 'must be a whole number, not "1000"'),
    (security_context_faults, {"runAsUser": -1}, "/runAsUser", "must be between 0 and"),
    (security_context_faults, {"supplementalGroups": [-1]}, "/supplementalGroups/0", "must be between 0 and"),
    (security_context_faults, {"runasuser": 1}, "/runasuser", 'did you mean "runAsUser"?'),
    (security_context_faults, {"seccompProfile": {"type": "x"}}, "/seccompProfile/type", 'must be "Localhost"'),
    (security_context_faults, {"seccompProfile": {"type": "Localhost"}}, "/seccompProfile", "localhostProfile"),
    (security_context_faults, {"fsGroupChangePolicy": "x"}, "/fsGroupChangePolicy", 'must be "Always"'),
    (
        security_context_faults,
        {"allowPrivilegeEscalation": False, "privileged": True},
        "/allowPrivilegeEscalation",
        "must not be false",
    ),
    (image_pull_secrets_faults, ["registry"], "/0", "must be an object"),
    (image_pull_secrets_faults, [{}], "/0", 'the key "name" is required'),
    (image_pull_secrets_faults, [{"name": ""}], "/0/name", "is not the name of a Kubernetes object"),
]


@pytest.mark.parametrize(("check", "value"), GOOD)
def test_checks__what_kubernetes_takes__has_no_faults(check, value):
    assert list(check(value)) == []


@pytest.mark.parametrize(("check", "value", "pointer", "detail"), BAD)
def test_checks__what_kubernetes_refuses__is_told_at_its_pointer(check, value, pointer, detail):
    found = list(check(value))
    assert any(fault.pointer == pointer and detail in fault.detail for fault in found), found


@pytest.mark.parametrize("check", sorted({case[0] for case in GOOD}, key=lambda check: check.__name__))
@pytest.mark.parametrize("value", [None, 5, "x", True, [None], [5], [[]], {"a": {}}, {"nodeAffinity": 5}, [{"valueFrom": 5}]])
def test_checks__a_value_of_any_shape__raises_nothing(check, value):
    list(check(value))


def places(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    for key, item in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        yield from places(item, (*path, key))


@pytest.mark.parametrize(("check", "value"), GOOD)
def test_checks__an_expression_at_any_place__no_fault_anywhere_else(check, value):
    for path in places(value):
        holder = {"": deepcopy(value)}
        owner, last = holder, ""
        for step in path:
            owner, last = owner[last], step
        owner[last] = "${{ params.x }}"
        place = pointer(*path)
        others = [fault for fault in check(holder[""]) if not fault.pointer.startswith(place)]
        assert not others, (place, others)


def test_schema_faults__a_value_that_is_no_json__is_told():
    assert [fault.detail for fault in schema_faults("Toleration", {"key": {1, 2}})] == ["holds a value that is not JSON"]


@pytest.mark.parametrize("key", ["7", "007", "+7", "-7", "7a", "a/b~"])
def test_schema_faults__under_a_key_of_digits__are_told_at_that_key(key):
    assert [fault.pointer for fault in schema_faults("PodSpec", {"containers": [], "nodeSelector": {key: 5}})] == [
        pointer("nodeSelector", key)
    ]
    many = {"containers": [], "volumes": [{"name": "v", "csi": {"driver": "d", "volumeAttributes": {"a": "a", key: 5}}}]}
    assert [fault.pointer for fault in schema_faults("PodSpec", many)] == [
        pointer("volumes", 0, "csi", "volumeAttributes", key)
    ]


def test_schema_faults__of_more_values_than_any_pod_has__are_one():
    value = node_terms(*[0] * 30_000)
    assert [(fault.pointer, fault.detail) for fault in schema_faults("Affinity", value)] == [
        ("", "holds more than 20,000 values: Kubernetes takes no object of that size")
    ]


def test_keys_of__security_contexts__tell_pod_from_container():
    assert "fsGroup" in keys_of("PodSecurityContext")
    assert "capabilities" not in keys_of("PodSecurityContext")


@pytest.mark.parametrize("key", ["a", "A.b_c-9", "example.com/a", "a" * 63, f"{'a.' * 126}a/b"])
def test_label_key_fault__a_label_key__is_none(key):
    assert label_key_fault(key) is None


@pytest.mark.parametrize(
    "key", ["", "-a", "a-", "a b", "a/", "/a", "a/b/c", "Example.com/a", "a" * 64, f"{'a.' * 127}a/b", "a\n"]
)
def test_label_key_fault__anything_else__says_why(key):
    assert label_key_fault(key)


@pytest.mark.parametrize(
    ("value", "is_right"), [("", True), ("A.b_c", True), ("a" * 63, True), ("a" * 64, False), ("-", False)]
)
def test_label_value_fault__values__are_told_apart(value, is_right):
    assert (label_value_fault(value) is None) is is_right


@pytest.mark.parametrize(
    ("name", "is_right"), [("a.b-c", True), ("a" * 253, True), ("a" * 254, False), ("a..b", False), ("A", False), ("", False)]
)
def test_subdomain_fault__names__are_told_apart(name, is_right):
    assert (subdomain_fault(name) is None) is is_right
