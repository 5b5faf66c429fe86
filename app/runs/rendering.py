"""What of a run's own keys holds expressions: its labels, and its concurrency group. Only params are in their scope."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.domain.errors import ExpressionFailed, Fault, InvalidBody
from app.domain.expressions.templates import added_characters, as_text, render, sources_in
from app.domain.kubernetes.labels import labels_faults
from app.domain.pointers import pointer
from app.runs.documents import Submission
from app.runs.ports import Evaluator

_MAX_GROUP = 253
_MAX_ADDED = 1024 * 1024  #: characters that expressions may put into one text: no label and no group has as many


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """What a run is called and where it queues."""

    labels: dict[str, str]  #: the workflow's, with those of the request over them
    group: str | None  #: of its namespace


async def render_run(submission: Submission, evaluator: Evaluator) -> Rendered:
    """Evaluate the labels and the group of a run.

    Raises:
        InvalidBody: an expression has no value, or a value that can't stand there; at its place in the document.
        EvaluatorUnavailable: podrun can't evaluate anything just now.
    """
    workflow, faults = submission.workflow, list[Fault]()
    written = {name: text for name, text in workflow.labels.items() if name not in submission.labels}
    group = workflow.concurrency.group if workflow.concurrency else None
    places = {pointer("labels", name): text for name, text in written.items()}
    if group is not None:
        places["/concurrency/group"] = group
    texts: dict[str, Any] = {}
    for place, outcome in (await _values(places, submission.params, evaluator)).items():
        if isinstance(outcome, Fault):
            faults.append(outcome)
        else:
            texts[place] = outcome
    labels = {name: texts[place] for name in written if (place := pointer("labels", name)) in texts}
    faults += [Fault(f"/labels{fault.pointer}", fault.detail) for fault in labels_faults(labels)]
    if (rendered := texts.get("/concurrency/group")) is not None and (detail := _group_fault(rendered)):
        faults.append(Fault("/concurrency/group", detail))
    if faults:
        raise InvalidBody([_in_body(fault, submission) for fault in faults])
    return Rendered(labels={**labels, **submission.labels}, group=rendered)


async def _values(places: Mapping[str, str], params: Mapping[str, Any], evaluator: Evaluator) -> dict[str, str | Fault]:
    """Each text with its expressions' values put in, or what is wrong with them."""
    values: dict[str, str | Fault] = {}
    for place, text in places.items():
        sources = list(dict.fromkeys(found.source for found in sources_in(text)))
        if not sources:
            values[place] = text
            continue
        (outcome,) = await evaluator.evaluate(sources, {"params": dict(params)})
        if isinstance(outcome, ExpressionFailed):
            values[place] = Fault(place, str(outcome))
        elif added_characters(text, outcome) > _MAX_ADDED:
            values[place] = Fault(place, f"its expressions put more than {_MAX_ADDED // 2**20} MiB into the text")
        else:
            values[place] = as_text(render(text, outcome))
    return values


def _group_fault(group: str) -> str | None:
    if 0 < len(group) <= _MAX_GROUP and group.isprintable():
        return None
    return f"the group must be 1 to {_MAX_GROUP} characters, none of them a control character; this is {group[:80]!r}"


def _in_body(fault: Fault, submission: Submission) -> Fault:
    if not submission.is_stored:
        return Fault(f"/workflow{fault.pointer}", fault.detail)
    return Fault("/workflow", f"{fault.pointer}: {fault.detail}")
