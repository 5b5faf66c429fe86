"""What a misspelt name was meant to be."""

import pytest

from app.domain.suggestions import CloseNames, suggest_key

KEYS = ("name", "namespace", "depends_on", "env", "env_from", "timeout_seconds", "on")


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("nam", "name"),
        ("nmae", "name"),
        ("nome", "name"),
        ("names", "name"),
        ("dependsOn", "depends_on"),
        ("DEPENDS-ON", "depends_on"),
        ("envFrom", "env_from"),
        ("timeout", "timeout_seconds"),
        ("needs", "depends_on"),
        ("retry", None),
        ("in", None),
        ("", None),
        ("something", None),
        ("n" * 100, None),
    ],
)
def test_suggest_key__misspelt_keys__find_what_was_meant(key, meant):
    assert suggest_key(key, KEYS) == meant


def test_close_names__several_are_close__the_first_is_found():
    assert CloseNames(["task-1", "task-2"]).find("task-") == "task-1"


def test_close_names__too_many_characters__finds_nothing():
    assert CloseNames(["x" * 60 + str(index) for index in range(5000)]).find("x" * 60) is None
