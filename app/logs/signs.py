"""What is known of a container whose log is collected."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(slots=True)
class ContainerSigns:
    """What is known of a container. The caller changes it as it learns more, the flags before the events."""

    ended: asyncio.Event = field(default_factory=asyncio.Event)  #: it has terminated, or its pod is gone
    #: Its log will never be readable any more (the node is lost): what there is is sealed, with a gap.
    abandoned: asyncio.Event = field(default_factory=asyncio.Event)
    pod_leaves: bool = False  #: the pod is being deleted, or is gone: what a follow does not bring can soon not be read either
    is_orphan: bool = False  #: the pod is gone, and nobody saw the container end: it may speak on for a while
    started_at: datetime | None = None  #: by the node's clock, to the second
    finished_at: datetime | None = None  #: the same; None: it runs, or nobody knows when it ended
    restarts: bool = False  #: it may be started again in the same pod: a sidecar
