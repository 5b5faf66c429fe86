"""What is wrong between the keys of a PodSpec themselves: what of the host it shares, DNS, resources of the whole.

Works on a PodSpec of any shape; pointers are relative to it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any

from app.domain.errors import Fault
from app.domain.kubernetes.quantities import parse_quantity
from app.domain.pointers import pointer, shown

Json = dict[str, Any]

_GRACE_SECONDS = 30  #: Kubernetes' own default
_HOST_SYSCTLS = {"hostNetwork": ("net.",), "hostIPC": ("kernel.shm", "kernel.msg", "kernel.sem", "fs.mqueue.")}


def host_faults(spec: Mapping[str, Any]) -> Iterator[Fault]:
    """Faults between the keys of a PodSpec."""
    if spec.get("hostUsers") is False:
        for key in ("hostNetwork", "hostPID", "hostIPC"):
            if spec.get(key) is True:
                yield Fault(pointer(key), 'must not be true where "hostUsers" is false')
    if spec.get("shareProcessNamespace") is True and spec.get("hostPID") is True:
        yield Fault(pointer("shareProcessNamespace"), 'must not be true where "hostPID" is')
    if spec.get("hostnameOverride") is not None:
        for key in ("hostNetwork", "setHostnameAsFQDN"):
            if spec.get(key) is True:
                yield Fault(pointer("hostnameOverride"), f"must not be given where {shown(key)} is true")
    config = spec.get("dnsConfig")
    servers = config.get("nameservers") if isinstance(config, dict) else None
    if spec.get("dnsPolicy") == "None" and not servers and not isinstance(config, str):
        yield Fault(pointer("dnsPolicy"), '"None" needs at least one of dnsConfig.nameservers')
    yield from _sysctl_faults(spec)
    yield from _port_faults(spec)
    for place, container in _containers(spec):
        yield from _container_faults(place, container, spec)
    if isinstance(spec.get("resources"), dict):
        yield from _resources_faults(spec, spec["resources"])


def _objects(owner: object, key: str) -> Iterator[tuple[int, Json]]:
    items = owner.get(key) if isinstance(owner, Mapping) else None
    return ((index, item) for index, item in enumerate(items if isinstance(items, list) else ()) if isinstance(item, dict))


def _containers(spec: Mapping[str, Any]) -> Iterator[tuple[str, Json]]:
    for key in ("containers", "initContainers"):
        for index, container in _objects(spec, key):
            yield pointer(key, index), container


def _sysctl_faults(spec: Mapping[str, Any]) -> Iterator[Fault]:
    for index, sysctl in _objects(spec.get("securityContext"), "sysctls"):
        name = str(sysctl.get("name")).replace("/", ".")
        for key, prefixes in _HOST_SYSCTLS.items():
            if spec.get(key) is True and name.startswith(prefixes):
                detail = f"must not be given where {shown(key)} is true: it would be the host's"
                yield Fault(pointer("securityContext", "sysctls", index, "name"), detail)


def _port_faults(spec: Mapping[str, Any]) -> Iterator[Fault]:
    taken: set[tuple[Any, ...]] = set()
    for number, container in _objects(spec, "containers"):
        for index, port in _objects(container, "ports"):
            host_port, place = port.get("hostPort"), pointer("containers", number, "ports", index, "hostPort")
            if spec.get("hostNetwork") is True:
                own = port.get("containerPort")
                if isinstance(host_port, int) and isinstance(own, int) and host_port not in (0, own):
                    yield Fault(place, 'must be the same as "containerPort" where "hostNetwork" is true')
                host_port = host_port or own
            if not isinstance(host_port, int) or host_port == 0:
                continue
            used = (port.get("protocol") or "TCP", port.get("hostIP") or "", host_port)
            if used in taken:
                yield Fault(place, f"{host_port} is taken by another port of this pod already: must be unique")
            taken.add(used)


def _container_faults(place: str, container: Json, spec: Mapping[str, Any]) -> Iterator[Fault]:
    context, lifecycle = container.get("securityContext"), container.get("lifecycle")
    if isinstance(context, dict) and context.get("procMount") == "Unmasked" and spec.get("hostUsers") in (None, True):
        yield Fault(place + "/securityContext/procMount", '"Unmasked" needs pod.hostUsers to be false')
    if spec.get("hostUsers") is False and container.get("volumeDevices"):
        yield Fault(place + "/volumeDevices", 'must not be given where "hostUsers" is false')
    if not isinstance(lifecycle, dict):
        return
    if lifecycle.get("stopSignal") is not None and not spec.get("os"):
        yield Fault(place + "/lifecycle/stopSignal", "needs pod.os.name to be given")
    grace = spec.get("terminationGracePeriodSeconds")
    grace = _GRACE_SECONDS if grace is None else grace
    for key in ("postStart", "preStop"):
        handler = lifecycle.get(key)
        sleep = handler.get("sleep") if isinstance(handler, dict) else None
        seconds = sleep.get("seconds") if isinstance(sleep, dict) else None
        if isinstance(seconds, int) and isinstance(grace, int) and seconds > grace:
            detail = f"must be at most the pod's terminationGracePeriodSeconds, {grace}, not {seconds}"
            yield Fault(f"{place}/lifecycle/{key}/sleep/seconds", detail)


def _amounts(owner: object, part: str) -> dict[str, Fraction]:
    resources = owner.get("resources") if isinstance(owner, Mapping) else None
    given = resources.get(part) if isinstance(resources, dict) else None
    parsed = {name: parse_quantity(value) for name, value in given.items()} if isinstance(given, dict) else {}
    return {name: amount for name, amount in parsed.items() if amount is not None}


def _resources_faults(spec: Mapping[str, Any], resources: Json) -> Iterator[Fault]:
    limits, requests = _amounts(spec, "limits"), _amounts(spec, "requests")
    running = [container for _, container in _objects(spec, "containers")]
    running += [container for _, container in _objects(spec, "initContainers") if container.get("restartPolicy") == "Always"]
    for name, amount in requests.items():
        together = sum(_amounts(container, "requests").get(name, Fraction(0)) for container in running)
        if together > amount:
            detail = f"must be at least what the containers request together, not {shown(resources['requests'][name])}"
            yield Fault(pointer("resources", "requests", name), detail)
    for number, container in _objects(spec, "containers"):
        for name, amount in _amounts(container, "limits").items():
            if name in limits and amount > limits[name]:
                detail = f"must be at most the whole pod's limit, {shown(resources['limits'][name])}"
                yield Fault(pointer("containers", number, "resources", "limits", name), detail)
