"""`Client`: `AsyncClient` for code without asyncio. Same methods, same arguments, plain iterators.

The calls run on an event loop in a thread of the client's own, so that it also works where a loop is running already (a
notebook), and from several threads.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Coroutine, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

from podrun.client import AsyncClient
from podrun.link import Patience
from podrun.stored import Document
from podrun.types import Event, LogItem, Run, StoredWorkflow, Task, WorkflowVersion

T = TypeVar("T")


class Client:
    """A client of one podrun service. Close it, or use it in a `with` statement. See `AsyncClient` for every method."""

    def __init__(self, server: str | None = None, *, token: str | None = None, patience: Patience | None = None) -> None:
        self._async = AsyncClient(server, token=token, patience=patience)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="podrun-client", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections and end the thread. Closing again does nothing."""
        if self._loop.is_closed():
            return
        self._call(self._async.__aexit__(None, None, None))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def submit(
        self,
        workflow: Document | str,
        *,
        params: Mapping[str, Any] | None = None,
        labels: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
    ) -> Run:
        """See `AsyncClient.submit`."""
        return self._call(self._async.submit(workflow, params=params, labels=labels, idempotency_key=idempotency_key))

    def validate(self, workflow: Document, *, pods: bool = False) -> dict[str, Any]:
        """See `AsyncClient.validate`."""
        return self._call(self._async.validate(workflow, pods=pods))

    def put_workflow(self, workflow: Document, *, name: str | None = None) -> StoredWorkflow:
        """See `AsyncClient.put_workflow`."""
        return self._call(self._async.put_workflow(workflow, name=name))

    def get_workflow(self, name: str, *, version: int | None = None) -> StoredWorkflow:
        """See `AsyncClient.get_workflow`."""
        return self._call(self._async.get_workflow(name, version=version))

    def list_workflows(self, *, limit: int | None = None) -> Iterator[StoredWorkflow]:
        """See `AsyncClient.list_workflows`."""
        return self._iterate(self._async.list_workflows(limit=limit))

    def list_versions(self, name: str, *, limit: int | None = None) -> Iterator[WorkflowVersion]:
        """See `AsyncClient.list_versions`."""
        return self._iterate(self._async.list_versions(name, limit=limit))

    def delete_workflow(self, name: str) -> None:
        """See `AsyncClient.delete_workflow`."""
        return self._call(self._async.delete_workflow(name))

    def pause_workflow(self, name: str) -> StoredWorkflow:
        """See `AsyncClient.pause_workflow`."""
        return self._call(self._async.pause_workflow(name))

    def unpause_workflow(self, name: str) -> StoredWorkflow:
        """See `AsyncClient.unpause_workflow`."""
        return self._call(self._async.unpause_workflow(name))

    def get_run(self, run_id: str, *, include_tasks: bool = False) -> Run:
        """See `AsyncClient.get_run`."""
        return self._call(self._async.get_run(run_id, include_tasks=include_tasks))

    def watch_run(self, run_id: str, *, include_tasks: bool = False, interval_seconds: float = 0.25) -> Iterator[Run]:
        """See `AsyncClient.watch_run`."""
        return self._iterate(self._async.watch_run(run_id, include_tasks=include_tasks, interval_seconds=interval_seconds))

    def wait(self, run_id: str, *, timeout_seconds: float | None = None) -> Run:
        """See `AsyncClient.wait`."""
        return self._call(self._async.wait(run_id, timeout_seconds=timeout_seconds))

    def list_runs(self, **filters: Any) -> Iterator[Run]:
        """See `AsyncClient.list_runs`, which has the filters."""
        return self._iterate(self._async.list_runs(**filters))

    def cancel(self, run_id: str, *, reason: str | None = None, force: bool = False) -> Run:
        """See `AsyncClient.cancel`."""
        return self._call(self._async.cancel(run_id, reason=reason, force=force))

    def retry(self, run_id: str, tasks: Sequence[str] | None = None) -> Run:
        """See `AsyncClient.retry`."""
        return self._call(self._async.retry(run_id, tasks))

    def suspend(self, run_id: str) -> Run:
        """See `AsyncClient.suspend`."""
        return self._call(self._async.suspend(run_id))

    def resume(self, run_id: str) -> Run:
        """See `AsyncClient.resume`."""
        return self._call(self._async.resume(run_id))

    def approve(self, run_id: str, task: str, *, comment: str | None = None) -> Run:
        """See `AsyncClient.approve`."""
        return self._call(self._async.approve(run_id, task, comment=comment))

    def reject(self, run_id: str, task: str, *, comment: str | None = None) -> Run:
        """See `AsyncClient.reject`."""
        return self._call(self._async.reject(run_id, task, comment=comment))

    def delete(self, run_id: str) -> None:
        """See `AsyncClient.delete`."""
        return self._call(self._async.delete(run_id))

    def list_tasks(
        self, run_id: str, *, phases: Sequence[str] = (), foreach: str | None = None, limit: int | None = None
    ) -> Iterator[Task]:
        """See `AsyncClient.list_tasks`."""
        return self._iterate(self._async.list_tasks(run_id, phases=phases, foreach=foreach, limit=limit))

    def get_task(self, run_id: str, task: str) -> Task:
        """See `AsyncClient.get_task`."""
        return self._call(self._async.get_task(run_id, task))

    def logs(self, run_id: str, task: str | None = None, **options: Any) -> Iterator[LogItem]:
        """See `AsyncClient.logs`, which has the options."""
        return self._iterate(self._async.logs(run_id, task, **options))

    def log_bytes(self, run_id: str, task: str | None = None, **options: Any) -> Iterator[bytes]:
        """See `AsyncClient.log_bytes`, which has the options."""
        return self._iterate(self._async.log_bytes(run_id, task, **options))

    def events(
        self, run_id: str, *, follow: bool = False, tail: int | None = None, cursor: str | None = None
    ) -> Iterator[Event]:
        """See `AsyncClient.events`."""
        return self._iterate(self._async.events(run_id, follow=follow, tail=tail, cursor=cursor))

    def info(self) -> dict[str, Any]:
        """See `AsyncClient.info`."""
        return self._call(self._async.info())

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        if self._loop.is_closed():
            work.close()
            raise RuntimeError("the client is closed")
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            # Ctrl-C hits the caller's thread: the call ends with it.
            future.cancel()
            raise

    def _iterate(self, items: AsyncGenerator[T, None]) -> Iterator[T]:
        async def following() -> tuple[T] | None:
            async for item in items:
                return (item,)
            return None

        try:
            while (box := self._call(following())) is not None:
                yield box[0]
        finally:
            if not self._loop.is_closed():
                self._call(items.aclose())
