"""Laws of the plan, for random workflows, outcomes, orders of arrival, crashes and cancels."""

from __future__ import annotations

from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from app.domain.phases import Phase, RunPhase
from app.domain.pods import AttemptKey
from tests.unit.domain.cluster_model import Model, Outcome

STEP_LIMIT = 5000
OUTCOMES = st.sampled_from(
    [Outcome(), Outcome(), Outcome(skips_running=True), Outcome(exit_code=1), Outcome(exit_code=3), Outcome(lost="Evicted")]
)


@st.composite
def documents(draw: st.DrawFn, *, plain: bool) -> dict:
    count = draw(st.integers(1, 6))
    tasks = []
    for index in range(count):
        task: dict = {"name": f"t{index}"}
        upstreams = draw(st.sets(st.integers(0, index - 1), max_size=3)) if index else set()
        if upstreams:
            task["depends_on"] = [f"t{number}" for number in sorted(upstreams)]
        if draw(st.integers(0, 4)):
            task["image"] = "busybox:1"
            if draw(st.booleans()):
                task["retries"] = {"limit": draw(st.integers(0, 2)), "delay_seconds": 1}
        if draw(st.integers(0, 4)) == 0:
            task["allow_failure"] = True
        tasks.append(task)
    document: dict = {"name": "random", "tasks": tasks}
    if draw(st.booleans()):
        document["max_parallel_tasks"] = draw(st.integers(1, 3))
    if not plain:
        document["fail_fast"] = draw(st.booleans())
        if draw(st.booleans()):
            document["timeout_seconds"] = draw(st.integers(1, 5))
    return document


def run_to_end(model: Model) -> None:
    while not model.state.is_finished:
        assert model.steps < STEP_LIMIT, "the run does not end"
        assert model.happen(), f"nothing can happen, and the run is {model.state.phase}"


def check_laws(model: Model) -> None:
    assert model.state.phase.is_over
    assert all(task.phase.is_over for task in model.state.tasks.values())
    assert model.state.open_tasks == model.state.live_attempts == model.state.unsettled == model.state.terminating == 0
    assert all(count == 1 for count in model.created.values()), "a pod was created twice"
    cut_short = model.state.cancel_reason is not None or model.state.timed_out
    assert model.sealed_before_delete or cut_short, "a pod was deleted before its log was stored"
    for name, over in model.started_when.items():
        assert set(model.state.tasks[name].spec.depends_on) <= over, f"{name} ran before its upstreams were over"


def expected_phases(model: Model) -> dict[str, Phase]:
    """What each task comes to, by its script alone: an oracle that knows no order."""
    phases: dict[str, Phase] = {}
    for name, task in model.state.tasks.items():
        if any(phases[upstream].is_failure for upstream in task.spec.depends_on):
            phases[name] = Phase.OMITTED
        elif task.spec.image is None:
            phases[name] = Phase.SUCCEEDED
        else:
            phases[name] = _expected_attempts(model, name)
    return phases


def _expected_attempts(model: Model, name: str) -> Phase:
    retries, replaced, number = model.state.tasks[name].spec.retries.limit, 0, 1
    while True:
        outcome = model.script(AttemptKey("run", name, number))
        number += 1
        if outcome.lost and replaced < 3:
            replaced += 1
        elif outcome.lost is None and outcome.exit_code == 0:
            return Phase.SUCCEEDED
        elif retries:
            retries -= 1
        else:
            return Phase.ERROR if outcome.lost else Phase.FAILED


def scripted(data: st.DataObject) -> dict[AttemptKey, Outcome]:
    class Script(dict):
        def __missing__(self, key: AttemptKey) -> Outcome:
            self[key] = data.draw(OUTCOMES)
            return self[key]

    return Script()


common = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


@common
@given(st.data(), documents(plain=True))
def test_plan__any_order_of_arrival__same_outcome(data: st.DataObject, document: dict) -> None:
    script = scripted(data)
    slots = data.draw(st.integers(1, 8))
    model = Model(document, script.__getitem__, lambda n: data.draw(st.integers(0, n - 1)), slots=slots)
    run_to_end(model)
    check_laws(model)
    assert {name: task.phase for name, task in model.state.tasks.items()} == expected_phases(model)


@common
@given(st.data(), documents(plain=False))
def test_plan__crashes_and_cancels_anywhere__ends_and_no_pod_twice(data: st.DataObject, document: dict) -> None:
    script = scripted(data)
    model = Model(document, script.__getitem__, lambda n: data.draw(st.integers(0, n - 1)))
    crashes = 0
    cancel_at = data.draw(st.integers(0, 40))
    while not model.state.is_finished:
        assert model.steps < STEP_LIMIT, "the run does not end"
        if model.steps == cancel_at and not model.state.phase.is_over:
            model.cancel()
            model.steps += 1
            event("cancelled")
            continue
        lose = data.draw(st.sampled_from(["", "", "", "record", "acts"])) if crashes < 6 else ""
        crashes += bool(lose)
        assert model.happen(lose=lose), f"nothing can happen: {model.state}"
    check_laws(model)
    if model.state.cancel_reason is not None and model.steps > cancel_at:
        assert model.state.phase is RunPhase.CANCELLED


@common
@given(st.data(), documents(plain=True))
def test_plan__crashes_without_cancel__outcome_as_without_crash(data: st.DataObject, document: dict) -> None:
    script = scripted(data)
    model = Model(document, script.__getitem__, lambda n: data.draw(st.integers(0, n - 1)))
    crashes = 0
    while not model.state.is_finished:
        assert model.steps < STEP_LIMIT, "the run does not end"
        lose = data.draw(st.sampled_from(["", "", "record", "acts"])) if crashes < 8 else ""
        crashes += bool(lose)
        assert model.happen(lose=lose)
    check_laws(model)
    assert {name: task.phase for name, task in model.state.tasks.items()} == expected_phases(model)
