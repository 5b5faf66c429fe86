"""What podrun says of a task at submit, against what a real API server says of its pod."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Sequence
from typing import Any

import pytest

from app.domain.errors import InvalidWorkflow
from app.domain.pods import AttemptKey
from app.domain.workflow.document import SecretRef, Task
from app.domain.workflow.parsing import parse_workflow
from app.pods.kubernetes.client import ApiClient
from app.pods.kubernetes.cluster import load_cluster
from app.pods.kubernetes.errors import ApiError
from app.pods.manifest import build_pod
from tests.support.pod_corpus import GOOD, corpus
from tests.support.pod_keys import Keys, Verdict, places, with_value

pytestmark = pytest.mark.cluster

AT_A_TIME = 16
UNMADE = "no pod can be made of it"
#: What is put into right tasks, anywhere.
VALUES: list[Any] = ["", -1, None, "A!/..", {}, [], 5, True, "a", 10**6]
TRIED = 1500  #: of some 5,000


def faults_of(keys: Keys) -> str:
    """What podrun has against the task; empty: nothing."""
    try:
        parse_workflow({"name": "w", "tasks": [{"name": "t", "image": "busybox:1", **keys}]})
    except InvalidWorkflow as invalid:
        return "; ".join(f"{fault.pointer}: {fault.detail}" for fault in invalid.faults)
    return ""


def manifest_of(keys: Keys, namespace: str) -> dict[str, Any]:
    """The pod of a task that may be wrong."""
    secrets = tuple(SecretRef(**secret) for secret in keys.get("secrets", ()))
    task = Task.model_construct(**{"name": "t", "image": "busybox:1", **keys, "secrets": secrets})
    key = AttemptKey("01935d5e-7b1a-7c3e-9f00-0123456789ab", "t", 1)
    return build_pod(task, key=key, workflow="w", run_labels={}, namespace=namespace, instance="i")


async def refusal_of(client: ApiClient, manifest: dict[str, Any]) -> str:
    """What the API server has against the pod; empty: nothing. It is not created."""
    path = f"/api/v1/namespaces/{manifest['metadata']['namespace']}/pods"
    try:
        await client.call("POST", path, params={"dryRun": "All", "fieldValidation": "Strict"}, body=manifest)
    except ApiError as error:
        return str(error.message) or "refused"
    return ""


async def refusals_of(namespace: str, tasks: Sequence[Keys]) -> list[str]:
    """The same of many tasks, in order. A pod that can't even be made is not asked for: what made it was no list or object."""
    slots = asyncio.Semaphore(AT_A_TIME)

    async def ask(keys: Keys) -> str:
        async with slots:  # what makes the pods too: all of them at once would use up the time of the first calls
            try:
                manifest = manifest_of(keys, namespace)
            except (TypeError, ValueError, KeyError, AttributeError):
                return UNMADE
            return await refusal_of(client, manifest)

    async with ApiClient(await load_cluster()) as client, asyncio.TaskGroup() as group:
        asked = [group.create_task(ask(keys), name="dry-run") for keys in tasks]
    return [one.result() for one in asked]


async def test_checks__a_corpus_of_tasks__say_what_the_api_server_says(namespace: str):
    cases = corpus()
    answers = await refusals_of(namespace, [keys for _, keys, _ in cases])
    wrong = []
    for (name, keys, verdict), theirs in zip(cases, answers, strict=True):
        ours = faults_of(keys)
        found = {(False, False): Verdict.GOOD, (True, True): Verdict.BAD, (True, False): Verdict.STRICTER}
        if (seen := found.get((bool(ours), bool(theirs)), Verdict.CLUSTER)) is not verdict:
            wrong.append(
                f"{verdict.name} {name}: is {seen.name}\n    podrun: {ours}\n    server: {theirs}\n    {json.dumps(keys)}"
            )
    assert not wrong, f"{len(wrong)} of {len(cases)}:\n" + "\n".join(wrong)


async def test_checks__other_values_in_right_tasks__let_nothing_through_that_the_api_server_refuses(namespace: str):
    tried = [
        with_value(keys, path, value) for keys in GOOD.values() for path in places(keys) if len(path) > 1 for value in VALUES
    ]
    tried = random.Random(7).sample(tried, TRIED)
    answers = await refusals_of(namespace, tried)
    missed = [(keys, answer) for keys, answer in zip(tried, answers, strict=True) if answer and not faults_of(keys)]
    assert not missed
