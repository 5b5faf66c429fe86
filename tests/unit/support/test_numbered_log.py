"""The check of numbered logs lets pass what is right, and tells of each kind of error."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.numbered_log import TOLD, Gap, LogCheck, NumberedLines, TextLines, find_violations

PRINTED = NumberedLines(20)
LINES = [PRINTED.line(number) for number in range(20)]
START = datetime(2026, 1, 31, 12, tzinfo=UTC)


def _size(lines: list[bytes]) -> int:
    return sum(map(len, lines))


def _stored(*lines: bytes, gaps: tuple[int, ...] = (), printed: NumberedLines = PRINTED) -> list[str]:
    """What is wrong with these lines, and gaps before those of them that have these places."""
    return find_violations(printed, b"".join(lines), [Gap(_size(list(lines[:place]))) for place in gaps])


def test_find_violations__everything_once__none() -> None:
    assert _stored(*LINES) == []
    assert find_violations(NumberedLines(0), b"") == []
    assert find_violations(TextLines(["a", "bc", "d e"]), b"a\nbc\nd e\n") == []


def test_find_violations__no_line_feed_at_the_end__none() -> None:
    assert find_violations(TextLines(["a", "bc"]), b"a\nbc") == []


@pytest.mark.parametrize(
    ("lines", "gaps"),
    [
        (LINES[:5] + LINES[9:], (5,)),
        (LINES[3:], (0,)),
        (LINES[:17], (17,)),
        ([], (0,)),
        (LINES[2:5] + LINES[6:8] + LINES[10:19], (0, 3, 5, 14)),
        ([*LINES[:5], LINES[5][:30], *LINES[8:]], (6,)),
        ([*LINES[:5], LINES[7][30:], *LINES[8:]], (5,)),
        ([*LINES[:5], LINES[5][:30], LINES[7][30:], *LINES[8:]], (6,)),
        ([*LINES[:5], LINES[5][:30], LINES[5][50:], *LINES[6:]], (6,)),
        ([*LINES[:5], LINES[9][:30], *LINES[11:]], (5, 6)),
        ([*LINES[:5], LINES[5][:30]], (6,)),
    ],
    ids=[
        "in the middle", "at the start", "at the end", "everything", "several", "rest of a line", "beginning of a line",
        "from one line into another", "within a line", "a piece between gaps", "end of the last line",
    ],
)  # fmt: skip
def test_find_violations__what_is_missing_lies_in_gaps__none(lines: list[bytes], gaps: tuple[int, ...]) -> None:
    assert _stored(*lines, gaps=gaps) == []


@pytest.mark.parametrize(
    ("lines", "gaps", "told"),
    [
        (LINES[:5] + LINES[6:], (), "lines 5 to 5 are missing"),
        (LINES[1:], (), "lines 0 to 0 are missing"),
        (LINES[:18], (), "lines 18 to 19 are missing"),
        ([], (), "lines 0 to 19 are missing"),
        (LINES[:6] + LINES[5:], (), "line 5 comes again, or too late"),
        ([*LINES, LINES[-1]], (), "line 19 comes again, or too late"),
        ([*LINES, LINES[3]], (20,), "line 3 comes again, or too late"),
        (LINES[:6] + LINES[5:], (6,), "line 5 comes again, or too late"),
        ([*LINES[:5], LINES[6], LINES[5], *LINES[7:]], (), "line 5 comes again, or too late"),
        ([*LINES[:5], LINES[5][:30], *LINES[6:]], (), "no line that was printed"),
        ([*LINES[:5], LINES[5][:30] + b"\n", *LINES[6:]], (), "no line that was printed"),
        ([*LINES[:5], LINES[5][30:], *LINES[6:]], (), "no line that was printed"),
        ([*LINES[:19], LINES[19][:30]], (), "line 19 is cut"),
        ([*LINES[:5], b"\n", *LINES[5:]], (), "no line that was printed"),
        ([*LINES[:5], b"x" + LINES[5], *LINES[6:]], (), "no line that was printed"),
        (LINES[:5] + LINES[9:], (4,), "lines 5 to 8 are missing"),
        (LINES[:5] + LINES[9:], (6,), "lines 5 to 8 are missing"),
        (LINES[:5] + LINES[9:], (0, 16), "lines 5 to 8 are missing"),
        (LINES, (5,), "1 gaps were recorded where nothing is missing"),
        (LINES, (0, 20), "2 gaps were recorded where nothing is missing"),
        (LINES[:5] + LINES[9:], (5, 5), "1 gaps were recorded where nothing is missing"),
        ([*LINES[:5], LINES[5][:30], LINES[5], *LINES[6:]], (6,), "line 5 comes again"),
        ([*LINES[:5], LINES[5][:30], LINES[5][20:], *LINES[6:]], (6,), "bytes of line 5 come again"),
        ([*LINES[:5], LINES[3][30:], *LINES[8:]], (5,), "not the rest of a line"),
        ([*LINES[:5], LINES[4][:30], *LINES[8:]], (5, 6), "line 4 comes again"),
        ([*LINES[:5], b"xyz", *LINES[8:]], (6,), "no beginning of a line"),
        ([*LINES[:5], LINES[9][30:]], (5,), "not known of which line"),
    ],
    ids=[
        "lost", "lost at the start", "lost at the end", "all lost", "doubled", "last doubled", "back behind a gap",
        "doubled behind a gap", "swapped", "cut and glued", "cut", "without its beginning", "cut at the end", "empty line",
        "changed", "gap a line too early", "gap a line too late", "gaps elsewhere", "gap for nothing", "gaps for nothing",
        "two gaps in one place", "cut line again", "rest that overlaps", "rest of another line", "piece of an old line",
        "piece of nothing", "rest at the end",
    ],
)  # fmt: skip
def test_find_violations__an_error__is_told(lines: list[bytes], gaps: tuple[int, ...], told: str) -> None:
    assert any(told in violation for violation in _stored(*lines, gaps=gaps)), _stored(*lines, gaps=gaps)


def test_find_violations__many_errors__some_are_told_and_the_rest_counted() -> None:
    lines = [NumberedLines(200).line(number) for number in range(0, 200, 2)]
    violations = _stored(*lines, printed=NumberedLines(200))
    assert len(violations) == TOLD + 1
    assert violations[-1] == f"and {100 - TOLD} more"


def test_find_violations__nobody_knows_how_many__the_end_may_be_anywhere() -> None:
    printed = NumberedLines(None)
    assert _stored(*LINES[:7], printed=printed) == []
    assert _stored(*LINES[:7], gaps=(7,), printed=printed) == []
    assert _stored(*LINES[:7], LINES[7][:20], gaps=(8,), printed=printed) == []
    assert _stored(*LINES[:7], LINES[8], printed=printed) == ["lines 7 to 7 are missing, and no gap stands there"]


def test_find_violations__gaps_may_be_empty__only_what_is_missing_is_told() -> None:
    assert find_violations(PRINTED, b"".join(LINES), [Gap(0), Gap(40)], may_be_empty=True) == []


@given(
    keep=st.lists(st.booleans(), min_size=20, max_size=20),
    cuts=st.lists(st.integers(1, 2000), max_size=5),
)
def test_log_check__any_lines_lost__right_with_gaps_and_wrong_with_one_fewer(keep: list[bool], cuts: list[int]) -> None:
    stored = b"".join(line for line, kept in zip(LINES, keep, strict=True) if kept)
    gaps, at_byte = [], 0
    for number, kept in enumerate(keep):
        if not kept and (number == 0 or keep[number - 1]):
            gaps.append(Gap(at_byte))
        at_byte += len(LINES[number]) if kept else 0
    assert find_violations(PRINTED, stored, gaps) == []
    for one in range(len(gaps)):
        assert find_violations(PRINTED, stored, gaps[:one] + gaps[one + 1 :])
    check, start = LogCheck(PRINTED), 0
    at_bytes = {gap.at_byte for gap in gaps}
    for end in sorted({len(stored), *at_bytes, *(min(cut, len(stored)) for cut in cuts)}):
        check.add(stored[start:end])
        if end in at_bytes:
            check.gap()
        start = end
    assert check.end() == []
    assert check.missing == keep.count(False)


def _frames(lines: list[bytes]) -> list[dict[str, object]]:
    return [{"text": line.decode().removesuffix("\n"), "time": _at(number)} for number, line in enumerate(lines)]


def _at(second: int) -> str:
    return (START + timedelta(seconds=second)).isoformat(timespec="microseconds").replace("+00:00", "789Z")


def _gap(start: int | None, end: int | None) -> dict[str, object]:
    times = [None if at is None else _at(at).replace("789Z", "Z") for at in (start, end)]
    return {"type": "gap", "from": times[0], "to": times[1]}


@pytest.mark.parametrize(
    ("start", "end", "told"),
    [
        (4, 5, None),
        (3, 5, "begins at"),
        (None, 5, "begins at"),
        (4, 6, "ends at"),
        (4, None, "ends at"),
    ],
)
def test_log_check__frames__the_times_of_a_gap_are_those_of_the_lines_around_it(
    start: int | None, end: int | None, told: str | None
) -> None:
    frames = _frames(LINES[:5] + LINES[9:])
    check = LogCheck(PRINTED)
    check.take({"type": "lines", "lines": frames[:5]})
    check.take(_gap(start, end))
    for frame in frames[5:]:
        check.take(frame)
    check.take({"type": "ping"})
    violations = check.end()
    assert (told in violations[0] and len(violations) == 1) if told else violations == []
    assert (check.gaps, check.missing, check.stored, check.empty_gaps) == (1, 4, 16, 0)


def test_log_check__frames_with_pieces_of_a_line__are_one_line() -> None:
    check = LogCheck(PRINTED)
    for frame in _frames(LINES):
        text = str(frame["text"])
        check.take(frame | {"text": text[:9], "partial": True})
        check.take(frame | {"text": text[9:]})
    assert check.end() == []


@pytest.mark.parametrize("wide", [False, True])
def test_numbered_lines__script__makes_the_same_lines(*, wide: bool) -> None:
    printed, made = NumberedLines(300, size=1000, key="o ", wide=wide), {}
    exec(printed.script, made)
    lines = [made["line"](made["KEY"], number, made["SIZE"], made["WIDE"]) for number in range(made["COUNT"])]
    assert b"".join(lines) == printed.text()
    assert [printed.number(line) for line in lines] == list(range(300))
    assert len(set(lines)) == 300
    assert all(500 <= len(line) <= 1520 for line in lines)
    assert all(len(line.decode()) < len(line) for line in lines) is wide
    assert printed.number(NumberedLines(1, key="e ").line(0)) is None
