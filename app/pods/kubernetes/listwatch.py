"""One list-and-watch that never ends: lists a collection in pages, watches it from there, and recovers from all that happens.

How it goes on, which is all there is to know about it:

    list done, watch ended by the server   watch again, from the newest version seen (bookmarks count)
    410, or an ERROR event that says so    list again
    silence (no event, no bookmark)        list again: the stream may be dead, or be forgotten by the server
    a line that is no watch event          list again
    any other error                        the same step again, after a pause

A step that brought nothing is followed by a pause that grows, with jitter, whatever ended it: never a hot loop. A collection
that is forbidden is asked for again every half minute or so.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, NoReturn, Protocol

import aiohttp
import msgspec
import structlog

from app import failpoints
from app.failpoints import Action
from app.pods.kubernetes.client import ApiClient
from app.pods.kubernetes.errors import ApiError, ApiUnreachable, parse_error
from app.pods.kubernetes.objects import (
    LineSplitter,
    decode_page,
    decode_status,
    decode_versioned,
    decode_watch_event,
    parse_version,
)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """The waits of a list-and-watch, in seconds. The defaults are for a real API server, which sends a bookmark each minute.

    It sends none for events, which it does not cache: `event_watch` has it end those watches before they are taken for dead.
    """

    silence: float = 90.0  #: no byte for so long ends a watch
    watch: float = 270.0  #: asked of the server as the watch's end, plus up to a fifth
    event_watch: float = 60.0  #: the same for events; with its fifth it must be less than `silence`
    healthy: float = 10.0  #: a watch that lived so long was a good one, even if it brought nothing
    first_pause: float = 0.2
    longest_pause: float = 5.0
    forbidden_pause: float = 30.0  #: the longest pause where the collection is forbidden
    settled: float = 0.3  #: what follows the first line of a watch, where a lot had happened, comes within that time
    list_call: float = 60.0  #: for one page
    outage: float = 2.0  #: who can't reach the API server for so long is not alone in it: kubelets can't either
    #: What a kubelet could not report in an outage it has reported so long afterwards: it tries again each 10 s.
    reported: float = 15.0


class _Actions(NamedTuple):
    list: Action
    watch: Action


_ACTIONS = {
    "pods": _Actions(Action.LIST_PODS, Action.WATCH_PODS),
    "events": _Actions(Action.LIST_EVENTS, Action.WATCH_EVENTS),
}


class Sink(Protocol):
    """Who takes what a list-and-watch brings. Objects are still encoded; none of these may raise."""

    def list_started(self) -> None:
        """A list's first request goes out now."""

    def listed(self, items: Sequence[msgspec.Raw], version: int) -> None:
        """A page of the list. `version` is the whole list's."""

    def list_ended(self, version: int) -> None:
        """The list is complete."""

    def changed(self, kind: str, item: msgspec.Raw) -> str:
        """ADDED, MODIFIED or DELETED; returns the object's resource version, "" where it can't be read."""

    def reached(self, version: int) -> None:
        """All up to this version has been told."""


class _Gone(Exception):
    """The version that we want to go on from is not kept any more, or can't be trusted."""


class ListWatch:
    """One list-and-watch. `run` is its coroutine; `trouble` says why it does not work at the moment."""

    def __init__(
        self, client: ApiClient, path: str, selector: Mapping[str, str], sink: Sink, timing: Timing, page_size: int = 500
    ) -> None:
        self.trouble: ApiError | ApiUnreachable | None = None
        self._client, self._path, self._selector, self._sink = client, path, selector, sink
        self._timing, self._page_size = timing, page_size
        self._actions = _ACTIONS[path.rpartition("/")[2]]
        self._version: str | None = None  #: where the next watch starts; None: list first
        self._heard = False  #: the watch under way has brought something
        # Moments of the monotonic clock, None: not so now.
        self._told_since: float | None = None  #: a list is complete, or the watch that goes on after a trouble brings something
        self._reached_since: float | None = None  #: every watch could be opened
        self._is_open = False
        self._away_since: float | None = None  #: the API server does not answer, or not as it should
        self._back_at = -math.inf  #: the last outage was over
        self._failures = 0
        self._log = log.bind(path=path)

    @property
    def is_current(self) -> bool:
        """Whether what was brought is what is there now, as far as can be known: a silent watch looks like a quiet one.

        That a watch could be opened is not enough: an API server that has just started has nothing to say for a second, and
        then that it has forgotten our version. And after an outage pods are there as kubelets could tell it before.
        """
        now = time.monotonic()
        if now - self._back_at < self._timing.reported:
            return False
        if self._told_since is not None:
            return now - self._told_since > self._timing.settled
        return self._is_open and self._reached_since is not None and now - self._reached_since > self._timing.healthy

    async def run(self) -> NoReturn:
        """List and watch until cancelled."""
        while True:
            progress = False
            try:
                if self._version is None:
                    self._version = await self._list()
                    self._answered()
                progress = await self._watch()
            except _Gone as exc:
                self._log.info("listing again", cause=str(exc))
                progress, self._version, self._told_since = self._heard, None, None
            except (ApiError, ApiUnreachable) as exc:
                self._failed(exc)
                progress = self._heard
            except Exception as exc:
                # A fault of ours with one answer must not end the watch of a namespace: start it afresh.
                log.exception("the watch failed", path=self._path)
                self._failed(ApiUnreachable("InternalError", f"podrun failed to read the answer: {type(exc).__name__}"))
                self._version = None
            await self._pause(progress)

    async def _list(self) -> str:
        """Bring the whole collection, at one version, and return that."""
        self._heard = False
        failpoints.before(self._actions.list)
        self._sink.list_started()
        params = {**self._selector, "limit": str(self._page_size)}
        while True:
            body = await self._client.call("GET", self._path, params=params, timeout_seconds=self._timing.list_call)
            try:
                page = decode_page(body)
            except msgspec.MsgspecError as exc:
                raise ApiUnreachable("InvalidAnswer", "the API server's list can't be read") from exc
            version = page.metadata.resource_version
            self._sink.listed(page.items, parse_version(version))
            if not page.metadata.next_page:
                self._sink.list_ended(parse_version(version))
                self._told_since = time.monotonic()
                failpoints.after(self._actions.list)
                return version
            params = {**params, "continue": page.metadata.next_page}

    async def _watch(self) -> bool:
        """Watch until the server ends it; returns whether it brought anything. `_version` moves with what it brings."""
        self._heard, started_at = False, time.monotonic()
        seconds = self._timing.watch * (1 + random.random() / 5)  # noqa: S311 - jitter
        params = {
            **self._selector,
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": self._version or "",
            "timeoutSeconds": str(max(1, round(seconds))),
        }
        lines, opened = LineSplitter(), False
        failpoints.before(self._actions.watch)
        try:
            async with self._client.watch(self._path, params, self._timing.silence) as response:
                opened = True
                self._answered()
                self._is_open, self._reached_since = True, self._reached_since or time.monotonic()
                failpoints.after(self._actions.watch)
                async for chunk in response.content.iter_any():
                    for line in lines.feed(chunk):
                        self._take(line)
        except TimeoutError as exc:
            if not opened:
                raise self._client.unreachable(exc) from exc
            raise _Gone(f"nothing was heard for {self._timing.silence:.0f} s") from exc
        except ApiError as exc:
            if exc.code == 410:
                raise _Gone(exc.reason) from exc
            raise
        except (aiohttp.ClientError, OSError) as exc:
            raise self._client.unreachable(exc) from exc
        finally:
            self._is_open = False
            self._reached_since = self._reached_since if opened else None
        return self._heard or time.monotonic() - started_at > self._timing.healthy

    def _take(self, line: bytes) -> None:
        """One line of a watch."""
        try:
            event = decode_watch_event(line)
            if event.type == "ERROR":
                self._raise_error(event.object)
            if event.type == "BOOKMARK":
                version = decode_versioned(event.object).metadata.resource_version
            else:
                version = self._sink.changed(event.type, event.object)
        except msgspec.MsgspecError as exc:
            raise _Gone("a line of the watch can't be read") from exc
        self._heard = True
        self._told_since = self._told_since or time.monotonic()
        if version:
            self._version = version
            self._sink.reached(parse_version(version))

    def _raise_error(self, item: msgspec.Raw) -> NoReturn:
        status = decode_status(item)
        if status.code == 410 or status.reason in ("Expired", "Gone"):
            raise _Gone(status.reason or "Gone")
        raise parse_error(status.code or 500, bytes(item))

    def _failed(self, error: ApiError | ApiUnreachable) -> None:
        if isinstance(error, ApiError) and error.code == 410:
            # A list's next page has expired: start it anew.
            self._version = None
        if self.trouble is None:
            self._log.warning("the API server does not let us watch", reason=error.reason, message=error.message[:300])
        self.trouble, self._told_since = error, None
        self._away_since = self._away_since or time.monotonic()

    def _answered(self) -> None:
        """The API server is there, or there again."""
        now = time.monotonic()
        if self._away_since is not None and now - self._away_since >= self._timing.outage:
            self._back_at = now
        self.trouble, self._away_since = None, None

    async def _pause(self, progress: bool) -> None:
        """Wait before the next step: not at all after one that brought something, else ever longer."""
        if progress and self.trouble is None:
            self._failures = 0
            return
        self._failures = 1 if progress else self._failures + 1
        longest = self._timing.longest_pause
        wanted = 0.0
        if isinstance(self.trouble, ApiError):
            wanted = self.trouble.retry_after_seconds or 0.0
            longest = self._timing.forbidden_pause if self.trouble.code in (401, 403, 404) else longest
        pause = min(longest, self._timing.first_pause * 2 ** min(self._failures - 1, 16))
        await asyncio.sleep(max(pause * (0.5 + random.random() / 2), min(wanted, 60.0)))  # noqa: S311 - jitter
