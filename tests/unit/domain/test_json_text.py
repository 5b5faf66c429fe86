"""JSON from strangers: what is taken, what is refused, and that neither is slow."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.errors import MalformedDocument
from app.domain.json_text import check_depth, parse_json

_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
)


@given(_VALUES)
def test_parse_json__what_json_writes__comes_back(value: object) -> None:
    assert parse_json(json.dumps(value).encode()) == value


@pytest.mark.parametrize(
    "text",
    [
        b"", b" ", b"{", b"nul", b"{'a': 1}", b'{"a": 1,}', b"NaN", b"[Infinity]", b"[-Infinity]", b"\xff", b'"\x01"', b"1 2",
        b'{"a": 1, "a": 1}', b'[{"b": {"a": 1, "b": 2, "a": 3}}]', b"\xef\xbb\xbf{}", b"1" * 5000, b"[" * 101 + b"]" * 101,
        b'{"a":' * 101 + b"1" + b"}" * 101,
    ],
)  # fmt: skip
def test_parse_json__no_json__is_refused(text: bytes) -> None:
    with pytest.raises(MalformedDocument):
        parse_json(text)


@pytest.mark.parametrize(
    "text",
    [b"[" * 100 + b"]" * 100, b'"' + b"[" * 1000 + b'"', b'["\\"' + b"{" * 500 + b'", []]', b"[" + b"[]," * 1000 + b"[]]"],
)
def test_check_depth__as_deep_as_is_allowed__passes(text: bytes) -> None:
    check_depth(text)
    parse_json(text)


@pytest.mark.parametrize(
    "text", [b'"\\"' * 2_000_000, b"[" * 4_000_000, b'["' * 2_000_000, b"\\" * 4_000_000, b"[]" * 2_000_000]
)
def test_parse_json__made_to_be_slow__is_not(text: bytes) -> None:
    begun = time.process_time()
    with pytest.raises(MalformedDocument):
        parse_json(text)
    assert time.process_time() - begun < 3.0
