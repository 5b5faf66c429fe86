"""Where a pod may run: tolerations and affinity, as Kubernetes takes them.

Every check gives the faults of one key's value, with pointers relative to it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from app.domain.errors import Fault
from app.domain.kubernetes_schema import schema_faults
from app.domain.labels import label_key_fault, label_value_fault, selector_labels_faults
from app.domain.object_checks import choice, items_faults, optional_text_faults, text_faults
from app.domain.pointers import either, pointer, shown, under

_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_TOLERATION_OPERATORS = ("Exists", "Equal", "Lt", "Gt")
_NODE_OPERATORS = ("In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt")
_LABEL_OPERATORS = ("In", "NotIn", "Exists", "DoesNotExist")

_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"


def tolerations_faults(value: object) -> Iterator[Fault]:
    """Faults of `tolerations`.

    Source: https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/
    """
    yield from items_faults(value, "Toleration", _toleration_faults)


def _toleration_faults(item: dict[str, Any]) -> Iterator[Fault]:
    yield from optional_text_faults(item, "key", label_key_fault)
    yield from optional_text_faults(item, "operator", choice(*_TOLERATION_OPERATORS))
    yield from optional_text_faults(item, "effect", choice(*_EFFECTS))
    operator = item.get("operator") or "Equal"
    if not item.get("key") and operator in ("Equal", "Lt", "Gt"):
        yield Fault("", 'without a key the operator must be "Exists", which tolerates every taint')
    if operator == "Exists" and item.get("value"):
        yield Fault(pointer("value"), 'must be empty where the operator is "Exists"')
    elif operator == "Equal":
        yield from optional_text_faults(item, "value", label_value_fault)
    if item.get("tolerationSeconds") is not None and item.get("effect") != "NoExecute":
        yield Fault(pointer("tolerationSeconds"), 'must only be given where the effect is "NoExecute"')


def affinity_faults(value: object) -> Iterator[Fault]:
    """Faults of `affinity`.

    Source: https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/
    """
    yield from schema_faults("Affinity", value)
    if not isinstance(value, dict):
        return
    node = value.get("nodeAffinity")
    if isinstance(node, dict):
        yield from under(pointer("nodeAffinity"), _node_affinity_faults(node))
    for key in ("podAffinity", "podAntiAffinity"):
        if isinstance(value.get(key), dict):
            yield from under(pointer(key), _pod_affinity_faults(value[key]))


def _each(owner: dict[str, Any], key: str, check: Callable[[dict[str, Any]], Iterator[Fault]]) -> Iterator[Fault]:
    items = owner.get(key)
    for index, item in enumerate(items if isinstance(items, list) else ()):
        if isinstance(item, dict):
            yield from under(pointer(key, index), check(item))


def _one(owner: dict[str, Any], key: str, check: Callable[[dict[str, Any]], Iterator[Fault]]) -> Iterator[Fault]:
    if isinstance(owner.get(key), dict):
        yield from under(pointer(key), check(owner[key]))


def _weight_faults(item: dict[str, Any]) -> Iterator[Fault]:
    weight = item.get("weight")
    if isinstance(weight, int) and not isinstance(weight, bool) and not 1 <= weight <= 100:
        yield Fault(pointer("weight"), f"must be between 1 and 100, not {shown(weight)}")


def _node_affinity_faults(affinity: dict[str, Any]) -> Iterator[Fault]:
    required = affinity.get(_REQUIRED)
    if isinstance(required, dict):
        if required.get("nodeSelectorTerms") == []:
            yield Fault(pointer(_REQUIRED, "nodeSelectorTerms"), "must have at least one term")
        yield from under(pointer(_REQUIRED), _each(required, "nodeSelectorTerms", _node_term_faults))
    yield from _each(affinity, _PREFERRED, _preferred_node_faults)


def _preferred_node_faults(item: dict[str, Any]) -> Iterator[Fault]:
    yield from _weight_faults(item)
    yield from _one(item, "preference", _node_term_faults)


def _node_term_faults(term: dict[str, Any]) -> Iterator[Fault]:
    yield from _each(term, "matchExpressions", lambda item: _requirement_faults(item, _NODE_OPERATORS))
    yield from _each(term, "matchFields", _field_requirement_faults)


def _field_requirement_faults(item: dict[str, Any]) -> Iterator[Fault]:
    yield from text_faults(item, "key", choice("metadata.name"))
    yield from text_faults(item, "operator", choice("In", "NotIn"))
    values = item.get("values")
    if values is None or (isinstance(values, list) and len(values) != 1):
        yield Fault("", "must have exactly one value")


def _requirement_faults(item: dict[str, Any], operators: tuple[str, ...]) -> Iterator[Fault]:
    yield from text_faults(item, "key", label_key_fault)
    operator, values = item.get("operator"), item.get("values")
    if isinstance(operator, str) and operator not in operators:
        yield Fault(pointer("operator"), f"must be {either(operators)}, not {shown(operator)}")
    if values is not None and not isinstance(values, list):
        return
    count = len(values or ())
    if operator in ("In", "NotIn") and not count:
        yield Fault("", f'must have values where the operator is "{operator}"')
    elif operator in ("Exists", "DoesNotExist") and count:
        yield Fault(pointer("values"), f'must be empty where the operator is "{operator}"')
    elif operator in ("Gt", "Lt") and operator in operators and not _is_one_integer(values):
        yield Fault("", f'must have one value, a whole number as a string, where the operator is "{operator}"')
    if operator in ("In", "NotIn"):
        for index, text in enumerate(values or ()):
            if isinstance(text, str) and (fault := label_value_fault(text)):
                yield Fault(pointer("values", index), fault)


def _is_one_integer(values: list[Any] | None) -> bool:
    return bool(values) and len(values or ()) == 1 and bool(re.fullmatch(r"[+-]?[0-9]{1,19}", str((values or [""])[0])))


def _pod_affinity_faults(affinity: dict[str, Any]) -> Iterator[Fault]:
    yield from _each(affinity, _REQUIRED, _pod_term_faults)
    yield from _each(affinity, _PREFERRED, _preferred_pod_faults)


def _preferred_pod_faults(item: dict[str, Any]) -> Iterator[Fault]:
    yield from _weight_faults(item)
    yield from _one(item, "podAffinityTerm", _pod_term_faults)


def _pod_term_faults(term: dict[str, Any]) -> Iterator[Fault]:
    yield from text_faults(term, "topologyKey", label_key_fault)
    for key in ("labelSelector", "namespaceSelector"):
        yield from _one(term, key, _label_selector_faults)


def _label_selector_faults(selector: dict[str, Any]) -> Iterator[Fault]:
    labels = selector.get("matchLabels")
    if isinstance(labels, dict):
        strings = {key: text for key, text in labels.items() if isinstance(text, str)}
        yield from under(pointer("matchLabels"), selector_labels_faults(strings))
    yield from _each(selector, "matchExpressions", lambda item: _requirement_faults(item, _LABEL_OPERATORS))
