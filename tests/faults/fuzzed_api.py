"""Calls of the API made by schemathesis from its own OpenAPI document, mixed with names and workflows that are good."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.generation import GenerationMode

from tests.support.mutation import mutated
from tests.support.workflows import approval, put_out, shell, workflow

Json = dict[str, Any]
#: Nobody waits longer for an answer that may take for ever: logs that are followed, runs that are waited for.
ANSWER_SECONDS = 1.0
#: Of an answer that goes on, so much is read.
READ_BYTES = 256 * 1024
#: So many times the examples.
MORE_OF = {"POST /api/v1/runs": 4, "PUT /api/v1/workflows/{name}": 2, "POST /api/v1/workflows/validate": 2}


def runnable(chance: random.Random) -> Json:
    """A workflow that does nothing but wait, write and end, of all kinds of tasks."""
    tasks = [
        shell("a", "echo a; " + put_out(n="[1, 2]"), outputs={"n": {}}),
        shell("b", "exit 3", retries={"limit": 1, "delay_seconds": 0.1}, allow_failure=True),
        shell("c", "sleep 60", timeout_seconds=chance.choice([None, 0.5, 60])),
        {"name": "d", "depends_on": ["a"]},
        shell("e", "echo ${{ item }}", depends_on=["a"], foreach="${{ tasks.a.outputs.n }}"),
        approval("f", timeout_seconds=chance.choice([0.5, 60])),
        shell("g", "true", when="${{ params.x == 'x' }}", trigger_rule=chance.choice(["all_done", "one_failed", "always"])),
    ]
    keys: Json = {"params": {"x": "x"}, "labels": {"x": "${{ params.x }}"}}
    if chance.random() < 0.3:
        keys["concurrency"] = {"group": "g", "policy": chance.choice(["queue", "cancel_running"])}
    if chance.random() < 0.3:
        keys["on_exit"] = [shell("z", "echo ${{ run.phase }}")]
    if chance.random() < 0.3:
        keys["schedule"] = {"every_seconds": 1}
    return workflow(*chance.sample(tasks[:3], 3), *chance.sample(tasks[3:], chance.randint(0, 4)), name="fuzzed", **keys)


class FuzzedApi:
    """All operations of a service; `names` are values of path parameters that are there."""

    def __init__(self, url: str, chance: random.Random, names: dict[str, list[str]]) -> None:
        self._url, self._chance, self._names = url, chance, names
        self._schema = schemathesis.openapi.from_url(f"{url}/api/v1/openapi.json")
        self.statuses: dict[str, set[int]] = {}  #: by operation
        self.calls = 0

    def run(self, examples: int) -> Iterator[str]:
        """Call each operation with so many good and so many bad examples, in any order; yields what is wrong with answers."""
        cases = [
            (operation.label, case)
            for operation in (found.ok() for found in self._schema.get_all_operations())
            for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
            for case in self._cases(operation, mode, examples * MORE_OF.get(operation.label, 1))
        ]
        self._chance.shuffle(cases)
        with requests.Session() as session:
            session.trust_env = False
            for label, case in cases:
                yield from self._call(session, label, case)

    def _cases(self, operation: Any, mode: GenerationMode, examples: int) -> list[Any]:
        made: list[Any] = []

        @seed(self._chance.getrandbits(32))
        @settings(
            max_examples=examples, database=None, deadline=None, suppress_health_check=[*HealthCheck], phases=[Phase.generate]
        )
        @given(operation.as_strategy(generation_mode=mode))
        def make(case: Any) -> None:
            made.append(case)

        try:
            make()
        except Unsatisfiable:  # there is nothing in it that could be wrong
            assert mode is GenerationMode.NEGATIVE
        return made

    def _call(self, session: requests.Session, label: str, case: Any) -> Iterator[str]:
        self._name_real_things(case)
        call = case.as_transport_kwargs(base_url=self._url)
        if (body := self._real_body(case)) is not None:
            # What no UTF-8 can be, JSON can escape.
            call = {
                **call,
                "json": None,
                "data": json.dumps(body),
                "headers": {**call["headers"], "Content-Type": "application/json"},
            }
        self.calls += 1
        try:
            with session.request(**call, stream=True, timeout=ANSWER_SECONDS, allow_redirects=False) as answer:
                body = next(answer.iter_content(READ_BYTES), b"")
        except requests.exceptions.ReadTimeout:
            return  # it waits for more, as it was asked to
        except requests.exceptions.ConnectionError as error:
            if "Read timed out" not in str(error):
                yield f"{label}: {error!r} for {call}"
            return
        except (requests.exceptions.InvalidHeader, UnicodeError):
            return  # what no client can send
        self.statuses.setdefault(label, set()).add(answer.status_code)
        self._learn(label, answer, body)
        if problem := self._wrong(case.operation, answer, body):
            yield f"{label}: {problem} for {call}: {body[:500]!r}"

    def _name_real_things(self, case: Any) -> None:
        """Put names that are there into most paths."""
        for name in case.path_parameters or {}:
            if self._chance.random() < (0.1 if case.method == "DELETE" else 0.8):
                case.path_parameters[name] = self._chance.choice(self._names[name])

    def _real_body(self, case: Any) -> Any:
        """In place of many bodies one of a workflow that runs, or nearly so; None: as it is."""
        if self._chance.random() < 0.3 or not isinstance(case.body, dict):
            return None
        body = runnable(self._chance)
        if self._chance.random() < 0.5:
            body = mutated(body, self._chance)
        if case.operation.path.endswith("/runs"):
            return self._chance.choice([{"workflow": body}, {"workflow": "fuzzed"}, {**case.body, "workflow": body}])
        return body if case.operation.path.endswith(("/validate", "/workflows/{name}")) else None

    def _learn(self, label: str, answer: requests.Response, body: bytes) -> None:
        if label == "POST /api/v1/runs" and answer.status_code == 201:
            self._names["run_id"].append(json.loads(body)["id"])

    @staticmethod
    def _wrong(operation: Any, answer: requests.Response, body: bytes) -> str | None:
        """What is wrong with an answer, None if nothing is."""
        status, kind = answer.status_code, answer.headers.get("Content-Type", "")
        if status >= 500:
            return f"{status}"
        declared = operation.definition.raw["responses"]
        if str(status) not in declared and status not in (404, 405):
            return f"{status} is not in the OpenAPI document"
        if status >= 400 and (kind != "application/problem+json" or json.loads(body)["status"] != status):
            return f"{status} is no problem, but {kind}"
        return None
