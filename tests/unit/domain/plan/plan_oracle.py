"""What the tasks of a workflow come to, by its script alone: an oracle for the plan's tests that knows no order of arrival.

Written apart from the plan, from the contract's table; for workflows without `fail_fast`, timeouts and cancel.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from app.domain.phases import Phase
from app.domain.pods import AttemptKey
from tests.unit.domain.plan.cluster_model import Model


@dataclass
class Expected:
    phases: dict[str, Phase] = field(default_factory=dict)
    outputs: dict[str, dict] = field(default_factory=dict)


def expect(model: Model) -> Expected:
    """The phase of every task of the run, when it is over."""
    found = Expected()
    members: dict[str, list[str]] = {}
    for task in model.document["tasks"]:
        name = task["name"]
        upstream = [found.phases[member] for other in task.get("depends_on", ()) for member in members[other]]
        fate = rule_fate(task.get("trigger_rule", "all_success"), upstream) if upstream else None
        items = _items(task, found, runs=fate is None)
        if isinstance(items, Phase):
            members[name], found.phases[name] = [name], items
            continue
        members[name] = [name] if items is None else [f"{name}.{index}" for index in range(len(items))]
        for member in members[name]:
            found.phases[member] = fate or _task(model, task, member, found)
    return found


def rule_fate(rule: str, upstream: list[Phase]) -> Phase | None:
    succeeded = upstream.count(Phase.SUCCEEDED)
    skipped = upstream.count(Phase.SKIPPED)
    failed = len(upstream) - succeeded - skipped
    either = Phase.OMITTED if failed else Phase.SKIPPED
    if rule == "all_success":
        return either if failed or skipped else None
    if rule in ("all_done", "always"):
        return None
    if rule == "all_failed":
        return Phase.SKIPPED if succeeded or skipped else None
    if rule == "one_success":
        return None if succeeded else either
    if rule == "one_failed":
        return None if failed else Phase.SKIPPED
    if rule == "none_failed":
        return Phase.OMITTED if failed else None
    assert rule == "none_failed_min_one_success"
    return either if failed or not succeeded else None


def _items(task: dict, found: Expected, *, runs: bool) -> list | Phase | None:
    """The items, None of a task without any, or how the one task ends that stands for a fan-out."""
    foreach = task.get("foreach")
    if foreach is None:
        return None
    if isinstance(foreach, str):  # lists.range(tasks.X.outputs.n)
        if not runs:
            upstream = [found.phases[name] for name in found.phases]
            return _rule_of_placeholder(task, found, upstream)
        source = task["depends_on"][0]
        if "n" not in found.outputs.get(source, {}):
            return Phase.FAILED
        foreach = list(range(found.outputs[source]["n"]))
    if not foreach:
        fate = None if runs else _rule_of_placeholder(task, found, [])
        return fate or Phase.SKIPPED
    return foreach


def _rule_of_placeholder(task: dict, found: Expected, _: list[Phase]) -> Phase:
    names = task["depends_on"]
    upstream = [phase for name, phase in found.phases.items() if name.rpartition(".")[0] in names or name in names]
    fate = rule_fate(task.get("trigger_rule", "all_success"), upstream)
    assert fate is not None
    return fate


def _task(model: Model, task: dict, member: str, found: Expected) -> Phase:
    when = task.get("when", True)
    if when is False:
        return Phase.SKIPPED
    if isinstance(when, str):
        source = task["depends_on"][0]
        if found.phases[source].value not in when:
            return Phase.SKIPPED
    if task.get("image") is None:
        return Phase.SUCCEEDED
    retries, replaced, number = task.get("retries", {}).get("limit", 0), 0, 1
    while True:
        outcome = model.script(AttemptKey("run", member, number))
        number += 1
        if outcome.lost and replaced < 3:
            replaced += 1
        elif outcome.lost is None and outcome.exit_code == 0:
            if outcome.outputs == "no json":
                return Phase.FAILED  # never retried
            if outcome.outputs:
                found.outputs[member] = json.loads(outcome.outputs)
            return Phase.SUCCEEDED
        elif retries:
            retries -= 1
        else:
            return Phase.ERROR if outcome.lost else Phase.FAILED
