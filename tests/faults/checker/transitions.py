"""Histories: phases move by the one table of transitions, each move is told once, and nothing comes behind the end.

A history's moves are those of its run (kind RunPhase), its tasks and its attempts. Waiting may be told again and again, with
reasons that come and go; that something runs or is over is told once, until a retry of the run begins anew.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from app.domain.phases import ATTEMPT_TRANSITIONS, RUN_TRANSITIONS, TASK_TRANSITIONS, Phase, RunPhase
from tests.faults.checker.allowed import Allowed, allows
from tests.faults.checker.evidence import Evidence
from tests.faults.checker.rows import Row, grouped

#: What users asked: written by whichever process took the request.
REQUESTS = frozenset({
    "CancelRequested", "RetryRequested", "SuspendRequested", "ResumeRequested", "Approved", "Rejected",
})  # fmt: skip
#: What may come when the run has its outcome, before it is finished: pods and logs are still under way.
_BEHIND_OUTCOME = frozenset({"PodEvent", "Note", "RunFinished", "CancelRequested", "SuspendRequested", "ResumeRequested"})
_TABLES: Mapping[str, Mapping[Any, frozenset[Any]]] = {
    "RunPhase": RUN_TRANSITIONS, "TaskPhase": TASK_TRANSITIONS, "AttemptPhase": ATTEMPT_TRANSITIONS,
}  # fmt: skip
_FIRST = {"RunPhase": None, "TaskPhase": "Pending", "AttemptPhase": None}  #: tasks are not told when they are made
INTERNAL_ERROR = "InternalError"  #: a run that podrun itself failed at: its tasks end untold


def check_histories(evidence: Evidence, allowed: Allowed) -> Iterator[str]:
    """Everything about histories."""
    events = grouped(evidence.tables["run_events"], "run_id")
    tasks, attempts, logs = (grouped(evidence.tables[name], "run_id") for name in ("task_runs", "attempts", "logs"))
    for run in evidence.tables["runs"]:
        history = History(run, sorted(events[run["id"]], key=lambda event: event["id"]))
        yield from history.violations(clock_moved=allowed.clock_moved)
        if run["reason"] != INTERNAL_ERROR:
            yield from _check_last(run, history, tasks[run["id"]], attempts[run["id"]], allowed)
        yield from _check_version(run, history, logs[run["id"]])


@dataclass
class History:
    """One run's history, gone through once."""

    run: Row
    events: list[Row]
    phases: dict[tuple[Any, ...], str] = field(default_factory=dict)  #: the last phase told, by kind, task, attempt
    begins_anew: set[tuple[Any, ...]] = field(default_factory=set)  #: tasks of a round before, which may start again
    is_over: bool = False
    is_finished: bool = False
    was_cancelled: bool = False  #: since it was last retried
    asked: Counter[str] = field(default_factory=Counter)
    last: datetime | None = None

    def violations(self, *, clock_moved: bool) -> Iterator[str]:
        """Go through it."""
        for event in self.events:
            for words in self._take(event, clock_moved=clock_moved):
                yield f"run {self.run['id']}, event {event['id']} ({_told(event)}): {words}"

    def _take(self, event: Row, *, clock_moved: bool) -> Iterator[str]:
        kind = event["type"]
        if self.is_finished and kind != "RetryRequested" and not self.asked["RetryRequested"]:
            yield "it comes behind the end"
        elif self.is_over and not self.asked["RetryRequested"] and kind not in {*_BEHIND_OUTCOME, "RetryRequested"}:
            yield "it comes behind the run's outcome"
        if kind in REQUESTS:
            self.asked[kind] += 1
        elif not clock_moved and self.last is not None and event["time"] < self.last:
            yield f"its time {event['time']} is before {self.last} of one before it"
        if kind not in REQUESTS:
            self.last = event["time"]
        if kind in _TABLES:
            yield from self._move(kind, event)
        elif kind == "RunFinished":
            if not self.is_over or self.is_finished:
                yield "the run is finished twice, or before it has an outcome"
            self.is_finished = True

    def _move(self, kind: str, event: Row) -> Iterator[str]:
        subject = (kind, event["task"], event["attempt"])
        before, phase = self.phases.get(subject, _FIRST[kind]), event["phase"]
        self.phases[subject] = phase
        if kind == "RunPhase":
            yield from self._run_move(before, phase)
        elif before is None:
            if phase != "Pending":
                yield f"it begins as {phase}"
        elif subject in self.begins_anew:  # the run was retried; of an item that is laid out anew no word says so
            if phase not in ("Pending", *TASK_TRANSITIONS[Phase.PENDING]):
                yield f"it begins anew as {phase}"
        elif phase == before:
            if phase != "Pending":
                yield f"it was {phase} already"
        elif phase not in _TABLES[kind].get(Phase(before), ()):
            yield f"it can't go from {before} to {phase}"
        self.begins_anew.discard(subject)

    def _run_move(self, before: str | None, phase: str) -> Iterator[str]:
        if before is None:
            if phase != "Pending":
                yield f"the run begins as {phase}"
        elif self.is_over and phase == "Pending" and self.asked["RetryRequested"]:
            self.asked.clear()
            self.is_over = self.is_finished = self.was_cancelled = False
            self.begins_anew = {subject for subject in self.phases if subject[0] == "TaskPhase"}
        elif phase == before:
            # A cancel is told again when it is forced; that it waits for its group, once.
            if phase not in ("Pending", "Cancelling") or (phase == "Cancelling" and self.asked["CancelRequested"] < 2):
                yield f"the run was {phase} already"
        elif phase not in RUN_TRANSITIONS.get(RunPhase(before), ()):
            yield f"the run can't go from {before} to {phase}"
        self.was_cancelled = self.was_cancelled or phase == "Cancelling"
        self.is_over = RunPhase(phase).is_over


def _told(event: Row) -> str:
    about = "/".join(str(part) for part in (event["task"], event["attempt"]) if part is not None)
    return " ".join(part for part in (event["type"], about, event["phase"] or "") if part)


def _check_last(run: Row, history: History, tasks: list[Row], attempts: list[Row], allowed: Allowed) -> Iterator[str]:
    """The history's last words are what the tables say."""
    run_id = run["id"]
    is_reopened = bool(history.asked["RetryRequested"])  # its owner has not begun with it
    said = history.phases.get(("RunPhase", None, None))
    if said != run["phase"] and not is_reopened:
        yield f"run {run_id} is {run['phase']}, its history says {said}"
    if history.is_finished != run["is_finished"] and not is_reopened and not allows(allowed.unfinished, run_id):
        yield f"run {run_id}: is_finished is {run['is_finished']}, its history says {history.is_finished}"
    for row in tasks:
        subject = ("TaskPhase", row["name"], None)
        said = history.phases.get(subject, "Pending")
        # An item that was laid out anew has no word of its own until it moves.
        if said != row["phase"] and not (subject in history.begins_anew and row["phase"] == "Pending"):
            yield f"task {row['name']} of run {run_id} is {row['phase']}, its history says {said}"
    told = {subject for subject in history.phases if subject[0] == "AttemptPhase"}
    for row in attempts:
        subject = ("AttemptPhase", row["task"], row["attempt"])
        told.discard(subject)
        if (said := history.phases.get(subject)) != row["phase"]:
            yield f"attempt {row['attempt']} of {row['task']} in run {run_id} is {row['phase']}, its history says {said}"
    for _, task, attempt in sorted(told):
        yield f"run {run_id}: its history tells of attempt {attempt} of {task}, which is not there"


def _check_version(run: Row, history: History, logs: list[Row]) -> Iterator[str]:
    """Each step that the owner has recorded, each log that was sealed and each gap has raised the version."""
    steps = len({event["time"] for event in history.events if event["type"] not in REQUESTS})
    if run["reason"] != INTERNAL_ERROR:
        steps += sum(log["sealed"] + log["gaps"] for log in logs)
    if run["version"] < steps:
        yield f"run {run['id']} has the version {run['version']}, and at least {steps} changes were recorded"
