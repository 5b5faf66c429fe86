"""The checker of pods finds nothing wrong with a real story on the cluster, and each kind of error that is made on purpose."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta
from http import HTTPStatus

import pytest

from tests.faults.checker import Allowed, Silence, check
from tests.faults.checker.evidence import PodLeft
from tests.faults.checker.rows import Row
from tests.faults.checker_story import LINES, ToldStory
from tests.faults.tampering import Tamper, Tampered, is_caught
from tests.support.audit import AuditEntry
from tests.support.cluster import kubectl

pytestmark = [pytest.mark.faults, pytest.mark.cluster]


def test_check__a_story_on_the_cluster__all_rules_hold(cluster_story: ToldStory) -> None:
    story = cluster_story.story
    assert story.violations == []
    assert story.evidence.audit


def _first(t: Tampered) -> Row:
    return t.attempt("works", "first")


def _entries(t: Tampered) -> list[AuditEntry]:
    assert t.evidence.audit is not None
    return t.evidence.audit


def _asked(t: Tampered, verb: str, row: Row, subresource: str = "") -> list[AuditEntry]:
    """What was asked of an attempt's pod by the service."""
    what = (verb, row["pod"], subresource)
    found = [entry for entry in _entries(t) if (entry.verb, entry.name, entry.subresource) == what]
    return [entry for entry in found if entry.user_agent.startswith("podrun/")]


def _replace(t: Tampered, entry: AuditEntry, **values: object) -> None:
    _entries(t)[_entries(t).index(entry)] = replace(entry, **values)  # type: ignore[arg-type]


def _add(t: Tampered, entry: AuditEntry, **values: object) -> None:
    _entries(t).append(replace(entry, **values))  # type: ignore[arg-type]


def _created_twice(t: Tampered) -> None:
    (entry,) = _asked(t, "create", _first(t))
    _add(t, entry, time=entry.time + timedelta(seconds=1))


def _created_and_cut_and_created(t: Tampered) -> None:
    """The first service was killed before the answer came; its pod was made, and so was the next one's."""
    (entry,) = _asked(t, "create", _first(t))
    _add(t, entry, time=entry.time + timedelta(seconds=1))
    _replace(t, entry, code=HTTPStatus.GATEWAY_TIMEOUT)
    (bound,) = [one for one in _entries(t) if (one.name, one.subresource) == (entry.name, "binding")]
    _add(t, bound, time=bound.time + timedelta(seconds=1))


def _never_created(t: Tampered) -> None:
    _entries(t).remove(_asked(t, "create", _first(t))[0])


def _created_before_recorded(t: Tampered) -> None:
    (entry,) = _asked(t, "create", _first(t))
    before = _first(t)["created_at"] - timedelta(milliseconds=1)
    _replace(t, entry, time=before, answered=before)


def _created_by_another(t: Tampered) -> None:
    _replace(t, _asked(t, "create", _first(t))[0], user_agent="kubectl/v1")


def _unknown(t: Tampered) -> None:
    _add(t, _asked(t, "create", _first(t))[0], name="first-0")


def _deleted_by_another(t: Tampered) -> None:
    _add(t, _asked(t, "delete", _first(t))[0], user_agent="kubectl/v1")


def _evicted(t: Tampered) -> None:
    (entry,) = _asked(t, "create", _first(t))
    _add(t, entry, user_agent="kubectl/v1", subresource="eviction")


def _all_deleted(t: Tampered) -> None:
    _add(t, _asked(t, "delete", _first(t))[0], user_agent="kubectl/v1", verb="deletecollection", name="")


def _never_deleted(t: Tampered) -> None:
    for entry in _asked(t, "delete", _first(t)):
        _entries(t).remove(entry)


def _deleted_at(t: Tampered, time: datetime) -> None:
    _replace(t, _asked(t, "delete", _first(t))[0], time=time)


def _deleted_before_outcome(t: Tampered) -> None:
    over = t.event("works", type="AttemptPhase", task="first", phase="Succeeded")["time"]
    for read in _asked(t, "get", _first(t), "log"):  # they are in order: only the outcome comes too late
        _replace(t, read, time=over - timedelta(seconds=3), answered=over - timedelta(seconds=2))
    _deleted_at(t, over - timedelta(seconds=1))


def _deleted_before_log(t: Tampered) -> None:
    deletion = _asked(t, "delete", _first(t))[0]
    for read in _asked(t, "get", _first(t), "log"):
        _replace(t, read, answered=deletion.time + timedelta(seconds=1))


def _read_after_deletion(t: Tampered) -> None:
    read, deletion = _asked(t, "get", _first(t), "log")[-1], _asked(t, "delete", _first(t))[0]
    later = deletion.time + timedelta(seconds=1)
    _add(t, read, time=later, answered=later)


def _wrong_name(t: Tampered) -> None:
    pod = _first(t)["pod"]
    for entry in [entry for entry in _entries(t) if entry.name == pod]:
        _replace(t, entry, name="first-0")
    _first(t)["pod"] = "first-0"
    t.retell()


def _one_pod_for_two(t: Tampered) -> None:
    pod = t.attempt("works", "mends")["pod"]
    for entry in [entry for entry in _entries(t) if entry.name == pod]:
        _entries(t).remove(entry)
    t.attempt("works", "mends")["pod"] = _first(t)["pod"]
    t.retell()


def _left(t: Tampered, **values: object) -> None:
    row = _first(t)
    pod = PodLeft(namespace=row["namespace"], name=row["pod"], uid=row["pod_uid"], is_ending=False)
    t.evidence.pods.append(replace(pod, **values))  # type: ignore[arg-type]


def _other_uid(t: Tampered) -> None:
    t.allowed = Allowed(unfinished=True)
    _left(t, uid="another")


def _wrote_while_dead(t: Tampered) -> None:
    (entry,) = _asked(t, "create", _first(t))
    around = Silence(start=entry.time - timedelta(microseconds=1), end=entry.time + timedelta(microseconds=1))
    t.allowed = Allowed(silences=[around])


def _wrote_as_another(t: Tampered) -> None:
    _add(t, _asked(t, "delete", _first(t))[0], user="system:serviceaccount:replica-2")
    silence = Silence(start=_entries(t)[0].time, end=t.evidence.now, user="system:serviceaccount:replica-2")
    t.allowed = Allowed(silences=[silence])


def _rotated_away(t: Tampered) -> None:
    t.evidence.audit_begins = _first(t)["created_at"] + timedelta(seconds=60)


ERRORS: dict[str, tuple[Tamper, tuple[str, ...]]] = {
    "a pod that was created twice": (_created_twice, ("was created 2 times",)),
    "a pod that was made by a call that was cut, and again": (_created_and_cut_and_created, ("was created 2 times",)),
    "a pod that was never created": (_never_created, ("was answered with 201",)),
    "a pod that was created before its attempt was recorded": (_created_before_recorded, ("before the attempt was recorded",)),
    "a pod that somebody else created": (_created_by_another, ("create of its pod",)),
    "a pod that no attempt knows": (_unknown, ("pod first-0 was created by podrun/",)),
    "a pod that somebody else deleted": (_deleted_by_another, ("delete of its pod",)),
    "a pod that somebody evicted": (_evicted, ("eviction of its pod",)),
    "a namespace that somebody emptied": (_all_deleted, ("all pods of",)),
    "a pod that was never deleted": (_never_deleted, ("was never deleted",)),
    "a pod that was deleted before its outcome was stored": (_deleted_before_outcome, ("its outcome stored at",)),
    "a pod that was deleted before its log was stored": (_deleted_before_log, ("before a read of its log had ended",)),
    "a pod that was deleted while its log was read": (_read_after_deletion, ("its log still read at",)),
    "a pod with another name": (_wrong_name, ("its pod is called first-0",)),
    "a pod of two attempts": (_one_pod_for_two, ("have one pod", "its pod is called", "~its pod was", "~was never")),
    "a pod that is left behind": (_left, ("is left behind",)),
    "a pod that is there and nobody knows": (lambda t: _left(t, name="first-0"), ("first-0 is there, and no attempt",)),
    "a pod in another one's place": (_other_uid, ("has the uid another",)),
    "a write of a service that was dead": (_wrote_while_dead, ("had no right to write",)),
    "a write of a replica whose lease had run out": (_wrote_as_another, ("replica-2 had no right to write",)),
    "an audit log that was rotated away": (_rotated_away, ("the audit log begins at",)),
}


@pytest.mark.parametrize("name", ERRORS)
def test_check__on_the_cluster_with_an_error__is_caught(cluster_story: ToldStory, name: str) -> None:
    is_caught(cluster_story.story, *ERRORS[name])


@pytest.mark.parametrize(
    ("tamper", "allowed"),
    [
        (_evicted, {"foreign": True}),
        (_all_deleted, {"foreign": True}),
        (_never_created, {"lost_audit": True}),
        (_left, {"left_pods": True}),
        (_unknown, {"unknown_pods": ["first-0"]}),
    ],
)
def test_check__on_the_cluster_with_what_the_test_allows__all_rules_hold(
    cluster_story: ToldStory, tamper: Tamper, allowed: dict[str, object]
) -> None:
    tampered = Tampered(cluster_story.story)
    tamper(tampered)
    tampered.allowed = Allowed(**allowed)  # type: ignore[arg-type]
    assert tampered.violations() == []


def test_check__a_creation_answered_with_5xx_on_the_cluster__may_have_made_the_pod(cluster_story: ToldStory) -> None:
    tampered = Tampered(cluster_story.story)
    _replace(tampered, _asked(tampered, "create", _first(tampered))[0], code=HTTPStatus.GATEWAY_TIMEOUT)
    assert tampered.violations() == []


def test_check__second_pods_made_on_the_cluster_by_hand__are_caught(cluster_story: ToldStory) -> None:
    """One of an attempt's name, and one with our labels that no attempt knows."""
    talks = cluster_story.story.talks
    check(cluster_story.service, keys={"talks": talks}, printed={(talks, "talks", 1): LINES})
    story = Tampered(cluster_story.story)
    row, instance = _first(story), story.tables["instance"][0]["name"]
    for name in (row["pod"], "stranger"):
        _make(row["namespace"], name, {"podrun.dev/instance": instance, "podrun.dev/run": row["run_id"]})
    try:
        with pytest.raises(AssertionError) as caught:
            check(cluster_story.service)
    finally:
        kubectl("delete", "pod", "-n", row["namespace"], row["pod"], "stranger", "--now", "--wait=false")
    for words in (
        "was created 2 times",
        "create of its pod",
        "is left behind",
        "pod stranger is there, and no attempt knows it",
    ):
        assert words in str(caught.value)


def _make(namespace: str, name: str, labels: dict[str, str]) -> None:
    container = {"name": "main", "image": "busybox:1", "command": ["sleep", "60"]}
    manifest = {
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels},
        "spec": {"containers": [container], "restartPolicy": "Never", "terminationGracePeriodSeconds": 0},
    }  # fmt: skip
    kubectl("create", "-n", namespace, "-f", "-", input_text=json.dumps(manifest))
