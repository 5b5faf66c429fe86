"""RFC 6901 pointers, and faults in document order."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.errors import Fault
from app.domain.pointers import either, in_document_order, pointer, shown, tokens, under


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ((), ""),
        (("foo", 0), "/foo/0"),
        (("",), "/"),
        (("a/b",), "/a~1b"),
        (("m~n",), "/m~0n"),
        (("~1",), "/~01"),
        ((" ",), "/ "),
    ],
)
def test_pointer__rfc_6901_examples__are_written_and_read(path, expected):
    assert pointer(*path) == expected
    assert tokens(expected) == [str(token) for token in path]


@settings(max_examples=100)
@given(st.lists(st.text(max_size=8), max_size=5))
def test_pointer__any_keys__come_back(path):
    assert tokens(pointer(*path)) == path


def test_in_document_order__faults__are_sorted_by_place_and_given_once():
    document = {"z": [{"b": 1, "a": 2}], "a": 1}
    given_faults = [
        Fault("/a", "x"),
        Fault("/z/0/a", "x"),
        Fault("/z/0/b", "x"),
        Fault("/z/0", "x"),
        Fault("/a", "x"),
        Fault("/a", "y"),
        Fault("", "x"),
    ]
    assert [(fault.pointer, fault.detail) for fault in in_document_order(document, given_faults)] == [
        ("", "x"),
        ("/z/0", "x"),
        ("/z/0/b", "x"),
        ("/z/0/a", "x"),
        ("/a", "x"),
        ("/a", "y"),
    ]


def test_under__relative_faults__get_the_prefix():
    assert list(under("/a", [Fault("/b", "x"), Fault("", "y")])) == [Fault("/a/b", "x"), Fault("/a", "y")]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("é", '"é"'),
        (None, "null"),
        (1.5, "1.5"),
        ({}, "an object"),
        ([1], "a list"),
        ({1}, "a set"),
        ("x" * 99, f'"{"x" * 79}…'),
    ],
)
def test_shown__values__are_short_json(value, text):
    assert shown(value) == text


def test_shown__an_integer_that_python_refuses_to_print__is_named():
    assert shown(10**5000) == "a int"


def test_either__one_two_three__reads_well():
    assert [either(["a"]), either(["a", "b"]), either(["a", "b", "c"])] == ['"a"', '"a" or "b"', '"a", "b" or "c"']
