"""Logs: each byte is stored once, in its place, and is what the API gives.

index (rows) ─▶ block in the row, or an object ─▶ text ═ text/plain over the API
commits of a run: in which order its logs grew, each byte once
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping
from typing import Any

from tests.faults.checker.allowed import Allowed, allows
from tests.faults.checker.evidence import Evidence
from tests.faults.checker.log_objects import Block, Damaged, unpack
from tests.faults.checker.rows import Row, grouped
from tests.support.numbered_log import Gap, find_violations


def check_logs(evidence: Evidence, allowed: Allowed) -> Iterator[str]:
    """Everything about logs."""
    runs = {row["id"]: row for row in evidence.tables["runs"]}
    blocks, gaps = grouped(evidence.tables["log_blocks"], "log_id"), grouped(evidence.tables["log_gaps"], "log_id")
    for log in evidence.tables["logs"]:
        its_blocks = sorted(blocks[log["id"]], key=lambda row: row["first_byte"])
        yield from _check_index(evidence, log, its_blocks)
        yield from _check_gaps(log, gaps[log["id"]], allowed)
    for answers in evidence.answers:
        yield from (f"a log can't be read: {trouble}" for trouble in answers.troubles)
    yield from _check_printed(evidence, gaps, allowed)
    yield from _check_seals(evidence, runs)
    yield from _check_commits(evidence)
    yield from _check_run_logs(evidence)
    yield from _check_objects(evidence, allowed)
    ids = {row["id"] for row in evidence.tables["logs"]}
    for log_id in (set(blocks) | set(gaps)) - ids:
        yield f"there are blocks or gaps of log {log_id}, which is not there"


def told(log: Row) -> str:
    """A log in words."""
    return f"the log of {log['task']}/{log['attempt']}/{log['container']} in run {log['run_id']}"


def log_key(log: Row) -> tuple[str, str, int, str]:
    """Which log it is."""
    return (log["run_id"], log["task"], log["attempt"], log["container"])


def _check_index(evidence: Evidence, log: Row, rows: list[Row]) -> Iterator[str]:
    """Blocks follow each other without holes in bytes and lines, and say what the API says."""
    said = evidence.answers[0].logs.get(log_key(log))
    byte = line = 0
    within_line = False
    for row in rows:
        if row["first_byte"] != byte:
            what = "a hole" if row["first_byte"] > byte else "an overlap"
            yield f"{told(log)} has {what} in its index: a block begins at byte {row['first_byte']}, not at {byte}"
        if row["first_line"] != line:
            yield f"{told(log)}: the block at byte {row['first_byte']} begins with line {row['first_line']}, not with {line}"
        if bool(row["continues"]) != within_line and row["first_byte"] == byte:
            where = "within a line" if row["continues"] else "with a line"
            yield f"{told(log)}: the block at byte {byte} says that it begins {where}"
        byte, line = row["end_byte"], row["first_line"] + row["lines"]
        block, trouble = _read(evidence, row)
        if block is None:
            yield f"{told(log)}, block at byte {row['first_byte']}: {trouble}"
            continue
        within_line = not block.text.endswith(b"\n")
        yield from (f"{told(log)}, block at byte {row['first_byte']}: {words}" for words in _check_block(row, block))
        if said is not None and said[row["first_byte"] : row["end_byte"]] != block.text:
            yield f"{told(log)}: bytes {row['first_byte']} to {row['end_byte']} are others over the API than in the store"
    if (byte, line) != (log["bytes"], log["lines"]):
        yield f"{told(log)} has {log['bytes']} bytes and {log['lines']} lines, its index {byte} and {line}"
    if said is not None and len(said) != log["bytes"]:
        yield f"{told(log)} has {log['bytes']} bytes, over the API {len(said)}"


def _read(evidence: Evidence, row: Row) -> tuple[Block | None, str]:
    """The block of an index row, or what is wrong with it."""
    if row["object_name"] is None:
        if row["text"] is None:
            return None, "it is neither in its row nor in an object"
        about = {name: row[name] for name in ("first_byte", "first_line", "continues")}
        return Block(**about, text=row["text"], times=array("q", row["times"] or b"")), ""
    data = evidence.objects.get(row["object_name"])
    if data is None:
        return None, f"its object {row['object_name']} is missing"
    try:
        return unpack(data), ""
    except Damaged as exc:
        return None, f"its object {row['object_name']} is damaged: {exc}"


def _check_block(row: Row, block: Block) -> Iterator[str]:
    begun = block.text.count(b"\n", 0, -1) + (not block.continues) if block.text else 0
    here = {"first_byte": block.first_byte, "first_line": block.first_line, "continues": block.continues,
            "end_byte": block.first_byte + len(block.text), "lines": len(block.times)}  # fmt: skip
    for name, value in here.items():
        if row[name] != value:
            yield f"its {name} is {value}, the index says {row[name]}"
    if begun != len(block.times):
        yield f"{begun} lines begin in it, and it has the times of {len(block.times)}"
    if not block.text:
        yield "it is empty"
    if block.times and block.times[-1] != row["last_time"]:
        yield f"its last line is of {block.times[-1]}, the index says {row['last_time']}"


def _check_gaps(log: Row, rows: list[Row], allowed: Allowed) -> Iterator[str]:
    if log["gaps"] != len(rows):
        yield f"{told(log)} says that it has {log['gaps']} gaps, and {len(rows)} are recorded"
    for row in rows:
        if not 0 <= row["at_byte"] <= log["bytes"]:
            yield f"{told(log)} has a gap at byte {row['at_byte']}, and {log['bytes']} bytes"
        if row["from_at"] and row["to_at"] and row["from_at"] > row["to_at"]:
            yield f"{told(log)} has a gap from {row['from_at']} to {row['to_at']}"
        if not allows(allowed.gaps, log["task"]):
            yield f"{told(log)} has a gap at byte {row['at_byte']}: {row['reason']}"


def _check_printed(evidence: Evidence, gaps: Mapping[int, list[Row]], allowed: Allowed) -> Iterator[str]:
    """Of containers whose lines the test knows: each line is there once and in order, or lies inside a gap."""
    logs = {log_key(log)[:3]: log for log in evidence.tables["logs"] if log["container"] == "main"}
    for key, printed in allowed.printed.items():
        log = logs.get(key)
        text = evidence.answers[0].logs.get(log_key(log)) if log else None
        if log is None or text is None:
            yield f"attempt {key[2]} of {key[1]} in run {key[0]} has printed numbered lines, and has no log"
            continue
        places = [Gap(row["at_byte"], row["from_at"], row["to_at"]) for row in gaps.get(log["id"], ())]
        for violation in find_violations(printed, text, places, may_be_empty=True):
            yield f"{told(log)}: {violation}"


def _check_seals(evidence: Evidence, runs: Mapping[str, Row]) -> Iterator[str]:
    """What is sealed has ended; of a finished run all is; and whoever ran to an end has a log."""
    attempts = {(row["run_id"], row["task"], row["attempt"]): row for row in evidence.tables["attempts"]}
    logs = grouped(evidence.tables["logs"], "run_id", "task", "attempt")
    for key, rows in logs.items():
        attempt = attempts.get(key)
        containers = [row["container"] for row in rows]
        if len(set(containers)) != len(containers):
            yield f"{told(rows[0])} is there {len(containers)} times"
        for log in rows:
            if attempt is None:
                yield f"{told(log)} is of no attempt"
            elif log["sealed"] and log["container"] == "main" and attempt["phase"] in ("Pending", "Running"):
                yield f"{told(log)} is sealed, and its attempt {attempt['phase']}"
            elif attempt["log_sealed"] and not log["sealed"]:
                yield f"{told(log)} is not sealed, and its attempt says so"
            if log["run_id"] in runs and runs[log["run_id"]]["is_finished"] and not log["sealed"]:
                yield f"{told(log)} is not sealed, and its run is finished"
    for key, attempt in attempts.items():
        has_run = attempt["exit_code"] is not None and attempt["started_at"] is not None
        if has_run and not any(log["container"] == "main" for log in logs.get(key, ())):
            yield f"attempt {key[2]} of {key[1]} in run {key[0]} has run, and has no log"


def _check_commits(evidence: Evidence) -> Iterator[str]:
    logs = {row["id"]: row for row in evidence.tables["logs"]}
    for run_id, rows in grouped(evidence.tables["log_commits"], "run_id").items():
        rows.sort(key=lambda row: row["seq"])
        if [row["seq"] for row in rows] != list(range(1, len(rows) + 1)):
            yield f"the commits of run {run_id}'s logs have the numbers {_ranges([row['seq'] for row in rows])}"
        ends: dict[Any, int] = dict.fromkeys((log["id"] for log in logs.values() if log["run_id"] == run_id), 0)
        for row in rows:
            if row["log_id"] not in ends:
                yield f"commit {row['seq']} of run {run_id} is of log {row['log_id']}, which is none of its logs"
            elif row["first_byte"] != ends[row["log_id"]]:
                end = ends[row["log_id"]]
                yield f"{told(logs[row['log_id']])}: commit {row['seq']} begins at byte {row['first_byte']}, not at {end}"
            ends[row["log_id"]] = row["end_byte"]
        for log_id, end in ends.items():
            if log_id in logs and end != logs[log_id]["bytes"]:
                yield f"{told(logs[log_id])} has {logs[log_id]['bytes']} bytes, its commits {end}"


def _ranges(numbers: list[int]) -> str:
    return f"{numbers[0]} to {numbers[-1]}, {len(numbers)} of them"


def _check_run_logs(evidence: Evidence) -> Iterator[str]:
    """The log of a whole run has the lines of each of its logs, in their order, behind the task's name."""
    answers = evidence.answers[0]
    texts: dict[tuple[str, str], list[bytes]] = {}
    for log in sorted(evidence.tables["logs"], key=lambda row: (row["attempt"], row["id"])):
        if log["container"] == "main" and (text := answers.logs.get(log_key(log))) is not None:
            texts.setdefault((log["run_id"], log["task"]), []).append(text)
    for run_id, said in answers.run_logs.items():
        found: dict[bytes, list[bytes]] = {}
        for line in said.split(b"\n"):
            name, _, text = line.partition(b"] ")
            found.setdefault(name[1:], []).append(text)
        for (of_run, task), parts in texts.items():
            # A text without a line feed at its end goes on in the same line: then there is no telling.
            if of_run != run_id or any(part and not part.endswith(b"\n") for part in parts):
                continue
            wanted = b"".join(parts).split(b"\n")[:-1]
            # Of a task that was tried again, the later attempt's may be stored before what the one before it said last.
            lines = found.get(task.encode(), [])
            # One that was stored in pieces has others' lines between them, and its name before each.
            if (sorted(lines) != sorted(wanted)) if len(parts) > 1 else (b"".join(lines) != b"".join(wanted)):
                yield f"the log of run {run_id} has {len(lines)} lines of {task}, its own log has {len(wanted)}, or others"


def _check_objects(evidence: Evidence, allowed: Allowed) -> Iterator[str]:
    """What the index does not name is allowed where it was stored twice: its bytes are in the log, at their place."""
    named = {row["object_name"] for row in evidence.tables["log_blocks"] if row["object_name"]}
    keys = {log_key(log): log for log in evidence.tables["logs"]}
    for name in sorted(set(evidence.objects) - named):
        run_id, *rest = name.split("/")
        if run_id in allowed.deleted_runs:
            continue
        log = keys.get((run_id, rest[0], int(rest[1]), rest[2])) if len(rest) == 4 and rest[1].isdigit() else None
        said = None if log is None else evidence.answers[0].logs.get(log_key(log))
        if not allowed.orphans or log is None or said is None:
            yield f"object {name} is not in the index"
            continue
        try:
            block = unpack(evidence.objects[name])
        except Damaged as exc:
            yield f"object {name} is not in the index, and damaged: {exc}"
            continue
        if not log["gaps"] and said[block.first_byte : block.first_byte + len(block.text)] != block.text:
            yield f"object {name} is not in the index, and its bytes are not in its log"
