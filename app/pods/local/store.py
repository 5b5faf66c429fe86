"""Local pods as files: making, reading, ending and removing them. Everything here blocks: the backend calls it in threads."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from app.domain.errors import PodDeferred, PodRefused
from app.domain.pods import MAIN, AttemptKey, ContainerObservation, ContainerPhase, PodObservation
from app.pods.local import folders
from app.pods.local.launch import build_spec, read_key
from app.pods.manifest import INSTANCE_LABEL
from app.pods.port import Guard, Manifest

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LOST_EXIT_CODE = 137
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
        pod = self.find(folder.parent.name, folder.name)
        if pod is None or pod.key != key or pod.instance != self._instance:
            raise PodRefused("PodNameConflict", f"a pod named {folder.name!r} is there already and is not of this attempt")
        return pod

    def list_names(self) -> set[tuple[str, str]]:
        """Namespace and name of every pod there is."""
        namespaces = [entry.path for entry in os.scandir(self.root / folders.PODS) if entry.is_dir()]
        return {(os.path.basename(path), pod.name) for path in namespaces for pod in os.scandir(path)}  # noqa: PTH119

    def find(self, namespace: str, name: str) -> StoredPod | None:
        """The pod of that name, None where there is none."""
        folder = self.root / folders.PODS / namespace / name
        spec = folders.read_json(folder / folders.SPEC)
        if spec is None:
            return None
        return StoredPod(
            namespace=namespace,
            name=name,
            uid=spec["uid"],
            key=read_key(spec["manifest"]),
            instance=spec["manifest"]["metadata"]["labels"].get(INSTANCE_LABEL, ""),
            folder=folder,
            grace_seconds=spec["grace_seconds"],
        )

    def read(self, pod: StoredPod, *, open_pidfd: bool) -> PodFiles | None:
        """What is known of the pod now; None where it is gone. One whose supervisor died without a word is settled as lost."""
        supervisor = folders.read_json(pod.folder / folders.SUPERVISOR)
        pidfd = _open_pidfd(supervisor, self._boot_id) if supervisor and open_pidfd else None
        is_alive = supervisor is not None and _is_alive(supervisor, self._boot_id)
        status = folders.read_json(pod.folder / folders.STATUS) or {"phase": "waiting", "over": False}
        deletion = folders.read_json(pod.folder / folders.DELETION)
        if not (pod.folder / folders.SPEC).exists():  # asked last: what was read above may be of a folder on its way out
            _close(pidfd)
            return None
        if supervisor is not None and not is_alive and not status["over"]:
            status = self._settle_lost(pod, supervisor, status)
        if pidfd is not None and deletion is not None and not status["over"]:
            _signal(pidfd, signal.SIGTERM)  # it may have been asked for before we knew the supervisor
        return PodFiles(
            observation=observe(pod, self._node if supervisor else None, status, deletion),
            is_claimed=supervisor is not None,
            is_over=status["over"],
            pidfd=pidfd,
        )

    def _settle_lost(self, pod: StoredPod, supervisor: Mapping[str, Any], status: dict[str, Any]) -> dict[str, Any]:
        same_boot = supervisor["boot_id"] == self._boot_id
        why = "was killed or crashed" if same_boot else "was ended by a restart of the machine"
        if same_boot and status["phase"] == "running" and folders.process_start(status["pid"]) == status["pid_start"]:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(status["pid"], signal.SIGKILL)
        message = f"the pod's supervisor (process {supervisor['pid']}) {why} before main's end was known"
        lost = status | {"over": True, "pod_reason": "PodLost", "pod_message": message, "finished_at": time.time_ns()}
        with contextlib.suppress(FileNotFoundError):  # removed meanwhile
            folders.write_json(pod.folder / folders.STATUS, lost)
        return lost

    def request_end(self, pod: StoredPod, guard: Guard, grace_seconds: int | None, pidfd: int | None) -> None:
        """Ask the supervisor to end main: SIGTERM, then SIGKILL after the grace period. Raises LeaseExpired."""
        grace = pod.grace_seconds if grace_seconds is None else grace_seconds
        until = time.time_ns() + grace * 1_000_000_000
        if not self._is_there(pod):
            return
        known = folders.read_json(pod.folder / folders.DELETION)
        guard()
        if known is None or known["until_ns"] > until:  # a period is only ever made shorter
            with contextlib.suppress(FileNotFoundError):
                folders.write_json(pod.folder / folders.DELETION, {"grace_seconds": grace, "until_ns": until})
        if pidfd is not None:
            _signal(pidfd, signal.SIGTERM)
            return
        # Nobody knew the supervisor when this was asked for. One that takes the pod after deletion.json was written sees that;
        # one that took it before has looked already.
        supervisor = folders.read_json(pod.folder / folders.SUPERVISOR)
        pidfd = _open_pidfd(supervisor, self._boot_id) if supervisor else None
        if pidfd is not None:
            _signal(pidfd, signal.SIGTERM)
            os.close(pidfd)

    def _is_there(self, pod: StoredPod) -> bool:
        """Whether it is this very pod that has its name now."""
        found = self.find(pod.namespace, pod.name)
        return found is not None and found.uid == pod.uid

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
            probe.rmdir()
        except OSError as error:
            return f"the folder of local pods, {self.root}, can't be written to: {error.strerror}"
        return None


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _is_alive(supervisor: Mapping[str, Any], boot_id: str) -> bool:
    return bool(supervisor["boot_id"] == boot_id) and folders.process_start(supervisor["pid"]) == supervisor["pid_start"]


def _open_pidfd(supervisor: Mapping[str, Any], boot_id: str) -> int | None:
    try:
        pidfd = os.pidfd_open(supervisor["pid"])
    except OSError:
        return None
    if _is_alive(supervisor, boot_id):  # asked after opening: the number may have gone to another process before
        return pidfd
    os.close(pidfd)
    return None


def _close(fd: int | None) -> None:
    if fd is not None:
        os.close(fd)


def _signal(pidfd: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(pidfd, number)


def observe(pod: StoredPod, node: str | None, status: Mapping[str, Any], deletion: Mapping[str, Any] | None) -> PodObservation:
    """The observation that a pod's files amount to."""
    pod_reason = status.get("pod_reason", "")
    is_over = status["over"]
    phase = {"waiting": "Pending"}.get(status["phase"], "Running")
    if is_over:
        phase = "Succeeded" if status.get("exit_code") == 0 and not pod_reason else "Failed"
    return PodObservation(
        key=pod.key,
        namespace=pod.namespace,
        name=pod.name,
        uid=pod.uid,
        phase=phase,
        reason=pod_reason if is_over else "",
        message=status.get("pod_message", "") if is_over else "",
        node=node,
        disruption=_DISRUPTIONS.get(pod_reason),
        deletion_at=_time(deletion["until_ns"]) if deletion else None,
        containers=(_observe_main(status),),
    )


def _observe_main(status: Mapping[str, Any]) -> ContainerObservation:
    started_at = _time(status.get("started_at"))
    if status["phase"] == "terminated":
        return ContainerObservation(
            name=MAIN, phase=ContainerPhase.TERMINATED, reason=status["reason"], message=status["message"],
            started_at=started_at, finished_at=_time(status["finished_at"]), exit_code=status["exit_code"],
        )  # fmt: skip
    if status["phase"] == "running" and status["over"]:  # as the kubelet says it of a container that it can't find any more
        return ContainerObservation(
            name=MAIN, phase=ContainerPhase.TERMINATED, reason="ContainerStatusUnknown", message=status.get("pod_message", ""),
            started_at=started_at, finished_at=_time(status.get("finished_at")), exit_code=_LOST_EXIT_CODE,
        )  # fmt: skip
    if status["phase"] == "running":
        return ContainerObservation(name=MAIN, phase=ContainerPhase.RUNNING, started_at=started_at)
    return ContainerObservation(name=MAIN, phase=ContainerPhase.WAITING, reason="ContainerCreating")


def _time(nanoseconds: int | None) -> datetime | None:
    return None if nanoseconds is None else _EPOCH + timedelta(microseconds=nanoseconds // 1000)
