"""Laws of the plan, for random workflows, outcomes, orders of arrival, crashes, cancels and retries."""

from __future__ import annotations

from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from app.domain.phases import Phase, RunPhase
from app.domain.pods import AttemptKey
from app.domain.workflow.trigger_rules import TriggerRule
from tests.unit.domain.plan.cluster_model import Model, Outcome
from tests.unit.domain.plan.plan_oracle import expect

STEP_LIMIT = 5000
OUTCOMES = st.sampled_from(
    [
        Outcome(),
        Outcome(outputs='{"n": 2}'),
        Outcome(outputs='{"n": 0}'),
        Outcome(skips_running=True, outputs='{"n": 3}'),
        Outcome(outputs="no json"),
        Outcome(exit_code=1),
        Outcome(exit_code=3),
        Outcome(lost="Evicted"),
    ]
)
RULES = st.sampled_from([rule.value for rule in TriggerRule])


@st.composite
def documents(draw: st.DrawFn, *, plain: bool) -> dict:
    count = draw(st.integers(1, 6))
    tasks: list[dict] = []
    for index in range(count):
        task: dict = {"name": f"t{index}"}
        upstreams = sorted(draw(st.sets(st.integers(0, index - 1), max_size=3))) if index else []
        if upstreams:
            task["depends_on"] = [f"t{number}" for number in upstreams]
            task["trigger_rule"] = draw(RULES)
        task |= draw(bodies(plain=plain))
        task |= draw(fan_outs(tasks[upstreams[0]] if upstreams else None))
        tasks.append(task)
    document: dict = {"name": "random", "tasks": tasks}
    if draw(st.booleans()):
        document["max_parallel_tasks"] = draw(st.integers(1, 3))
    if not plain:
        document["fail_fast"] = draw(st.booleans())
        if draw(st.booleans()):
            document["timeout_seconds"] = draw(st.integers(1, 5))
    if draw(st.booleans()):
        last = {"name": "e1", "depends_on": ["e0"], "trigger_rule": draw(RULES)}
        document["on_exit"] = [{"name": "e0", **draw(bodies(plain=plain))}, last]
    return document


@st.composite
def bodies(draw: st.DrawFn, *, plain: bool) -> dict:
    kind = draw(st.integers(0, 5))
    if kind == 0:
        return {}
    if kind == 1 and not plain:
        return {"approval": {"message": "go on?"}}
    task: dict = {"image": "busybox:1"}
    if draw(st.booleans()):
        task["retries"] = {"limit": draw(st.integers(0, 2)), "delay_seconds": 1}
    if draw(st.integers(0, 4)) == 0:
        task["allow_failure"] = True
    return task


@st.composite
def fan_outs(draw: st.DrawFn, upstream: dict | None) -> dict:
    """`foreach` and `when`, with values that may come from the first upstream task, where that is no fan-out itself."""
    found: dict = {}
    can_ask = upstream is not None and "foreach" not in upstream
    name = upstream["name"] if upstream else ""
    kind = draw(st.integers(0, 6))
    if kind == 0:
        found["foreach"] = draw(st.sampled_from([[], ["a"], ["a", "b", None]]))
    elif kind == 1 and can_ask:
        found["foreach"] = f"${{{{ lists.range(tasks.{name}.outputs.n) }}}}"
    if "foreach" in found and draw(st.booleans()):
        found["max_parallel"] = draw(st.integers(1, 2))
    if draw(st.integers(0, 4)) == 0:
        found["when"] = False
    elif can_ask and draw(st.integers(0, 3)) == 0:
        phase = draw(st.sampled_from(["Succeeded", "Failed", "Skipped"]))
        found["when"] = f"${{{{ tasks.{name}.phase == '{phase}' }}}}"
    return found


def run_to_end(model: Model) -> None:
    while not model.state.is_finished:
        assert model.steps < STEP_LIMIT, "the run does not end"
        assert model.happen(), f"nothing can happen, and the run is {model.state.phase}: {model.state.tasks}"


def check_laws(model: Model) -> None:
    state = model.state
    assert state.phase.is_over
    assert all(task.phase.is_over for task in state.tasks.values())
    assert state.open_tasks == state.live_attempts == state.unsettled == state.terminating == 0
    assert all(count == 1 for count in model.created.values()), "a pod was created twice"
    cut_short = state.cancel_reason is not None or state.timed_out
    assert model.sealed_before_delete or cut_short, "a pod was deleted before its log was stored"
    main = {node.name for node in model.workflow.nodes if not node.is_exit}
    for (name, number), over in model.started_when.items():
        node = state.nodes[name.partition(".")[0]].node
        wanted = set(node.depends_on) | (main if node.is_exit else set())
        assert wanted <= over, f"attempt {number} of {name} began before its upstreams were over"
    check_store(model)


def check_store(model: Model) -> None:
    """What is stored is what is: nothing was forgotten."""
    assert set(model.store.tasks) == set(model.state.tasks)
    for name, task in model.state.tasks.items():
        row = model.store.tasks[name]
        assert (row["phase"], row["reason"], row["outputs"]) == (task.phase, task.reason, task.outputs), name
        for attempt in task.attempts:
            stored = model.store.attempts[name, attempt.number]
            assert (stored["phase"], stored["pod_deleted"], stored["log_sealed"]) == (attempt.phase, True, True)


def main_phases(model: Model) -> dict[str, Phase]:
    return {name: task.phase for name, task in model.state.tasks.items() if not task.node.is_exit}


def scripted(data: st.DataObject) -> dict[AttemptKey, Outcome]:
    class Script(dict):
        def __missing__(self, key: AttemptKey) -> Outcome:
            self[key] = data.draw(OUTCOMES)
            return self[key]

    return Script()


def make_model(data: st.DataObject, document: dict, script: dict, **options: int) -> Model:
    return Model(document, script.__getitem__, lambda n: data.draw(st.integers(0, n - 1)), **options)


common = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


@common
@given(st.data(), documents(plain=True))
def test_plan__any_order_of_arrival__same_outcome(data: st.DataObject, document: dict) -> None:
    script = scripted(data)
    model = make_model(data, document, script, slots=data.draw(st.integers(1, 8)))
    run_to_end(model)
    check_laws(model)
    assert main_phases(model) == expect(model).phases


@common
@given(st.data(), documents(plain=False))
def test_plan__crashes_and_cancels_anywhere__ends_and_no_pod_twice(data: st.DataObject, document: dict) -> None:
    script = scripted(data)
    model = make_model(data, document, script)
    crashes = 0
    cancel_at = data.draw(st.integers(0, 40))
    while not model.state.is_finished:
        assert model.steps < STEP_LIMIT, "the run does not end"
        if model.steps == cancel_at and not model.state.phase.is_over:
            model.cancel(force=data.draw(st.booleans()))
            model.steps += 1
            event("cancelled")
            continue
        lose = data.draw(st.sampled_from(["", "", "", "record", "acts"])) if crashes < 6 else ""
        crashes += bool(lose)
        assert model.happen(lose=lose), f"nothing can happen: {model.state}"
    check_laws(model)
    if model.store.run["cancel_reason"]:
        assert model.state.phase is RunPhase.CANCELLED


@common
@given(st.data(), documents(plain=True))
def test_plan__crashes_without_cancel__outcome_as_without_crash(data: st.DataObject, document: dict) -> None:
    script = scripted(data)
    model = make_model(data, document, script)
    crashes = 0
    while not model.state.is_finished:
        assert model.steps < STEP_LIMIT, "the run does not end"
        lose = data.draw(st.sampled_from(["", "", "record", "acts"])) if crashes < 8 else ""
        crashes += bool(lose)
        assert model.happen(lose=lose)
    check_laws(model)
    assert main_phases(model) == expect(model).phases


@common
@given(st.data(), documents(plain=False))
def test_plan__same_observations_in_the_same_order__same_outcome(data: st.DataObject, document: dict) -> None:
    script = scripted(data)
    cancel_at = data.draw(st.integers(0, 60))
    chosen: list[int] = []

    def choose(count: int) -> int:
        chosen.append(data.draw(st.integers(0, count - 1)))
        return chosen[-1]

    first = Model(document, script.__getitem__, choose)
    again = Model(document, script.__getitem__, lambda _count: chosen[again.steps - 1])
    for model in (first, again):
        while not model.state.is_finished:
            assert model.steps < STEP_LIMIT, "the run does not end"
            if model.steps == cancel_at and not model.state.phase.is_over:
                model.cancel()
                model.steps += 1
                chosen.append(0)
            else:
                assert model.happen()
    assert first.store == again.store


@common
@given(st.data(), documents(plain=True))
def test_plan__retried_until_all_is_well__ends_and_no_pod_twice(data: st.DataObject, document: dict) -> None:
    script = scripted(data)
    model = make_model(data, document, script)
    for turn in range(3):
        while not model.state.is_finished:
            assert model.steps < STEP_LIMIT, "the run does not end"
            lose = data.draw(st.sampled_from(["", "", "", "record", "acts"])) if model.steps % 7 == 0 else ""
            assert model.happen(lose=lose)
        check_laws(model)
        before = {name: len(task.attempts) for name, task in model.state.tasks.items()}
        succeeded = {name for name, task in model.state.tasks.items() if task.phase is Phase.SUCCEEDED and task.attempts}
        if turn == 2:
            break
        model.retry()
        for name in succeeded & set(model.state.tasks):  # those that are not downstream of a failed one are left alone
            task = model.state.tasks[name]
            assert task.phase is Phase.SUCCEEDED or len(task.attempts) >= before[name]
