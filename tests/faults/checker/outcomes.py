"""What each task, and each run, has come to: by the contract's tables, from the posted document and the phases alone.

Written from the contract, apart from the service's code. What an expression decides (`when`, a list of items) is not
evaluated here: it may only decide what expressions may.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tests.faults.checker.evidence import Evidence
from tests.faults.checker.rows import Row, grouped
from tests.faults.checker.transitions import INTERNAL_ERROR

Json = dict[str, Any]
FAILURES = ("Failed", "Error", "Cancelled", "Omitted")
#: Tasks with these rules run although the workflow fails fast.
_FOR_FAILURES = ("all_done", "all_failed", "one_failed", "always")
_OPEN = ("Pending", "Running")


@dataclass(frozen=True, kw_only=True)
class Node:
    """A task of the document, with its defaults."""

    name: str
    is_exit: bool
    keys: Mapping[str, Any]

    @property
    def rule(self) -> str:
        """When it runs."""
        return str(self.keys.get("trigger_rule") or "all_success")

    @property
    def has_pod(self) -> bool:
        """Whether it needs one; by an expression too."""
        return self.keys.get("image") is not None


def nodes_of(document: Json) -> dict[str, Node]:
    """The tasks of a document."""
    defaults = document.get("task_defaults") or {}
    found: dict[str, Node] = {}
    for section in ("tasks", "on_exit"):
        for task in document.get(section) or ():
            found[task["name"]] = Node(name=task["name"], is_exit=section == "on_exit", keys={**defaults, **task})
    return found


def fate(rule: str, upstream: list[str]) -> str | None:
    """None: a task with these upstream phases runs. Else how it ends without running."""
    succeeded, skipped = upstream.count("Succeeded"), upstream.count("Skipped")
    failed = sum(phase in FAILURES for phase in upstream)
    otherwise = "Omitted" if failed else "Skipped"
    table = {
        "all_success": (failed == 0 and skipped == 0, otherwise),
        "all_done": (True, ""),
        "always": (True, ""),
        "all_failed": (succeeded == 0 and skipped == 0, "Skipped"),
        "one_success": (succeeded > 0, otherwise),
        "one_failed": (failed > 0, "Skipped"),
        "none_failed": (failed == 0, "Omitted"),
        "none_failed_min_one_success": (failed == 0 and succeeded > 0, otherwise),
    }
    runs, without = table[rule]
    return None if runs or not upstream else without


def check_outcomes(evidence: Evidence) -> Iterator[str]:
    """Of all runs that have an outcome."""
    tasks = grouped(evidence.tables["task_runs"], "run_id")
    attempts = grouped(evidence.tables["attempts"], "run_id")
    documents = evidence.answers[0].documents
    for run in evidence.tables["runs"]:
        if run["phase"] in (*_OPEN, "Cancelling") or run["reason"] == INTERNAL_ERROR or run["id"] not in documents:
            continue
        one = _Run(run, documents[run["id"]], tasks[run["id"]], attempts[run["id"]])
        yield from one.check_tasks()
        yield from one.check_outcome()


class _Run:
    def __init__(self, run: Row, document: Json, tasks: list[Row], attempts: list[Row]) -> None:
        self.run, self.document, self.tasks = run, document, tasks
        self.nodes = nodes_of(document)
        self.attempts = grouped(attempts, "task")
        self.members = grouped([{**row, "node": row["foreach_task"] or row["name"]} for row in tasks], "node")
        self.cancelled = run["phase"] == "Cancelled" or any(row["phase"] == "Cancelled" for row in tasks)
        self.timed_out = any(_is_cut(row) for row in tasks)

    def check_tasks(self) -> Iterator[str]:
        """Each task of the document is there, and has come to what follows from those upstream."""
        for node in self.nodes.values():
            members = self.members.get(node.name, [])
            if not members:
                yield f"run {self.run['id']}: there is no task {node.name}"
            for row in members:
                if list(node.keys.get("depends_on") or ()) != row["depends_on"]:
                    yield f"{self._told(row)} depends on {row['depends_on']}"
                yield from self._check_task(node, row)
        for name in set(self.members) - set(self.nodes):
            yield f"run {self.run['id']}: its document has no task {name}"

    def _check_task(self, node: Node, row: Row) -> Iterator[str]:
        tried = [one for one in self.attempts[row["name"]] if one["attempt"] > row["attempts_before"]]
        upstream = [other for name in row["depends_on"] for other in self.members[name]]
        phases = [other["phase"] for other in upstream]
        wanted = fate(node.rule, phases)
        yield from self._check_began_later(node, row, tried, upstream)
        if row["phase"] == "Cancelled":
            if not self.cancelled:
                yield f"{self._told(row)}, and the run was not cancelled"
        elif row["phase"] == "Omitted" and (row["reason"] == "FailFast" or _is_cut(row)):
            yield from self._check_cut(node, row)
        elif wanted is not None:
            if row["phase"] != wanted:
                yield f"{self._told(row)}: by {node.rule} of {', '.join(phases)} it must be {wanted}"
            if tried:
                yield f"{self._told(row)} has attempts, and its rule let it not run"
        else:
            yield from self._check_ran(node, row, tried)

    def _check_cut(self, node: Node, row: Row) -> Iterator[str]:
        if row["reason"] == "FailFast":
            failed = any(other["phase"] in ("Failed", "Error") for other in self.tasks)
            if not self.document.get("fail_fast") or not failed or node.rule in _FOR_FAILURES or node.is_exit:
                yield f"{self._told(row)} because of FailFast, which does not touch it"
        elif self.document.get("timeout_seconds") is None or node.is_exit:
            yield f"{self._told(row)} because of the run's timeout, which does not touch it"

    def _check_ran(self, node: Node, row: Row, tried: list[Row]) -> Iterator[str]:
        """A task that its rule lets run."""
        phase, last = row["phase"], tried[-1] if tried else None
        may_skip = {"when", "foreach", "approval"} & {key for key, value in node.keys.items() if value not in (None, True)}
        if phase in _OPEN:
            yield f"{self._told(row)}, and the run has its outcome"
        elif phase == "Omitted":
            yield f"{self._told(row)}, and nothing upstream says so"
        elif phase == "Skipped":
            if not may_skip or tried:
                yield f"{self._told(row)}, and nothing says so"
        elif last is None:
            if phase == "Succeeded" and node.has_pod:
                yield f"{self._told(row)} without an attempt"
        elif last["phase"] != phase:
            yield f"{self._told(row)}, its last attempt {last['phase']}"
        for one in tried[:-1]:
            if one["phase"] not in ("Failed", "Error"):
                yield f"{self._told(row)}: attempt {one['attempt']} is {one['phase']}, and another one followed"

    def _check_began_later(self, node: Node, row: Row, tried: list[Row], upstream: list[Row]) -> Iterator[str]:
        """A task begins when all it waits for is over."""
        waited_for = [other for other in self.tasks if not self._is_exit(other)] if node.is_exit else upstream
        over_at = max((other["finished_at"] for other in waited_for if other["finished_at"]), default=None)
        began_at = min((one["created_at"] for one in tried), default=None)
        if over_at and began_at and began_at < over_at:
            yield f"{self._told(row)} has begun at {began_at}, what it waits for was over at {over_at}"

    def _is_exit(self, row: Row) -> bool:
        node = self.nodes.get(row["foreach_task"] or row["name"])
        return node is not None and node.is_exit

    def check_outcome(self) -> Iterator[str]:
        """The run is what the contract makes of its tasks."""
        allowed = self._outcomes()
        if self.run["phase"] not in allowed:
            phases = {row["name"]: row["phase"] for row in self.tasks}
            yield f"run {self.run['id']} is {self.run['phase']}, and must be {' or '.join(sorted(allowed))}: {phases}"

    def _outcomes(self) -> set[str]:
        """More than one, where an expression says whether a task may fail."""
        if self.run["phase"] == "Cancelled" and self.run["cancel_requested_at"]:
            return {"Cancelled"}  # that it became Cancelling before, its history tells
        if any(row["phase"] == "Cancelled" and not self._is_exit(row) for row in self.tasks):
            return {"Cancelled"}
        if self.timed_out:
            return {"Failed"}
        return {self._outcome(certain=True), self._outcome(certain=False)}

    def _outcome(self, *, certain: bool) -> str:
        main = {row["phase"] for row in self.tasks if not self._is_exit(row) and not self._may_fail(row, certain=certain)}
        last = {row["phase"] for row in self.tasks if self._is_exit(row) and not self._may_fail(row, certain=certain)}
        if "Failed" in main:
            return "Failed"
        if "Error" in main:
            return "Error"
        return "Failed" if last & {"Failed", "Error"} else "Succeeded"

    def _may_fail(self, row: Row, *, certain: bool) -> bool:
        said = self.nodes[row["foreach_task"] or row["name"]].keys.get("allow_failure")
        return said is True or (isinstance(said, str) and not certain)

    def _told(self, row: Row) -> str:
        return f"task {row['name']} of run {self.run['id']} is {row['phase']}"


def _is_cut(row: Row) -> bool:
    """Whether the run's timeout ended the task."""
    return row["reason"] == "DeadlineExceeded" and row["message"].startswith("the run's timeout")
