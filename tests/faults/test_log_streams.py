"""Streams of logs that are cut anywhere, end too early, fall silent, are slow or refused: all that was printed arrives.

One service stands behind a proxy that does this to the logs of some pods, each in its own way, all at the same time.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.faults.checker import check
from tests.support.api import Api, Json, api_of
from tests.support.api_faults import Action, Answer, Break, Delay, Drop, Garbage, Lose, Rule, Trickle
from tests.support.api_proxy import ApiProxy
from tests.support.cluster import fresh_namespace
from tests.support.numbered_log import LogCheck, NumberedLines
from tests.support.service import ServiceProcess, started
from tests.support.talkers import LiveReader, stored_log, talker
from tests.support.waiting import run_apart
from tests.support.workflows import workflow

pytestmark = [pytest.mark.faults, pytest.mark.cluster, pytest.mark.timeout(300)]
RUN_SECONDS = 200.0
STAMP_BYTES = 31
#: Lines of characters of several bytes, some 3 kB a second for 20 s.
LINES, RATE = NumberedLines(600, wide=True), 3_000
#: A container that speaks for so long that a dead stream is noticed while it does.
LONG_LINES, LONG_RATE = NumberedLines(600), 900
#: Streams are cut so often, anywhere; what comes again, of two seconds and more, must be less than is let through.
CUTS, CUT_BYTES = 12, (9_000, 25_000)
REFUSED_SECONDS = 6.0
#: What a kubelet or an API server says in place of a log, for a while.
REFUSALS: dict[str, Action] = {
    "error-500": Answer(500, message="Internal error occurred: an error on the server has prevented the request"),
    "not-found": Answer(404, "NotFound", 'container "main" not found'),
    "bad-request": Answer(400, "BadRequest", 'container "main" in pod is waiting to start: ContainerCreating'),
    "excuse": Garbage(b"unable to retrieve container logs for containerd://0123456789abcdef"),
    "dropped": Drop(),
}


def byte_of(number: int, within: int = 0) -> int:
    """Where in a stream from the log's beginning line `number` begins, and so many bytes further."""
    return sum(STAMP_BYTES + len(LINES.line(one)) for one in range(number)) + within


#: Of the first stream of a log, after so many bytes. A line is `000000041 äöü…`, behind its stamp.
FIRST_CUTS = {
    "cut-in-the-stamp": byte_of(40, 12),
    "cut-behind-the-stamp": byte_of(40, STAMP_BYTES),
    "cut-in-the-line": byte_of(40, STAMP_BYTES + 5),
    "cut-in-a-character": byte_of(40, STAMP_BYTES + 13),
    "cut-at-the-line-feed": byte_of(41, -1),
    "cut-behind-the-line-feed": byte_of(41),
}


@dataclass
class Story:
    """What was done to the streams, and what came of it."""

    proxy: ApiProxy
    service: ServiceProcess
    chance: random.Random
    run_id: str = ""
    run: Json = field(default_factory=dict)
    rules: dict[str, list[Rule]] = field(default_factory=dict)  #: by task
    stored: dict[str, LogCheck] = field(default_factory=dict)
    live: dict[str, LogCheck] = field(default_factory=dict)
    woke: float = 0.0  #: seconds from the silence of a stream to the next line, while the container spoke

    def add(self, task: str, action: Action, **which: object) -> None:
        """Do it to the logs of a task's pod."""
        self.rules.setdefault(task, []).append(self.proxy.add(action, verb="log", name=f"^{task}-", **which))

    def lay_out(self) -> list[Json]:
        """The tasks, and the rules for each of them."""
        for name, after in FIRST_CUTS.items():
            how = self.chance.choice(("cut", "end"))
            self.add(name, Break(how, after_bytes=after, exactly=True), times=1)
        for name, how in (("cut-anywhere", "cut"), ("ends-anywhere", "end")):
            for number in range(1, CUTS + 1):
                after = self.chance.randrange(*CUT_BYTES)
                self.add(name, Break(how, after_bytes=after, exactly=True), only=lambda n, wanted=number: n == wanted)
        self.add("silent-to-the-end", Break("silence", after_bytes=self.chance.randrange(200, 20_000)), times=1)
        self.add("half-open", Break("silence", after_bytes=2_000), times=1)
        self.add("silent-from-the-start", Break("silence"), times=1)
        self.add("unanswered", Lose(), times=1)
        self.add("trickles", Trickle(8_000))
        self.add("slow-to-open", Delay(2.5))
        for name in REFUSALS:
            self.add(name, Break("cut", after_seconds=self.chance.uniform(2, 6)), times=1)
        names = [*self.rules]
        long = ("half-open", "silent-from-the-start")
        return [talker(name, LONG_LINES, LONG_RATE) if name in long else talker(name, LINES, RATE) for name in names]

    async def go(self) -> None:
        """Play it."""
        tasks = self.lay_out()
        names = [task["name"] for task in tasks]
        self.live = {name: LogCheck(lines_of(name)) for name in names}
        async with api_of(self.service.url) as api:
            self.run_id = await api.submit(workflow(*tasks))
            async with asyncio.TaskGroup() as group:
                group.create_task(LiveReader(api, f"/runs/{self.run_id}/logs", self._take).read(RUN_SECONDS), name="reader")
                for name in REFUSALS:
                    group.create_task(self._refuse(api, name), name=name)
                group.create_task(self._watch_half_open(api), name="half-open")
                self.run = await api.finished(self.run_id, RUN_SECONDS)
            self.stored = {name: await stored_log(api, self.run_id, name, lines_of(name)) for name in names}

    def _take(self, frame: Json) -> None:
        for item in frame.get("lines", [frame]):
            self.live[item["task"]].take(item)

    async def _refuse(self, api: Api, name: str) -> None:
        """Once the container speaks, its stream is cut and the next ones are refused: twice, the second time at its end."""
        await api.log_when(self.run_id, name, b"%09d " % 30)
        for text in (b"%09d " % 30, b"%09d " % 560):
            await api.log_when(self.run_id, name, text)
            self.add(name, REFUSALS[name])
            self.proxy.now("cut", verb="log", name=f"^{name}-")
            await asyncio.sleep(REFUSED_SECONDS)
            self.proxy.remove(self.rules[name][-1])

    async def _watch_half_open(self, api: Api) -> None:
        """How long a reader waits for the next line when the stream is dead and nobody says so."""
        name = "half-open"
        await api.log_when(self.run_id, name, b"%09d " % 5)
        last, began = b"", time.monotonic()
        while (log := await api.log(self.run_id, name, tail=1)) != last or time.monotonic() - began < 3:
            if log != last:
                last, began = log, time.monotonic()
            await asyncio.sleep(0.2)
        while await api.log(self.run_id, name, tail=1) == last:  # noqa: ASYNC110 - as users do
            await asyncio.sleep(0.2)
        self.woke = time.monotonic() - began
        assert (await api.task(self.run_id, name))["phase"] == "Running"


def lines_of(task: str) -> NumberedLines:
    """What a task prints."""
    return LONG_LINES if task in ("half-open", "silent-from-the-start") else LINES


@pytest.fixture(scope="module")
def story(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """The story, when it is over."""
    chance = random.Random(f"{request.config.getoption('randomly_seed')}/{request.node.nodeid}")
    folder: Path = tmp_path_factory.mktemp("streams")
    with ExitStack() as stack:
        namespace = stack.enter_context(fresh_namespace())
        proxy = stack.enter_context(ApiProxy())
        kubeconfig = proxy.write_kubeconfig(folder / "kubeconfig", namespace)
        service = started(stack, folder / "service", "kubernetes", kubeconfig=kubeconfig, namespaces=[namespace])
        told = Story(proxy, service, chance)
        run_apart(told.go())
        yield told


def whole(story: Story, name: str) -> None:
    """Each line is there once and in order, for the live reader too, and nothing is said to be missing."""
    for one in (story.stored[name], story.live[name]):
        assert one.end() == []
        assert (one.gaps, one.missing, one.stored) == (0, 0, lines_of(name).count)
    task = next(task for task in story.run["tasks"] if task["name"] == name)
    assert task["phase"] == "Succeeded"
    assert task["attempts"][0]["log"]["sealed"]


@pytest.mark.parametrize("name", FIRST_CUTS)
def test_stream__cut_at_a_place__whole(story: Story, name: str) -> None:
    assert [rule.hits for rule in story.rules[name]] == [1]
    whole(story, name)


@pytest.mark.parametrize("name", ["cut-anywhere", "ends-anywhere"])
def test_stream__cut_again_and_again_anywhere__whole(story: Story, name: str) -> None:
    assert sum(rule.hits for rule in story.rules[name]) >= 4
    whole(story, name)


@pytest.mark.parametrize("name", ["silent-to-the-end", "silent-from-the-start", "unanswered"])
def test_stream__silent_while_the_container_speaks_and_ends__whole(story: Story, name: str) -> None:
    assert [rule.hits for rule in story.rules[name]] == [1]
    whole(story, name)


def test_stream__dead_without_a_word__is_opened_again_while_the_container_speaks(story: Story) -> None:
    assert 3 < story.woke < 60
    whole(story, "half-open")


@pytest.mark.parametrize("name", ["trickles", "slow-to-open"])
def test_stream__slow__whole(story: Story, name: str) -> None:
    assert all(rule.hits >= 2 for rule in story.rules[name])
    whole(story, name)


@pytest.mark.parametrize("name", REFUSALS)
def test_stream__refused_for_a_while_in_mid_speech_and_at_the_end__whole(story: Story, name: str) -> None:
    assert [rule.hits > 0 for rule in story.rules[name]] == [True] * 3
    whole(story, name)


async def test_stream__everything_together__holds_to_the_rules(story: Story) -> None:
    printed = {(story.run_id, name, 1): lines_of(name) for name in story.rules}
    await asyncio.to_thread(check, story.service, printed=printed, runs=[story.run_id])
