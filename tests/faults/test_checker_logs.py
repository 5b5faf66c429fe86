"""The checker of logs finds each kind of error that is made on purpose in a copy of what a real story left."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.faults.checker import Allowed, check
from tests.faults.checker_story import LINES, ToldStory
from tests.faults.tampering import Tamper, Tampered, is_caught

pytestmark = pytest.mark.faults


def _swapped(text: bytes) -> bytes:
    lines = text.split(b"\n")
    lines[3], lines[4] = lines[4], lines[3]
    return b"\n".join(lines)


def _line_lost_by_the_api(t: Tampered) -> None:
    text = t.text("works", "mends")
    t.set_text("works", "mends", text[text.index(b"\n") + 1 :])


def _line_twice_by_the_api(t: Tampered) -> None:
    text = t.text("works", "mends")
    t.set_text("works", "mends", text + text)


def _lines_swapped_by_the_api(t: Tampered) -> None:
    t.set_text("talks", "talks", _swapped(t.text("talks", "talks")))


def _line_lost_in_a_row(t: Tampered) -> None:
    (block,) = t.blocks("cancelled", "slow")
    block["text"] = block["text"][block["text"].index(b"\n") + 1 :]


def _line_twice_in_a_row(t: Tampered) -> None:
    (block,) = t.blocks("works", "mends")
    block["text"] += block["text"]


def _printed(t: Tampered) -> None:
    """Stored wrongly, and told as it is stored: only who knows what was printed can see that."""
    t.allowed = Allowed(printed={(t.story.talks, "talks", 1): LINES})


def _never_stored(t: Tampered) -> None:
    _printed(t)
    text = LINES.text()
    _forget_all_but(t, text.replace(LINES.line(7), b""))


def _stored_twice(t: Tampered) -> None:
    _printed(t)
    text = LINES.text()
    _forget_all_but(t, text.replace(LINES.line(7), LINES.line(7) * 2))


def _stored_swapped(t: Tampered) -> None:
    _printed(t)
    _forget_all_but(t, _swapped(LINES.text()))


def _forget_all_but(t: Tampered, text: bytes) -> None:
    """The large log is this text, in one row, and everything agrees on that."""
    log, rows = t.log("talks", "talks"), t.blocks("talks", "talks")
    for row in rows:
        t.remove("log_blocks", row)
        t.evidence.objects.pop(row["object_name"] or "", None)
    commits = [row for row in t.tables["log_commits"] if row["log_id"] == log["id"]]
    for row in commits:
        t.remove("log_commits", row)
    lines = text.count(b"\n")
    log.update(bytes=len(text), lines=lines)
    whole = {"first_byte": 0, "end_byte": len(text), "log_id": log["id"]}
    times = b"".join(number.to_bytes(8, "little") for number in range(lines))
    about = {"first_line": 0, "lines": lines, "continues": False, "last_time": lines - 1, "object_name": None, "times": times}
    t.tables["log_blocks"].append({**whole, **about, "text": text})
    t.tables["log_commits"].append({**whole, "run_id": log["run_id"], "seq": 1})
    t.set_text("talks", "talks", text)
    t.answers.run_logs.pop(t.story.talks, None)
    t.retell()


def _hole(t: Tampered) -> None:
    t.remove("log_blocks", t.blocks("talks", "talks")[1])


def _overlap(t: Tampered) -> None:
    first = t.blocks("talks", "talks")[0]
    t.tables["log_blocks"].append({**first, "first_byte": 0})


def _wrong_line(t: Tampered) -> None:
    t.blocks("talks", "talks")[1]["first_line"] += 1


def _wrong_size(t: Tampered) -> None:
    t.log("works", "mends")["bytes"] += 1
    t.retell()


def _missing_object(t: Tampered) -> None:
    del t.evidence.objects[t.object_name()]


def _damaged_object(t: Tampered) -> None:
    name = t.object_name()
    data = bytearray(t.evidence.objects[name])
    data[-1] ^= 1
    t.evidence.objects[name] = bytes(data)


def _other_object(t: Tampered) -> None:
    first, second = [row for row in t.blocks("talks", "talks") if row["object_name"]][:2]
    second["object_name"] = first["object_name"]


def _unknown_object(t: Tampered) -> None:
    t.evidence.objects["gone/task/1/main/0-0"] = b"?"


def _orphan_of_elsewhere(t: Tampered) -> None:
    log = t.log("works", "mends")
    t.evidence.objects[f"{log['run_id']}/mends/1/main/0-0"] = t.evidence.objects[t.object_name()]


def _strict_orphan(t: Tampered) -> None:
    t.allowed = Allowed(orphans=False)
    t.evidence.objects[f"{t.object_name()}0"] = t.evidence.objects[t.object_name()]


def _commit_lost(t: Tampered) -> None:
    t.remove("log_commits", t.find("log_commits", run_id=t.story.works, seq=2))


def _commit_twice(t: Tampered) -> None:
    row = max((row for row in t.tables["log_commits"] if row["run_id"] == t.story.works), key=lambda row: int(row["seq"]))
    t.tables["log_commits"].append({**row, "seq": row["seq"] + 1})


def _gap(t: Tampered, **about: object) -> None:
    log = t.log("works", "mends")
    log["gaps"] = 1
    now = t.evidence.now
    gap = {"log_id": log["id"], "at_byte": 3, "from_at": now, "to_at": now, "reason": "it went too fast"}
    t.tables["log_gaps"].append(gap | about)
    t.retell()


def _allowed_gap(t: Tampered, **about: object) -> None:
    t.allowed = Allowed(gaps=["mends"])
    _gap(t, **about)


def _uncounted_gap(t: Tampered) -> None:
    _allowed_gap(t)
    t.log("works", "mends")["gaps"] = 0
    t.retell()


def _sealed_early(t: Tampered) -> None:
    t.leave_open(t.living)
    t.log("talks", "talks")["sealed"] = True
    t.retell()


def _never_sealed(t: Tampered) -> None:
    t.log("works", "mends")["sealed"] = False
    t.retell()


def _no_log(t: Tampered) -> None:
    log = t.log("works", "mends")
    for block in t.blocks("works", "mends"):
        t.remove("log_blocks", block)
    t.remove("logs", log)
    t.retell()


def _two_logs(t: Tampered) -> None:
    t.tables["logs"].append({**t.log("works", "mends"), "id": 10**6, "bytes": 0, "lines": 0})


def _run_log(t: Tampered) -> None:
    t.answers.run_logs[t.story.works] = t.answers.run_logs[t.story.works].replace(b"[mends] mended\n", b"")


def _unreadable(t: Tampered) -> None:
    t.answers.troubles.append("/runs/1/logs: cut")


ERRORS: dict[str, tuple[Tamper, tuple[str, ...]]] = {
    "a line that the API leaves out": (_line_lost_by_the_api, ("are others over the API", "over the API 0", "the log of run")),
    "a line that the API gives twice": (_line_twice_by_the_api, ("over the API 14", "the log of run")),
    "lines that the API swaps": (_lines_swapped_by_the_api, ("are others over the API", "the log of run")),
    "a line that is lost in the index": (
        _line_lost_in_a_row, ("its end_byte is", "lines begin in it", "are others over the API"),
    ),
    "a line that is twice in the index": (
        _line_twice_in_a_row, ("its end_byte is", "lines begin in it", "are others over the API"),
    ),
    "a line that was never stored": (_never_stored, ("lines 7 to 7 are missing",)),
    "a line that was stored twice": (_stored_twice, ("line 7 comes again",)),
    "lines that were stored in another order": (_stored_swapped, ("are missing", "comes again, or too late")),
    "a hole in the index": (_hole, ("a hole in its index", "begins with line")),
    "an overlap in the index": (_overlap, ("an overlap in its index", "begins with line")),
    "a block with a wrong line": (_wrong_line, ("begins with line", "its first_line is")),
    "a log that says more than it has": (_wrong_size, ("its index", "over the API", "its commits")),
    "a missing object": (_missing_object, ("is missing",)),
    "a damaged object": (_damaged_object, ("its checksum is wrong",)),
    "an object of another place": (
        _other_object,
        ("its first_byte is", "its first_line is", "its end_byte is", "others over the API", "~lines is", "its last line is"),
    ),
    "an object that nothing explains": (_unknown_object, ("gone/task/1/main/0-0 is not in the index",)),
    "an orphan with bytes of elsewhere": (_orphan_of_elsewhere, ("its bytes are not in its log",)),
    "an orphan where there may be none": (_strict_orphan, ("is not in the index",)),
    "a commit that is lost": (_commit_lost, ("have the numbers", "its commits 0")),
    "a commit of bytes that were committed": (_commit_twice, ("begins at byte 0",)),
    "a gap": (_gap, ("has a gap at byte 3: it went too fast",)),
    "a gap outside of its log": (lambda t: _allowed_gap(t, at_byte=10**6), ("has a gap at byte 1000000, and",)),
    "a gap that ends before it begins": (
        lambda t: _allowed_gap(t, to_at=t.evidence.now - timedelta(seconds=1)), ("has a gap from",),
    ),
    "a gap that is not counted": (_uncounted_gap, ("says that it has 0 gaps, and 1 are recorded",)),
    "a log that is sealed while its container runs": (_sealed_early, ("is sealed, and its attempt Running", "is stuck")),
    "a log that is never sealed": (_never_sealed, ("is not sealed, and its attempt says so", "and its run is finished")),
    "a container that has run and has no log": (_no_log, ("has run, and has no log", "which is none of its logs")),
    "two logs of one container": (_two_logs, ("is there 2 times", "over the API", "of mends")),
    "a run's log that leaves out a line": (_run_log, ("has 0 lines of mends",)),
    "a log that can't be read": (_unreadable, ("a log can't be read",)),
}  # fmt: skip


@pytest.mark.parametrize("name", ERRORS)
def test_check__a_log_with_an_error__is_caught(local_story: ToldStory, name: str) -> None:
    is_caught(local_story.story, *ERRORS[name])


def test_check__an_orphan_that_was_stored_twice__is_allowed(local_story: ToldStory) -> None:
    tampered = Tampered(local_story.story)
    tampered.evidence.objects[f"{tampered.object_name()}0"] = tampered.evidence.objects[tampered.object_name()]
    assert tampered.violations() == []


def test_check__a_gap_that_the_test_allows__is_no_error(local_story: ToldStory) -> None:
    tampered = Tampered(local_story.story)
    _allowed_gap(tampered)
    tampered.run("works")["version"] += 1
    tampered.retell()
    assert tampered.violations() == []


def test_check__an_object_deleted_in_the_log_store__is_caught(local_story: ToldStory) -> None:
    service = local_story.service
    name = Tampered(local_story.story).object_name()
    path = service.folder / "logs" / name
    kept = path.read_bytes()
    path.unlink()
    try:
        with pytest.raises(AssertionError, match=f"its object {name} is missing"):
            check(service)
    finally:
        path.write_bytes(kept)
    check(service)
