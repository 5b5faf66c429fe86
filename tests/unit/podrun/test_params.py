"""`-p NAME=VALUE`: values of the declared types."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from podrun.cli.params import read_pairs, read_params
from podrun.errors import InvalidArgument

WORKFLOW = {
    "params": {
        "text": "",
        "plain": {},
        "number": 0.5,
        "whole": 3,
        "flag": False,
        "list": [],
        "typed": {"type": "integer"},
        "any-number": {"type": "number"},
        "object": {"type": "object", "default": {}},
    }
}


@pytest.mark.parametrize(
    ("pair", "value"),
    [
        ("text=1", "1"), ("plain=true", "true"), ("text=a=b", "a=b"), ("text=", ""), ("number=1", 1), ("number=1e3", 1000.0),
        ("whole=-7", -7), ("flag=true", True), ('list=["a", 1]', ["a", 1]), ("typed= 5 ", 5), ("any-number=2.5", 2.5),
        ('object={"a": null}', {"a": None}), ("unknown=5", "5"), ("text=@@me", "@me"),
    ],
)  # fmt: skip
def test_read_params__declared__value_of_its_type(pair: str, value: Any) -> None:
    (found,) = read_params(read_pairs("-p", [pair]), WORKFLOW).values()
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("pair", "part"),
    [
        ("whole=abc", "-p whole: must be an integer as JSON writes it, such as 3, not 'abc'"),
        ("whole=1.5", "an integer"),
        ("whole=true", "an integer"),
        ("flag=yes", "a boolean as JSON writes it, such as true"),
        ("flag=1", "a boolean"),
        ("number=NaN", "a number"),
        ("list=a,b", "an array"),
        ("object=[]", "an object"),
        ("list=" + "[" * 100_000, "an array"),
        ("text=@nowhere", "-p text: nowhere: No such file or directory"),
    ],
)
def test_read_params__not_of_its_type__says_what_would_be(pair: str, part: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        read_params(read_pairs("-p", [pair]), WORKFLOW)
    assert part in str(caught.value)
    assert len(str(caught.value)) < 250


def test_read_params__at_file__what_is_in_it(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("[1,\n 2]\n")
    assert read_params({"list": f"@{tmp_path / 'a'}", "text": f"@{tmp_path / 'a'}"}, WORKFLOW) == {
        "list": [1, 2],
        "text": "[1,\n 2]\n",
    }
    (tmp_path / "b").write_bytes(b"\xff")
    with pytest.raises(InvalidArgument, match="not UTF-8"):
        read_params({"text": f"@{tmp_path / 'b'}"}, WORKFLOW)


@pytest.mark.parametrize(
    "document", [None, [], {"params": []}, {"params": {"x": {"type": "nonsense"}}}, {"params": {"x": None}}]
)
def test_read_params__document_that_is_not_valid__text(document: object) -> None:
    assert read_params({"x": "1"}, document) == {"x": "1"}


@pytest.mark.parametrize("pairs", [["a"], ["=b"], ["a=1", "a=2"]])
def test_read_pairs__no_pair_or_twice__refused(pairs: list[str]) -> None:
    with pytest.raises(InvalidArgument, match="-p"):
        read_pairs("-p", pairs)
