"""Previews of pods, with the real evaluator."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from app.domain.workflow.parsing import parse_workflow
from app.expressions.evaluator import Evaluator
from app.runs.preview import PODS_LIMIT, RUN_ID, Preview, preview_pods


@pytest.fixture
async def evaluator() -> AsyncIterator[Evaluator]:
    async with Evaluator() as evaluator:
        yield evaluator


async def preview(evaluator: Evaluator, *tasks: dict[str, Any], **keys: Any) -> Preview:
    document = {"name": "w", "tasks": [{"image": "busybox:1"} | task for task in tasks], **keys}
    return await preview_pods(parse_workflow(document), evaluator, namespaces=("default", "other"), instance="i")


def main(pod: Any) -> dict[str, Any]:
    return pod["spec"]["containers"][0]


def env(pod: Any) -> dict[str, Any]:
    return {item["name"]: item.get("value") for item in main(pod)["env"]}


def names(found: Preview) -> list[str]:
    return [pod["metadata"]["labels"]["podrun.dev/task"] for pod in found.pods]


async def test_preview__plain_tasks__in_document_order_without_those_that_have_no_pod(evaluator: Evaluator) -> None:
    found = await preview(
        evaluator,
        {"name": "b", "depends_on": ["a"]},
        {"name": "none", "image": None},
        {"name": "a", "namespace": "other"},
        {"name": "never", "when": False},
        on_exit=[{"name": "z", "image": "busybox:1"}],
    )
    assert names(found) == ["b", "a", "z"]
    first, second, _ = found.pods
    assert (first["metadata"]["namespace"], second["metadata"]["namespace"]) == ("default", "other")
    assert first["metadata"]["labels"]["podrun.dev/run"] == RUN_ID
    assert (env(first)["PODRUN_RUN_ID"], env(first)["PODRUN_ATTEMPT"]) == (RUN_ID, "1")


async def test_preview__params_and_run__are_evaluated_with_their_defaults(evaluator: Evaluator) -> None:
    found = await preview(
        evaluator,
        {
            "name": "a",
            "image": "python:${{ params.tag }}",
            "args": ["${{ params.count * 2 }}", "${{ run.workflow }}", "${{ run.id }}"],
            "timeout_seconds": "${{ params.count }}",
        },
        params={"tag": "3.12", "count": 4},
        labels={"tier": "${{ params.tag }}"},
    )
    (pod,) = found.pods
    assert (main(pod)["image"], main(pod)["args"]) == ("python:3.12", ["8", "w", RUN_ID])
    assert pod["spec"]["activeDeadlineSeconds"] == 600 + 4 + 60
    assert pod["metadata"]["labels"]["tier"] == "3.12"


async def test_preview__what_only_a_run_knows__stands_as_written(evaluator: Evaluator) -> None:
    found = await preview(
        evaluator,
        {"name": "a", "outputs": {"x": {}, "list": {}}},
        {
            "name": "b",
            "depends_on": ["a"],
            "image": "repo/app:${{ tasks.a.outputs.x }}",
            "command": "${{ tasks.a.outputs.list }}",
            "args": ["${{ params.missing }}", "${{ params.known }}", "at ${{ run.created_at }}"],
            "env": {"X": "${{ tasks.a.outputs.x }}"},
            "timeout_seconds": "${{ tasks.a.outputs.x }}",
            "retries": "${{ tasks.a.outputs.x }}",
            "resources": {"limits": {"cpu": "${{ tasks.a.outputs.x }}"}},
            "secrets": [{"secret": "s", "key": "k", "env": "TOKEN"}],
        },
        params={"missing": {}, "known": "yes"},
    )
    pod = found.pods[1]
    container = main(pod)
    assert container["image"] == "repo/app:${{ tasks.a.outputs.x }}"
    assert container["command"] == "${{ tasks.a.outputs.list }}"
    assert container["args"] == ["${{ params.missing }}", "yes", "at ${{ run.created_at }}"]
    assert (env(pod)["X"], "TOKEN" in env(pod)) == ("${{ tasks.a.outputs.x }}", True)
    assert container["resources"] == {"limits": {"cpu": "${{ tasks.a.outputs.x }}"}}
    assert "activeDeadlineSeconds" not in pod["spec"]


async def test_preview__overlay_that_only_a_run_knows__does_not_spoil_the_rest(evaluator: Evaluator) -> None:
    expression = "${{ tasks.a.outputs.x }}"
    found = await preview(
        evaluator,
        {"name": "a", "outputs": {"x": {}}},
        {"name": "b", "depends_on": ["a"], "pod": {"tolerations": expression, "hostname": "h"}},
        {
            "name": "c",
            "depends_on": ["a"],
            "init_containers": ["${{ tasks.a.outputs.x }}"],
            "volumes": "${{ tasks.a.outputs.x }}",
        },
    )
    assert names(found) == ["a", "b", "c"]
    assert found.pods[2]["spec"]["volumes"] == expression


async def test_preview__fan_outs__have_a_pod_for_each_item_that_is_known(evaluator: Evaluator) -> None:
    found = await preview(
        evaluator,
        {"name": "a", "foreach": {"os": ["x", "y"], "v": [1, 2]}, "args": ["${{ item.os }}${{ item.v }}"]},
        {"name": "b", "foreach": "${{ lists.range(params.n) }}", "args": ["${{ item }}"]},
        {"name": "c", "foreach": []},
        {"name": "d", "depends_on": ["a"], "foreach": "${{ tasks.a.outputs.x }}", "args": ["${{ item }} of ${{ params.n }}"]},
        params={"n": 2},
    )
    assert names(found) == ["a.0", "a.1", "a.2", "a.3", "b.0", "b.1", "d"]
    assert [main(pod)["args"] for pod in found.pods] == [["x1"], ["x2"], ["y1"], ["y2"], ["0"], ["1"], ["${{ item }} of 2"]]


async def test_preview__thousands_of_pods__are_cut_and_counted(evaluator: Evaluator) -> None:
    found = await preview(
        evaluator,
        {"name": "a", "foreach": list(range(700)), "args": ["${{ item }}"]},
        {"name": "b", "foreach": list(range(700)), "args": ["${{ item }}"]},
        {"name": "c"},
    )
    assert (len(found.pods), found.left_out) == (PODS_LIMIT, 401)
    assert main(found.pods[-1])["args"] == ["299"]


async def test_preview__pods_of_many_megabytes__are_cut_and_counted(evaluator: Evaluator) -> None:
    text = "x" * 1024 * 1024
    found = await preview(evaluator, {"name": "a", "foreach": [0] * 100, "args": [f"${{{{ item }}}}{text}"]}, {"name": "b"})
    assert (len(found.pods), found.left_out) == (15, 86)


async def test_preview__texts_that_expressions_make_too_long__stand_as_written(evaluator: Evaluator) -> None:
    long = "${{ params.x }}" * 100
    found = await preview(evaluator, {"name": "a", "args": [long]}, params={"x": "x" * 60_000})
    assert main(found.pods[0])["args"] == [long]


async def test_preview__expression_that_fails_with_the_defaults__stands_as_written(evaluator: Evaluator) -> None:
    found = await preview(
        evaluator, {"name": "a", "args": ["${{ params.list[3] }}"]}, params={"list": {"type": "array", "default": [1]}}
    )
    assert main(found.pods[0])["args"] == ["${{ params.list[3] }}"]
