"""`podrun run`: how it ends early. The service is the fake one: only who leaves when is of account here."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from podrun.cli.serve import Submission, run_in
from tests.integration.podrun.fake_service import FakeService


def run(fake: FakeService, timeout_seconds: float | None = None) -> int:
    @asynccontextmanager
    async def service() -> AsyncIterator[str]:
        yield fake.url

    return asyncio.run(run_in(service(), fake.token, Submission(b'{"name": "x"}'), timeout_seconds, as_json=False))


@pytest.fixture
def when_polled(fake: FakeService) -> Callable[[int], threading.Thread]:
    """Sends this process a signal when the run is waited for."""

    def start(number: int) -> threading.Thread:
        def send() -> None:
            if fake.polled.wait(10):
                os.kill(os.getpid(), number)

        thread = threading.Thread(target=send)
        thread.start()
        return thread

    return start


@pytest.mark.parametrize(("phase", "code"), [("Succeeded", 0), ("Failed", 1)])
def test_run_in__run_ends__its_outcome(fake: FakeService, phase: str, code: int) -> None:
    fake.token = "t"
    fake.add_run("run-1", phase, polls=1)
    assert run(fake) == code
    assert not fake.asked_for("POST", "cancel")


def test_run_in__params_and_labels__sent(fake: FakeService) -> None:
    @asynccontextmanager
    async def service() -> AsyncIterator[str]:
        yield fake.url

    submission = Submission(b'{"name": "x"}', {"n": 3}, {"a": "b"})
    assert asyncio.run(run_in(service(), None, submission, None, as_json=False)) == 0
    assert json.loads(fake.bodies[0]) == {"workflow": {"name": "x"}, "params": {"n": 3}, "labels": {"a": "b"}}


def test_run_in__approval__says_that_nobody_can_answer(fake: FakeService, capsys: pytest.CaptureFixture[str]) -> None:
    fake.add_run("run-1")
    waiting = {"phase": "Running", "reason": "WaitingForApproval", "message": "sure?"}
    fake.events["run-1"] = [{"cursor": "1", "time": "T", "type": "TaskPhase", "task": "ask"} | waiting]
    assert run(fake) == 0
    assert "nobody can answer in `podrun run`" in capsys.readouterr().err


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_run_in__signal__cancels_and_waits_for_the_end(
    fake: FakeService, when_polled: Callable[[int], threading.Thread], number: int, code: int
) -> None:
    fake.add_run("run-1", polls=100)
    thread = when_polled(number)
    assert run(fake) == code
    thread.join()
    assert len(fake.asked_for("POST", "/runs/run-1/cancel")) == 1
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_run_in__second_signal__leaves(fake: FakeService, when_polled: Callable[[int], threading.Thread]) -> None:
    fake.add_run("run-1", polls=10**6)
    fake.ignores_cancel = True
    first = when_polled(signal.SIGINT)

    def again() -> None:
        if fake.cancelled.wait(10):
            os.kill(os.getpid(), signal.SIGINT)

    second = threading.Thread(target=again)
    second.start()
    with pytest.raises(asyncio.CancelledError):
        run(fake)
    first.join()
    second.join()


def test_run_in__timeout__cancels_and_four(fake: FakeService, capsys: pytest.CaptureFixture[str]) -> None:
    fake.add_run("run-1", polls=100)
    assert run(fake, timeout_seconds=0.2) == 4
    assert len(fake.asked_for("POST", "/runs/run-1/cancel")) == 1
    assert "not finished after 0.2 s" in capsys.readouterr().err
