"""Reads what is posted: the body's bytes in, values or all faults out. Pure; of a large body call it in a thread."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from app.domain.errors import Fault, InvalidBody, InvalidWorkflow, MalformedDocument
from app.domain.json_text import parse_json
from app.domain.labels import labels_faults
from app.domain.pointers import in_document_order, pointer, shown, under
from app.domain.workflow import Workflow, check_namespaces, parse_workflow
from app.runs.ports import Pods

_SUBMISSION_KEYS = ("workflow", "params", "labels")
_MAX_REASON = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A body of `POST /runs` that is valid."""

    document: bytes  #: the workflow, byte for byte as it stands in the body
    workflow: Workflow
    labels: dict[str, str]  #: the workflow's, with those of the request over them


@dataclass(frozen=True, slots=True)
class CancelRequest:
    """A body of `POST /runs/{id}/cancel`."""

    reason: str = ""
    force: bool = False


def read_submission(body: bytes, pods: Pods) -> Submission:
    """Read and check the body of `POST /runs`.

    Raises:
        MalformedDocument: it is no JSON, or nested too deeply.
        InvalidBody: with everything that is wrong, in document order.
    """
    request = parse_json(body)
    faults = list(_unknown_keys(request, _SUBMISSION_KEYS))
    if not isinstance(request, dict):
        raise InvalidBody(faults)
    workflow: Workflow | None = None
    if "workflow" not in request:
        faults.append(Fault("", 'the key "workflow" is required'))
    elif not isinstance(request["workflow"], dict):
        faults.append(Fault("/workflow", f"must be an object (a workflow), not {shown(request['workflow'])}"))
    else:
        workflow, workflow_faults = _read_workflow(request["workflow"], pods)
        faults.extend(under("/workflow", workflow_faults))
    faults.extend(_params_faults(request.get("params")))
    labels = request.get("labels")
    if labels is not None:
        faults.extend(under("/labels", labels_faults(labels)))
    if faults or workflow is None:
        raise InvalidBody(in_document_order(request, faults))
    return Submission(document=_raw_value(body, "workflow"), workflow=workflow, labels={**workflow.labels, **(labels or {})})


def read_workflow(body: bytes, pods: Pods) -> Workflow:
    """Read and check a workflow that is a body of its own.

    Raises:
        MalformedDocument: it is no JSON, or nested too deeply.
        InvalidWorkflow: with everything that is wrong, in document order.
    """
    workflow, faults = _read_workflow(parse_json(body), pods)
    if workflow is None:
        raise InvalidWorkflow(faults)
    return workflow


def read_cancel(body: bytes) -> CancelRequest:
    """Read and check the body of a cancel; an empty one asks for nothing special. Raises as `read_submission`."""
    if not body.strip():
        return CancelRequest()
    request = parse_json(body)
    faults = list(_unknown_keys(request, ("reason", "force")))
    values: dict[str, Any] = request if isinstance(request, dict) else {}
    reason, force = values.get("reason"), values.get("force")
    if reason is not None and (not isinstance(reason, str) or len(reason) > _MAX_REASON or "\0" in reason):
        faults.append(Fault("/reason", f"must be text of at most {_MAX_REASON} characters, not {shown(reason)}"))
    elif isinstance(reason, str) and not reason.isascii():
        try:
            reason.encode()
        except UnicodeEncodeError:
            faults.append(Fault("/reason", "must be Unicode text: it holds half of a surrogate pair"))
    if force is not None and not isinstance(force, bool):
        faults.append(Fault("/force", f"must be true or false, not {shown(force)}"))
    if faults:
        raise InvalidBody(in_document_order(request, faults))
    return CancelRequest(reason or "", bool(force))


def _read_workflow(document: object, pods: Pods) -> tuple[Workflow | None, Sequence[Fault]]:
    """The workflow, or all that is wrong with it."""
    workflow, faults = None, check_namespaces(document, pods.namespaces)
    try:
        workflow = parse_workflow(document)
    except InvalidWorkflow as error:
        faults = [*error.faults, *faults]
    if isinstance(document, dict):
        known = {fault.pointer for fault in faults}
        faults += [fault for fault in pods.refuse(document) if fault.pointer not in known]
    return (None, in_document_order(document, faults)) if faults else (workflow, ())


def _unknown_keys(request: object, known: Sequence[str]) -> Iterator[Fault]:
    if not isinstance(request, dict):
        yield Fault("", f"must be an object with the keys {', '.join(known)}, not {shown(request)}")
        return
    for key in request:
        if key not in known:
            yield Fault(pointer(key), f"{shown(key)} is no key here: {', '.join(known)} are")


def _params_faults(params: object) -> Iterator[Fault]:
    if params is None or params == {}:
        return
    if not isinstance(params, dict):
        yield Fault("/params", f"must be an object of names and values, not {shown(params)}")
        return
    for name in params:
        yield Fault(pointer("params", name), f"the workflow has no param {shown(name)}")


def _raw_value(body: bytes, key: str) -> bytes:
    """A value of the object that the body is, byte for byte."""
    try:
        return bytes(msgspec.json.decode(body, type=dict[str, msgspec.Raw])[key])
    except msgspec.MsgspecError as error:
        raise MalformedDocument(f"the body is not JSON: {error}") from error
