"""Reads what is posted: the body's bytes in, values or all faults out. Pure; of a large body call it in a thread."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from app.domain.errors import Fault, InvalidBody, InvalidWorkflow, MalformedDocument
from app.domain.faults import first_faults
from app.domain.json_text import parse_json
from app.domain.kubernetes.labels import labels_faults
from app.domain.pointers import in_document_order, pointer, shown, under
from app.domain.workflow.nodes import Workflow
from app.domain.workflow.params import parse_params, resolve_params
from app.domain.workflow.parsing import check_namespaces, parse_workflow
from app.runs.ports import Pods

_SUBMISSION_KEYS = ("workflow", "params", "labels")
_STORED_NAME = re.compile(r"(?P<name>[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)(@(?P<version>[1-9][0-9]{0,8}))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """What is to run, valid as far as that can be known without evaluating anything."""

    document: bytes  #: the workflow, byte for byte as it was posted or stored
    workflow: Workflow
    params: Mapping[str, Any]  #: all of them, defaults filled in
    labels: Mapping[str, str]  #: the request's own: over the workflow's
    is_stored: bool = False  #: the workflow does not stand in the request: its faults have no place in there


@dataclass(frozen=True, slots=True)
class StoredName:
    """A stored workflow, as a request names it."""

    name: str
    version: int | None  #: None: the newest

    def __str__(self) -> str:
        return self.name if self.version is None else f"{self.name}@{self.version}"


def stored_name(request: object) -> StoredName | None:
    """Which stored workflow a submission names, None where it holds the workflow itself, or something else."""
    text = request.get("workflow") if isinstance(request, dict) else None
    match = _STORED_NAME.fullmatch(text) if isinstance(text, str) else None
    return StoredName(match["name"], int(match["version"]) if match["version"] else None) if match else None


def read_submission(body: bytes, request: object, pods: Pods, stored: bytes | Fault | None = None) -> Submission:
    """Check the body of `POST /runs`; `request` is what it says.

    `stored`: the document of the stored workflow that it names, or why there is none.

    Raises:
        MalformedDocument: it is no JSON, or nested too deeply.
        InvalidBody: with everything that is wrong, in document order.
    """
    faults = first_faults(unknown_keys(request, _SUBMISSION_KEYS))
    if not isinstance(request, dict):
        raise InvalidBody(faults)
    workflow: Workflow | None = None
    if missing := _no_workflow(request, stored):
        faults.append(missing)
    elif isinstance(stored, bytes):
        workflow, found = _read_workflow(parse_json(stored), pods)
        faults.extend(_faults_of_stored(request["workflow"], found))
    else:
        workflow, found = _read_workflow(request["workflow"], pods)
        faults.extend(under("/workflow", found))
    params, params_faults = _read_params(workflow, request.get("params"), request.get("workflow"))
    faults.extend(under("/params", params_faults))
    labels = request.get("labels")
    if labels is not None:
        faults.extend(first_faults(under("/labels", labels_faults(labels))))
    if faults or workflow is None:
        raise InvalidBody(in_document_order(request, faults))
    return Submission(
        document=stored if isinstance(stored, bytes) else _raw_value(body, "workflow"),
        workflow=workflow,
        params=params,
        labels=labels or {},
        is_stored=stored is not None,
    )


def stored_submission(document: bytes, pods: Pods) -> Submission:
    """A run of a stored workflow, with its params' defaults, as its schedule submits it.

    Raises:
        InvalidBody: it can't be run: pods may not run where it says any more, or a param without default has no value.
    """
    workflow, faults = _read_workflow(parse_json(document), pods)
    params, params_faults = _read_params(workflow, None)
    if workflow is None or params_faults:
        raise InvalidBody([*under("/workflow", faults), *under("/params", params_faults)])
    return Submission(document=document, workflow=workflow, params=params, labels={}, is_stored=True)


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


def _no_workflow(request: Mapping[str, Any], stored: bytes | Fault | None) -> Fault | None:
    """Why there is no document to read, None if there is one."""
    if isinstance(stored, Fault):
        return stored
    if "workflow" not in request:
        return Fault("", 'the key "workflow" is required')
    if stored is None and not isinstance(request["workflow"], dict):
        what = 'a workflow (an object), or the name of a stored one, "name" or "name@version"'
        return Fault("/workflow", f"must be {what}, not {shown(request['workflow'])}")
    return None


def _faults_of_stored(name: str, faults: Iterable[Fault]) -> list[Fault]:
    """What is wrong with a document that does not stand in the body is told where its name stands."""
    return [
        Fault("/workflow", f"the stored workflow {name} can't be run here: {one.pointer or '/'}: {one.detail}")
        for one in faults
    ]


def _read_params(workflow: Workflow | None, given: object, written: object = None) -> tuple[dict[str, Any], list[Fault]]:
    """The params' values, or all that is wrong with them; `written` is the workflow as it was posted."""
    given = {} if given is None else given
    if workflow is not None:
        return resolve_params(workflow.params, given)
    if isinstance(written, dict):
        params, unreadable = parse_params(written.get("params"))
        if not unreadable:
            return resolve_params(params, given)
    # Nobody knows which params there are.
    faults = [] if isinstance(given, dict) else [Fault("", f"must be an object of names and values, not {shown(given)}")]
    return {}, faults


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


def unknown_keys(request: object, known: Sequence[str]) -> Iterator[Fault]:
    """Faults of a body that must be an object of these keys, and of no others."""
    if not isinstance(request, dict):
        yield Fault("", f"must be an object with the keys {', '.join(known)}, not {shown(request)}")
        return
    for key in request:
        if key not in known:
            yield Fault(pointer(key), f"{shown(key)} is no key here: {', '.join(known)} {'is' if len(known) == 1 else 'are'}")


def _raw_value(body: bytes, key: str) -> bytes:
    """A value of the object that the body is, byte for byte."""
    try:
        return bytes(msgspec.json.decode(body, type=dict[str, msgspec.Raw])[key])
    except msgspec.MsgspecError as error:
        raise MalformedDocument(f"the body is not JSON: {error}") from error
