"""Users who do not stop while something is broken: they submit with idempotency keys, poll, and remember what they were told.

A refusal must be a 503 that says what and when to come back; what was acknowledged is checked in the end: each run is there,
once for its key, it ended as it must, each of its attempts ran once, and its logs are whole. On local pods, whose tasks leave
a mark in a file each time they run.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import httpx

from tests.support.api import Api, api_of
from tests.support.workflows import Json, shell, workflow

POSTERS = 4
POSTER_PAUSE_SECONDS = 0.8  #: of a poster, from an answer to the next run
POLL_SECONDS = 0.2
PROBE_SECONDS = 0.2
AGAIN_SECONDS = 0.2  #: sooner than Retry-After says: there are clients that do not wait
#: What a probe may take, however bad it is: the checks are given 3 s.
PROBE_LIMIT_SECONDS = 5.0
LINES = 4
#: All runs are finished so long after the last of them was taken.
END_SECONDS = 120.0

#: Problems that say what is away.
_PASSING = ("database-unavailable", "database-full", "log-store-unavailable")
_RETRIES = {"limit": 1, "delay_seconds": 0.2, "jitter": False}


class Probe(NamedTuple):
    """An answer of /readyz."""

    at: float  #: monotonic, when it was asked
    url: str
    status: int
    detail: str


@dataclass(frozen=True, slots=True)
class Kind:
    """A workflow of three tasks, and how it must end."""

    phase: str
    tasks: dict[str, tuple[str, int]]  #: phase, and how many attempts
    end: str = ""  #: how the first task's script ends
    keys: tuple[tuple[str, Any], ...] = ()  #: further keys of the first task


_OK, _NOT = ("Succeeded", 1), ("Omitted", 0)
KINDS = {
    "good": Kind("Succeeded", {"first": _OK, "left": _OK, "right": _OK}),
    "bad": Kind("Failed", {"first": ("Failed", 1), "left": _NOT, "right": _NOT}, "exit 7"),
    "again": Kind(
        "Succeeded", {"first": ("Succeeded", 2), "left": _OK, "right": _OK}, "[ $PODRUN_ATTEMPT = 2 ]", (("retries", _RETRIES),)
    ),
}


class Users:
    """Ask `users_of` for them. What they find wrong ends the block."""

    def __init__(self, apis: Sequence[Api], marks: Path, chance: random.Random) -> None:
        self._apis, self._marks, self._chance = apis, marks, chance
        self._number = 0
        self._is_over = False
        self._kinds: dict[str, str] = {}  #: of each key that was ever sent
        self.acknowledged: dict[str, str] = {}  #: the run of each key
        self.acknowledged_at: list[float] = []  #: monotonic
        self.refusals: Counter[str] = Counter()  #: titles of problems
        self.longest_seconds: defaultdict[str, float] = defaultdict(float)  #: an answer to that method took at most
        self.probes: list[Probe] = []

    async def submit(self) -> str:
        """Submit a run under a key of its own, again and again until it is acknowledged."""
        self._number += 1
        key = f"k-{self._number}"
        self._kinds[key] = self._chance.choices([*KINDS], weights=(8, 1, 1))[0]
        while (run_id := await self._post(key)) is None:  # noqa: ASYNC110 - as users do
            await asyncio.sleep(AGAIN_SECONDS)
        self.acknowledged[key] = run_id
        self.acknowledged_at.append(time.monotonic())
        if self._chance.random() < 0.3:  # its answer might have been lost: the same again is no other run
            assert await self._post(key) in (None, run_id)
        return run_id

    async def submit_many(self, count: int) -> None:
        """Submit so many runs, some at a time."""
        for _ in range(0, count, 10):
            async with asyncio.TaskGroup() as group:
                for _ in range(min(count, 10)):
                    group.create_task(self.submit())

    def said(self, since: float, until: float) -> set[str]:
        """What /readyz has named as wrong in this time."""
        return {probe.detail for probe in self.probes if since <= probe.at <= until and probe.status != httpx.codes.OK}

    async def wait_ready(self, since: float, seconds: float) -> None:
        """Wait until /readyz of all services has said after `since` that all is well; it must within so many seconds."""
        urls = {api.url for api in self._apis}
        while urls - {probe.url for probe in self.probes if probe.at >= since and probe.status == httpx.codes.OK}:
            assert time.monotonic() < since + seconds, f"not ready after {seconds} s: {self.probes[-1].detail}"
            await asyncio.sleep(0.05)

    async def wait_unready(self, since: float, seconds: float, *words: str) -> str:
        """What /readyz says when all of these words are in it; they must be within so many seconds."""
        while True:
            for probe in self.probes:
                if probe.at >= since and all(word in probe.detail for word in words):
                    assert probe.status == httpx.codes.SERVICE_UNAVAILABLE
                    return probe.detail
            assert time.monotonic() < since + seconds, f"/readyz says {self.said(since, time.monotonic())}, not {words}"
            await asyncio.sleep(0.05)

    async def _post(self, key: str) -> str | None:
        """The run that is made under the key; None: not now."""
        body = {"workflow": self._workflow(key), "labels": {"key": key}}
        answer = await self._ask("POST", "/runs", json=body, headers={"Idempotency-Key": key})
        return None if answer is None else str(answer.json()["id"])

    def _workflow(self, key: str) -> Json:
        kind = KINDS[self._kinds[key]]
        mark = f"echo $PODRUN_RUN_ID/$PODRUN_TASK/$PODRUN_ATTEMPT >> {self._marks}; "
        talk = mark + f"i=0; while [ $i -lt {LINES} ]; do echo line $i; i=$((i+1)); sleep 0.2; done; "
        after = [shell(name, talk, depends_on=["first"]) for name in ("left", "right")]
        return workflow(shell("first", talk + kind.end, **dict(kind.keys)), *after, name=self._kinds[key])

    async def _ask(self, method: str, path: str, **arguments: Any) -> httpx.Response | None:
        """What was answered, None: 503, or that a request with the same key is not over yet."""
        began = time.monotonic()
        answer = await self._chance.choice(self._apis).http.request(method, path, **arguments)
        self.longest_seconds[method] = max(self.longest_seconds[method], time.monotonic() - began)
        if answer.is_success:
            return answer
        told = f"{method} {path}: {answer.status_code} {answer.text}"
        assert answer.headers["Content-Type"] == "application/problem+json", told
        problem = answer.json()
        self.refusals[problem["title"]] += 1
        if answer.status_code == httpx.codes.CONFLICT:
            assert problem["type"] == "urn:podrun:problem:idempotency-key-in-progress", told
        else:
            assert answer.status_code == httpx.codes.SERVICE_UNAVAILABLE, told
            assert float(answer.headers["Retry-After"]) > 0, told
            assert problem["type"].removeprefix("urn:podrun:problem:") in _PASSING, told
        return None

    async def _keep_submitting(self) -> None:
        while not self._is_over:
            await self.submit()
            await asyncio.sleep(POSTER_PAUSE_SECONDS)

    async def _keep_polling(self) -> None:
        while not self._is_over:
            path = "/runs?limit=20"
            if self.acknowledged and self._chance.random() < 0.8:
                run_id = self._chance.choice([*self.acknowledged.values()])
                path = f"/runs/{run_id}" + self._chance.choice(("", "/tasks", "/events", "?include=tasks"))
            await self._ask("GET", path)
            await asyncio.sleep(POLL_SECONDS)

    async def _keep_probing(self, api: Api) -> None:
        while not self._is_over:
            at = time.monotonic()
            async with asyncio.timeout(PROBE_LIMIT_SECONDS):
                lives, ready = await api.http.get(f"{api.url}/healthz"), await api.http.get(f"{api.url}/readyz")
            assert lives.status_code == httpx.codes.OK
            self.probes.append(Probe(at, api.url, ready.status_code, ready.json().get("detail", "")))
            await asyncio.sleep(PROBE_SECONDS)

    @asynccontextmanager
    async def at_work(self) -> AsyncIterator[None]:
        """They do not stop before the block ends."""
        async with asyncio.TaskGroup() as group:
            for _ in range(POSTERS):
                group.create_task(self._keep_submitting(), name="poster")
            group.create_task(self._keep_polling(), name="poller")
            for api in self._apis:
                group.create_task(self._keep_probing(api), name="prober")
            yield
            self._is_over = True

    async def check(self) -> None:
        """Wait until all runs are finished, and look at everything that was promised."""
        api = self._apis[0]
        deadline = time.monotonic() + END_SECONDS
        for run_id in self.acknowledged.values():
            await api.run_when(run_id, is_finished=True, seconds=deadline - time.monotonic())
        made: defaultdict[str, list[str]] = defaultdict(list)
        async for run in api.pages("/runs", label_selector="key"):
            made[run["labels"]["key"]].append(run["id"])
        assert {key: made[key] for key in self.acknowledged} == {key: [run] for key, run in self.acknowledged.items()}
        assert all(len(ids) == 1 for ids in made.values()), made  # one that was never acknowledged may be there, too
        ran: Counter[str] = Counter()
        for key, [run_id] in made.items():
            ran.update(await self._check_run(api, key, await api.finished(run_id)))
        assert Counter(self._marks.read_text().split()) == ran

    async def _check_run(self, api: Api, key: str, run: Json) -> list[str]:
        """The marks that the run must have left."""
        kind = KINDS[self._kinds[key]]
        attempts = [(task["name"], attempt) for task in run["tasks"] for attempt in task["attempts"]]
        phases = [event["phase"] for event in await api.events(run["id"]) if event["type"] in ("RunPhase", "RunFinished")]
        lines = Counter((await api.log(run["id"], attempt="all")).decode().splitlines())
        said = Counter(f"[{name}] line {number}" for name, _ in attempts for number in range(LINES))
        is_well = (
            {task["name"]: (task["phase"], len(task["attempts"])) for task in run["tasks"]} == kind.tasks
            and all((attempt["log"]["sealed"], attempt["log"]["gaps"]) == (True, 0) for _, attempt in attempts)
            and phases == ["Pending", "Running", kind.phase, kind.phase]
            and lines == said
        )
        assert is_well, f"{key}: {await api.describe(run['id'])}\n{run['tasks']}\n{lines}"
        return [f"{run['id']}/{name}/{attempt['attempt']}" for name, attempt in attempts]


def numbered(lines: int) -> bytes:
    """What a task has said that says so many lines."""
    return b"".join(b"line %d\n" % number for number in range(lines))


@asynccontextmanager
async def users_of(urls: Sequence[str], marks: Path, chance: random.Random) -> AsyncIterator[Users]:
    """Users of the services at these addresses, whose tasks leave their marks in that file."""
    async with AsyncExitStack() as stack:
        apis = [await stack.enter_async_context(api_of(url)) for url in urls]
        yield Users(apis, marks, chance)
