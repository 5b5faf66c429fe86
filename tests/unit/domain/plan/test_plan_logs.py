"""The plan and the logs of all of a pod's containers."""

from __future__ import annotations

from typing import Any

from app.domain.phases import Phase
from app.domain.plan import plan
from app.domain.pods import AttemptKey, ContainerObservation, ContainerPhase, PodObservation
from tests.unit.domain.plan.cluster_model import START
from tests.unit.domain.plan.test_plan import Run, keys


def container(name: str, phase: ContainerPhase, **values: Any) -> ContainerObservation:
    if phase is ContainerPhase.TERMINATED:
        values = {"exit_code": 0, "reason": "Completed", **values}
    return ContainerObservation(name=name, phase=phase, started_at=START, **values)


def pod_of(run: Run, *containers: ContainerObservation, **values: Any) -> PodObservation:
    attempt = run["a"].attempts[0]
    key = AttemptKey("run", "a", 1)
    return PodObservation(key=key, namespace=attempt.namespace, name=attempt.pod, uid="u", containers=containers, **values)


def test_logs__of_init_containers_and_sidecars__all_are_followed_and_sealed() -> None:
    run = Run({"name": "a"})
    running, ended = ContainerPhase.RUNNING, ContainerPhase.TERMINATED
    init = container("prepare", ended, is_init=True)
    sidecar = container("db", running, is_init=True, is_sidecar=True)
    out = run.do(plan.pod_observed, pod_of(run, init, sidecar, container("main", running)))
    assert [name for _, _, name in out.collects] == ["prepare", "db", "main"]
    assert [name for _, _, name in out.ended_logs] == ["prepare"]
    out = run.do(plan.pod_observed, pod_of(run, init, sidecar, container("main", ended)))
    assert [name for _, _, name in out.ended_logs] == ["main"]
    assert run["a"].phase is Phase.SUCCEEDED
    key = AttemptKey("run", "a", 1)
    assert run.do(plan.log_sealed, key, "main").deletes == []
    assert keys(run.do(plan.log_sealed, key, "prepare").deletes) == [("a", 1)]  # the sidecar ends with the pod
    run.do(plan.delete_answered, key)
    assert not run.state.is_finished
    out = run.do(
        plan.pod_observed, pod_of(run, init, container("db", ended, is_init=True, is_sidecar=True), container("main", ended))
    )
    assert [name for _, _, name in out.ended_logs] == ["db"]
    run.do(plan.log_sealed, key, "db")
    assert run.state.is_finished


def test_logs__sidecar_on_a_node_that_does_not_answer__given_up_in_the_end() -> None:
    run = Run({"name": "a"})
    sidecar = container("db", ContainerPhase.RUNNING, is_init=True, is_sidecar=True)
    run.do(plan.pod_observed, pod_of(run, sidecar, container("main", ContainerPhase.TERMINATED)))
    key = AttemptKey("run", "a", 1)
    run.do(plan.log_sealed, key, "main")
    run.do(plan.delete_answered, key)
    out = run.pass_time(91)
    assert [name for _, _, name in out.abandoned_logs] == ["db"]
    assert run["a"].phase is Phase.SUCCEEDED


def test_logs__pod_deleted_by_somebody_or_gone__its_containers_may_speak_on_unseen() -> None:
    run = Run({"name": "a"})
    running = container("main", ContainerPhase.RUNNING)
    run.do(plan.pod_observed, pod_of(run, running))
    attempt = run["a"].attempts[0]
    assert (attempt.pod_leaves, attempt.orphaned_logs) == (False, set())
    run.do(plan.pod_observed, pod_of(run, running, deletion_at=START))
    assert (attempt.pod_leaves, attempt.orphaned_logs) == (True, set())
    out = run.do(plan.pod_observed, pod_of(run, running, exists=False))
    assert (attempt.pod_leaves, attempt.orphaned_logs) == (True, {"main"})
    assert [name for _, _, name in out.ended_logs] == ["main"]


def test_logs__pod_gone_after_its_container_was_seen_to_end__nobody_speaks_on() -> None:
    run = Run({"name": "a"})
    run.do(plan.pod_observed, pod_of(run, container("main", ContainerPhase.RUNNING)))
    ended = container("main", ContainerPhase.TERMINATED)
    out = run.do(plan.pod_observed, pod_of(run, ended, exists=False, deletion_at=START))
    assert run["a"].attempts[0].orphaned_logs == set()
    assert [name for _, _, name in out.ended_logs] == ["main"]
