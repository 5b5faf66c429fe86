"""A copy of what a real story left, in which a test makes an error on purpose."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from tests.faults.checker import Allowed, find_violations
from tests.faults.checker.answers import Answers
from tests.faults.checker.log_objects import unpack
from tests.faults.checker.rows import Row, grouped
from tests.faults.checker.runs import attempt_as_told, event_as_told, run_as_told, task_as_told
from tests.faults.checker_story import Story


class Tampered:
    """Rows are found here and changed in place. What is allowed of the copy is `allowed`."""

    def __init__(self, story: Story) -> None:
        self.story = story
        self.evidence = copy.deepcopy(story.evidence)
        self.tables = self.evidence.tables
        self.allowed = Allowed()

    @property
    def answers(self) -> Answers:
        """What the service says."""
        return self.evidence.answers[0]

    def find(self, table: str, **values: Any) -> Row:
        """The first row with these values."""
        return next(row for row in self.tables[table] if values.items() <= row.items())

    def run(self, name: str) -> Row:
        """A run of the story, by its name there."""
        return self.find("runs", id=getattr(self.story, name))

    def task(self, run: str, name: str) -> Row:
        """One of its tasks."""
        return self.find("task_runs", run_id=getattr(self.story, run), name=name)

    def attempt(self, run: str, task: str, number: int = 1) -> Row:
        """One of its attempts."""
        return self.find("attempts", run_id=getattr(self.story, run), task=task, attempt=number)

    def event(self, run: str, **values: Any) -> Row:
        """The first entry of its history with these values."""
        return self.find("run_events", run_id=getattr(self.story, run), **values)

    def log(self, run: str, task: str) -> Row:
        """The log of its first attempt."""
        return self.find("logs", run_id=getattr(self.story, run), task=task, attempt=1, container="main")

    def blocks(self, run: str, task: str) -> list[Row]:
        """The index of that log, in its order."""
        of_log = [row for row in self.tables["log_blocks"] if row["log_id"] == self.log(run, task)["id"]]
        return sorted(of_log, key=lambda row: row["first_byte"])

    def text(self, run: str, task: str) -> bytes:
        """What the API says that log is."""
        return self.answers.logs[getattr(self.story, run), task, 1, "main"]

    def set_text(self, run: str, task: str, text: bytes) -> None:
        """Let the API say so."""
        self.answers.logs[getattr(self.story, run), task, 1, "main"] = text

    def object_name(self) -> str:
        """An object of the large log."""
        return next(str(row["object_name"]) for row in self.blocks("talks", "talks") if row["object_name"])

    def object_text(self, name: str) -> bytes:
        """What is in it."""
        return unpack(self.evidence.objects[name]).text

    def insert_event(self, behind: Row, **values: Any) -> None:
        """Put an entry into a history, behind another one."""
        for row in self.tables["run_events"]:
            row["id"] *= 10
        self.tables["run_events"].append({**behind, "id": behind["id"] + 1, **values})

    def remove(self, table: str, row: Row) -> None:
        """Lose a row."""
        self.tables[table] = [one for one in self.tables[table] if one is not row]

    @property
    def living(self) -> str:
        """An executor that lives."""
        return str(max(self.tables["executors"], key=lambda row: row["lease_until"])["id"])

    def leave_open(self, owner: str) -> None:
        """Let nobody end the task that talks."""
        for row in (self.task("talks", "talks"), self.attempt("talks", "talks"), self.run("talks")):
            row.update(phase="Running", finished_at=None)
        self.attempt("talks", "talks").update(log_sealed=False, pod_deleted=False)
        self.log("talks", "talks")["sealed"] = False
        self.run("talks").update(is_finished=False, owner=owner, task_phases={"Running": 1})
        last = self.event("talks", type="TaskPhase", task="talks", phase="Running")["id"]
        self.tables["run_events"] = [
            row for row in self.tables["run_events"] if row["run_id"] != self.story.talks or row["id"] <= last
        ]  # fmt: skip
        self.retell()

    def retell(self) -> None:
        """Let the API say what the tables say now: the error is the service's, not one of its answers."""
        logs = {(row["run_id"], row["task"], row["attempt"]): row for row in self.tables["logs"] if row["container"] == "main"}
        tasks = grouped(self.tables["task_runs"], "run_id", "name")
        attempts = grouped(self.tables["attempts"], "run_id", "task")
        for row in self.tables["runs"]:
            told = self.answers.runs[row["id"]]
            told |= run_as_told(row)
            told["tasks"] = [task for task in told["tasks"] if tasks[row["id"], task["name"]]]
            for task in told["tasks"]:
                task.update(task_as_told(tasks[row["id"], task["name"]][0]))
                rows = sorted(attempts[row["id"], task["name"]], key=lambda one: int(one["attempt"]))
                task["attempts"] = [attempt_as_told(one, logs.get((row["id"], one["task"], one["attempt"]))) for one in rows]
        events = sorted(self.tables["run_events"], key=lambda row: int(row["id"]))
        self.answers.all_events = [event_as_told(row) for row in events]
        for run_id in self.answers.events:
            self.answers.events[run_id] = [event_as_told(row) for row in events if row["run_id"] == run_id]

    def violations(self) -> list[str]:
        """What the checker says of the copy."""
        return find_violations(self.evidence, self.allowed)


Tamper = Callable[[Tampered], object]


def is_caught(story: Story, tamper: Tamper, words: tuple[str, ...]) -> None:
    """The checker is content with the story, and after the tampering tells what is in these words, and nothing else."""
    tampered = Tampered(story)
    assert tampered.violations() == []
    tamper(tampered)
    shows_exactly(tampered.violations(), words)


def shows_exactly(violations: list[str], words: tuple[str, ...]) -> None:
    """Each of the words is in a violation, and no violation is without them. Words behind a `~` may be there or not."""
    assert violations, f"nothing was caught, wanted: {words}"
    for word in words:
        found = any(word in one for one in violations)
        assert found or word.startswith("~"), f"{word!r} is not in:\n  " + "\n  ".join(violations)
    others = [one for one in violations if not any(word.removeprefix("~") in one for word in words)]
    assert not others, f"beside {words}:\n  " + "\n  ".join(others)
