"""A law of time: what is due comes when it is due, or as soon as the service is back; not before, not later, and once."""

from __future__ import annotations

from datetime import datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.phases import Phase
from tests.unit.domain.plan.cluster_model import START, Outcome
from tests.unit.domain.plan.timeline import Timeline, timeline

#: When each thing is due, in seconds after the run began.
DUE = {"limited": 500.25, "pending": 700.0, "asked": 900.0, "retried": 1100.5}
TASKS = [
    {"name": "limited", "timeout_seconds": DUE["limited"] - 0.25},
    {"name": "pending", "pending_timeout_seconds": DUE["pending"]},
    {"name": "asked", "image": None, "approval": {"timeout_seconds": DUE["asked"], "on_timeout": "skip"}},
    {
        "name": "retried",
        "retries": {"limit": 1, "delay_seconds": DUE["retried"] - 0.5, "max_delay_seconds": 3600, "jitter": False},
    },
    {"name": "talks"},
]
#: For how long the service runs, is away, runs, ...
spans = st.lists(st.floats(0.5, 900, allow_nan=False), min_size=2, max_size=8)


def begun() -> Timeline:
    run = timeline(*TASKS, timeout_seconds=1300, script=lambda key: Outcome(exit_code=int(key.task == "retried")))
    run.move("limited", after=0.25)
    run.move("talks")
    run.move("retried")
    run.move("retried", after=0.25)
    return run


def comes_at(due: float, service: list[tuple[float, float]]) -> datetime:
    """The first moment from then on when the service runs."""
    return START + timedelta(seconds=next(max(due, begins) for begins, ends in service if ends > due))


@settings(max_examples=150)
@given(spans=spans)
def test_time__service_runs_and_is_away_in_turn__what_is_due_comes_as_soon_as_it_can(spans: list[float]) -> None:
    run = begun()
    service, begins = [], 0.0
    for number, span in enumerate(spans):
        if number % 2 == 0:
            run.pass_time(span)
        else:
            service.append((begins, run.passed))
            run.be_away(span)
            begins = run.passed
    run.pass_time(2000)
    service.append((begins, float("inf")))
    ends_at = comes_at(1300.0, service)
    for name, phase in (("limited", Phase.FAILED), ("pending", Phase.ERROR), ("asked", Phase.SKIPPED)):
        expected = comes_at(DUE[name], service)
        assert (run[name].phase, run[name].finished_at) == (phase, expected)
    retried_at = comes_at(DUE["retried"], service)
    # Nothing begins any more when the run's own time is up as well.
    assert [attempt.created_at for attempt in run["retried"].attempts][1:] == ([retried_at] if retried_at < ends_at else [])
    assert (run["talks"].phase, run["talks"].finished_at) == (Phase.FAILED, ends_at)
    assert max(run.created.values()) == 1
