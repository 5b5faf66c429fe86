"""The evaluator with its real processes. What takes long here takes CPU of the machine, so the limits are low."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from app.domain.errors import EvaluatorUnavailable, ExpressionFailed
from app.domain.expressions.cel_errors import ADVICE
from app.expressions.evaluator import Evaluator
from app.expressions.limits import Limits
from app.expressions.process import WorkerDied, WorkerProcess

LIMITS = Limits(cpu_seconds=0.1, quick_cpu_seconds=0.05, memory_bytes=256 << 20)
#: Some seconds of CPU, in C++ and in our own functions.
ENDLESS = "lists.range(9999).all(i, !params.text.matches('(a?){30}b'))"
ENDLESS_IN_PYTHON = "lists.range(9999).all(i, params.numbers.indexOf(-1) < 0)"
LARGE = {"params": {"text": "a" * 60_000, "numbers": list(range(600))}}
TOO_LARGE = "'a'" + ".replace('a', 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa')" * 9


@pytest.fixture
async def evaluator():
    async with Evaluator(LIMITS) as started:
        yield started


def workers_of(parent: int) -> list[int]:
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
            command = status.with_name("cmdline").read_bytes()
        except OSError:
            continue
        if int(fields[1]) == parent and fields[0] != "Z" and b"app.expressions.worker" in command:
            found.append(int(status.parent.name))
    return found


def environment_of(pid: int) -> bytes:
    return Path(f"/proc/{pid}/environ").read_bytes()


async def until(condition):
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110  # there is nothing to wait for: other processes come and go
            await asyncio.sleep(0.02)


async def test_evaluate__values__by_source(evaluator):
    context = {"params": {"x": 1, "y": 1.0}, "tasks": {"a": {"outputs": {"l": [1, "é"]}}}}
    assert await evaluator.evaluate(["params.x + 1", "params.y", "tasks.a.outputs.l"], context) == [
        {"params.x + 1": 2, "params.y": 1.0, "tasks.a.outputs.l": [1, "é"]}
    ]


async def test_evaluate__nothing_to_do__starts_no_process(evaluator):
    assert await evaluator.evaluate(["1"], {}, items=[]) == []
    (failure,) = await evaluator.evaluate(["1 +"], {})
    assert isinstance(failure, ExpressionFailed)
    assert workers_of(os.getpid()) == []


async def test_evaluate__ten_thousand_items__in_order(evaluator):
    values = [f"v{index}" for index in range(10_000)]
    context = {"params": {"prefix": "p"}, "tasks": {"a": {"outputs": {"l": values, "unused": "x" * 1_000_000}}}}
    source = "params.prefix + tasks.a.outputs.l[item]"
    found = await evaluator.evaluate([source], context, items=range(10_000), condition="item % 2 == 0")
    assert found[:3] == [
        {source: "pv0", "item % 2 == 0": True},
        {"item % 2 == 0": False},
        {source: "pv2", "item % 2 == 0": True},
    ]
    assert found[9_998][source] == "pv9998"
    assert len(found) == 10_000


async def test_evaluate__messages_larger_than_a_pipe__arrive(evaluator):
    text = "x" * 60_000
    context = {"params": {f"p{index}": text for index in range(20)}}
    sources = [f"params.p{index}" for index in range(20)]
    assert await evaluator.evaluate(sources, context, items=[1, 2, 3]) == [dict.fromkeys(sources, text)] * 3


@pytest.mark.parametrize("source", [ENDLESS, ENDLESS_IN_PYTHON])
async def test_evaluate__takes_too_long__fails_while_others_go_on(source):
    async with Evaluator(Limits(quick_cpu_seconds=0.05)) as evaluator, asyncio.TaskGroup() as group:
        endless = group.create_task(evaluator.evaluate([source], LARGE))
        others = [group.create_task(evaluator.evaluate([f"{number} + 1"], {})) for number in range(20)]
        for number, other in enumerate(others):
            assert await other == [{f"{number} + 1": number + 1}]
        assert not endless.done()
        (failure,) = await endless
        why = "takes more than the one second of CPU time that a task's expressions may take together"
        assert str(failure) == f"the expression `{source}` {why}: {ADVICE}"


async def test_evaluate__one_item_takes_too_long__only_it_fails(evaluator):
    source = f"item == 37 ? {ENDLESS} : true"
    found = await evaluator.evaluate([source], LARGE, items=list(range(60)))
    assert [index for index, outcome in enumerate(found) if isinstance(outcome, ExpressionFailed)] == [37]


async def test_evaluate__all_items_take_too_long__ends_all_the_same(evaluator):
    found = await evaluator.evaluate([ENDLESS], LARGE, items=list(range(1_000)))
    assert all(isinstance(outcome, ExpressionFailed) for outcome in found)
    assert "items before it used up" in str(found[-1])


@pytest.mark.parametrize("source", [TOO_LARGE, "[" + ", ".join(["lists.range(100000)"] * 99) + "].size()"])
async def test_evaluate__takes_too_much_memory__fails(source):
    async with Evaluator(Limits(memory_bytes=48 << 20)) as evaluator:
        (failure,) = await evaluator.evaluate([source], {})
        assert str(failure).startswith(f"the expression `{source[:50]}")
        assert "needs more memory than it may have, as map and filter do over" in str(failure)
        assert await evaluator.evaluate(["1"], {}) == [{"1": 1}]


async def test_evaluate__result_too_large__fails(evaluator):
    (failure,) = await evaluator.evaluate(["params.s + params.s"], {"params": {"s": "x" * 40_000}})
    assert str(failure) == "the expression `params.s + params.s` gives 80002 bytes of JSON: at most 65536 are allowed"


async def test_evaluate__worker_killed_from_outside__another_one_answers(evaluator):
    await evaluator.evaluate(["1"], {})
    (pid,) = workers_of(os.getpid())
    os.kill(pid, signal.SIGKILL)
    assert await evaluator.evaluate(["params.x"], {"params": {"x": 2}}) == [{"params.x": 2}]
    assert pid not in workers_of(os.getpid())


async def test_evaluate__cancelled__others_get_their_values(evaluator):
    await evaluator.evaluate(["1"], {})
    waiting = asyncio.get_running_loop().create_task(evaluator.evaluate([ENDLESS], LARGE))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await evaluator.evaluate(["2"], {}) == [{"2": 2}]


async def test_evaluate__small_call_behind_a_large_one__does_not_wait_for_it(evaluator):
    async with asyncio.TaskGroup() as group:
        large = [
            group.create_task(evaluator.evaluate(["item + 1"], {}, items=list(range(250)), owner="large")) for _ in range(100)
        ]
        await asyncio.sleep(0)
        await evaluator.evaluate(["1"], {}, owner="small")
        assert not large[-1].done()


async def test_evaluate__context_that_takes_long_to_encode__does_not_hold_up_the_loop(evaluator):
    numbers = [{"n": index, "text": "x" * 20} for index in range(100_000)]
    longest = 0.0

    async def watch():
        nonlocal longest
        while True:
            began = time.thread_time()
            await asyncio.sleep(0)
            longest = max(longest, time.thread_time() - began)

    watching = asyncio.get_running_loop().create_task(watch())
    found = await evaluator.evaluate(["params.l.size()"], {"params": {"l": numbers}})
    watching.cancel()
    # It may be too much for the worker; what counts is the loop's own CPU time in one piece.
    assert found == [{"params.l.size()": 100_000}] or isinstance(found[0], ExpressionFailed)
    assert longest < 0.05


async def test_evaluate__worker_that_does_not_answer__is_podruns_fault():
    async with Evaluator(Limits(answer_seconds=1.0)) as evaluator:
        await evaluator.evaluate(["1"], {})
        (pid,) = workers_of(os.getpid())
        os.kill(pid, signal.SIGSTOP)
        with pytest.raises(EvaluatorUnavailable, match="no values came in 1 seconds"):
            await evaluator.evaluate(["2"], {})
        await until(lambda: pid not in workers_of(os.getpid()))
        assert await evaluator.evaluate(["2"], {}) == [{"2": 2}]


@pytest.mark.parametrize("python", ["/bin/false", "/nowhere/python"])
async def test_evaluate__worker_can_not_start__is_podruns_fault(python):
    async with Evaluator(Limits(restart_seconds=0.01), python=python) as evaluator:
        for _ in range(2):
            with pytest.raises(EvaluatorUnavailable, match="no process for expressions could be started"):
                await evaluator.evaluate(["1"], {})


async def test_exit__while_somebody_waits__raises_and_leaves_no_process():
    async with Evaluator(LIMITS) as evaluator:
        await evaluator.evaluate(["1"], {})
        waiting = asyncio.get_running_loop().create_task(evaluator.evaluate([ENDLESS], LARGE))
        await asyncio.sleep(0)
    with pytest.raises(EvaluatorUnavailable, match="shutting down"):
        await waiting
    assert workers_of(os.getpid()) == []
    with pytest.raises(EvaluatorUnavailable, match="shutting down"):
        await evaluator.evaluate(["1"], {})


async def test_prepare__nothing_asked_yet__worker_is_there(evaluator):
    evaluator.prepare()
    await until(lambda: workers_of(os.getpid()))


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
async def test_worker__service_is_killed__ends_with_it(how):
    program = (
        "import asyncio\n"
        "from app.expressions.evaluator import Evaluator\n"
        "async def main():\n"
        "    async with Evaluator() as evaluator:\n"
        "        await evaluator.evaluate(['1'], {})\n"
        "        print('up', flush=True)\n"
        "        await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    service = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE)
    async with asyncio.timeout(30):
        assert await service.stdout.readline() == b"up\n"
    (pid,) = workers_of(service.pid)
    service.send_signal(how)
    await service.wait()
    await until(lambda: not Path(f"/proc/{pid}/cmdline").exists() or not Path(f"/proc/{pid}/cmdline").read_bytes())


async def test_worker__signals_for_the_service__are_not_for_it():
    worker = await WorkerProcess.start(LIMITS.memory_bytes)
    try:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            os.kill(worker.pid, number)
        assert os.getsid(worker.pid) == worker.pid
        assert worker.pid in workers_of(os.getpid())
    finally:
        await worker.stop()
    assert workers_of(os.getpid()) == []


async def test_worker__environment__holds_no_secrets(monkeypatch):
    monkeypatch.setenv("PODRUN_TOKEN", "hush")
    worker = await WorkerProcess.start(LIMITS.memory_bytes)
    try:
        assert b"hush" not in environment_of(worker.pid)
    finally:
        await worker.stop()


async def test_worker__nonsense_as_request__dies_with_a_word(capfd):
    worker = await WorkerProcess.start(LIMITS.memory_bytes)
    with pytest.raises(WorkerDied, match="exit code 1"):
        await worker.ask(b"nonsense")
    await worker.log_stderr_to_its_end()
    await worker.stop()
    assert "JSON is malformed" in capfd.readouterr().out
