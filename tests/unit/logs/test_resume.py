from array import array
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from app.logs.lines import LineParser, Stretch
from app.logs.resume import SECOND, StoredEnd
from tests.unit.logs.test_lines import BASE, stamp

MS = 1_000_000


@st.composite
def log_lines(draw) -> list[tuple[int, bytes]]:
    """Lines whose stamps go forward, now and then are equal, and go back by some milliseconds."""
    time = BASE
    lines = []
    for _ in range(draw(st.integers(1, 30))):
        time += draw(st.sampled_from([0, 0, 1, 5 * MS, 400 * MS, 1100 * MS, 3000 * MS]))
        back = draw(st.sampled_from([0, 0, 0, 1 * MS, 7 * MS]))
        lines.append((time - back, draw(st.sampled_from([b"", b"a", b"same", b"\xff\x00", b"longer than the others"]))))
    return lines


def served(lines: list[tuple[int, bytes]], since: int | None, *, final_newline: bool) -> bytes:
    """What the kubelet would send: whole seconds, inclusive."""
    kept = [(time, text) for time, text in lines if since is None or time >= since * SECOND]
    printed = b"".join(stamp(time) + text + b"\n" for time, text in kept)
    return printed if final_newline or not kept else printed[:-1]


@settings(max_examples=300)
@given(lines=log_lines(), final_newline=st.booleans(), data=st.data())
def test_skipper__cut_and_opened_again_anywhere__every_byte_once(lines, final_newline, data):
    end, collected, times = StoredEnd(), b"", []
    for number in range(8):
        stream = served(lines, end.since(), final_newline=final_newline)
        last = number == 7
        cut = len(stream) if last else data.draw(st.integers(0, len(stream)))
        chunks = sorted({0, cut, *data.draw(st.lists(st.integers(0, cut), max_size=3))})
        parser = LineParser(end.last_time, resumed=end.since() is not None)
        skipper = end.skipper()
        pieces = [parser.feed(stream[a:b]) for a, b in pairwise(chunks)]
        for piece in (*pieces, parser.finish(), parser.finish_character()):
            new = skipper.feed(piece) if piece else None
            if new:
                assert new.continues == (bool(collected) and not collected.endswith(b"\n"))
                collected += new.text
                times.extend(new.times)
                end.add(new.text, new.times, continues=new.continues)
        if last and not end.empty:
            assert skipper.came_back or skipper.first_new is None or number == 0 or len(skipper.counts) == 0
        if data.draw(st.booleans()):  # a restart: known again from what is stored
            end = rebuilt(collected, times)
    expected = b"".join(text + b"\n" for _, text in lines)
    if not final_newline:
        expected = expected[:-1]
        if not lines[-1][1]:
            lines = lines[:-1]
    assert collected == expected
    assert times == [time for time, _ in lines]


def rebuilt(collected: bytes, times: list[int]) -> StoredEnd:
    end = StoredEnd()
    if collected:
        end.add(collected, array("q", times), continues=False)
    return end


def feed(end: StoredEnd, *lines: tuple[int, bytes]) -> tuple[bytes, bool, int | None]:
    skipper = end.skipper()
    text = b"".join(line for _, line in lines)
    new = skipper.feed(Stretch(text, array("q", [time for time, _ in lines])))
    return (new.text if new else b""), skipper.came_back, skipper.first_new


def stored(*lines: tuple[int, bytes]) -> StoredEnd:
    end = StoredEnd()
    end.add(b"".join(line for _, line in lines), array("q", [time for time, _ in lines]), continues=False)
    return end


def test_skipper__equal_stamps__skipped_by_their_number():
    end = stored((BASE, b"a\n"), (BASE, b"a\n"))
    assert feed(end, (BASE, b"a\n"), (BASE, b"a\n"), (BASE, b"a\n")) == (b"a\n", True, BASE)


def test_skipper__another_order__skipped_all_the_same():
    end = stored((BASE, b"a\n"), (BASE + 1, b"b\n"))
    assert feed(end, (BASE + 1, b"b\n"), (BASE + 2, b"c\n"), (BASE, b"a\n")) == (b"c\n", True, BASE + 2)


def test_skipper__rotated_away__says_so_and_passes_all_on():
    end = stored((BASE, b"a\n"))
    assert feed(end, (BASE + 5, b"b\n"), (BASE + 6, b"c\n")) == (b"b\nc\n", False, BASE + 5)


def test_skipper__unfinished_line_finished_meanwhile__only_its_rest():
    end = stored((BASE, b"a\n"), (BASE + 1, b"unfin"))
    assert feed(end, (BASE, b"a\n"), (BASE + 1, b"unfinished\n"), (BASE + 2, b"c\n")) == (b"ished\nc\n", True, BASE + 2)


def test_stored_end__a_long_log__remembers_its_end_only():
    end = StoredEnd()
    for number in range(200):
        times = array("q", range(BASE + number * SECOND, BASE + number * SECOND + 1000))
        end.add(b"\n" * 1000, times, continues=False)
    skipper = end.skipper()
    assert end.since() == BASE // SECOND + 198
    assert len(end._times) < 20_000
    assert sum(skipper.counts.values()) == 2000
