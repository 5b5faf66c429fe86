"""Where a pod may run: tolerations and affinity, as Kubernetes takes them.

Every check gives the faults of one key's value, with pointers relative to it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from app.domain.errors import Fault
from app.domain.kubernetes.labels import label_key_fault, label_value_fault, selector_labels_faults
from app.domain.kubernetes.object_checks import (
    choice,
    each_faults,
    inner_faults,
    is_templated,
    items_faults,
    optional_text_faults,
    range_faults,
    text_faults,
)
from app.domain.kubernetes.schema import schema_faults
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
    yield from items_faults(value, "Toleration", toleration_faults)


def toleration_faults(item: dict[str, Any]) -> Iterator[Fault]:
    """Faults of a Toleration, beyond its shape."""
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
    effect = item.get("effect")
    if item.get("tolerationSeconds") is not None and effect != "NoExecute" and not is_templated(effect):
        yield Fault(pointer("tolerationSeconds"), 'must only be given where the effect is "NoExecute"')


def affinity_faults(value: object) -> Iterator[Fault]:
    """Faults of `affinity`.

    Source: https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/
    """
    yield from schema_faults("Affinity", value)
    if isinstance(value, dict):
        yield from terms_faults(value)


def terms_faults(value: dict[str, Any]) -> Iterator[Fault]:
    """Faults of an Affinity, beyond its shape."""
    node = value.get("nodeAffinity")
    if isinstance(node, dict):
        yield from under(pointer("nodeAffinity"), _node_affinity_faults(node))
    for key in ("podAffinity", "podAntiAffinity"):
        if isinstance(value.get(key), dict):
            yield from under(pointer(key), _pod_affinity_faults(value[key]))


def _node_affinity_faults(affinity: dict[str, Any]) -> Iterator[Fault]:
    required = affinity.get(_REQUIRED)
    if isinstance(required, dict):
        if required.get("nodeSelectorTerms") == []:
            yield Fault(pointer(_REQUIRED, "nodeSelectorTerms"), "must have at least one term")
        yield from under(pointer(_REQUIRED), each_faults(required, "nodeSelectorTerms", _node_term_faults))
    yield from each_faults(affinity, _PREFERRED, _preferred_node_faults)


def _preferred_node_faults(item: dict[str, Any]) -> Iterator[Fault]:
    yield from range_faults(item, "weight", 1, 100)
    yield from inner_faults(item, "preference", _node_term_faults)


def _node_term_faults(term: dict[str, Any]) -> Iterator[Fault]:
    yield from each_faults(term, "matchExpressions", lambda item: _requirement_faults(item, _NODE_OPERATORS))
    yield from each_faults(term, "matchFields", _field_requirement_faults)


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
    if not values or len(values) != 1:
        return False
    return is_templated(values[0]) or bool(re.fullmatch(r"[+-]?[0-9]{1,19}", str(values[0])))


def _pod_affinity_faults(affinity: dict[str, Any]) -> Iterator[Fault]:
    yield from each_faults(affinity, _REQUIRED, _pod_term_faults)
    yield from each_faults(affinity, _PREFERRED, _preferred_pod_faults)


def _preferred_pod_faults(item: dict[str, Any]) -> Iterator[Fault]:
    yield from range_faults(item, "weight", 1, 100)
    yield from inner_faults(item, "podAffinityTerm", _pod_term_faults)


def _pod_term_faults(term: dict[str, Any]) -> Iterator[Fault]:
    yield from text_faults(term, "topologyKey", label_key_fault)
    for key in ("labelSelector", "namespaceSelector"):
        yield from inner_faults(term, key, label_selector_faults)


def label_selector_faults(selector: dict[str, Any]) -> Iterator[Fault]:
    """Faults of a LabelSelector, beyond its shape."""
    labels = selector.get("matchLabels")
    if isinstance(labels, dict):
        strings = {key: text for key, text in labels.items() if isinstance(text, str)}
        yield from under(pointer("matchLabels"), selector_labels_faults(strings))
    yield from each_faults(selector, "matchExpressions", lambda item: _requirement_faults(item, _LABEL_OPERATORS))
