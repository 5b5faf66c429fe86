"""Where the time of a hand-over goes, from a pod's end to the next one's creation, both as an observer outside sees them."""

from __future__ import annotations

import json
import statistics
import tempfile
from bisect import bisect_left
from itertools import pairwise
from pathlib import Path

from benchmarks.cluster.trials import Shape, podrun_trial
from benchmarks.stand import SQLITE, service_on

_PROGRAM = Path(__file__).with_name("traced_service.py")
_RECORDED = "before record outcome", "after record outcome", "before create pod"
STAGES = (
    "the watch's event, decoded and planned for",
    "the outcome and the next attempt, committed",
    "the manifest, and a place among creations",
    "the POST, until the pod is seen",
)


async def measure_stages(database: str = SQLITE, chains: int = 5) -> dict[str, float]:
    """Milliseconds of each stage, the medians over all hand-overs of chains of 20 on fake nodes."""
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder) / "trace.jsonl"
        with service_on(database, program=["-P", str(_PROGRAM), str(trace)]) as service:
            seen = [(await podrun_trial(service, Shape(chains=1, length=20))).seen for _ in range(chains + 1)][1:]
        passed = [json.loads(line) for line in trace.read_text().splitlines()]
    times = {name: [at for at, passing in passed if passing == name] for name in _RECORDED}
    took: list[tuple[float, ...]] = []
    for one in seen:
        created, ended = sorted(one.created.values()), sorted(one.ended.values())
        for end, creation in zip(ended, created[1:], strict=False):
            marks = [creation]
            for name in reversed(_RECORDED):  # the last time before what came of it
                marks.append(times[name][bisect_left(times[name], marks[-1]) - 1])
            marks.append(end)
            took.append(tuple((after - before) * 1000 for before, after in pairwise(reversed(marks))))
    return {stage: statistics.median(one[number] for one in took) for number, stage in enumerate(STAGES)}
