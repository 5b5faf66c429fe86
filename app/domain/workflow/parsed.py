"""Workflows that were parsed a moment ago, by the bytes of their documents.

A run is parsed when it is posted, and again when its actor begins, milliseconds later; and CI posts the same document again
and again. What is parsed is never changed, so runs may share it.
"""

from __future__ import annotations

from app.domain.workflow.nodes import Workflow

#: So many are kept, the newest ones; larger documents are parsed each time.
KEPT_DOCUMENTS, KEPT_BYTES = 64, 16_384
_kept: dict[bytes, Workflow] = {}


def keep_parsed(document: bytes, workflow: Workflow) -> None:
    """Remember what a document was parsed to."""
    if len(document) > KEPT_BYTES:
        return
    _kept.pop(document, None)
    _kept[document] = workflow
    while len(_kept) > KEPT_DOCUMENTS:
        del _kept[next(iter(_kept))]


def find_parsed(document: bytes) -> Workflow | None:
    """What it was parsed to, if it was a moment ago."""
    return _kept.get(document)
