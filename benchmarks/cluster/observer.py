"""Watches pods from outside and says when each was created, had ended and was gone, whoever made it.

    python -m benchmarks.cluster.observer NAMESPACE LABEL PODS SECONDS [--gone]

Prints `watching` when it does; then, when PODS pods have ended (with `--gone`: have been deleted, too) or SECONDS are over, one
line of JSON: `created`, `ended` and `gone`, each an object of pods' names and seconds of this machine's monotonic clock. Times
are those of this process when it receives an event, so all that is compared is measured by one clock and with the same delay.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from dataclasses import asdict, dataclass, field
from typing import Any

from benchmarks.cluster.pods import LABEL, Json, has_ended, open_session, pods_url, watch_pods


@dataclass
class Seen:
    """When what was seen, by the pods' names."""

    created: dict[str, float] = field(default_factory=dict)
    ended: dict[str, float] = field(default_factory=dict)
    gone: dict[str, float] = field(default_factory=dict)

    @classmethod
    def read(cls, line: bytes) -> Seen:
        """What an observer has printed."""
        return cls(**json.loads(line))

    def gaps_ms(self) -> list[float]:
        """For each creation after the first: how long before it the last pod had ended, in milliseconds.

        In a chain that is what each hand-over took.
        """
        ends = sorted(self.ended.values())
        made = sorted(self.created.values())
        gaps, before = [], 0
        for at in made[1:]:
            while before < len(ends) and ends[before] <= at:
                before += 1
            if before:
                gaps.append((at - ends[before - 1]) * 1000)
        return gaps

    @property
    def creations_per_second(self) -> float:
        """From the first creation to the last."""
        made = sorted(self.created.values())
        return (len(made) - 1) / (made[-1] - made[0])


async def _observe(namespace: str, label: str, pods: int, seconds: float, *, gone: bool) -> Seen:
    server, http = await open_session()
    seen, over, ready = Seen(), asyncio.Event(), asyncio.Event()

    def saw(pod: Json, is_gone: bool) -> None:
        now, name = time.monotonic(), pod["metadata"]["name"]
        seen.created.setdefault(name, now)
        if has_ended(pod):
            seen.ended.setdefault(name, now)
        if is_gone:
            seen.gone.setdefault(name, now)
        if len(seen.gone if gone else seen.ended) >= pods:
            over.set()

    async with http, asyncio.TaskGroup() as watching:
        watch = watching.create_task(
            watch_pods(http, pods_url(server, namespace), f"{LABEL}={label}", saw, ready), name="watch"
        )
        await ready.wait()
        print("watching", flush=True)
        try:
            async with asyncio.timeout(seconds):
                await over.wait()
        except TimeoutError:
            pass
        watch.cancel()
    return seen


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(usage=__doc__)
    kinds: dict[str, Any] = {"namespace": str, "label": str, "pods": int, "seconds": float}
    for name, kind in kinds.items():
        parser.add_argument(name, type=kind)
    parser.add_argument("--gone", action="store_true")
    given = parser.parse_args()
    seen = asyncio.run(_observe(given.namespace, given.label, given.pods, given.seconds, gone=given.gone))
    print(json.dumps(asdict(seen)))


if __name__ == "__main__":
    main()
