"""Logs of every kind while the service is killed again and again: what was printed is stored once, in order, and told."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.faults.checker import check
from tests.faults.log_story import (
    ATTEMPTS,
    DELETED,
    INIT_LINES,
    LONG_LINES,
    POD_LINES,
    PODS,
    SIDE_LINES,
    STUBBORN,
    LogName,
    Story,
    attempt_lines,
    stream_lines,
)  # fmt: skip
from tests.support.numbered_log import LogCheck, NumberedLines
from tests.support.service import started
from tests.support.waiting import run_apart

pytestmark = [pytest.mark.faults, pytest.mark.cluster, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def story(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """The story, when it is over."""
    chance = random.Random(f"{request.config.getoption('randomly_seed')}/{request.node.nodeid}")
    with ExitStack() as stack:
        service = started(stack, tmp_path_factory.mktemp("service"), "kubernetes")
        told = Story(service, chance)
        run_apart(told.go())
        yield told


def whole(story: Story, name: LogName, lines: NumberedLines) -> None:
    """Each line is there once and in order, stored and live, and nothing is said to be missing."""
    for one in story.checks(name, lines):
        assert one.end() == []
        assert (one.gaps, one.missing) == (0, 0)
        assert lines.count is None or one.stored == lines.count


def test_kills__thirty_pods_that_speak_at_once__each_log_is_whole(story: Story) -> None:
    for number in range(PODS):
        whole(story, LogName(f"pod-{number}"), POD_LINES)
        [attempt] = story.attempts(f"pod-{number}")
        size = {"bytes": len(POD_LINES.text()), "lines": POD_LINES.count, "sealed": True, "gaps": 0}
        assert (attempt["phase"], attempt["log"]) == ("Succeeded", size)


def test_kills__two_busy_streams__each_is_whole_and_in_its_order(story: Story) -> None:
    name = LogName("two-streams")
    for frames in (story.frames[name], story.live[name]):
        assert all(frame.get("type") != "gap" for frame in frames)
        for fd in (1, 2):
            one = LogCheck(stream_lines(fd))
            for frame in frames:
                if frame["text"].startswith(f"{fd} "):
                    one.take(frame)
            assert one.end() == []
        assert len(frames) == 2 * (stream_lines(1).count or 0)


def test_kills__lines_of_a_megabyte__are_whole_in_bytes_and_characters(story: Story) -> None:
    name = LogName("long-lines")
    assert story.texts[name] == LONG_LINES.text()
    whole(story, name, LONG_LINES)


def test_kills__bytes_of_every_kind__are_what_was_printed(story: Story) -> None:
    name = LogName("stubborn")
    assert story.texts[name] == STUBBORN
    for frames in (story.frames[name], story.live[name]):
        told = "".join(frame["text"] + "\n" * ("partial" not in frame) for frame in frames)
        # A last line without a line feed is given to who follows a run as a part: more of it may come.
        assert told.removesuffix("\n") == STUBBORN.decode("utf-8", "replace")


def test_kills__init_container_and_sidecar__their_logs_are_whole(story: Story) -> None:
    whole(story, LogName("accompanied", container="prepare"), INIT_LINES)
    whole(story, LogName("accompanied"), POD_LINES)
    whole(story, LogName("accompanied", container="helper"), SIDE_LINES)
    assert len(story.frames[LogName("accompanied", container="helper")]) > 400


def test_kills__task_that_is_tried_again__each_attempt_has_its_own_log(story: Story) -> None:
    attempts = story.attempts("retried")
    assert [attempt["phase"] for attempt in attempts] == [*["Failed"] * (ATTEMPTS - 1), "Succeeded"]
    for number in range(1, ATTEMPTS + 1):
        whole(story, LogName("retried", number), attempt_lines(number))


@pytest.mark.parametrize("name", DELETED)
def test_kills__pod_that_somebody_deletes_in_mid_speech__what_was_heard_stays_and_what_may_be_missing_is_told(
    story: Story, name: str
) -> None:
    [attempt] = story.attempts(name)
    assert (attempt["phase"], attempt["reason"], attempt["log"]["sealed"]) == ("Error", "PodLost", True)
    for one in story.checks(LogName(name), NumberedLines(None)):
        assert one.end() == []
        assert one.stored > 5
        assert one.gaps == attempt["log"]["gaps"]
        # Who heard more than is stored is told that there is a gap.
        seen = story.seen.get(name, b"").count(b"\n")
        assert one.stored >= seen or one.gaps
        assert one.gaps or name in story.seen, "it was gone when the service came back"


async def test_kills__everything_together__holds_to_the_rules(story: Story) -> None:
    pods = [story.attempts(name)[0]["pod"] for name in DELETED]
    await asyncio.to_thread(check, story.service, foreign=pods, gaps=list(DELETED), runs=[story.run_id])
