from array import array
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.logs.lines import PIECE_BYTES, LineParser, Stretch, line_offset

SECOND = 1_000_000_000
BASE = 1_767_322_980 * SECOND  # 2026-01-02T03:03:00Z


def stamp(time_ns: int) -> bytes:
    seconds = (time_ns - BASE) // SECOND
    return b"2026-01-02T03:%02d:%02d.%09dZ " % (3 + seconds // 60, seconds % 60, time_ns % SECOND)


def parse(chunks: list[bytes], **options) -> tuple[bytes, list[int]]:
    parser = LineParser(**options)
    stretches = [s for s in (*[parser.feed(chunk) for chunk in chunks], parser.finish(), parser.finish_character()) if s]
    return b"".join(s.text for s in stretches), [time for s in stretches for time in s.times]


@given(
    lines=st.lists(
        st.tuples(st.integers(BASE, BASE + 90 * SECOND), st.binary(max_size=20).map(lambda b: b.replace(b"\n", b"\r"))),
        max_size=12,
    ),
    ends=st.booleans(),
    cuts=st.lists(st.integers(0, 600), max_size=8),
)
def test_line_parser__any_cuts__bytes_and_times_as_printed(lines, ends, cuts):
    printed = b"".join(stamp(time) + text + b"\n" for time, text in lines)
    if lines and not ends:
        printed = printed[:-1]
    places = sorted({0, len(printed), *[min(cut, len(printed)) for cut in cuts]})
    text, times = parse([printed[a:b] for a, b in pairwise(places)])
    expected = b"".join(text + b"\n" for _, text in lines)
    if lines and not ends:
        expected = expected[:-1]
        if not lines[-1][1]:  # an unfinished line without text is nothing yet
            lines = lines[:-1]
    assert text == expected
    assert times == [time for time, _ in lines]


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (b"2026-01-02T05:03:00.5+02:00 x\n", BASE + SECOND // 2),
        (b"2026-01-01T22:33:00.123456789-04:30 x\n", BASE + 123456789),
        (b"2026-01-02T03:03:00Z x\n", BASE),
    ],
)
def test_line_parser__other_zone_or_fraction__same_time(written, expected):
    assert parse([written]) == (b"x\n", [expected])


def test_line_parser__line_without_stamp__kept_with_the_time_before():
    assert parse([stamp(BASE) + b"a\nno stamp\n" + stamp(BASE + 1) + b"b\n"]) == (b"a\nno stamp\nb\n", [BASE, BASE, BASE + 1])


def test_line_parser__cut_in_a_stamp__stands_for_nothing():
    assert parse([stamp(BASE) + b"a\n" + stamp(BASE)[:12]]) == (b"a\n", [BASE])
    assert parse([stamp(BASE) + b"a\n" + stamp(BASE)]) == (b"a\n", [BASE])
    assert parse([stamp(BASE) + b"7"]) == (b"7", [BASE])


def test_line_parser__resumed_within_a_line__its_rest_is_dropped():
    chunk = b"rest of an old line\n" + stamp(BASE) + b"new\n"
    assert parse([chunk], resumed=True) == (b"new\n", [BASE])
    assert parse([b"rest", b" of an old line\n", stamp(BASE) + b"new"], resumed=True) == (b"new", [BASE])


def test_line_parser__long_line__passed_on_in_pieces():
    parser = LineParser()
    line = b"x" * (3 * PIECE_BYTES)
    printed = stamp(BASE) + line + b"\n" + stamp(BASE + 5) + b"y\n"
    stretches = [s for at in range(0, len(printed), 16384) if (s := parser.feed(printed[at : at + 16384]))]
    assert b"".join(s.text for s in stretches) == line + b"\ny\n"
    assert [s.continues for s in stretches] == [False, *[True] * (len(stretches) - 1)]
    assert len(stretches) >= 3
    assert [time for s in stretches for time in s.times] == [BASE, BASE + 5]


def test_line_offset__continued_stretch__counts_from_the_first_whole_line():
    assert line_offset(Stretch(b"rest\na\nb\n", array("q", [1, 2]), continues=True), 1) == 7
    assert line_offset(Stretch(b"a\nb\n", array("q", [1, 2])), 0) == 0


CHARACTERS = "aä€😀".encode()  # of one to four bytes


def decoded(pieces: list[bytes]) -> str:
    """Each piece by itself, as readers decode them."""
    return "".join(piece.decode("utf-8", "replace") for piece in pieces)


@pytest.mark.parametrize("shift", range(len(CHARACTERS)))
def test_line_parser__long_line_in_pieces__no_character_is_cut(shift):
    line = (b"b" * shift + CHARACTERS * (PIECE_BYTES // 4))[: 2 * PIECE_BYTES]
    line = line.decode("utf-8", "ignore").encode()
    parser = LineParser()
    chunk = 1000
    data = stamp(BASE) + line + b"\n"
    found = [parser.feed(data[start : start + chunk]) for start in range(0, len(data), chunk)]
    pieces = [stretch.text for stretch in found if stretch]
    assert len(pieces) > 1
    assert b"".join(pieces) == line + b"\n"
    assert decoded(pieces) == line.decode() + "\n"


@pytest.mark.parametrize("cut", range(len(CHARACTERS)))
def test_line_parser__stream_cut_within_a_character__its_bytes_are_left_for_the_next_stream(cut):
    text = CHARACTERS[: cut + 1]
    parser = LineParser()
    assert parser.feed(stamp(BASE) + b"x" + text) is None
    rest, cut_off = parser.finish(), parser.finish_character()
    whole = text.decode("utf-8", "ignore").encode()
    assert rest.text == b"x" + whole
    assert (cut_off.text if cut_off else b"") == text.removeprefix(whole)


def test_line_parser__nothing_but_a_part_of_a_character__a_line_of_its_own():
    assert parse([stamp(BASE) + b"\xe2\x82"]) == (b"\xe2\x82", [BASE])


def test_line_parser__no_utf8_at_the_cut__passed_on():
    parser = LineParser()
    parser.feed(stamp(BASE) + b"\x80\x80\x80\x80")
    assert parser.finish().text == b"\x80\x80\x80\x80"
