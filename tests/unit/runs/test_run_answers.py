"""What is kept of runs that are asked for: for how long, how many, and when the database is asked again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from app.domain.errors import NotFound
from app.runs import run_answers
from app.runs.run_answers import RunAnswer, RunAnswers
from app.storage.broker import Broker, run_topic


class Stored:
    """A database of runs, by their ids the version that each has."""

    def __init__(self, *, is_shared: bool = False) -> None:
        self.is_shared = is_shared
        self.versions: dict[str, int] = {"a": 1}
        self.reads = 0
        self.during = lambda: None  # what happens while a read is being made

    async def read(self, _function: Callable[..., Any]) -> RunAnswer | None:
        self.reads += 1
        version = self.versions.get("a")
        await asyncio.sleep(0)
        self.during()
        return None if version is None else RunAnswer(body=b"{}", etag=str(version), is_finished=False)


def answers_of(stored: Stored) -> tuple[RunAnswers, Broker]:
    broker = Broker()
    return RunAnswers(stored, broker), broker  # type: ignore[arg-type]  # all that is used of a database


async def test_run_answers__nothing_changes__one_read_serves_all() -> None:
    stored = Stored()
    answers, _ = answers_of(stored)
    assert answers.find_kept("a") is None
    assert [(await answers.get("a")).etag for _ in range(3)] == ["1", "1", "1"]
    assert stored.reads == 1
    kept = answers.find_kept("a")
    assert kept is not None
    assert kept.etag == "1"


async def test_run_answers__a_commit__is_read_anew() -> None:
    stored = Stored()
    answers, broker = answers_of(stored)
    await answers.get("a")
    stored.versions["a"] = 2
    broker.publish([run_topic("a")])
    assert answers.find_kept("a") is None
    assert (await answers.get("a")).etag == "2"


async def test_run_answers__a_commit_while_it_is_read__is_not_kept() -> None:
    stored = Stored()
    answers, broker = answers_of(stored)
    stored.during = lambda: broker.publish([run_topic("a")])
    assert (await answers.get("a")).etag == "1", "it was so when it was read"
    assert answers.find_kept("a") is None


async def test_run_answers__nobody_is_told_of_a_commit__holds_for_a_moment_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_answers, "KEPT_SECONDS", 0.05)
    stored = Stored()
    answers, _ = answers_of(stored)
    await answers.get("a")
    stored.versions["a"] = 2
    await asyncio.sleep(0.1)
    assert (await answers.get("a")).etag == "2"


async def test_run_answers__others_write_too__nothing_is_kept() -> None:
    stored = Stored(is_shared=True)
    answers, _ = answers_of(stored)
    await answers.get("a")
    assert answers.find_kept("a") is None
    await answers.get("a")
    assert stored.reads == 2


async def test_run_answers__it_is_deleted__is_not_found() -> None:
    stored = Stored()
    answers, broker = answers_of(stored)
    await answers.get("a")
    del stored.versions["a"]
    broker.publish([run_topic("a")])
    with pytest.raises(NotFound):
        await answers.get("a")
    assert answers.find_kept("a") is None


async def test_run_answers__many_runs__the_newest_are_kept_and_no_subscription_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_answers, "KEPT_RUNS", 2)
    answers, broker = answers_of(Stored())
    for run_id in "abc":
        await answers.get(run_id)
    assert [answers.find_kept(run_id) is not None for run_id in "abc"] == [False, True, True]
    assert set(broker._subscriptions) == {run_topic("b"), run_topic("c")}


async def test_run_answers__a_long_one__is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_answers, "KEPT_BYTES", 1)
    answers, broker = answers_of(Stored())
    await answers.get("a")
    assert answers.find_kept("a") is None
    assert not broker._subscriptions
