"""All that an installation left behind: database, API, objects of logs, pods, and what the API server was asked to do."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import unquote, urlsplit

from tests.faults.checker.answers import Answers, LogKey, ask
from tests.faults.checker.rows import Tables, read_tables
from tests.support.audit import WRITES, AuditEntry, audit_folder, oldest_entry, read_audit
from tests.support.cluster import list_pods
from tests.support.service import ServiceProcess

#: The text of whole runs is asked for where it is at most this long: it was asked for task by task before.
RUN_LOG_BYTES = 16 * 1024 * 1024
#: Something that still goes on, such as a deletion's answer, is waited for so long.
_QUIET_SECONDS = 15.0
_INSTANCE = "podrun.dev/instance"


@dataclass(frozen=True, kw_only=True)
class PodLeft:
    """A pod of the installation that is there."""

    namespace: str
    name: str
    uid: str
    is_ending: bool  #: its deletion was asked for


@dataclass(kw_only=True)
class Evidence:
    """What the checks look at. Plain values: a test may change a copy of them."""

    now: datetime
    services: int
    tables: Tables
    answers: list[Answers]  #: of each service; logs of the first
    objects: dict[str, bytes]  #: of the log store, by name
    pods: list[PodLeft]
    audit: list[AuditEntry] | None = None  #: None: local pods, which no API server knows of
    audit_begins: datetime | None = None


def gather(services: Sequence[ServiceProcess]) -> Evidence:
    """Gather from one installation, whose services run and have nothing to do. Fails where something still goes on."""
    first, deadline = services[0], time.monotonic() + _QUIET_SECONDS
    tables = read_tables(first.database_url)
    while True:
        answers = _ask_all(services, tables)
        before, tables = tables, read_tables(first.database_url)
        if _state(tables) == _state(before):
            break
        assert time.monotonic() < deadline, f"the installation is not quiet: runs go on after {_QUIET_SECONDS:g} s"
        time.sleep(0.2)
    evidence = Evidence(
        now=datetime.now(UTC),
        services=len(services),
        tables=tables,
        answers=answers,
        objects=_objects(first.logs_url),
        pods=_pods(first, tables),
    )
    if first.pods == "kubernetes":
        _add_audit(evidence, first.namespaces)
    return evidence


def _ask_all(services: Sequence[ServiceProcess], tables: Tables) -> list[Answers]:
    names = {(row["run_id"], row["name"]) for row in tables["task_runs"]}
    # The log of an item that is there no more, because its run was retried, is found by nobody.
    logs: list[LogKey] = [
        (row["run_id"], row["task"], row["attempt"], row["container"])
        for row in tables["logs"]
        if (row["run_id"], row["task"]) in names
    ]
    return [ask(services[0], logs, _short_runs(tables))] + [ask(service, (), ()) for service in services[1:]]


def _state(tables: Tables) -> tuple[object, ...]:
    """What grows while something is done."""
    return (
        [(row["id"], row["version"]) for row in tables["runs"]],
        [row["id"] for row in tables["run_events"]],
        [(row["id"], row["bytes"], row["sealed"]) for row in tables["logs"]],
        len(tables["log_blocks"]),
    )


def _short_runs(tables: Tables) -> Iterable[str]:
    sizes: dict[str, int] = {}
    for row in tables["logs"]:
        sizes[row["run_id"]] = sizes.get(row["run_id"], 0) + row["bytes"]
    return [run_id for run_id, size in sizes.items() if size <= RUN_LOG_BYTES]


def _objects(logs_url: str) -> dict[str, bytes]:
    """Of a folder. What begins with a dot is no object yet: its writer was killed; a file beside the runs' folders marks it."""
    parts = urlsplit(logs_url) if "://" in logs_url else None
    assert parts is None or parts.scheme == "file", f"the checker knows no log store such as {logs_url}"
    root = Path(unquote(parts.path) if parts else logs_url)
    files = (path for path in root.rglob("*/*") if path.is_file() and not path.name.startswith("."))
    return {str(path.relative_to(root)): path.read_bytes() for path in files}


def _pods(service: ServiceProcess, tables: Tables) -> list[PodLeft]:
    if service.pods == "local":
        folders = (path for path in (service.local_pods_folder / "pods").glob("*/*") if path.is_dir())
        return [
            PodLeft(namespace=path.parent.name, name=path.name, uid="", is_ending=(path / "deletion.json").exists())
            for path in folders
        ]
    instance = tables["instance"][0]["name"]
    found = []
    for namespace in service.namespaces:
        for about in (pod["metadata"] for pod in list_pods(namespace)):
            if about.get("labels", {}).get(_INSTANCE) == instance:
                ending = "deletionTimestamp" in about
                found.append(PodLeft(namespace=namespace, name=about["name"], uid=about["uid"], is_ending=ending))
    return found


def _add_audit(evidence: Evidence, namespaces: Sequence[str]) -> None:
    # Not the service's own kubeconfig, which may name a proxy.
    folder = audit_folder(Path(os.environ["KUBECONFIG"]))
    evidence.audit = read_audit(folder, namespaces, WRITES | {"get"})
    evidence.audit_begins = oldest_entry(folder)
