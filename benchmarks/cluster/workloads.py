"""What the goals are about: hand-over, chains, fan-outs, many runs, and what each pod costs the service's CPU."""

from __future__ import annotations

import statistics
from collections.abc import AsyncIterator
from dataclasses import dataclass

from benchmarks.cluster.trials import Shape, Trial, podrun_trial, raw_trial
from benchmarks.comparison import Comparison, Goal, at_least, at_most, at_most_more, percentile
from benchmarks.stand import POSTGRESQL, SQLITE
from tests.support.service import ServiceProcess

_HAND_OVER_MS = {SQLITE: 5, POSTGRESQL: 8}
_HAND_OVER_P90_MS = 15
_MANY_RUNS = {SQLITE: 1.3, POSTGRESQL: 1.5}
_CPU_PER_POD = 2.5
_CPU_GROWTH = 1.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """A service on the cluster that is measured."""

    service: ServiceProcess
    database: str  #: `SQLITE` or `POSTGRESQL`

    async def pairs(self, shape: Shape, count: int, *, complete: bool = False) -> AsyncIterator[tuple[Trial, Trial]]:
        """The raw client and podrun in turn, so many times, after one round of both that does not count."""
        for number in range(count + 1):
            raw = await raw_trial(self.service.namespaces[0], shape, complete=complete)
            podrun = await podrun_trial(self.service, shape)
            if number:
                yield raw, podrun


async def measure_hand_over(bench: Bench, pairs: int = 5) -> list[Comparison]:
    """A pod's end to the creation of the next, in a chain of 20 on fake nodes."""
    name = f"hand-over in a chain of 20, fake nodes, {bench.database}"
    median = Comparison(name=f"{name}: p50", unit="ms", goal=at_most_more(_HAND_OVER_MS[bench.database]))
    late = Comparison(name=f"{name}: p90 over all gaps", unit="ms", goal=at_most_more(_HAND_OVER_P90_MS))
    all_raw: list[float] = []
    all_podrun: list[float] = []
    async for raw, podrun in bench.pairs(Shape(chains=1, length=20), pairs):
        of_raw, of_podrun = raw.seen.gaps_ms(), podrun.seen.gaps_ms()
        median.add(statistics.median(of_raw), statistics.median(of_podrun))
        late.add(percentile(of_raw, 90), percentile(of_podrun, 90))
        all_raw += of_raw
        all_podrun += of_podrun
    median.samples = {"limit": all_raw, "podrun": all_podrun}
    late.reached_over_all = percentile(all_podrun, 90) - percentile(all_raw, 90)
    return [median, late]


async def measure_real_chain(bench: Bench, pairs: int = 15) -> list[Comparison]:
    """A chain of 5 on the real node, from the POST to the last container's end."""
    goal = at_most(1.05)
    return [
        await _ended(
            bench, f"chain of 5, real node, {bench.database}: done", goal, Shape(chains=1, length=5, on_fake_node=False), pairs
        )
    ]


async def measure_real_fan_out(bench: Bench, pairs: int = 5) -> list[Comparison]:
    """A fan-out of 40 on the real node, from the POST to the last container's end."""
    shape = Shape(chains=40, length=1, on_fake_node=False, in_one_run=True)
    return [await _ended(bench, f"fan-out of 40, real node, {bench.database}: done", at_most(1.2), shape, pairs)]


async def _ended(bench: Bench, name: str, goal: Goal, shape: Shape, pairs: int) -> Comparison:
    found = Comparison(name=name, unit="s", goal=goal)
    async for raw, podrun in bench.pairs(shape, pairs):
        found.add(raw.ended_seconds, podrun.ended_seconds)
    return found


async def measure_fan_out(bench: Bench, pairs: int = 5, pods: int = 1_000) -> list[Comparison]:
    """Creations per second in one run that fans out, on fake nodes."""
    name = f"fan-out of {pods:,} from one run, fake nodes, {bench.database}: creations"
    found = Comparison(name=name, unit="pods/s", goal=at_least(0.7))
    async for raw, podrun in bench.pairs(Shape(chains=pods, length=1, in_one_run=True), pairs):
        found.add(raw.seen.creations_per_second, podrun.seen.creations_per_second)
    return [found]


async def measure_many_runs(bench: Bench, pairs: int = 5, runs: int = 100) -> list[Comparison]:
    """Runs of a chain of 3, posted at once: until all are done, and what each pod costs; raw reads logs and deletes too."""
    name = f"{runs} runs of a chain of 3, fake nodes, {bench.database}"
    done = Comparison(name=f"{name}: all done", unit="s", goal=at_most(_MANY_RUNS[bench.database]))
    cpu = Comparison(name=f"{name}: CPU per pod", unit="ms", goal=at_most(_CPU_PER_POD))
    async for raw, podrun in bench.pairs(Shape(chains=runs, length=3), pairs, complete=True):
        done.add(raw.done_seconds, podrun.done_seconds)
        cpu.add(_cpu_ms_per_pod(raw), _cpu_ms_per_pod(podrun))
    return [done, cpu]


async def measure_scale(bench: Bench, pairs: int = 1) -> list[Comparison]:
    """1,000 runs of a chain of 3, and one run of 10,000 tasks: what each pod costs beside those of 100 runs.

    Here podrun is its own limit: its cost must not grow with the number of runs, nor with the size of one.
    """
    hundred = Shape(chains=100, length=3)
    larger = {
        "1,000 runs of a chain of 3": Shape(chains=1_000, length=3),
        "one run of 10,000 tasks": Shape(chains=10_000, length=1, in_one_run=True),
    }
    found = []
    for name, shape in larger.items():
        growth = Comparison(
            name=f"{name}, fake nodes, {bench.database}: CPU per pod, beside 100 runs", unit="ms", goal=at_most(_CPU_GROWTH)
        )
        for _ in range(pairs):
            small = statistics.median([_cpu_ms_per_pod(await podrun_trial(bench.service, hundred)) for _ in range(3)])
            growth.add(small, _cpu_ms_per_pod(await podrun_trial(bench.service, shape)))
        found.append(growth)
    return found


def _cpu_ms_per_pod(trial: Trial) -> float:
    return 1000 * trial.cpu_seconds / len(trial.seen.created)
