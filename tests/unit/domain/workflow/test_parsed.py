"""What is remembered of parsed documents: the newest, and none that is large."""

from __future__ import annotations

from typing import Any

import orjson

from app.domain.workflow.parsed import KEPT_BYTES, KEPT_DOCUMENTS, find_parsed, keep_parsed
from app.domain.workflow.parsing import parse_workflow


def document(name: str, **more: Any) -> bytes:
    return orjson.dumps({"name": name, "tasks": [{"name": "a", "image": "busybox:1"}], **more})


def keep(body: bytes) -> None:
    keep_parsed(body, parse_workflow(orjson.loads(body)))


def test_parsed__the_same_bytes__give_the_same_workflow() -> None:
    body = document("kept")
    keep(body)
    found = find_parsed(bytes(bytearray(body)))
    assert found is not None
    assert found.name == "kept"
    assert find_parsed(body + b" ") is None


def test_parsed__many_documents__the_newest_are_kept() -> None:
    bodies = [document(f"number-{number}") for number in range(KEPT_DOCUMENTS + 1)]
    for body in bodies[:-1]:
        keep(body)
    keep(bodies[0])
    keep(bodies[-1])
    assert [find_parsed(body) is not None for body in (bodies[0], bodies[1], bodies[-1])] == [True, False, True]


def test_parsed__a_large_document__is_not_kept() -> None:
    body = document("large") + b" " * KEPT_BYTES
    keep(body)
    assert find_parsed(body) is None
