from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.expressions.contexts import encoded, is_small, narrowed

CONTEXT = {
    "params": {"a": 1, "b": {"c": 2, "d": 3}},
    "tasks": {"t": {"phase": "Failed", "outputs": {"x": [1], "y": 2}}, "u": {"phase": "Failed"}},
    "run": {"id": "r"},
}


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        ([], {}),
        ([("params", "a")], {"params": {"a": 1}}),
        ([("params",), ("params", "a")], {"params": CONTEXT["params"]}),
        ([("params", "b", "c"), ("params", "b")], {"params": {"b": {"c": 2, "d": 3}}}),
        ([("tasks", "t", "outputs", "x", "size")], {"tasks": {"t": {"outputs": {"x": [1]}}}}),
        ([("tasks", "t", "outputs", "nope")], {"tasks": {"t": {"outputs": {}}}}),
        ([("run", "id"), ("item", "x"), ("string",)], {"run": {"id": "r"}}),
        ([("params", "a", "deeper")], {"params": {"a": 1}}),
    ],
)
def test_narrowed__paths__only_what_they_lead_to(paths, expected):
    assert narrowed(CONTEXT, paths) == expected


def test_narrowed__nothing_there__is_empty():
    assert narrowed({}, [("tasks", "a", "phase")]) == {"tasks": {}}


@given(st.recursive(st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_encoded__json__means_the_same(value):
    assert json.loads(b"".join(encoded(value).parts)) == value


@pytest.mark.parametrize("length", [0, 999, 1000, 1001, 2500])
def test_encoded__long_list__means_the_same(length):
    value = {"l": list(range(length)), "m": {"n": ["x"] * length}, "": {}}
    found = encoded(value)
    assert json.loads(b"".join(found.parts)) == value
    assert found.size_bytes == len(b"".join(found.parts))
    assert found.key == encoded(value).key != encoded({}).key


def test_is_small__size__is_told():
    assert is_small({"a": ["x"] * 1000})
    assert not is_small({"a": list(range(3000))})
    assert not is_small(["x" * 300_000])
