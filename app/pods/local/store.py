"""Local pods as files: making, reading, ending and removing them. Everything here blocks: the backend calls it in threads."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import signal
import socket
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from app.domain.errors import PodDeferred, PodRefused
from app.domain.pods import MAIN, AttemptKey, ContainerObservation, ContainerPhase, PodObservation
from app.domain.texts import storable
from app.pods.local import folders, records
from app.pods.local.launch import build_spec, read_key
from app.pods.local.records import Deletion, Spec, Status, Supervisor, Unreadable
from app.pods.manifest import INSTANCE_LABEL
from app.pods.port import Guard, Manifest

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LOST_EXIT_CODE = 137
_Record = TypeVar("_Record", bound=msgspec.Struct)
_log = logging.getLogger(__name__)
#: What Kubernetes says in a pod's DisruptionTarget condition where the machine is to blame.
_DISRUPTIONS = {"NodeShutdown": "TerminationByKubelet", "PodLost": "DeletionByPodGC"}


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredPod:
    """What never changes of a pod."""

    namespace: str
    name: str
    uid: str
    key: AttemptKey
    instance: str
    folder: Path
    grace_seconds: int


@dataclass(slots=True, kw_only=True)
class PodFiles:
    """What a pod's files say at one moment."""

    observation: PodObservation
    is_claimed: bool  #: a supervisor has taken it
    is_over: bool  #: nothing more will be written
    pidfd: int | None  #: of the supervisor, opened on demand; the caller closes it


class PodStore:
    """The pods under one folder. Holds nothing in memory; safe to use from several threads."""

    def __init__(self, root: Path, instance: str) -> None:
        self.root = root
        self._instance = instance
        self._boot_id = folders.boot_id()
        self._node = socket.gethostname()

    def prepare(self) -> None:
        """Make the folders, readable by this user alone: pods' environments are in them."""
        for name in ("", folders.PODS, folders.NEW, folders.GONE, folders.WATCHERS):
            (self.root / name).mkdir(mode=0o700, parents=True, exist_ok=True)

    def create(self, manifest: Manifest, guard: Guard) -> StoredPod:
        """Make a pod, or adopt the one of its name if it is for the same attempt of the same instance.

        Raises:
            PodRefused, PodDeferred, LeaseExpired: as `PodBackend.create_pod`.
        """
        key = read_key(manifest)
        metadata = manifest["metadata"]
        uid = str(uuid.uuid4())
        folder = self.root / folders.PODS / metadata["namespace"] / metadata["name"]
        spec = build_spec(manifest, uid, folder, time.time_ns())
        try:
            self._write(spec, folder, guard)
        except OSError as error:
            raise PodDeferred("StorageError", f"the pod's folder {folder} can't be made: {error.strerror}") from error
        return self._adopt(folder, key)

    def _write(self, spec: dict[str, Any], folder: Path, guard: Guard) -> None:
        scratch = self.root / folders.NEW / spec["uid"]
        try:
            for path in (scratch, scratch / folders.WORK, scratch / folders.TMP):
                path.mkdir(mode=0o700)
            for name in (folders.LOG, folders.OUTPUTS):
                (scratch / name).touch(mode=0o600)
            folders.write_json(scratch / folders.SPEC, spec, sync=True)
            folder.parent.mkdir(mode=0o700, exist_ok=True)
            guard()
            try:
                scratch.rename(folder)  # fails where the name is taken: a folder that is not empty is never replaced
            except OSError:
                if not folder.exists():
                    raise
            _sync_folder(folder.parent)
        finally:
            if scratch.exists():
                shutil.rmtree(scratch, ignore_errors=True)

    def _adopt(self, folder: Path, key: AttemptKey) -> StoredPod:
        try:
            pod = self.find(folder.parent.name, folder.name)
        except Unreadable:
            pod = None
        if pod is None or pod.key != key or pod.instance != self._instance:
            raise PodRefused("PodNameConflict", f"a pod named {folder.name!r} is there already and is not of this attempt")
        return pod

    def list_names(self) -> set[tuple[str, str]]:
        """Namespace and name of every pod there is."""
        namespaces = [entry.path for entry in os.scandir(self.root / folders.PODS) if entry.is_dir()]
        return {(os.path.basename(path), pod.name) for path in namespaces for pod in os.scandir(path)}  # noqa: PTH119 - a scan

    def find(self, namespace: str, name: str) -> StoredPod | None:
        """The pod of that name, None where there is none. Raises Unreadable, OSError."""
        folder = self.root / folders.PODS / namespace / name
        spec = records.read(folder / folders.SPEC, Spec)
        if spec is None:
            return None
        metadata = spec.manifest.metadata
        try:
            key = read_key(msgspec.to_builtins(spec.manifest))
        except PodRefused as error:
            raise Unreadable(f"the pod's {folders.SPEC} is damaged: {error}") from error
        return StoredPod(
            namespace=namespace,
            name=name,
            uid=spec.uid,
            key=key,
            instance=metadata.labels.get(INSTANCE_LABEL, ""),
            folder=folder,
            grace_seconds=spec.grace_seconds,
        )

    def read(self, pod: StoredPod, *, open_pidfd: bool) -> PodFiles | None:
        """What is known of the pod now; None where it is gone.

        One whose supervisor died without a word, or whose files were damaged, is settled as lost. Raises OSError.
        """
        supervisor, damage = _read_believed(pod.folder / folders.SUPERVISOR, Supervisor)
        pidfd = _open_pidfd(supervisor, self._boot_id) if supervisor and open_pidfd else None
        try:
            files = self._read_claimed(pod, supervisor, damage, pidfd)
        except BaseException:
            _close(pidfd)
            raise
        if files is None:
            _close(pidfd)
        return files

    def _read_claimed(self, pod: StoredPod, supervisor: Supervisor | None, damage: str, pidfd: int | None) -> PodFiles | None:
        is_alive = supervisor is not None and _is_alive(supervisor, self._boot_id)  # asked first: it writes, then it ends
        found, status_damage = _read_believed(pod.folder / folders.STATUS, Status)
        status, damage = found or Status(phase="waiting", over=False), damage or status_damage
        deletion, _ = _read_believed(pod.folder / folders.DELETION, Deletion)
        if not pod.folder.exists():  # asked last: what was read above may be of a folder on its way out
            return None
        is_claimed = supervisor is not None or bool(damage)
        if is_claimed and not status.over and (damage or not is_alive):
            status = self._settle_lost(pod, supervisor, status, damage)
        if pidfd is not None and deletion is not None and not status.over:
            _signal(pidfd, signal.SIGTERM)  # it may have been asked for before we knew the supervisor
        return PodFiles(
            observation=observe(pod, self._node if is_claimed else None, status, deletion),
            is_claimed=is_claimed,
            is_over=status.over,
            pidfd=pidfd,
        )

    def _settle_lost(self, pod: StoredPod, supervisor: Supervisor | None, status: Status, damage: str) -> Status:
        """End what is left of the pod, and write down that it is lost."""
        same_boot = supervisor is None or supervisor.boot_id == self._boot_id
        if supervisor is not None:
            _kill_supervised(supervisor, self._boot_id)
        if same_boot and status.pid and status.pid_start and folders.process_start(status.pid) == status.pid_start:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(status.pid, signal.SIGKILL)
        message = damage
        if supervisor is not None and not damage:
            why = "was killed or crashed" if same_boot else "was ended by a restart of the machine"
            message = f"the pod's supervisor (process {supervisor.pid}) {why} before main's end was known"
        lost = msgspec.structs.replace(
            status, over=True, pod_reason="PodLost", pod_message=message, finished_at=status.finished_at or time.time_ns()
        )
        try:
            records.write(pod.folder / folders.STATUS, lost)
        except OSError as error:  # removed meanwhile, or a full disk: the next service will come to the same
            _log.warning("pod %s is lost, which can't be written down: %s", pod.name, error.strerror)
        return lost

    def request_end(self, pod: StoredPod, guard: Guard, grace_seconds: int | None, pidfd: int | None) -> None:
        """Ask the supervisor to end main: SIGTERM, then SIGKILL after the grace period. Raises LeaseExpired."""
        grace = pod.grace_seconds if grace_seconds is None else grace_seconds
        until = time.time_ns() + grace * 1_000_000_000
        if not self._is_there(pod):
            return
        known = _read_believed(pod.folder / folders.DELETION, Deletion)[0]
        guard()
        # A period is only ever made shorter; somebody may have set the clock since it began.
        if known is None or known.until_ns > until or known.grace_seconds > grace:
            if (pod.folder / folders.DELETION).is_dir():  # main's doing: it can't be replaced
                shutil.rmtree(pod.folder / folders.DELETION, ignore_errors=True)
            with contextlib.suppress(FileNotFoundError):
                records.write(pod.folder / folders.DELETION, Deletion(grace_seconds=grace, until_ns=until))
        if pidfd is not None:
            _signal(pidfd, signal.SIGTERM)
            return
        # Nobody knew the supervisor when this was asked for. One that takes the pod after deletion.json was written sees that;
        # one that took it before has looked already.
        supervisor = _read_believed(pod.folder / folders.SUPERVISOR, Supervisor)[0]
        pidfd = _open_pidfd(supervisor, self._boot_id) if supervisor else None
        if pidfd is not None:
            _signal(pidfd, signal.SIGTERM)
            os.close(pidfd)

    def _is_there(self, pod: StoredPod) -> bool:
        """Whether it is this very pod that has its name now."""
        try:
            found = self.find(pod.namespace, pod.name)
        except Unreadable:
            found = None
        if found is None:  # main damaged it, or took it away: every other pod's is whole when it gets its name
            return pod.folder.exists()
        return found.uid == pod.uid

    def remove(self, pod: StoredPod, guard: Callable[[], None]) -> None:
        """Remove a pod that is over, log and all; who has its log open can read it to the end."""
        if not self._is_there(pod):
            return
        grave = self.root / folders.GONE / pod.uid
        guard()
        with contextlib.suppress(FileNotFoundError):
            pod.folder.rename(grave)
        shutil.rmtree(grave, ignore_errors=True)

    def clean(self) -> None:
        """Take away what services that were killed left half-made or half-removed, where it is an hour old."""
        for place in (folders.NEW, folders.GONE):
            for folder in (self.root / place).iterdir():
                if time.time() - folder.stat().st_mtime > 3600:
                    shutil.rmtree(folder, ignore_errors=True)

    def check(self) -> str | None:
        """A sentence where pods can't be made here, else None."""
        probe = self.root / folders.NEW / f"probe-{uuid.uuid4()}"
        try:
            probe.mkdir(mode=0o700)
            (probe / folders.SPEC).write_bytes(b"{}")  # a full disk may still have room for folders
        except OSError as error:
            return f"the folder of local pods, {self.root}, can't be written to: {error.strerror}"
        finally:
            shutil.rmtree(probe, ignore_errors=True)
        return None


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _read_believed(path: Path, record: type[_Record]) -> tuple[_Record | None, str]:
    """The record, or None and, where there is a file, why it can't be believed. Raises OSError."""
    try:
        return records.read(path, record), ""
    except Unreadable as error:
        return None, str(error)


def _is_alive(supervisor: Supervisor, boot_id: str) -> bool:
    return supervisor.boot_id == boot_id and folders.process_start(supervisor.pid) == supervisor.pid_start


def _open_pidfd(supervisor: Supervisor, boot_id: str) -> int | None:
    try:
        pidfd = os.pidfd_open(supervisor.pid)
    except OSError:
        return None
    if _is_alive(supervisor, boot_id):  # asked after opening: the number may have gone to another process before
        return pidfd
    os.close(pidfd)
    return None


def _kill_supervised(supervisor: Supervisor, boot_id: str) -> None:
    """Kill a supervisor and all that it runs."""
    pidfd = _open_pidfd(supervisor, boot_id)
    if pidfd is None:
        return
    try:
        _signal(pidfd, signal.SIGSTOP)  # it reaps nobody from here on: its children's numbers stay theirs
        for child in folders.child_processes(supervisor.pid):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(child, signal.SIGKILL)
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(child, signal.SIGKILL)
        _signal(pidfd, signal.SIGKILL)
    finally:
        os.close(pidfd)


def _close(fd: int | None) -> None:
    if fd is not None:
        os.close(fd)


def _signal(pidfd: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        signal.pidfd_send_signal(pidfd, number)


def observe(pod: StoredPod, node: str | None, status: Status, deletion: Deletion | None) -> PodObservation:
    """The observation that a pod's files amount to."""
    phase = "Pending" if status.phase == "waiting" else "Running"
    if status.over:
        phase = "Succeeded" if status.exit_code == 0 and not status.pod_reason else "Failed"
    return PodObservation(
        key=pod.key,
        namespace=pod.namespace,
        name=pod.name,
        uid=pod.uid,
        phase=phase,
        reason=storable(status.pod_reason) if status.over else "",
        message=storable(status.pod_message) if status.over else "",
        node=node,
        disruption=_DISRUPTIONS.get(status.pod_reason),
        deletion_at=_time(deletion.until_ns) if deletion else None,
        deletion_grace_seconds=deletion.grace_seconds if deletion else None,
        containers=(_observe_main(status),),
    )


def _observe_main(status: Status) -> ContainerObservation:
    started_at = _time(status.started_at)
    if status.phase == "terminated":
        return ContainerObservation(
            name=MAIN, phase=ContainerPhase.TERMINATED, reason=storable(status.reason),
            message=storable(status.message),
            started_at=started_at, finished_at=_time(status.finished_at), exit_code=status.exit_code,
        )  # fmt: skip
    if status.phase == "running" and status.over:  # as the kubelet says it of a container that it can't find any more
        return ContainerObservation(
            name=MAIN, phase=ContainerPhase.TERMINATED, reason="ContainerStatusUnknown",
            message=storable(status.pod_message),
            started_at=started_at, finished_at=_time(status.finished_at), exit_code=_LOST_EXIT_CODE,
        )  # fmt: skip
    if status.phase == "running":
        return ContainerObservation(name=MAIN, phase=ContainerPhase.RUNNING, started_at=started_at)
    return ContainerObservation(name=MAIN, phase=ContainerPhase.WAITING, reason="ContainerCreating")


def _time(nanoseconds: int | None) -> datetime | None:
    return None if nanoseconds is None else _EPOCH + timedelta(microseconds=nanoseconds // 1000)
