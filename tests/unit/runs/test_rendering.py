from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from app.domain.errors import ExpressionFailed, InvalidBody
from app.domain.workflow.parsing import parse_workflow
from app.runs.documents import Submission
from app.runs.rendering import Rendered, render_run


class Params:
    """Evaluates `params.NAME`."""

    async def evaluate(self, sources: Sequence[str], context: Mapping[str, Any]) -> list[dict[str, Any] | ExpressionFailed]:
        try:
            return [{source: context["params"][source.removeprefix("params.")] for source in sources}]
        except KeyError as error:
            return [ExpressionFailed(f"there is no key {error}")]


class Nobody:
    """Must not be asked."""

    async def evaluate(self, sources: Sequence[str], context: Mapping[str, Any]) -> list[dict[str, Any] | ExpressionFailed]:
        raise AssertionError(f"asked for {sources} in {context}")


def submission(
    keys: dict[str, Any], params: dict[str, Any], labels: dict[str, str] | None = None, *, is_stored: bool = False
) -> Submission:
    """Of a workflow with these keys."""
    document = {"name": "w", "params": dict.fromkeys(params, ""), "tasks": [{"name": "a", "image": "x"}], **keys}
    workflow = parse_workflow(document)
    return Submission(document=b"", workflow=workflow, params=params, labels=labels or {}, is_stored=is_stored)


async def test_render_run__no_expressions__nobody_is_asked() -> None:
    asked = submission({"labels": {"a": "1", "b": "1"}, "concurrency": {"group": "deploy"}}, {}, {"b": "2"})
    assert await render_run(asked, Nobody()) == Rendered(labels={"a": "1", "b": "2"}, group="deploy")


async def test_render_run__values_of_any_type__are_text() -> None:
    labels = {"n": "${{ params.n }}", "b": "v${{ params.b }}", "d": "${{ params.d }}"}
    asked = submission({"labels": labels}, {"n": 5, "b": True, "d": 2.0})
    assert (await render_run(asked, Params())).labels == {"n": "5", "b": "vtrue", "d": "2"}


async def test_render_run__label_that_the_request_replaces__is_not_evaluated() -> None:
    asked = submission({"labels": {"a": "${{ params.x }}"}}, {"x": ""}, {"a": "mine"})
    assert await render_run(asked, Nobody()) == Rendered(labels={"a": "mine"}, group=None)


@pytest.mark.parametrize(
    ("is_stored", "pointers"), [(False, ["/workflow/concurrency/group", "/workflow/labels/a"]), (True, ["/workflow"] * 2)]
)
async def test_render_run__bad_values__are_told_where_they_stand(is_stored: bool, pointers: list[str]) -> None:
    keys = {"labels": {"a": "${{ params.x }}"}, "concurrency": {"group": "${{ params.y }}"}}
    asked = submission(keys, {"x": "not a label", "y": ""}, is_stored=is_stored)
    with pytest.raises(InvalidBody) as caught:
        await render_run(asked, Params())
    assert sorted(fault.pointer for fault in caught.value.faults) == pointers


async def test_render_run__text_that_expressions_make_too_long__is_refused_at_its_place() -> None:
    asked = submission({"labels": {"a": "${{ params.x }}" * 100}}, {"x": "x" * 60_000})
    with pytest.raises(InvalidBody) as caught:
        await render_run(asked, Params())
    assert [(fault.pointer, fault.detail) for fault in caught.value.faults] == [
        ("/workflow/labels/a", "its expressions put more than 1 MiB into the text")
    ]
