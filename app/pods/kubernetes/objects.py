"""The envelopes of the API server's answers: lists, watch events, Status, and Events; and how they are decoded.

Decoding takes two steps, the envelope and then its object, because an ERROR event carries a Status where others carry a pod,
a BOOKMARK would decode as an empty pod, and one object that can't be read must not take its whole list with it.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import msgspec

from app.domain.pods import PodEvent
from app.domain.texts import storable
from app.pods.observation import RawMetadata, RawPod


class _Wire(msgspec.Struct, rename="camel", gc=False):
    """A part of a Kubernetes object, as far as it is used."""


class ListMetadata(_Wire):
    """ListMeta. Its key for the next page is `continue`, a Python keyword."""

    resource_version: str = ""
    next_page: str | None = msgspec.field(default=None, name="continue")


class ListPage(_Wire):
    """One page of any list; the items stay encoded."""

    metadata: ListMetadata
    items: list[msgspec.Raw]


class WatchEvent(_Wire):
    """One line of any watch; the object stays encoded."""

    type: str
    object: msgspec.Raw


class Versioned(_Wire):
    """Any object, for its version alone (BOOKMARK)."""

    metadata: RawMetadata


class StatusDetails(_Wire):
    """StatusDetails."""

    name: str = ""
    kind: str = ""
    retry_after_seconds: int = 0


class Status(_Wire):
    """What the API server says where it does not do as asked."""

    kind: str = ""
    code: int = 0
    reason: str = ""
    message: str = ""
    details: StatusDetails | None = None


class Involved(_Wire):
    """ObjectReference."""

    kind: str = ""
    namespace: str = ""
    name: str = ""
    uid: str = ""


class Source(_Wire):
    """EventSource."""

    component: str = ""


class Series(_Wire):
    """EventSeries."""

    count: int = 0
    last_observed_time: datetime | None = None


class RawEvent(_Wire):
    """Event of the core API, which also shows those that were written through events.k8s.io."""

    metadata: RawMetadata
    involved_object: Involved
    reason: str | None = None
    message: str | None = None
    type: str | None = None
    source: Source | None = None
    reporting_component: str | None = None
    count: int | None = None
    series: Series | None = None
    event_time: datetime | None = None
    first_timestamp: datetime | None = None
    last_timestamp: datetime | None = None


decode_page = msgspec.json.Decoder(ListPage).decode
decode_watch_event = msgspec.json.Decoder(WatchEvent).decode
decode_versioned = msgspec.json.Decoder(Versioned).decode
decode_status = msgspec.json.Decoder(Status).decode
decode_pod = msgspec.json.Decoder(RawPod).decode
decode_event = msgspec.json.Decoder(RawEvent).decode


def parse_version(resource_version: str) -> int:
    """A resource version as a number that grows, 0 where it is none.

    Source: https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions
    """
    return int(resource_version) if resource_version.isascii() and resource_version.isdigit() else 0


def to_pod_event(raw: RawEvent) -> PodEvent:
    """The event as the rest of podrun sees it."""
    series = raw.series
    last_at = (
        (series.last_observed_time if series else None)
        or raw.last_timestamp
        or raw.event_time
        or raw.first_timestamp
        or raw.metadata.creation_timestamp
        or datetime.fromtimestamp(0, UTC)
    )
    return PodEvent(
        namespace=raw.involved_object.namespace or raw.metadata.namespace,
        pod=raw.involved_object.name,
        uid=raw.involved_object.uid,
        type=storable(raw.type or "Normal"),
        reason=storable(raw.reason or ""),
        message=storable(raw.message or ""),
        count=max(raw.count or 0, series.count if series else 0, 1),
        last_at=last_at,
        source=storable(raw.reporting_component or (raw.source.component if raw.source else "")),
        event_uid=raw.metadata.uid,
    )


class LineSplitter:
    """Cuts a byte stream into its lines, whatever the chunks are; the unfinished rest waits for the next chunk."""

    def __init__(self) -> None:
        self._rest: list[bytes] = []

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Give the next chunk, take the lines that are complete with it, without their line feeds, empty ones left out."""
        head, found, tail = chunk.rpartition(b"\n")
        if not found:
            self._rest.append(chunk)
            return
        whole = b"".join((*self._rest, head)) if self._rest else head
        self._rest = [tail] if tail else []
        for line in whole.split(b"\n"):
            if line.strip():
                yield line
