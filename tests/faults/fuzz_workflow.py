"""Fuzzes the parser of workflows with atheris, by what of its code a document reaches: `fuzz_workflow.py OPTIONS CORPUS...`.

What is wrong with a document must be said as InvalidWorkflow or MalformedDocument, at places that exist, and bounded. The seed
and the number of documents are libFuzzer's: `-seed=1 -runs=1000`.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Sequence
from contextlib import suppress

import atheris

with atheris.instrument_imports(include=["app.domain"]):
    from app.domain.errors import ExpressionFailed, Fault, InvalidWorkflow, MalformedDocument
    from app.domain.faults import MOST_FAULTS
    from app.domain.json_text import parse_json
    from app.domain.workflow.parsing import expand_foreach, max_parallel_of, parse_workflow, render_task

from tests.support.mutation import JUNK, mutated
from tests.support.pointers import leads_somewhere


def look_at(data: bytes) -> None:
    """Read a document; what is right is rendered, too, with values that nobody expects."""
    try:
        document = parse_json(data)
        workflow = parse_workflow(document)
    except MalformedDocument:
        return
    except InvalidWorkflow as error:
        check_faults(document, error.faults)
        return
    for node in workflow.nodes:
        for value in ("x", 5, [1], {"a": None}, None):
            for make in (  # each is called here, before the names mean something else
                lambda: render_task(node, dict.fromkeys(node.expressions, value), ["default"]),  # noqa: B023
                lambda: max_parallel_of(node, dict.fromkeys(node.list_expressions, value)),  # noqa: B023
                lambda: node.foreach and expand_foreach(node.foreach, dict.fromkeys(node.foreach.expressions, value)),  # noqa: B023
            ):
                with suppress(ExpressionFailed):
                    make()


def check_faults(document: object, faults: Sequence[Fault]) -> None:
    """That what is told of is there, and not too much."""
    assert 0 < len(faults) <= MOST_FAULTS + 1
    for fault in faults:
        assert fault.detail, fault
        assert leads_somewhere(document, fault.pointer), fault


def mutate(data: bytes, max_size: int, seed: int) -> bytes:
    """Mostly another document out of a document; now and then libFuzzer's own noise."""
    chance = random.Random(seed)
    if chance.random() < 0.15:
        return atheris.Mutate(data, max_size)
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        document = chance.choice(JUNK)
    return json.dumps(mutated(document, chance)).encode()[:max_size]


if __name__ == "__main__":
    atheris.Setup(sys.argv, look_at, custom_mutator=mutate)
    atheris.Fuzz()
