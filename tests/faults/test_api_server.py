"""The API server answers badly, slowly, or not at all: every run ends as it would have, with one pod for each attempt."""

from __future__ import annotations

import asyncio
import re
import time
from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise

import pytest

from tests.faults.api_stand import Scenarios, Stand, scenario, talker
from tests.support.api_faults import EXPIRED_LINE, Answer, Break, Call, Delay, Drop, Garbage, Lose, Trickle
from tests.support.waiting import until
from tests.support.workflows import Json, fake, workflow

pytestmark = [pytest.mark.faults, pytest.mark.cluster, pytest.mark.fake_nodes, pytest.mark.timeout(300)]
RETRY_AFTER_SECONDS = 3
#: How long a watch may be silent before the pods are listed again, as `app/pods/kubernetes/listwatch.py` has it.
SILENCE_SECONDS = 90.0
#: An attempt that is over waits less for a pod whose creation was not answered.
UNSEEN_SECONDS = 40.0


@pytest.fixture(scope="module")
def scenarios(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    fake_nodes: None,  # noqa: ARG001 - asked for what it does
) -> Iterator[Scenarios]:
    with Scenarios(request, tmp_path_factory.mktemp("scenarios")) as running:
        yield running


async def _pending_for(stand: Stand, run_id: str, name: str, reason: str) -> Json:
    return await stand.api.task_when(run_id, name, phase="Pending", reason=reason, attempts=1)


def _waits(calls: list[Call]) -> list[float]:
    """The seconds between two requests for the same pod."""
    times: dict[str, list[float]] = defaultdict(list)
    for call in calls:
        times[call.name].append(call.at)
    return [after - before for of_one in times.values() for before, after in pairwise(of_one)]


@scenario(idles=True)
async def test_creates__answered_429__wait_as_long_as_they_are_told(stand: Stand) -> None:
    rule = stand.proxy.add(Answer(429, "TooManyRequests", "slow down", RETRY_AFTER_SECONDS), verb="create")
    began = time.monotonic()
    await stand.load(40, 1)
    run_id = await stand.submit(workflow(fake("one")))
    task = await _pending_for(stand, run_id, "one", "TooManyRequests")
    assert task["message"] == task["attempts"][0]["message"] == "slow down"
    await asyncio.sleep(2 * RETRY_AFTER_SECONDS)
    stand.proxy.remove(rule)
    await stand.check()
    waits = _waits(stand.proxy.find(began, verb="create"))
    assert len(waits) >= 20
    assert min(waits) >= RETRY_AFTER_SECONDS


@scenario()
async def test_deletes__answered_429__wait_as_long_as_they_are_told(stand: Stand) -> None:
    rule = stand.proxy.add(Answer(429, "TooManyRequests", retry_after=RETRY_AFTER_SECONDS), verb="delete")
    began = time.monotonic()
    run_id = await stand.submit(workflow(*(fake(f"t{number}") for number in range(20))))
    await stand.api.run_when(run_id, phase="Succeeded")
    assert not (await stand.api.run(run_id))["is_finished"]
    await asyncio.sleep(1.5 * RETRY_AFTER_SECONDS)
    stand.proxy.remove(rule)
    await stand.check()
    waits = _waits(stand.proxy.find(began, verb="delete"))
    assert len(waits) >= 20
    assert min(waits) >= RETRY_AFTER_SECONDS


@scenario()
async def test_every_other_call__answered_500__all_ends_as_it_would_have(stand: Stand) -> None:
    rules = [
        stand.proxy.add(Answer(500, "InternalError"), verb=verb, each=True, only=lambda number: number % 2 == 1)
        for verb in ("create", "delete", "get", "list", "watch", "log")
    ]
    # Watches end now and then, so that they are opened and refused again and again.
    stand.proxy.add(Break("end", after_seconds=2), verb="watch")
    await stand.load(60, 2)
    await stand.check()
    assert all(rule.hits > 0 for rule in rules if rule.seen)
    assert sum(rule.hits for rule in rules) > 60


@scenario(idles=True)
async def test_all_calls__answered_503_for_a_while__readyz_says_so_and_all_goes_on(stand: Stand) -> None:
    await stand.load(40, 2, seconds=8)
    await stand.api.log_when(stand.run_ids[-1], "talk0", b"line 5\n")
    began = time.monotonic()
    with stand.proxy.rule(Answer(503, "ServiceUnavailable", "etcd is away")):
        stand.proxy.now("cut")
        told = await stand.until_ready(False)
        assert told.startswith(
            f"pods: pods in namespace {stand.namespace} can't be listed: 503 ServiceUnavailable: etcd is away"
        )
        run_id = await stand.submit(workflow(fake("one")))
        assert (await _pending_for(stand, run_id, "one", "ServiceUnavailable"))["message"] == "etcd is away"
        await asyncio.sleep(12)
        stand.check_calm(began)
    await stand.until_ready(True)
    await stand.check()


@scenario()
async def test_connections__refused_for_a_while__readyz_says_so_and_all_goes_on(stand: Stand) -> None:
    await stand.load(40, 2, seconds=8)
    await stand.api.log_when(stand.run_ids[-1], "talk0", b"line 5\n")
    with stand.proxy.away():
        told = await stand.until_ready(False)
        assert told.startswith(f"pods: pods in namespace {stand.namespace} can't be listed: the API server at")
        assert "can't be reached" in told
        run_id = await stand.submit(workflow(fake("one")))
        await _pending_for(stand, run_id, "one", "ConnectionError")
        await asyncio.sleep(12)
    await stand.until_ready(True)
    await stand.check()


@scenario(idles=True)
async def test_deadline__comes_while_nothing_is_seen__ends_only_what_was_not_over_in_time(stand: Stand) -> None:
    ends = [fake(f"t{number}", 6, timeout_seconds=14) for number in range(10)]
    run_id = await stand.submit(workflow(*ends, fake("runs-on", 300, timeout_seconds=14)))
    for number in range(10):
        await stand.api.task_when(run_id, f"t{number}", attempts=1)
    await stand.api.task_when(run_id, "runs-on", phase="Running")
    # An API server that has just started lets us watch, says nothing for a while, and then that it has forgotten our version.
    with stand.proxy.rule(Break("silence"), verb="watch"):
        with stand.proxy.away():
            unseen = (await stand.api.get(f"/runs/{run_id}"))["task_phases"].get("Running", 0)
            await asyncio.sleep(18)
            back_at = time.monotonic()
        await until(lambda: [call for call in stand.proxy.find(back_at, verb="watch", resource="pods") if call.status == 200])
        await asyncio.sleep(3)
        assert (await stand.api.get(f"/runs/{run_id}"))["task_phases"].get("Running", 0) == unseen > 1
    stand.proxy.now("end", EXPIRED_LINE, verb="watch")
    run = await stand.api.finished(run_id)
    outcomes = {task["name"]: (task["phase"], task["reason"]) for task in run["tasks"]}
    assert outcomes.pop("runs-on") == ("Failed", "DeadlineExceeded")
    assert set(outcomes.values()) == {("Succeeded", None)}
    await stand.check_evidence(gaps={"runs-on"})  # a fake pod says nothing when it is ended, not even that


@scenario()
async def test_answers__lost_on_their_way__what_was_done_is_adopted_and_not_done_twice(stand: Stand) -> None:
    lost = stand.proxy.add(Lose(), verb="create", only=lambda number: number % 2 == 1)
    undone = stand.proxy.add(Drop(), verb="create", only=lambda number: number % 5 == 2)
    gone = stand.proxy.add(Lose(), verb="delete", only=lambda number: number % 2 == 1)
    await stand.load(50, 2)
    await stand.check()
    assert min(rule.hits for rule in (lost, undone, gone)) > 5


@scenario()
async def test_answers__lost_while_nothing_is_watched__found_by_name_and_adopted(stand: Stand) -> None:
    with stand.proxy.rule(Drop(), verb="list watch"):
        stand.proxy.now("cut", verb="watch")
        with stand.proxy.rule(Lose(), verb="create"):
            run_id = await stand.submit(workflow(*(fake(f"t{number}") for number in range(30))))
            for number in range(30):
                await _pending_for(stand, run_id, f"t{number}", "ConnectionError")
        found = stand.proxy.add(Delay(0), verb="get")
        async with asyncio.timeout(20):
            while found.hits < 30:  # noqa: ASYNC110 - the proxy is in a thread of its own
                await asyncio.sleep(0.1)
    await stand.check()
    assert {call.status for call in stand.proxy.find(verb="create") if call.status} == {409}


@scenario(idles=True)
async def test_cancel__while_creations_are_unanswered_and_nothing_is_watched__no_pod_is_left(stand: Stand) -> None:
    with stand.proxy.rule(Drop(), verb="list watch get"), stand.proxy.rule(Lose(), verb="create"):
        stand.proxy.now("cut", verb="watch")
        run_id = await stand.submit(workflow(*(fake(f"t{number}", 600) for number in range(10))))
        for number in range(10):
            await _pending_for(stand, run_id, f"t{number}", "ConnectionError")
        await stand.api.cancel(run_id)
        await asyncio.sleep(UNSEEN_SECONDS)
    run = await stand.api.finished(run_id)
    assert run["phase"] == "Cancelled"
    await stand.check_evidence()


@scenario(idles=True)
async def test_calls__take_2_s_each__all_ends_as_it_would_have(stand: Stand) -> None:
    with stand.proxy.rule(Delay(2)):
        await stand.load(40, 1)
        await stand.check()


@scenario(idles=True)
async def test_calls__take_20_s_each__readyz_says_so_and_all_ends_as_it_would_have(stand: Stand) -> None:
    with (
        stand.proxy.rule(Delay(20)),
        stand.proxy.rule(Delay(15, after=True), verb="create", only=lambda number: number % 3 == 1),
    ):
        run_id = await stand.submit(workflow(*(fake(f"t{number}", 1) for number in range(20)), talker("talk")))
        assert re.match(r"pods: .*did not answer (in time|within 2 s)", await stand.until_ready(False))
        await stand.api.run_when(run_id, phase="Succeeded", seconds=100)
    await stand.until_ready(True)
    [run] = await stand.check()
    # Of a third of the creations the answer came after 35 s, when nobody waited for it any more.
    assert all(event["reason"] != "Timeout" for event in await stand.api.events(run["id"]) if event["phase"] == "Running")


@scenario()
async def test_watch__cut_each_second_of_a_fan_out_of_300__misses_nothing(stand: Stand) -> None:
    rule = stand.proxy.add(Break("cut", after_seconds=1), verb="watch")
    stand.proxy.now("cut", verb="watch")
    began = time.monotonic()
    await stand.load(300, seconds=5)
    await stand.check(calm_since=began)
    assert rule.hits >= 10


@scenario()
async def test_watch__ended_cleanly_in_mid_burst_or_with_410__misses_nothing(stand: Stand) -> None:
    for number, action in enumerate(
        (Break("end", after_bytes=30_000), Break("end", after_bytes=20_000, say=EXPIRED_LINE), Answer(410, "Expired"))
    ):
        stand.proxy.add(action, verb="watch", each=True, only=lambda which, number=number: which % 3 == number)
    stand.proxy.now("end", EXPIRED_LINE, verb="watch")
    began = time.monotonic()
    await stand.load(80)
    await stand.check(calm_since=began, watches=15)
    assert len(stand.proxy.find(began, verb="watch", resource="pods")) > 6


@scenario(page_limit=10)
async def test_list__whose_next_page_has_expired__begins_anew_and_misses_nothing(stand: Stand) -> None:
    expired = stand.proxy.add(Answer(410, "Expired"), verb="list", query="continue=", only=lambda number: number % 4 != 0)
    await stand.load(80, seconds=8)
    for _ in range(4):
        await asyncio.sleep(1)
        stand.proxy.now("end", EXPIRED_LINE, verb="watch", resource="pods")
    await stand.check()
    assert expired.hits > 2
    assert any(call.status == 200 for call in stand.proxy.find(verb="list", query="continue="))


@scenario()
async def test_answers__that_make_no_sense__are_asked_for_again(stand: Stand) -> None:
    proxy = stand.proxy
    rules = [
        proxy.add(Garbage(), verb="create", only=lambda number: number % 4 == 1),
        proxy.add(Garbage(b'{"kind":"Pod"}'), verb="create", only=lambda number: number % 4 == 3),
        proxy.add(Garbage(is_http=False), verb="delete", only=lambda number: number % 3 == 1),
        proxy.add(Garbage(), verb="list", query="limit=500", only=lambda number: number % 3 == 1),
        proxy.add(Garbage(is_http=False), verb="list", query="limit=500", only=lambda number: number % 3 == 2),
        proxy.add(Break("end", after_seconds=1, say=b'{"type":\n'), verb="watch"),
    ]
    proxy.now("end", b"\x00\xff\n", verb="watch")
    await stand.load(30, 1)
    await stand.check()
    assert all(rule.hits for rule in rules)


@scenario(idles=True)
async def test_watch__silent_without_being_closed__pods_are_listed_after_90_s(stand: Stand) -> None:
    await stand.load(40, 2, seconds=5)
    await stand.api.log_when(stand.run_ids[-1], "talk0", b"line 5\n")
    assert stand.proxy.now("silence", verb="watch") == 2
    silent_at = time.monotonic()
    runs = await stand.check(calm_since=silent_at)
    lists = [call.at - silent_at for call in stand.proxy.find(silent_at, verb="list", resource="pods", query="limit=500")]
    assert len(lists) == 1
    # It is counted from the last byte, which may have come a while before the watch fell silent.
    assert SILENCE_SECONDS - 10 <= lists[0] <= SILENCE_SECONDS + 10
    assert {run["reason"] for run in runs} <= {None, "TaskFailed"}


@scenario()
async def test_all_faults__mixed_by_chance__all_ends_as_it_would_have(stand: Stand) -> None:
    proxy, chance = stand.proxy, stand.chance
    for action, probability in (
        (Answer(429, "TooManyRequests", retry_after=1), 0.05), (Answer(500), 0.05), (Answer(503), 0.05), (Drop(), 0.05),
        (Garbage(is_http=False), 0.03), (Delay(1), 0.1), (Delay(1, after=True), 0.1), (Trickle(20_000), 0.05),
        (Answer(410, "Expired"), 0.02),
    ):  # fmt: skip
        proxy.add(action, verb="create delete get list watch log", chance=chance, probability=probability)
    proxy.add(Lose(), verb="create delete", chance=chance, probability=0.1)
    for _ in range(10):  # each at another place: a log that ends twice at the same byte has its end there, for all one knows
        proxy.add(Break("cut", after_bytes=chance.randrange(100, 3000)), verb="log", chance=chance, probability=0.03)
        proxy.add(Break("end", after_bytes=chance.randrange(100, 3000)), verb="log", chance=chance, probability=0.02)
    proxy.add(Break("silence"), verb="log", query="follow=true", chance=chance, probability=0.1)
    proxy.add(Break("cut", after_bytes=chance.randrange(100, 90_000)), verb="watch", chance=chance, probability=0.2)
    proxy.add(Break("end", after_seconds=chance.random() * 5), verb="watch", chance=chance, probability=0.3)
    await stand.load(60, 3, seconds=5)
    await stand.load(40, 2, seconds=5)
    for _ in range(8):
        await asyncio.sleep(chance.random() * 2)
        if chance.random() < 0.2:
            with proxy.away():
                await asyncio.sleep(chance.random() * 3)
        else:
            proxy.now(*chance.choice([("cut",), ("end",), ("end", EXPIRED_LINE)]), verb="watch")
            proxy.now(chance.choice(["cut", "end"]), verb="log")
    await stand.check()
