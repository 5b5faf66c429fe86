"""The watch over local pods: what each is like now, told to the listener when it changes.

Level, not edge: supervisors' notices and ends only say where to look; every few seconds all is looked at in any case.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import time
import uuid
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from app.domain.pods import PodObservation
from app.pods.local import folders
from app.pods.local.launching import Launcher
from app.pods.local.records import Unreadable
from app.pods.local.store import PodFiles, PodStore, StoredPod
from app.pods.port import PodListener

SCAN_SECONDS = 5.0
RELAUNCH_SECONDS = 5.0  #: a launcher that was killed may have taken requests with it
LINGER_SECONDS = 1.0  #: from a deleted pod's end to its removal, as long as a kubelet takes: its log can be read to the end

_Result = TypeVar("_Result")
_log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class WatchedPod:
    """A pod of this instance. Owned by the watch."""

    pod: StoredPod
    observation: PodObservation
    is_over: bool = False
    is_gone: bool = False
    is_claimed: bool = False
    pidfd: int | None = None
    launched_at: float = float("-inf")  #: monotonic
    is_leaving: bool = False  #: its removal is under way


class PodWatch:
    """Knows every pod of this instance under the store's folder."""

    def __init__(
        self, store: PodStore, launcher: Launcher, threads: ThreadPoolExecutor, instance: str, on_end: Callable[[Path], None]
    ) -> None:
        self._store = store
        self._launcher = launcher
        self._threads = threads
        self._instance = instance
        self._on_end = on_end  #: told the path of a log that grows no more
        self.listener: PodListener | None = None
        self.synced = asyncio.Event()
        self._pods: dict[tuple[str, str], WatchedPod] = {}
        self._by_uid: dict[str, WatchedPod] = {}
        self._unreadable: set[tuple[str, str]] = set()  #: what was said so of already; the scan's alone
        self._dirty: set[WatchedPod] = set()
        self._leaving: list[WatchedPod] = []
        self._has_work = asyncio.Event()
        self._fifo: int | None = None
        self._fifo_path: Path | None = None
        self._loop = asyncio.get_running_loop()

    def find(self, namespace: str, name: str) -> WatchedPod | None:
        """The pod of that name as last seen."""
        return self._pods.get((namespace, name))

    def list_run(self, namespace: str, run_id: str) -> list[PodObservation]:
        """The run's pods as last seen."""
        seen = (watched.observation for (place, _), watched in self._pods.items() if place == namespace)
        return [observation for observation in seen if observation.key.run_id == run_id]

    def track(self, pod: StoredPod, launched_at: float) -> WatchedPod:
        """Take up a pod, if it is not known yet."""
        known = self._by_uid.get(pod.uid)
        if known is not None:
            known.launched_at = max(known.launched_at, launched_at)
            return known
        before = self._pods.get((pod.namespace, pod.name))
        if before is not None:
            self.forget(before)
        watched = WatchedPod(pod, PodObservation(key=pod.key, namespace=pod.namespace, name=pod.name, uid=pod.uid))
        watched.launched_at = launched_at
        self._pods[pod.namespace, pod.name] = self._by_uid[pod.uid] = watched
        return watched

    def apply(self, watched: WatchedPod, files: PodFiles | None) -> None:
        """Take over what the files said; tell what is new."""
        if watched.is_gone or files is None:
            if files is not None and files.pidfd is not None:
                os.close(files.pidfd)
            self.forget(watched)
            return
        if files.pidfd is not None:
            watched.pidfd = files.pidfd
            self._loop.add_reader(files.pidfd, self._supervisor_ended, watched)
        ended = files.is_over and not watched.is_over
        watched.is_over, watched.is_claimed = files.is_over, files.is_claimed
        if ended:
            if files.observation.reason == "PodLost":
                self._kill_supervisor(watched)
            self._close_pidfd(watched)
            self._on_end(watched.pod.folder / folders.LOG)
        if files.observation != watched.observation or not files.is_claimed:
            watched.observation = files.observation
            self._tell(files.observation)
        if files.is_over and files.observation.deletion_at is not None and not watched.is_leaving:
            watched.is_leaving = True
            self._loop.call_later(LINGER_SECONDS, self._leave, watched)

    def look_at(self, watched: WatchedPod) -> None:
        """Read its files again, soon."""
        self._dirty.add(watched)
        self._has_work.set()

    def forget(self, watched: WatchedPod) -> None:
        """It is gone."""
        if watched.is_gone:
            return
        if not watched.is_over:
            self._kill_supervisor(watched)
        watched.is_gone = watched.is_over = True
        self._close_pidfd(watched)
        self._by_uid.pop(watched.pod.uid, None)
        if self._pods.get((watched.pod.namespace, watched.pod.name)) is watched:
            del self._pods[watched.pod.namespace, watched.pod.name]
        self._on_end(watched.pod.folder / folders.LOG)
        self._tell(replace(watched.observation, exists=False))

    async def run(self) -> None:
        """Watch until cancelled."""
        next_scan = 0.0
        while True:
            try:
                if time.monotonic() >= next_scan:
                    next_scan = time.monotonic() + SCAN_SECONDS
                    await self._scan()
                    self.synced.set()
                await self._wait_for_work(next_scan)
                await self._remove_leaving()
                dirty, self._dirty = self._dirty, set()
                await self._refresh(dirty)
            except Exception:  # noqa: BLE001 - whatever it is, the service and its other runs go on
                _log.exception("local pods can't be looked at: trying again in %s s", SCAN_SECONDS)
                await asyncio.sleep(SCAN_SECONDS)

    async def _wait_for_work(self, until: float) -> None:
        try:
            async with asyncio.timeout(max(0.0, until - time.monotonic())):
                await self._has_work.wait()
        except TimeoutError:
            pass
        self._has_work.clear()

    async def _scan(self) -> None:
        """Compare all that is known with all that is there."""
        if self._fifo is None:
            await self._in_thread(self._store.prepare)
            fifo, self._fifo_path = await self._in_thread(_open_fifo, self._store.root)
            self._loop.add_reader(fifo, self._take_notices)
            self._fifo = fifo
            await self._in_thread(self._store.clean)
        known = dict(self._pods)
        gone, found = await self._in_thread(self._compare, known)
        for watched in gone:
            self.forget(watched)
        for pod in found:
            self.track(pod, float("-inf"))
        await self._refresh([watched for watched in self._pods.values() if not watched.is_over])
        await self._launch_forgotten()

    async def _launch_forgotten(self) -> None:
        """Launch pods that nobody runs: a service, or its launcher, was killed right after making them."""
        late = time.monotonic() - RELAUNCH_SECONDS
        for watched in [w for w in self._pods.values() if not w.is_claimed and not w.is_over and w.launched_at < late]:
            watched.launched_at = time.monotonic()
            try:
                await self._in_thread(self._launcher.launch, watched.pod.folder)
            except OSError:
                _log.exception("no supervisor can be started for pod %s: trying again", watched.pod.name)

    def _compare(self, known: dict[tuple[str, str], WatchedPod]) -> tuple[list[WatchedPod], list[StoredPod]]:
        names = self._store.list_names()
        self._unreadable &= names
        gone = [watched for name, watched in known.items() if name not in names]
        found = [self._find(name) for name in sorted(names - known.keys())]
        return gone, [pod for pod in found if pod is not None and pod.instance == self._instance]

    def _find(self, name: tuple[str, str]) -> StoredPod | None:
        """The pod of that name; where that can't be told, say so once and go on without it."""
        try:
            pod = self._store.find(*name)
        except (OSError, Unreadable) as error:
            if name not in self._unreadable:
                _log.warning("local pod %s of namespace %s is left alone: %s", name[1], name[0], error)
                self._unreadable.add(name)
            return None
        self._unreadable.discard(name)
        return pod

    async def _refresh(self, pods: Iterable[WatchedPod]) -> None:
        wanted = [(watched, watched.pidfd is None) for watched in pods if not watched.is_gone]
        if not wanted:
            return
        results = await self._in_thread(lambda: [self._read(watched.pod, opens) for watched, opens in wanted])
        for (watched, _), result in zip(wanted, results, strict=True):
            try:
                self.apply(watched, result())
            except Exception:  # noqa: BLE001 - one pod's trouble is no other's
                _log.exception("local pod %s can't be looked at: trying again in %s s", watched.pod.name, SCAN_SECONDS)

    def _read(self, pod: StoredPod, open_pidfd: bool) -> Callable[[], PodFiles | None]:
        """Read its files; the answer gives, or raises, what came of it."""
        outcome: Future[PodFiles | None] = Future()
        try:
            outcome.set_result(self._store.read(pod, open_pidfd=open_pidfd))
        except Exception as error:  # noqa: BLE001 - told where the others' results are taken over
            outcome.set_exception(error)
        return outcome.result

    async def _remove_leaving(self) -> None:
        leaving, self._leaving = self._leaving, []
        for watched in [w for w in leaving if not w.is_gone]:
            try:
                await self._in_thread(self._store.remove, watched.pod, _no_guard)
            except OSError:
                _log.exception("local pod %s can't be removed: trying again in %s s", watched.pod.name, SCAN_SECONDS)
                self._loop.call_later(SCAN_SECONDS, self._leave, watched)
            else:
                self.forget(watched)

    def _leave(self, watched: WatchedPod) -> None:
        self._leaving.append(watched)
        self._has_work.set()

    def _take_notices(self) -> None:
        assert self._fifo is not None  # noqa: S101 - for the type checker: it is what was readable
        for uid in os.read(self._fifo, 65536).decode("ascii", "replace").split():
            watched = self._by_uid.get(uid)
            if watched is not None:
                self.look_at(watched)

    def _supervisor_ended(self, watched: WatchedPod) -> None:
        self._close_pidfd(watched)
        self.look_at(watched)

    def _kill_supervisor(self, watched: WatchedPod) -> None:
        """A pod that is lost or gone is not to go on; main goes with its supervisor."""
        if watched.pidfd is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                signal.pidfd_send_signal(watched.pidfd, signal.SIGKILL)

    def _close_pidfd(self, watched: WatchedPod) -> None:
        pidfd, watched.pidfd = watched.pidfd, None
        if pidfd is not None:
            self._loop.remove_reader(pidfd)
            os.close(pidfd)

    def _tell(self, observation: PodObservation) -> None:
        if self.listener is not None:
            self.listener.pod_observed(observation)

    async def _in_thread(self, function: Callable[..., _Result], *args: object) -> _Result:
        return await self._loop.run_in_executor(self._threads, function, *args)

    def close(self) -> None:
        """Stop hearing of pods; they go on."""
        for watched in self._pods.values():
            self._close_pidfd(watched)
        if self._fifo is not None and self._fifo_path is not None:
            self._loop.remove_reader(self._fifo)
            os.close(self._fifo)
            self._fifo_path.unlink(missing_ok=True)
            self._fifo = None


def _no_guard() -> None:
    """The deletion was asked for under a guard already."""


def _open_fifo(root: Path) -> tuple[int, Path]:
    """Make this service's FIFO; it gets its place when it is open, so that no supervisor takes it for an abandoned one."""
    name = f"{os.getpid()}-{uuid.uuid4().hex[:8]}.fifo"
    scratch, path = root / folders.NEW / name, root / folders.WATCHERS / name
    os.mkfifo(scratch, 0o600)
    fifo = os.open(scratch, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)  # both ends: it never reads as closed
    scratch.rename(path)
    return fifo, path
