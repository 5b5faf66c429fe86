"""What of a log reaches a terminal: text and colours, whatever is in it and however it is cut."""

from __future__ import annotations

import re
import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podrun.cli.escape import Sanitizer, plain, safe_line

COLOUR = re.compile(r"\x1b\[[0-9;:]*m")
#: Text in which sequences, and pieces of them, are likely.
LOGS = st.lists(
    st.one_of(
        st.text(max_size=5),
        st.sampled_from(
            ["\x1b", "\x1b[", "[", "31", ";", ":", "m", "K", "?25l", "\x1b]0;x\x07", "\x1bP", "\x1b\\", "\x9b", "\x9d"]
        ),
        st.sampled_from(
            ["\x1b[31m", "\x1b[0m", "\x1b[38;2;1;2;3m", "\x1b[2J", "\x1b[>4;1m", "\r", "\b", "\x7f", "\u2028", "\ud800"]
        ),
    ),
    max_size=30,
).map("".join)


@given(LOGS, st.lists(st.integers(0, 60)))
def test_sanitizer__any_text_cut_anywhere__as_uncut(text: str, cuts: list[int]) -> None:
    sanitizer, pieces, at = Sanitizer(), [], 0
    for cut in [*sorted(cuts), len(text)]:
        pieces.append(sanitizer.feed(text[at:cut] if cut > at else ""))
        at = max(at, cut)
    assert "".join(pieces) + sanitizer.finish() == safe_line(text)


@given(LOGS)
def test_safe_line__any_text__only_colours_control_the_terminal(text: str) -> None:
    rest = COLOUR.sub("", safe_line(text))
    assert not [
        character
        for character in rest
        if unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"} - {"\t", "\n"} and character not in "\t\n"
    ]


@given(LOGS)
def test_safe_line__its_own_output__unchanged(text: str) -> None:
    once = safe_line(text)
    assert safe_line(once) == once


@given(LOGS)
def test_safe_line__colours__all_there_in_order(text: str) -> None:
    assert COLOUR.findall(safe_line(text)) == COLOUR.findall(text)


@given(LOGS)
def test_plain__any_text__one_line_without_controls(text: str) -> None:
    assert not [character for character in plain(text) if unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"}]


@given(st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp"))))
def test_safe_line__ordinary_text__itself(text: str) -> None:
    assert safe_line(text) == text == plain(text)


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("\x1b[1;31mred\x1b[m", "\x1b[1;31mred\x1b[m"),
        ("\x1b[38:2::1:2:3mtrue colour", "\x1b[38:2::1:2:3mtrue colour"),
        ("10%\x1b[2K\x1b[1G20%", "10%20%"),
        ("\x1b]52;c;cm0gLXJm\x07", "^[]52;c;cm0gLXJm^G"),
        ("\x1b]8;;http://x\x1b\\link", "^[]8;;http://x^[\\link"),
        ("\x1bPq#0\x1b\\", "^[Pq#0^[\\"),
        ("\x9b2J\x9d0;x", "\\x9b2J\\x9d0;x"),
        ("\x1b\x1b[31m[2J", "^[\x1b[31m[2J"),
        ("\x1b[\x1b[2J2J", "^[[2J"),
        ("\x1b[" + "1" * 200 + "m", "^[[" + "1" * 200 + "m"),
        ("a\tb\nc\rd", "a\tb\nc^Md"),
        ("\x1b", "^["),
    ],
)
def test_safe_line__known_tricks__harmless(text: str, safe: str) -> None:
    assert safe_line(text) == safe


@pytest.mark.parametrize("text", ["\x1b", "\x1b[", "\x1b[1", "1", "\x1b[" + "1" * 99, "\x9b", "\x1b[31m"])
def test_sanitizer__a_million_characters_in_small_pieces__linear(text: str) -> None:
    sanitizer = Sanitizer()
    started = time.process_time()
    for _ in range(1_000_000 // 1000):
        sanitizer.feed(text * (1000 // len(text) + 1))
    sanitizer.finish()
    assert time.process_time() - started < 5
