"""What a container offers and answers to: ports, probes and lifecycle handlers, beyond their shape.

Every check gives the faults of one object, with pointers relative to it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from app.domain.errors import Fault
from app.domain.kubernetes.object_checks import (
    ValueCheck,
    by_key_faults,
    choice,
    each_faults,
    filled_faults,
    inner_faults,
    object_check,
    one_of_faults,
    optional_text_faults,
    range_faults,
    text_faults,
)
from app.domain.pointers import pointer, shown

PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
_PORT = (1, 65535)
_PORT_NAME = re.compile(r"(?=.*[a-z])[a-z0-9]+(-[a-z0-9]+)*")
_HEADER = re.compile(r"[-A-Za-z0-9]+")


def port_name_fault(name: str) -> str | None:
    """Why a text may not name a port, None if it may.

    Source: https://www.rfc-editor.org/rfc/rfc6335#section-5.1
    """
    if len(name) <= 15 and _PORT_NAME.fullmatch(name):
        return None
    return f"{shown(name)} is not a port's name: at most 15 lower-case letters, digits and single hyphens, with a letter in it"


def port_faults(port: dict[str, Any]) -> Iterator[Fault]:
    """Faults of a ContainerPort."""
    yield from optional_text_faults(port, "name", port_name_fault)
    yield from range_faults(port, "containerPort", *_PORT)
    if port.get("hostPort") != 0:
        yield from range_faults(port, "hostPort", *_PORT)
    yield from optional_text_faults(port, "protocol", choice("TCP", "UDP", "SCTP"))


def probe_faults(kind: str, probe: dict[str, Any]) -> Iterator[Fault]:
    """Faults of a Probe; `kind` is its key."""
    yield from _handler_faults(probe, ("exec", "grpc", "httpGet", "tcpSocket"))
    for key in ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "failureThreshold", "successThreshold"):
        yield from range_faults(probe, key, 0, None)
    if kind == "readinessProbe":
        if probe.get("terminationGracePeriodSeconds") is not None:
            yield Fault(pointer("terminationGracePeriodSeconds"), "must not be given: a readiness probe ends nothing")
    else:
        yield from range_faults(probe, "terminationGracePeriodSeconds", 1, None)
        successes = probe.get("successThreshold")
        if isinstance(successes, int) and successes > 1:
            yield Fault(pointer("successThreshold"), f"must be 1 for this kind of probe, not {shown(successes)}")


def lifecycle_faults(lifecycle: dict[str, Any]) -> Iterator[Fault]:
    """Faults of a Lifecycle."""
    for key in ("postStart", "preStop"):
        yield from inner_faults(lifecycle, key, lambda handler: _handler_faults(handler, _LIFECYCLE_HANDLERS))


_LIFECYCLE_HANDLERS = ("exec", "httpGet", "sleep", "tcpSocket")


def _handler_faults(handler: dict[str, Any], kinds: tuple[str, ...]) -> Iterator[Fault]:
    yield from one_of_faults(handler, kinds)
    yield from by_key_faults(handler, _HANDLERS)


def _port_reference_faults(action: dict[str, Any]) -> Iterator[Fault]:
    yield from range_faults(action, "port", *_PORT)
    yield from text_faults(action, "port", port_name_fault)


def _http_faults(action: dict[str, Any]) -> Iterator[Fault]:
    def header_fault(name: str) -> str | None:
        return None if _HEADER.fullmatch(name) else f"{shown(name)} is not a header's name: letters, digits and hyphens"

    yield from _port_reference_faults(action)
    yield from optional_text_faults(action, "scheme", choice("HTTP", "HTTPS"))
    yield from each_faults(action, "httpHeaders", lambda header: text_faults(header, "name", header_fault))


_HANDLERS: Mapping[str, ValueCheck] = {
    "exec": object_check(lambda action: filled_faults(action, "command")),
    "grpc": object_check(_port_reference_faults),
    "httpGet": object_check(_http_faults),
    "sleep": object_check(lambda action: range_faults(action, "seconds", 0, None)),
    "tcpSocket": object_check(_port_reference_faults),
}
