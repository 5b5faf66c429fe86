"""Runs as rows: what is counted, what is over, who owns what, and that every replica answers what the database has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from tests.faults.checker.allowed import Allowed, allows
from tests.faults.checker.answers import Answers
from tests.faults.checker.evidence import Evidence
from tests.faults.checker.rows import Row, grouped

_OPEN = ("Pending", "Running", "Cancelling")
#: Tables whose rows belong to a run.
_OF_RUNS = ("documents", "task_runs", "attempts", "run_events", "run_intents", "logs", "log_commits")
_RUN_KEYS = (
    "workflow", "workflow_version", "phase", "is_finished", "suspended", "params", "labels", "task_phases", "version",
)  # fmt: skip
_TIMES = ("created_at", "started_at", "finished_at")


def check_runs(evidence: Evidence, allowed: Allowed) -> Iterator[str]:
    """Everything about rows of runs, tasks and attempts."""
    tasks, attempts, logs = (grouped(evidence.tables[name], "run_id") for name in ("task_runs", "attempts", "logs"))
    for run in evidence.tables["runs"]:
        its_tasks, its_attempts = tasks[run["id"]], attempts[run["id"]]
        yield from _check_counts(run, its_tasks, its_attempts)
        yield from _check_times(run, its_tasks, its_attempts)
        yield from _check_finished(run, its_tasks, its_attempts)
        yield from _check_owner(evidence, run, allowed)
        for number, answers in enumerate(evidence.answers, 1):
            yield from _check_answer(number, answers, run, its_tasks, its_attempts, logs[run["id"]])
    yield from _check_belonging(evidence)
    yield from _check_lists(evidence)
    yield from _check_leftovers(evidence)
    yield from _check_keys(evidence, allowed)


def _check_counts(run: Row, tasks: list[Row], attempts: list[Row]) -> Iterator[str]:
    counted = dict(Counter(row["phase"] for row in tasks))
    if {phase: count for phase, count in run["task_phases"].items() if count} != counted:
        yield f"run {run['id']}: task_phases are {run['task_phases']}, its tasks {counted}"
    for name, rows in grouped(attempts, "task").items():
        numbers = sorted(row["attempt"] for row in rows)
        if numbers != list(range(1, len(numbers) + 1)):
            yield f"task {name} of run {run['id']} has the attempts {numbers}"
        if name not in {row["name"] for row in tasks} and run["retried_at"] is None:
            yield f"run {run['id']} has attempts of {name}, which is none of its tasks"


def _check_times(run: Row, tasks: list[Row], attempts: list[Row]) -> Iterator[str]:
    for what, row in (
        (f"run {run['id']}", run),
        *((f"task {row['name']} of run {run['id']}", row) for row in tasks),
        *((f"attempt {row['attempt']} of {row['task']} in run {run['id']}", row) for row in attempts),
    ):
        times = [row[name] for name in _TIMES if row.get(name)]
        if times != sorted(times):
            yield f"{what}: its times are in no order: {', '.join(map(str, times))}"
        is_over = row["phase"] not in _OPEN
        if is_over != bool(row["finished_at"]):
            yield f"{what} is {row['phase']}, and its finished_at {row['finished_at']}"
    begun = [row["created_at"] for row in attempts]
    if begun and (run["started_at"] is None or min(begun) < run["started_at"]):
        yield f"run {run['id']} has started at {run['started_at']}, its first attempt at {min(begun)}"
    ended = [row["finished_at"] for row in tasks if row["finished_at"]]
    if run["finished_at"] and ended and max(ended) > run["finished_at"]:
        yield f"run {run['id']} was over at {run['finished_at']}, a task of it at {max(ended)}"


def _check_finished(run: Row, tasks: list[Row], attempts: list[Row]) -> Iterator[str]:
    """It is finished exactly when all tasks are over, all logs sealed, and all deletes answered."""
    left = [f"task {row['name']} is {row['phase']}" for row in tasks if row["phase"] in _OPEN]
    for row in attempts:
        what = f"attempt {row['attempt']} of {row['task']}"
        left += [f"{what} is {row['phase']}"] if row["phase"] in _OPEN else []
        left += [f"{what} is not sealed"] if not row["log_sealed"] else []
        left += [f"the delete of {what} was not answered"] if not row["pod_deleted"] else []
    left += [f"it is {run['phase']}"] if run["phase"] in _OPEN else []
    if run["is_finished"] and left:
        yield f"run {run['id']} is finished, and {'; '.join(left[:5])}"
    if not run["is_finished"] and not left:
        yield f"run {run['id']} is not finished, and nothing of it is left to be done"
    if run["phase"] not in _OPEN and any(row["phase"] in _OPEN for row in tasks):
        yield f"run {run['id']} is {run['phase']}, and {left[0]}"
    if run["is_finished"] and run["suspended"]:
        yield f"run {run['id']} is finished, and suspended"


def _check_owner(evidence: Evidence, run: Row, allowed: Allowed) -> Iterator[str]:
    if run["is_finished"]:
        return
    living = {row["id"] for row in evidence.tables["executors"] if row["lease_until"] > evidence.now}
    if run["owner"] not in living:
        yield f"run {run['id']} is {run['phase']} and stuck: its owner {run['owner']} does not live"
    elif not allows(allowed.unfinished, run["id"]):
        yield f"run {run['id']} is stuck: it is {run['phase']} and not finished, and nothing is under way"


def _check_belonging(evidence: Evidence) -> Iterator[str]:
    ids = {row["id"] for row in evidence.tables["runs"]}
    for table in _OF_RUNS:
        for run_id in {row["run_id"] for row in evidence.tables[table]} - ids:
            yield f"there are rows in {table} of run {run_id}, which is not there"
    for run_id in ids - {row["run_id"] for row in evidence.tables["documents"]}:
        yield f"run {run_id} has no document"


def _check_leftovers(evidence: Evidence) -> Iterator[str]:
    """What was asked of a finished run is done."""
    finished = {row["id"] for row in evidence.tables["runs"] if row["is_finished"]}
    for row in evidence.tables["run_intents"]:
        if row["run_id"] in finished:
            yield f"run {row['run_id']} is finished, and its intent to {row['kind']} is still there"


def _check_keys(evidence: Evidence, allowed: Allowed) -> Iterator[str]:
    """A key has one run, a run one key; and there are no runs that nobody was told of."""
    for (_, key), rows in grouped(evidence.tables["idempotency_keys"], "caller", "key").items():
        if len(rows) > 1:
            yield f"the idempotency key {key} has {len(rows)} runs: {', '.join(row['run_id'] for row in rows)}"
        if key in allowed.keys and {allowed.keys[key]} != {row["run_id"] for row in rows}:
            yield f"the idempotency key {key} has run {rows[0]['run_id']}, and {allowed.keys[key]} was answered"
    for run_id, rows in grouped(evidence.tables["idempotency_keys"], "run_id").items():
        if len(rows) > 1:
            yield f"run {run_id} has the idempotency keys {', '.join(row['key'] for row in rows)}"
    if allowed.runs is not None:
        there = {row["id"] for row in evidence.tables["runs"]}
        yield from (f"run {run_id} was acknowledged, and is not there" for run_id in set(allowed.runs) - there)
        yield from (f"run {run_id} is there, and nobody was told of it" for run_id in there - set(allowed.runs))


def _check_lists(evidence: Evidence) -> Iterator[str]:
    """The lists have each run and each event once, in their order."""
    runs = sorted((row["id"] for row in evidence.tables["runs"]), reverse=True)
    events = sorted(evidence.tables["run_events"], key=lambda row: row["id"])
    cursors = [str(row["id"]) for row in events]
    by_run = grouped(events, "run_id")
    for number, answers in enumerate(evidence.answers, 1):
        if answers.listed != runs:
            yield f"service {number} lists the runs {answers.listed}, there are {runs}"
        if (found := [event["cursor"] for event in answers.all_events]) != cursors:
            yield f"service {number}: the history of all runs {_difference(found, cursors)}"
        for run_id in answers.runs:
            told, wanted = answers.events[run_id], [event_as_told(row) for row in by_run[run_id]]
            if (found := [event["cursor"] for event in told]) != [event["cursor"] for event in wanted]:
                yield f"service {number}: the history of run {run_id} {_difference(found, [e['cursor'] for e in wanted])}"
                continue
            for event, row in zip(told, wanted, strict=True):
                yield from _compare(f"service {number}: event {row['cursor']} of run {run_id}", event, row)


def _difference(found: list[str], wanted: list[str]) -> str:
    twice = [cursor for cursor, count in Counter(found).items() if count > 1]
    missing, more = sorted(set(wanted) - set(found)), sorted(set(found) - set(wanted))
    return f"is not that of the database: missing {missing[:5]}, unknown {more[:5]}, twice {twice[:5]}"


def _check_answer(
    number: int, answers: Answers, run: Row, tasks: list[Row], attempts: list[Row], logs: list[Row]
) -> Iterator[str]:
    """The API says what the database has."""
    said = answers.runs.get(run["id"])
    if said is None:
        yield f"service {number} does not know run {run['id']}"
        return
    yield from _compare(f"service {number}: run {run['id']}", said, run_as_told(run))
    ordered = sorted(tasks, key=lambda row: (row["position"], -1 if row["foreach_index"] is None else row["foreach_index"]))
    if [task["name"] for task in said["tasks"]] != [row["name"] for row in ordered]:
        yield f"service {number}: run {run['id']} has the tasks {[task['name'] for task in said['tasks']]}"
        return
    by_task = grouped(attempts, "task")
    of_main = {(row["task"], row["attempt"]): row for row in logs if row["container"] == "main"}
    for task, row in zip(said["tasks"], ordered, strict=True):
        what = f"service {number}: task {row['name']} of run {run['id']}"
        yield from _compare(what, task, task_as_told(row))
        yield from _compare_attempts(what, task["attempts"], by_task[row["name"]], of_main)


def _compare_attempts(
    what: str, said: list[dict[str, Any]], rows: list[Row], logs: Mapping[tuple[str, int], Row]
) -> Iterator[str]:
    rows = sorted(rows, key=lambda row: row["attempt"])
    if [one["attempt"] for one in said] != [row["attempt"] for row in rows]:
        yield f"{what} has the attempts {[one['attempt'] for one in said]}"
        return
    for one, row in zip(said, rows, strict=True):
        wanted = attempt_as_told(row, logs.get((row["task"], row["attempt"])))
        yield from _compare(f"{what}, attempt {row['attempt']}", one, wanted)


def run_as_told(row: Row) -> dict[str, Any]:
    """A run as the API must tell it."""
    tag = f'W/"{row["id"]}.{row["version"]}"'
    times = _times(row, ("retried_at", "scheduled_at"))
    return {name: row[name] for name in _RUN_KEYS} | _words(row) | times | {"etag": tag}


def task_as_told(row: Row) -> dict[str, Any]:
    """A task as the API must tell it, its attempts aside."""
    return {name: row[name] for name in ("name", "phase", "depends_on", "outputs")} | _words(row) | _times(row)


def attempt_as_told(row: Row, log: Row | None) -> dict[str, Any]:
    """An attempt as the API must tell it; `log` is main's."""
    same = {name: row[name] for name in ("attempt", "phase", "exit_code", "pod", "namespace", "node")}
    none = {"bytes": 0, "lines": 0, "sealed": row["log_sealed"], "gaps": 0}
    return same | _words(row) | _times(row) | {"log": {name: log[name] if log else none[name] for name in none}}


def event_as_told(row: Row) -> dict[str, Any]:
    """An entry of the history as the API must tell it."""
    same = {name: row[name] for name in ("type", "run_id", "task", "attempt", "phase", "details")}
    return same | _words(row) | {"cursor": str(row["id"]), "time": _text(row["time"])}


def _words(row: Row) -> dict[str, Any]:
    return {name: row[name] or None for name in ("reason", "message")}


def _times(row: Row, more: tuple[str, ...] = ()) -> dict[str, Any]:
    return {name: _text(row[name]) for name in (*_TIMES, *more) if name in row}


def _text(time: datetime | None) -> str | None:
    return None if time is None else time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _compare(what: str, said: Mapping[str, Any], wanted: Mapping[str, Any]) -> Iterator[str]:
    for name, value in wanted.items():
        if said[name] != value:
            yield f"{what}: {name} is {said[name]!r} over the API, {value!r} in the database"
