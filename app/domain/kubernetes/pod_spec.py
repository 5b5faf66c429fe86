"""The keys of a PodSpec that a task has no key of its own for: what Kubernetes takes of each, beyond its shape."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import partial
from ipaddress import ip_address
from typing import Any

from app.domain.errors import Fault
from app.domain.kubernetes.containers import amounts_faults, security_faults
from app.domain.kubernetes.labels import label_key_fault, label_name_fault, node_selector_faults, subdomain_fault
from app.domain.kubernetes.object_checks import (
    TextCheck,
    ValueCheck,
    by_key_faults,
    choice,
    filled_faults,
    is_templated,
    items_check,
    object_check,
    one_of_faults,
    optional_text_faults,
    range_faults,
    text_check,
    text_faults,
)
from app.domain.kubernetes.pod_containers import container_faults, ended_container_faults
from app.domain.kubernetes.quantities import quantity_faults
from app.domain.kubernetes.scheduling import label_selector_faults, terms_faults, toleration_faults
from app.domain.kubernetes.volumes import volume_faults
from app.domain.pointers import pointer, shown, under

_MAX_DEADLINE = 2**31 - 1
_SEARCH = re.compile(r"[a-z0-9_]([-_a-z0-9]*[a-z0-9_])?(\.[a-z0-9_]([-_a-z0-9]*[a-z0-9_])?)*")
_POD_RESOURCES = ("cpu", "memory")


def pod_spec_faults(spec: Mapping[str, Any]) -> Iterator[Fault]:
    """Faults of the keys of a PodSpec, each by itself, with pointers relative to it. Their shape is asked elsewhere."""
    yield from by_key_faults(spec, _CHECKS)


def _deadline_faults(value: object) -> Iterator[Fault]:
    yield from (Fault("", fault.detail) for fault in range_faults({"": value}, "", 1, _MAX_DEADLINE))


def _regular_container_faults(container: dict[str, Any]) -> Iterator[Fault]:
    yield from filled_faults(container, "image")
    yield from text_faults(container, "restartPolicy", choice("Always", "Never", "OnFailure"))
    yield from container_faults(container)


def _init_container_faults(container: dict[str, Any]) -> Iterator[Fault]:
    yield from _regular_container_faults(container)
    policy = container.get("restartPolicy")
    if policy != "Always" and not is_templated(policy):
        yield from ended_container_faults(container)


def _overhead_faults(value: dict[str, Any]) -> Iterator[Fault]:
    for name in value:
        yield from quantity_faults(value, name)


def _resources_faults(value: dict[str, Any]) -> Iterator[Fault]:
    yield from amounts_faults(value)
    if value.get("claims"):
        yield Fault(pointer("claims"), "must not be given for the whole pod, only for containers")
    for part in ("limits", "requests"):
        for name in value[part] if isinstance(value.get(part), dict) else ():
            if name not in _POD_RESOURCES and not str(name).startswith("hugepages-"):
                detail = f"there is no {shown(name)} for the whole pod: {', '.join(_POD_RESOURCES)} or hugepages-SIZE"
                yield Fault(pointer(part, name), detail)


# ------------------------------------------------------------------------------------------------ names and addresses


def _address_fault(text: str) -> str | None:
    try:
        ip_address(text)
    except ValueError:
        return f"{shown(text)} is not an IP address"
    return None


def _search_fault(text: str) -> str | None:
    name = text.removesuffix(".") if text != "." else "x"
    return None if len(name) <= 253 and _SEARCH.fullmatch(name) else f"{shown(text)} is not a DNS domain to search in"


def _texts_faults(owner: dict[str, Any], key: str, check: TextCheck) -> Iterator[Fault]:
    texts = owner.get(key)
    for index, text in enumerate(texts if isinstance(texts, list) else ()):
        if isinstance(text, str) and (fault := check(text)):
            yield Fault(pointer(key, index), fault)


def _dns_faults(config: dict[str, Any]) -> Iterator[Fault]:
    for key, most in (("nameservers", 3), ("searches", 32)):
        given = config.get(key)
        if isinstance(given, list) and len(given) > most:
            yield Fault(pointer(key), f"must have at most {most} items, not {len(given)}")
    yield from _texts_faults(config, "nameservers", _address_fault)
    yield from _texts_faults(config, "searches", _search_fault)
    options = config.get("options")
    for index, option in enumerate(options if isinstance(options, list) else ()):
        if isinstance(option, dict):
            yield from under(pointer("options", index), filled_faults(option, "name"))


def _host_alias_faults(alias: dict[str, Any]) -> Iterator[Fault]:
    yield from text_faults(alias, "ip", _address_fault)
    yield from _texts_faults(alias, "hostnames", subdomain_fault)


def _claim_faults(claim: dict[str, Any]) -> Iterator[Fault]:
    yield from text_faults(claim, "name", label_name_fault)
    yield from one_of_faults(claim, ("resourceClaimName", "resourceClaimTemplateName"))
    for key in ("resourceClaimName", "resourceClaimTemplateName"):
        yield from text_faults(claim, key, subdomain_fault)


def _spread_faults(constraint: dict[str, Any]) -> Iterator[Fault]:
    yield from range_faults(constraint, "maxSkew", 1, None)
    yield from text_faults(constraint, "topologyKey", label_key_fault)
    yield from text_faults(constraint, "whenUnsatisfiable", choice("DoNotSchedule", "ScheduleAnyway"))
    yield from range_faults(constraint, "minDomains", 1, None)
    if constraint.get("minDomains") is not None and constraint.get("whenUnsatisfiable") == "ScheduleAnyway":
        yield Fault(pointer("minDomains"), 'must only be given where "whenUnsatisfiable" is "DoNotSchedule"')
    for key in ("nodeAffinityPolicy", "nodeTaintsPolicy"):
        yield from text_faults(constraint, key, choice("Honor", "Ignore"))
    if isinstance(constraint.get("labelSelector"), dict):
        yield from under(pointer("labelSelector"), label_selector_faults(constraint["labelSelector"]))
    elif constraint.get("matchLabelKeys"):
        yield Fault(pointer("matchLabelKeys"), 'must only be given beside "labelSelector"')
    yield from _texts_faults(constraint, "matchLabelKeys", label_key_fault)


_CHECKS: Mapping[str, ValueCheck] = {
    "activeDeadlineSeconds": _deadline_faults,
    "affinity": object_check(terms_faults),
    "containers": items_check(_regular_container_faults),
    "dnsConfig": object_check(_dns_faults),
    "dnsPolicy": text_check(choice("ClusterFirst", "ClusterFirstWithHostNet", "Default", "None")),
    "hostAliases": items_check(_host_alias_faults),
    "hostname": text_check(label_name_fault),
    "hostnameOverride": text_check(subdomain_fault),
    "imagePullSecrets": items_check(lambda item: optional_text_faults(item, "name", subdomain_fault)),
    "initContainers": items_check(_init_container_faults),
    "nodeName": text_check(subdomain_fault),
    "nodeSelector": node_selector_faults,
    "os": object_check(partial(text_faults, key="name", check=choice("linux", "windows"))),
    "overhead": object_check(_overhead_faults),
    "preemptionPolicy": text_check(choice("Never", "PreemptLowerPriority")),
    "priorityClassName": text_check(subdomain_fault),
    "readinessGates": items_check(lambda gate: text_faults(gate, "conditionType", label_key_fault)),
    "resourceClaims": items_check(_claim_faults, "name"),
    "resources": object_check(_resources_faults),
    "runtimeClassName": text_check(subdomain_fault),
    "securityContext": object_check(security_faults),
    "serviceAccountName": text_check(subdomain_fault),
    "subdomain": text_check(label_name_fault),
    "tolerations": items_check(toleration_faults),
    "topologySpreadConstraints": items_check(_spread_faults, "topologyKey", "whenUnsatisfiable"),
    "volumes": items_check(volume_faults),
}
