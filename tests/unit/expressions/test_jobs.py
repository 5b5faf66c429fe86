"""Turns and what a worker's end means, without any worker."""

from __future__ import annotations

import asyncio
import signal

import msgspec
import pytest

from app.domain.errors import EvaluatorUnavailable, ExpressionFailed
from app.expressions.contexts import EncodedContext
from app.expressions.jobs import ITEMS_AT_ONCE, Job, Turns
from app.expressions.process import WorkerDied
from app.expressions.protocol import EXIT_NO_MEMORY, Outcome, RecentContexts, Reply, Request

CPU = WorkerDied(-signal.SIGPROF)
MEMORY = WorkerDied(EXIT_NO_MEMORY)
KILLED = WorkerDied(-signal.SIGKILL)


def job(owner="a", items=None, condition=None):
    return Job(
        owner=owner,
        sources=["x"],
        condition=condition,
        context=EncodedContext(owner, (b"{}",)),
        items=items,
        future=asyncio.get_running_loop().create_future(),
        progressed_at=0.0,
    )


def reply(*values):
    return msgspec.json.encode(Reply([msgspec.Raw(msgspec.json.encode(Outcome(values=[value]))) for value in values]))


async def test_turns__many_owners__take_turns():
    turns = Turns()
    big, small, second = job("big"), job("small"), job("big")
    for one in (big, second, small):
        turns.add(one)
    assert turns.take() is big
    turns.add_again(big)
    assert turns.take() is small
    assert turns.take() is big
    assert turns.take() is second
    assert turns.take() is None


async def test_turns__nobody_waits_any_more__is_left_out():
    turns = Turns()
    gone, there = job("a"), job("a")
    turns.add(gone)
    turns.add(there)
    gone.future.cancel()
    assert turns.take() is there


async def test_request__context__is_sent_once_to_each_worker():
    contexts = RecentContexts()
    one = job()
    (first, context), (second, nothing) = (one.request(contexts, 1.0) for _ in range(2))
    assert (context, nothing) == (one.context, None)
    assert [msgspec.json.decode(request, type=Request).brings_context for request in (first, second)] == [True, False]


async def test_recent_contexts__many__the_oldest_goes():
    contexts: RecentContexts[int] = RecentContexts()
    for number in range(5):
        contexts.keep(str(number), number)
        contexts.use("0")
    assert list(contexts) == ["2", "3", "4", "0"]


async def test_answered__all_items__is_over():
    one = job(items=[1, 2, 3])
    one.answered(reply("a", "b"), 1.0)
    assert not one.is_over
    assert one.asked == 1
    one.answered(reply("c"), 2.0)
    assert one.future.result() == [{"x": "a"}, {"x": "b"}, {"x": "c"}]


async def test_worker_ended__many_items__are_tried_in_smaller_portions():
    one = job(items=list(range(ITEMS_AT_ONCE)))
    sizes = []
    for _ in range(3):
        one.worker_ended(CPU, 1.0, is_first_try=False)
        sizes.append(one.asked)
    assert sizes == [15, 1, 1]
    assert isinstance(one.outcomes[0], ExpressionFailed)
    one.answered(reply("b"), 1.0)
    assert one.asked == 2


async def test_worker_ended__too_little_cpu_at_the_first_try__is_no_failure():
    one = job()
    one.worker_ended(CPU, 1.0, is_first_try=True)
    assert not one.is_over
    assert one.is_slow
    one.worker_ended(CPU, 1.0, is_first_try=False)
    (failure,) = one.future.result()
    assert str(failure) == (
        "the expression `x` takes more than the one second of CPU time that a task's expressions may take together: go over "
        "shorter lists, or compute it in a task that puts the result out"
    )


async def test_worker_ended__too_little_memory__says_which_expression_and_what_to_do():
    one, many = job(), job(condition="c")
    for each in (one, many):
        each.worker_ended(MEMORY, 1.0, is_first_try=False)
    rest = "more memory than it may have, as map and filter do over more than about 4,000 elements: compute it in a task"
    assert str(one.future.result()[0]) == f"the expression `x` needs {rest}"
    assert str(many.future.result()[0]) == f"one of the expressions `c` and `x` needs {rest}"


async def test_worker_ended__killed_once__may_be_chance():
    one = job()
    one.worker_ended(KILLED, 1.0, is_first_try=True)
    assert not one.is_over
    one.worker_ended(KILLED, 1.0, is_first_try=False)
    (failure,) = one.future.result()
    assert str(failure) == "the expressions ended their worker (the worker ended: signal SIGKILL)"


async def test_worker_ended__three_items_did__the_rest_is_not_tried():
    one = job(items=list(range(10)))
    one.at_once = 1
    for _ in range(3):
        one.worker_ended(CPU, 1.0, is_first_try=False)
    found = one.future.result()
    assert len(found) == 10
    assert str(found[-1]) == "not evaluated: 3 items before it used up their CPU time or memory"


async def test_unavailable__job__raises_for_its_caller():
    one = job()
    one.unavailable("why")
    one.unavailable("again")
    with pytest.raises(EvaluatorUnavailable, match="why"):
        await one.future
