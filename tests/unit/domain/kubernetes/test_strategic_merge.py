"""Strategic merge. What Kubernetes itself makes of patches of all kinds is asked of a cluster (`tests/cluster`)."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from app.domain.kubernetes.strategic_merge import strategic_merge

BASE: dict[str, Any] = {
    "containers": [{"name": "main", "image": "a", "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]}],
    "initContainers": [{"name": "one"}, {"name": "two"}],
    "volumes": [{"name": "v", "hostPath": {"path": "/"}}],
    "tolerations": [{"key": "a"}],
    "nodeSelector": {"a": "1"},
}

CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "objects merge, null takes away": ({"nodeSelector": {"a": None, "b": "2"}}, {"nodeSelector": {"b": "2"}}),
    "a list without merge key is replaced": ({"tolerations": [{"key": "b"}]}, {"tolerations": [{"key": "b"}]}),
    "lists merge by their key, new items first": (
        {"initContainers": [{"name": "new"}, {"name": "two", "image": "x"}]},
        {"initContainers": [{"name": "new"}, {"name": "one"}, {"name": "two", "image": "x"}]},
    ),
    "an item is taken away": ({"initContainers": [{"name": "one", "$patch": "delete"}]}, {"initContainers": [{"name": "two"}]}),
    "a list is replaced": ({"initContainers": [{"$patch": "replace"}, {"name": "x"}]}, {"initContainers": [{"name": "x"}]}),
    "an object is replaced": ({"nodeSelector": {"$patch": "replace", "b": "2"}}, {"nodeSelector": {"b": "2"}}),
    "only some keys stay": (
        {"volumes": [{"name": "v", "$retainKeys": ["name", "emptyDir"], "emptyDir": {}}]},
        {"volumes": [{"name": "v", "emptyDir": {}}]},
    ),
    "an order is asked for": (
        {"$setElementOrder/initContainers": [{"name": "two"}, {"name": "one"}]},
        {"initContainers": [{"name": "two"}, {"name": "one"}]},
    ),
    "values of another kind are taken": ({"volumes": "x", "nodeSelector": [1]}, {"volumes": "x", "nodeSelector": [1]}),
    "directives do not stay": ({"hostAliases": [{"ip": "a"}, {"$patch": "replace"}]}, {"hostAliases": [{"ip": "a"}]}),
}


@pytest.mark.parametrize(("patch", "changed"), CASES.values(), ids=CASES)
def test_strategic_merge__patches_of_all_kinds__change_what_they_say(patch: dict[str, Any], changed: dict[str, Any]):
    base, given = deepcopy(BASE), deepcopy(patch)
    assert strategic_merge(base, given, "PodSpec") == BASE | changed
    assert (base, given) == (BASE, patch)


def test_strategic_merge__inner_lists__merge_by_their_own_keys():
    merged = strategic_merge(BASE, {"containers": [{"name": "main", "env": [{"name": "B", "value": "x"}]}]}, "PodSpec")
    assert merged["containers"][0] == {
        "name": "main",
        "image": "a",
        "env": [BASE["containers"][0]["env"][0], {"name": "B", "value": "x"}],
    }


@pytest.mark.parametrize(
    "patch", [None, 5, "x", [], {"containers": [5, None, []]}, {"volumes": [{}]}, {"$setElementOrder/x": 5}]
)
def test_strategic_merge__any_json__raises_nothing(patch: Any):
    strategic_merge(BASE, patch, "PodSpec")
    strategic_merge(patch, BASE, "PodSpec")
