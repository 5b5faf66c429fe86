from __future__ import annotations

import json
from typing import Any

import pytest

from app.domain.errors import InvalidBody, MalformedDocument
from app.domain.faults import MOST_FAULTS
from app.runs.actions import CancelRequest, read_cancel, read_comment, read_nothing, read_retry, task_names_faults


def pointers(read: Any, body: Any) -> list[str]:
    with pytest.raises(InvalidBody) as caught:
        read(json.dumps(body).encode())
    return [fault.pointer for fault in caught.value.faults]


@pytest.mark.parametrize("read", [read_cancel, read_comment, read_nothing, read_retry])
def test_read__no_body_or_an_empty_object__asks_for_nothing_special(read: Any) -> None:
    assert read(b"") == read(b" \n") == read(b"{}")
    with pytest.raises(MalformedDocument):
        read(b"{")
    assert pointers(read, {"surprise": 1}) in (["/surprise"], [""])
    assert pointers(read, [1]) == [""]


def test_read_cancel__reason_and_force__or_what_is_wrong_with_them() -> None:
    assert read_cancel(b'{"reason": "no need", "force": true}') == CancelRequest("no need", force=True)
    assert pointers(read_cancel, {"reason": 1, "force": "x", "more": 1}) == ["/reason", "/force", "/more"]
    assert pointers(read_cancel, {"reason": "\0"}) == pointers(read_cancel, {"reason": "x" * 1025}) == ["/reason"]


def test_read_comment__text__or_a_fault() -> None:
    assert (read_comment(b'{"comment": "go"}'), read_comment(b'{"comment": null}')) == ("go", "")
    assert pointers(read_comment, {"comment": ["go"]}) == ["/comment"]
    assert pointers(read_comment, {"comment": "\ud800"}) == ["/comment"]


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        (["go"], "must be text of at most 1,024 characters, not a list"),
        ("x" * 5000, "has 5,000 characters, and may have 1,024"),
        ("a\0b", "must not hold a NUL character: no process and no database takes it"),
        ("\ud800", "must be Unicode text: it holds half of a surrogate pair"),
    ],
)
def test_read__a_wrong_text__says_what_is_wrong_and_not_all_of_it(text: Any, detail: str) -> None:
    for read, key in ((read_comment, "comment"), (read_cancel, "reason")):
        with pytest.raises(InvalidBody) as caught:
            read(json.dumps({key: text}).encode())
        assert [(fault.pointer, fault.detail) for fault in caught.value.faults] == [(f"/{key}", detail)]


def test_read__an_unknown_key__says_which_there_are() -> None:
    with pytest.raises(InvalidBody, match=r'"commment" is no key here: comment is$'):
        read_comment(b'{"commment": "x"}')
    with pytest.raises(InvalidBody, match=r'"x" is no key here: reason, force are$'):
        read_cancel(b'{"x": "x"}')


def test_read_retry__names__or_what_is_wrong_with_them() -> None:
    assert read_retry(b'{"tasks": ["a", "work.3"]}') == ("a", "work.3")
    assert read_retry(b'{"tasks": null}') is None
    assert pointers(read_retry, {"tasks": []}) == pointers(read_retry, {"tasks": "a"}) == ["/tasks"]
    assert pointers(read_retry, {"tasks": ["a", 1, None]}) == ["/tasks/1", "/tasks/2"]


def test_task_names_faults__unknown_names__with_what_was_probably_meant() -> None:
    faults = task_names_faults(["build", "biuld", "x"], ["build", "test"])
    assert [(fault.pointer, fault.detail) for fault in faults] == [
        ("/tasks/1", 'the run has no task "biuld", did you mean "build"?'),
        ("/tasks/2", 'the run has no task "x"'),
    ]


def test_read_retry__more_names_than_a_run_has_tasks__are_refused() -> None:
    with pytest.raises(InvalidBody, match="/tasks: must have at most 20,000 names, not 20,001"):
        read_retry(json.dumps({"tasks": ["a"] * 20_001}).encode())
    with pytest.raises(InvalidBody) as caught:
        read_retry(b'{"tasks": [' + b",".join([b"0"] * 100_000) + b"]}")
    assert len(caught.value.faults) == MOST_FAULTS + 1


def test_task_names_faults__thousands_of_unknown_names__are_told_of_up_to_a_bound() -> None:
    assert len(task_names_faults([f"x{number}" for number in range(20_000)], ["a"])) == MOST_FAULTS + 1
