"""`LocalBackend`: the port, for processes of this machine."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, aclosing
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, TypeVar

from app import failpoints
from app.domain.errors import Fault, LogUnavailable, PodDeferred
from app.domain.pods import MAIN, PodObservation, PodRef
from app.failpoints import Action
from app.pods.local import folders, honour
from app.pods.local.launching import Launcher
from app.pods.local.reading import LogReading
from app.pods.local.records import Unreadable
from app.pods.local.store import PodFiles, PodStore, StoredPod
from app.pods.local.watch import PodWatch, WatchedPod
from app.pods.port import Guard, Manifest, PodListener

_MAKING_THREADS = 4
_WATCHING_THREADS = 2  #: threads of their own: news of pods does not queue behind creations that wait for the disk
_CHECK_SECONDS = 2.0
_SYNC_SECONDS = 10.0

_Result = TypeVar("_Result")


class LocalBackend:
    """Runs pods as processes of this machine; implements `PodBackend`.

    Args:
        folder: where pods' files are; made if missing. One service at a time should make pods in it.
        instance: the installation; pods of others in the same folder are left alone.
        namespaces: where pods may run, by name only: they keep pods' names apart and nothing else.
    """

    kind: Literal["kubernetes", "local"] = "local"

    def __init__(self, folder: Path, instance: str, namespaces: Sequence[str] = ("default",)) -> None:
        self.namespaces = tuple(namespaces)
        self._store = PodStore(folder.absolute(), instance)
        self._instance = instance
        self._listener: PodListener | None = None
        self._launcher = Launcher(folder.absolute())
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> LocalBackend:
        self._making = ThreadPoolExecutor(_MAKING_THREADS, thread_name_prefix="local-pods")
        self._watching = ThreadPoolExecutor(_WATCHING_THREADS, thread_name_prefix="local-pods-watch")
        self._reading = LogReading(self._watching)
        self._watch = PodWatch(self._store, self._launcher, self._watching, self._instance, self._reading.wake)
        self._watch.listener = self._listener
        group = asyncio.TaskGroup()
        await self._stack.enter_async_context(group)
        watching = group.create_task(self._watch.run(), name="local-pods-watch")
        reading = group.create_task(self._reading.run(), name="local-pods-logs")
        self._stack.callback(reading.cancel)
        self._stack.callback(watching.cancel)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._reading.close()
        try:
            await self._stack.aclose()
        finally:
            self._watch.close()
            await self._in_thread(self._launcher.close)
            self._making.shutdown(wait=False)
            self._watching.shutdown(wait=False)

    def listen(self, listener: PodListener) -> None:
        """Tell this listener from now on."""
        self._listener = listener

    async def wait_synced(self, namespace: str) -> None:  # noqa: ARG002 - one scan sees all namespaces
        """Wait until the folder has been looked through once."""
        await self._watch.synced.wait()

    def find_pod(self, namespace: str, name: str) -> PodObservation | None:
        """The pod as last seen; no I/O."""
        watched = self._watch.find(namespace, name)
        return watched.observation if watched is not None else None

    def list_pods(self, namespace: str, run_id: str) -> list[PodObservation]:
        """Every pod of the run as last seen; no I/O."""
        return self._watch.list_run(namespace, run_id)

    def sees(self, namespace: str) -> bool:  # noqa: ARG002 - one scan sees all namespaces
        """Once the folder has been looked through."""
        return self._watch.synced.is_set()

    async def create_pod(self, manifest: Manifest, guard: Guard) -> PodObservation:
        """Make the pod's folder, which is the pod, and have a supervisor forked for it."""
        await self._wait_ready()
        try:
            failpoints.before(Action.CREATE_POD)
            pod, files = await self._in_thread(self._create, manifest, guard)
            failpoints.after(Action.CREATE_POD)
        except OSError as error:
            raise PodDeferred("LauncherFailed", f"no supervisor can be started: {error.strerror}") from error
        watched = self._watch.track(pod, time.monotonic())
        self._watch.apply(watched, files)
        self._watch.look_at(watched)  # a notice that came before the pod was known is lost
        return watched.observation

    def _create(self, manifest: Manifest, guard: Guard) -> tuple[StoredPod, PodFiles]:
        pod = self._store.create(manifest, guard)
        files = self._store.read(pod, open_pidfd=False)
        if files is None:
            raise PodDeferred("AlreadyExists", f"a pod named {pod.name!r} is just being removed")
        if not files.is_claimed:
            failpoints.before(Action.LAUNCH_SUPERVISOR)
            self._launcher.launch(pod.folder)
            failpoints.after(Action.LAUNCH_SUPERVISOR)
        return pod, files

    async def delete_pod(self, ref: PodRef, guard: Guard, *, grace_seconds: int | None = None) -> None:
        """Remove a pod that is over at once; have another one ended, and removed a second later."""
        await self._wait_ready()
        try:
            watched = await self._find_to_delete(ref)
            if watched is None:
                return
            failpoints.before(Action.DELETE_POD)
            if watched.is_over:
                await self._in_thread(self._store.remove, watched.pod, guard)
                self._watch.forget(watched)
            else:
                await self._request_end(watched, guard, grace_seconds)
            failpoints.after(Action.DELETE_POD)
        except OSError as error:
            raise PodDeferred("StorageError", f"pod {ref.name!r} can't be deleted: {error.strerror}") from error

    async def _request_end(self, watched: WatchedPod, guard: Guard, grace_seconds: int | None) -> None:
        pidfd = os.dup(watched.pidfd) if watched.pidfd is not None else None  # ours: the watch may close its own meanwhile

        def request() -> None:
            try:
                self._store.request_end(watched.pod, guard, grace_seconds, pidfd)
            finally:
                if pidfd is not None:
                    os.close(pidfd)

        await self._in_thread(request)
        self._watch.look_at(watched)

    async def _find_to_delete(self, ref: PodRef) -> WatchedPod | None:
        watched = self._watch.find(ref.namespace, ref.name)
        if watched is None or watched.pod.uid != ref.uid:
            try:
                pod = await self._in_thread(self._store.find, ref.namespace, ref.name)
            except Unreadable:
                pod = None
            if pod is None or pod.uid != ref.uid or pod.instance != self._instance:
                return None
            watched = self._watch.track(pod, float("-inf"))
        return watched

    async def _wait_ready(self) -> None:
        try:
            async with asyncio.timeout(_SYNC_SECONDS):
                await self._watch.synced.wait()
        except TimeoutError:
            raise PodDeferred("StorageError", f"the folder {self._store.root} can't be read") from None

    async def follow_log(self, ref: PodRef, container: str, since: datetime | None) -> AsyncIterator[bytes]:
        """The log as it grows; ends when the pod has ended and all of it was read."""
        watched = self._find_logged(ref, container)
        async with aclosing(self._stream(watched, since, lambda: watched.is_over)) as chunks:
            async for chunk in chunks:
                yield chunk

    async def read_log(self, ref: PodRef, container: str, since: datetime | None) -> AsyncIterator[bytes]:
        """What is in the log now."""
        watched = self._find_logged(ref, container)
        async with aclosing(self._stream(watched, since, lambda: True)) as chunks:
            async for chunk in chunks:
                yield chunk

    async def _stream(
        self, watched: WatchedPod, since: datetime | None, is_over: Callable[[], bool]
    ) -> AsyncGenerator[bytes, None]:
        failpoints.before(Action.READ_LOG)
        async with aclosing(self._reading.read(watched.pod.folder / folders.LOG, since, is_over)) as chunks:
            async for chunk in chunks:
                yield chunk
        failpoints.after(Action.READ_LOG)

    def _find_logged(self, ref: PodRef, container: str) -> WatchedPod:
        watched = self._watch.find(ref.namespace, ref.name)
        if watched is None or watched.pod.uid != ref.uid:
            raise LogUnavailable(f"there is no pod {ref.name!r} with uid {ref.uid}", gone=self._watch.synced.is_set())
        if container != MAIN:
            raise LogUnavailable(f"pod {ref.name!r} has no container {container!r}", gone=True)
        return watched

    async def check(self) -> str | None:
        """None when the folder can be written to."""
        try:
            async with asyncio.timeout(_CHECK_SECONDS):
                return await self._in_thread(self._store.check)
        except TimeoutError:
            return f"the folder of local pods, {self._store.root}, did not answer within {_CHECK_SECONDS:g} s"

    def refuse(self, document: Mapping[str, Any]) -> list[Fault]:
        """What needs a real container; see `honour`."""
        return honour.find_refused(document)

    def remarks(self, manifest: Manifest) -> list[str]:
        """What is taken but not honoured; see `honour`."""
        return honour.make_remarks(manifest)

    async def _in_thread(self, function: Callable[..., _Result], *args: object) -> _Result:
        return await asyncio.get_running_loop().run_in_executor(self._making, function, *args)
