"""Pods: each attempt had one, which was its own, and it went when its outcome and its log were stored.

The audit log has what the API server was asked by whom. Of local pods there is none: of them only what is left is checked.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.faults.checker.allowed import Allowed, allows
from tests.faults.checker.evidence import Evidence
from tests.faults.checker.rows import Row
from tests.support.audit import WRITES, AuditEntry

OURS = "podrun/"
#: Parts of Kubernetes that finish what others asked for: a pod's last delete is the kubelet's.
FINISHERS = ("kubelet", "kwok")
_OVER = ("Succeeded", "Failed", "Error", "Cancelled")


@dataclass
class _Asked:
    """What was asked about the pods of one name."""

    creates: list[AuditEntry] = field(default_factory=list)
    bindings: list[AuditEntry] = field(default_factory=list)  #: to a node: each pod has one
    deletes: list[AuditEntry] = field(default_factory=list)
    log_reads: list[AuditEntry] = field(default_factory=list)


def check_pods(evidence: Evidence, allowed: Allowed) -> Iterator[str]:
    """Everything about pods."""
    attempts = {(row["namespace"], row["pod"]): row for row in evidence.tables["attempts"]}
    yield from _check_names(evidence)
    yield from _check_left(evidence, attempts, allowed)
    if evidence.audit is None:
        return
    yield from _check_reach(evidence)
    asked = _by_name(evidence.audit)
    stored = _Stored(evidence)
    for key, row in attempts.items():
        about = asked.get(key, _Asked())
        yield from _check_creation(row, about, allowed)
        if not allows(allowed.foreign, row["pod"]):
            yield from _check_foreign(row, about)
            yield from _check_deletion(row, about, stored, allowed)
    yield from _check_unknown(asked, attempts, allowed)
    yield from _check_many(evidence.audit, allowed)
    yield from _check_silences(evidence.audit, allowed)


def pod_name(run_id: str, task: str, attempt: int) -> str:
    """What an attempt's pod must be called: pods that are there when podrun is upgraded are found by it."""
    digest = hashlib.blake2b(f"{run_id}\0{task}\0{attempt}".encode(), digest_size=16).digest()
    suffix = base64.b32encode(digest).decode().rstrip("=").lower()
    readable = re.sub("[^a-z0-9]+", "-", task.lower())[: 62 - len(suffix)].strip("-")
    return "-".join(part for part in (readable, suffix) if part)


def told(row: Row) -> str:
    """An attempt in words."""
    return f"attempt {row['attempt']} of {row['task']} in run {row['run_id']}"


def _check_names(evidence: Evidence) -> Iterator[str]:
    names: dict[tuple[str, str], Row] = {}
    for row in evidence.tables["attempts"]:
        wanted = pod_name(row["run_id"], row["task"], row["attempt"])
        if row["pod"] != wanted:
            yield f"{told(row)}: its pod is called {row['pod']}, not {wanted}"
        other = names.setdefault((row["namespace"], row["pod"]), row)
        if other is not row:
            yield f"{told(row)} and {told(other)} have one pod: {row['pod']}"


def _check_left(evidence: Evidence, attempts: dict[tuple[str, str], Row], allowed: Allowed) -> Iterator[str]:
    """No pod is left that nobody ends."""
    for pod in evidence.pods:
        row = attempts.get((pod.namespace, pod.name))
        if pod.is_ending or allows(allowed.left_pods, pod.name):
            continue
        if row is None:
            yield f"pod {pod.name} is there, and no attempt knows it"
        elif not allows(allowed.unfinished, row["run_id"]):
            yield f"pod {pod.name} is left behind, of {told(row)}"
        elif pod.uid and row["pod_uid"] not in (None, pod.uid):
            yield f"pod {pod.name} has the uid {pod.uid}, {told(row)} says {row['pod_uid']}"


def _check_reach(evidence: Evidence) -> Iterator[str]:
    """The log must go back to the first attempt, or creations may be missing."""
    first = min((row["created_at"] for row in evidence.tables["attempts"]), default=None)
    if first is not None and (evidence.audit_begins is None or evidence.audit_begins > first):
        yield f"the audit log begins at {evidence.audit_begins}, after the first attempt: it was rotated away"


def _by_name(audit: list[AuditEntry]) -> dict[tuple[str, str], _Asked]:
    asked: dict[tuple[str, str], _Asked] = defaultdict(_Asked)
    for entry in audit:
        if entry.resource != "pods" or not entry.name:
            continue
        about = asked[entry.namespace, entry.name]
        if entry.verb == "create" and not entry.subresource:
            about.creates.append(entry)
        elif entry.verb == "create" and entry.subresource == "binding" and _is_done(entry):
            about.bindings.append(entry)
        elif (entry.verb == "delete" and not entry.subresource) or entry.subresource == "eviction":
            about.deletes.append(entry)
        elif entry.verb == "get" and entry.subresource == "log":
            about.log_reads.append(entry)
    return asked


def _is_ours(entry: AuditEntry) -> bool:
    return entry.user_agent.startswith(OURS)


def _is_done(entry: AuditEntry) -> bool:
    return HTTPStatus.OK <= entry.code < HTTPStatus.MULTIPLE_CHOICES


def _check_creation(row: Row, about: _Asked, allowed: Allowed) -> Iterator[str]:
    made = [entry for entry in about.creates if entry.code == HTTPStatus.CREATED]
    # An answer 5xx tells nothing: the pod may have been made all the same, by a service that was killed meanwhile.
    perhaps = [entry for entry in about.creates if entry.code == 0 or entry.code >= HTTPStatus.INTERNAL_SERVER_ERROR]
    count = max(len(made), len(about.bindings))
    if count > 1 and not allows(allowed.foreign, row["pod"]):
        yield f"{told(row)}: its pod {row['pod']} was created {count} times"
    if row["pod_uid"] and not made and not perhaps and not allowed.lost_audit and not allows(allowed.foreign, row["pod"]):
        yield f"{told(row)} has the pod {row['pod_uid']}, and no creation of {row['pod']} was answered with 201"
    early = [entry for entry in made if _is_ours(entry) and entry.answered < row["created_at"]]
    if early:
        yield f"{told(row)}: its pod was created before the attempt was recorded"


def _check_foreign(row: Row, about: _Asked) -> Iterator[str]:
    for entry in (*about.creates, *about.deletes):
        finishes = entry.verb == "delete" and entry.user_agent.startswith(FINISHERS)
        if _is_done(entry) and not _is_ours(entry) and not finishes:
            what = entry.subresource or entry.verb
            yield f"{told(row)}: {what} of its pod {row['pod']} was asked by {entry.user_agent}"


def _check_deletion(row: Row, about: _Asked, stored: _Stored, allowed: Allowed) -> Iterator[str]:
    if row["pod_uid"] is None:
        return
    asked = [entry for entry in about.deletes if _is_ours(entry)]
    if not asked and row["pod_deleted"] and not allowed.lost_audit:
        yield f"{told(row)}: its pod {row['pod']} was never deleted, and the attempt says so"
    done = [entry for entry in asked if _is_done(entry)]
    if done and row["exit_code"] is not None:  # its container ended by itself; else the delete came first, to end it
        yield from _check_order(row, about, stored, min(done, key=lambda entry: entry.time), allowed)


def _check_order(row: Row, about: _Asked, stored: _Stored, deletion: AuditEntry, allowed: Allowed) -> Iterator[str]:
    """First the outcome and the log are stored, then the pod is deleted."""
    key = (row["run_id"], row["task"], row["attempt"])
    stored_at = stored.outcomes.get(key)
    if stored_at is not None and deletion.time < stored_at:
        yield f"{told(row)}: its pod was deleted at {deletion.time}, its outcome stored at {stored_at}"
    reads = [entry for entry in about.log_reads if _is_ours(entry) and _of_main(entry)]
    # One that failed has brought nothing, and was perhaps given up long before it came to the API server.
    later = [entry for entry in reads if entry.time > deletion.time and _is_done(entry)]
    if later and stored.by_one:  # a replica that was stopped may go on reading what another one has stored
        yield f"{told(row)}: its pod was deleted at {deletion.time}, its log still read at {later[0].time}"
    if key in stored.logs and not any(entry.answered <= deletion.time for entry in reads) and not allowed.lost_audit:
        yield f"{told(row)}: its pod was deleted at {deletion.time}, before a read of its log had ended"


class _Stored:
    """What the database says of attempts: when their outcome was stored, and whether main said anything."""

    def __init__(self, evidence: Evidence) -> None:
        self.by_one = evidence.services == 1
        self.outcomes: dict[Any, datetime] = {}
        for event in evidence.tables["run_events"]:
            if event["type"] == "AttemptPhase" and event["phase"] in _OVER:
                self.outcomes.setdefault((event["run_id"], event["task"], event["attempt"]), event["time"])
        self.logs = {
            (row["run_id"], row["task"], row["attempt"])
            for row in evidence.tables["logs"]
            if row["bytes"] and row["container"] == "main"
        }


def _of_main(entry: AuditEntry) -> bool:
    return parse_qs(urlsplit(entry.uri).query).get("container", ["main"]) == ["main"]


def _check_unknown(
    asked: dict[tuple[str, str], _Asked], attempts: dict[tuple[str, str], Row], allowed: Allowed
) -> Iterator[str]:
    for key, about in asked.items():
        made = [entry for entry in about.creates if _is_ours(entry) and _is_done(entry)]
        if made and key not in attempts and not allows(allowed.unknown_pods, key[1]):
            yield f"pod {key[1]} was created by {made[0].user_agent}, and no attempt knows it"


def _check_many(audit: list[AuditEntry], allowed: Allowed) -> Iterator[str]:
    for entry in audit:
        if entry.verb == "deletecollection" and entry.resource == "pods" and allowed.foreign is False:
            yield f"all pods of {entry.namespace} were deleted by {entry.user_agent}"


def _check_silences(audit: list[AuditEntry], allowed: Allowed) -> Iterator[str]:
    for silence in allowed.silences:
        for entry in audit:
            is_meant = entry.user == silence.user if silence.user else _is_ours(entry)
            if is_meant and entry.verb in WRITES and silence.start < entry.time < silence.end:
                who = silence.user or entry.user_agent
                what = f"{entry.verb} {entry.name} at {entry.time}"
                yield f"{who} had no right to write from {silence.start} to {silence.end}: {what}"
