"""What the Kubernetes backend makes of an API server that ends watches, forgets, falls silent and refuses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web

from app.domain.errors import LeaseExpired, PodDeferred, PodRefused
from app.domain.pods import PodEvent, PodObservation, PodRef
from app.pods.kubernetes.backend import KubernetesBackend
from app.pods.kubernetes.cluster import Cluster, NoCredentials
from app.pods.kubernetes.listwatch import Timing
from tests.support.api_server import WAIT_SECONDS, FakeApiServer, Watch, status_answer
from tests.support.waiting import until

QUICK = Timing(silence=5, first_pause=0.01, longest_pause=0.05, forbidden_pause=0.05)


def manifest(name: str, namespace: str = "ci", attempt: int = 1, **metadata: Any) -> dict[str, Any]:
    labels = {"run": "r", "task": name, "attempt": str(attempt), "instance": "inst"}
    own = {"name": name, "namespace": namespace, "labels": {f"podrun.dev/{key}": value for key, value in labels.items()}}
    return {"metadata": own | metadata, "spec": {"containers": [{"name": "main"}]}, "status": {"phase": "Pending"}}


def event_of(name: str, version: int) -> dict[str, Any]:
    return {
        "metadata": {"name": f"{name}.1", "namespace": "ci", "uid": f"event-{name}", "resourceVersion": str(version)},
        "involvedObject": {"kind": "Pod", "namespace": "ci", "name": name, "uid": "u"},
        "reason": "FailedScheduling",
        "message": "0/1 nodes are available",
        "type": "Warning",
        "eventTime": "2026-01-02T03:04:05.123456Z",
        "firstTimestamp": None,
        "lastTimestamp": None,
        "source": {},
        "reportingComponent": "default-scheduler",
    }


def allow() -> None:
    """A guard that never objects."""


class Recorder:
    """A listener that keeps what it is told."""

    def __init__(self) -> None:
        self.told: asyncio.Queue[PodObservation] = asyncio.Queue()
        self.events: asyncio.Queue[PodEvent] = asyncio.Queue()

    def pod_observed(self, observation: PodObservation) -> None:
        self.told.put_nowait(observation)

    def pod_event(self, event: PodEvent) -> None:
        self.events.put_nowait(event)

    async def next(self) -> tuple[str, str, bool]:
        """Name, phase and existence of the next observation."""
        async with asyncio.timeout(WAIT_SECONDS):
            observation = await self.told.get()
        return observation.name, observation.phase, observation.exists

    async def next_event(self) -> PodEvent:
        async with asyncio.timeout(WAIT_SECONDS):
            return await self.events.get()


class Bench:
    def __init__(self, server: FakeApiServer) -> None:
        self.server, self.seen = server, Recorder()
        self.backend: KubernetesBackend

    def make(self, credentials: Any = None, timing: Timing = QUICK, **options: Any) -> KubernetesBackend:
        cluster = Cluster(server=self.server.url, namespace="ci", credentials=credentials or NoCredentials())
        self.backend = KubernetesBackend(cluster, instance="inst", timing=timing, **options)
        self.backend.listen(self.seen)
        return self.backend


@pytest.fixture
async def server() -> AsyncIterator[FakeApiServer]:
    async with FakeApiServer() as running:
        yield running


@pytest.fixture
async def bench(server: FakeApiServer) -> Bench:
    return Bench(server)


def refusing(answer: Callable[[], web.Response], when: Callable[[web.Request], bool]) -> Any:
    async def intercept(request: web.Request) -> web.StreamResponse | None:
        return answer() if when(request) else None

    return intercept


async def test_list__several_pages__all_told_and_found(bench: Bench, server: FakeApiServer):
    for number in range(5):
        server.put(manifest(f"p{number}"))
    async with bench.make(page_size=2) as backend:
        await backend.wait_synced("ci")
        assert [await bench.seen.next() for _ in range(5)] == [(f"p{n}", "Pending", True) for n in range(5)]
        assert server.count("LIST", "/pods") == 3
        assert (await server.next_watch()).version == str(server.version)
        assert backend.find_pod("ci", "p4") is not None
        assert backend.find_pod("ci", "p9") is None


async def test_watch__changes_cut_anywhere__told_in_order(bench: Bench, server: FakeApiServer):
    async with bench.make() as backend:
        watch = await server.next_watch()
        pod = server.put(manifest("a"))
        await watch.send("ADDED", pod)
        pod = server.put(pod | {"status": {"phase": "Running"}})
        line = b'{"type": "MODIFIED", "object": ' + web.json_response(pod).body + b"}\n"  # type: ignore[operator]
        for place in range(0, len(line), 100):
            await watch.send_raw(line[place : place + 100])
        await watch.send("DELETED", server.remove(pod))
        assert [await bench.seen.next() for _ in range(3)] == [
            ("a", "Pending", True),
            ("a", "Running", True),
            ("a", "Running", False),
        ]
        assert backend.find_pod("ci", "a") is None


async def test_watch__labels_that_name_another_attempt_or_none__the_pod_that_was_is_gone(bench: Bench, server: FakeApiServer):
    async with bench.make() as backend:
        watch = await server.next_watch()
        renamed, unnamed = server.put(manifest("renamed")), server.put(manifest("unnamed"))
        for pod in (renamed, unnamed):
            await watch.send("ADDED", pod)
        renamed["metadata"]["labels"]["podrun.dev/attempt"] = "7"
        await watch.send("MODIFIED", server.put(renamed))
        del unnamed["metadata"]["labels"]["podrun.dev/run"]
        await watch.send("MODIFIED", server.put(unnamed))
        told = [await bench.seen.told.get() for _ in range(5)]
        assert [(one.name, one.key.attempt, one.exists) for one in told] == [
            ("renamed", 1, True),
            ("unnamed", 1, True),
            ("renamed", 1, False),
            ("renamed", 7, True),
            ("unnamed", 1, False),
        ]
        assert backend.find_pod("ci", "unnamed") is None
        watch.end()


async def test_list__labels_that_name_no_attempt_any_more__the_pod_that_was_is_gone(bench: Bench, server: FakeApiServer):
    pod = server.put(manifest("a"))
    async with bench.make():
        watch = await server.next_watch()
        assert await bench.seen.next() == ("a", "Pending", True)
        del pod["metadata"]["labels"]["podrun.dev/run"]
        server.put(pod)
        await watch.send("ERROR", {"kind": "Status", "status": "Failure", "code": 410, "reason": "Expired", "message": "old"})
        assert await bench.seen.next() == ("a", "Pending", False)


async def test_watch__clean_end__goes_on_from_the_newest_version(bench: Bench, server: FakeApiServer):
    async with bench.make():
        watch = await server.next_watch()
        await watch.send("ADDED", server.put(manifest("a")))
        await watch.send("BOOKMARK", {"kind": "Pod", "metadata": {"resourceVersion": "555", "creationTimestamp": None}})
        watch.end()
        again = await server.next_watch()
        assert again.version == "555"
        assert server.count("LIST", "/pods") == 1


async def test_watch__answer_410__lists_again_and_tells_who_is_gone(bench: Bench, server: FakeApiServer):
    kept, lost = server.put(manifest("kept")), server.put(manifest("lost"))
    async with bench.make() as backend:
        watch = await server.next_watch()
        assert {await bench.seen.next(), await bench.seen.next()} == {("kept", "Pending", True), ("lost", "Pending", True)}
        server.remove(lost)
        stale = watch.version
        server.intercept = refusing(
            lambda: status_answer(410, "Expired", "too old resource version"),
            lambda request: request.query.get("resourceVersion") == stale and request.path.endswith("/pods"),
        )
        watch.end()
        assert await bench.seen.next() == ("kept", "Pending", True)
        assert await bench.seen.next() == ("lost", "Pending", False)
        assert backend.find_pod("ci", "lost") is None
        assert kept["metadata"]["uid"] == backend.find_pod("ci", "kept").uid  # type: ignore[union-attr]


async def test_watch__error_event_410__lists_again(bench: Bench, server: FakeApiServer):
    async with bench.make():
        watch = await server.next_watch()
        server.put(manifest("a"))
        await watch.send("ERROR", {"kind": "Status", "status": "Failure", "code": 410, "reason": "Expired", "message": "old"})
        assert await bench.seen.next() == ("a", "Pending", True)
        assert (await server.next_watch()).version == str(server.version)


async def test_watch__other_error_event__watches_again_from_there(bench: Bench, server: FakeApiServer):
    async with bench.make():
        watch = await server.next_watch()
        await watch.send("ERROR", {"kind": "Status", "status": "Failure", "code": 500, "message": "etcd"})
        assert (await server.next_watch()).version == watch.version
        assert server.count("LIST", "/pods") == 1


async def _blind(bench: Bench, server: FakeApiServer, watch: Watch) -> Watch:
    """Have the API server away for a moment; the watch that follows."""
    server.intercept = refusing(lambda: status_answer(503, "ServiceUnavailable", "no"), lambda _: True)
    watch.end()
    await until(lambda: not bench.backend.sees("ci"), WAIT_SECONDS)
    server.intercept = None
    return await server.next_watch()


async def test_sees__after_a_list_until_a_watch_fails__then_once_the_next_says_something(bench: Bench, server: FakeApiServer):
    async with bench.make(timing=replace(QUICK, settled=0.05)) as backend:
        assert not backend.sees("ci")
        assert not backend.sees("elsewhere")
        watch = await server.next_watch()
        await until(lambda: backend.sees("ci"), WAIT_SECONDS)
        watch.end()
        watch = await _blind(bench, server, await server.next_watch())
        await asyncio.sleep(0.2)
        assert not backend.sees("ci")
        await watch.send("ADDED", server.put(manifest("a")))
        await until(lambda: backend.sees("ci"), WAIT_SECONDS)
        watch = await _blind(bench, server, watch)
        await watch.send("ERROR", {"kind": "Status", "code": 410, "reason": "Expired"})
        await until(lambda: backend.sees("ci"), WAIT_SECONDS)
        assert server.count("LIST", "/pods") == 2


async def test_sees__quiet_after_trouble__when_watches_could_be_opened_for_a_while(bench: Bench, server: FakeApiServer):
    async with bench.make(timing=replace(QUICK, settled=0.05, healthy=0.3)) as backend:
        watch = await _blind(bench, server, await server.next_watch())
        assert not backend.sees("ci")
        for _ in range(3):  # however often they end
            watch.end()
            watch = await server.next_watch()
        await until(lambda: backend.sees("ci"), WAIT_SECONDS)


async def test_watch__silence__lists_again(bench: Bench, server: FakeApiServer):
    async with bench.make(timing=Timing(silence=0.1, first_pause=0.01)):
        await server.next_watch()
        server.put(manifest("a"))
        assert await bench.seen.next() == ("a", "Pending", True)
        assert server.count("LIST", "/pods") >= 2


async def test_watch__lines_that_are_no_pods__do_not_stop_it(bench: Bench, server: FakeApiServer):
    async with bench.make():
        watch = await server.next_watch()
        await watch.send("ADDED", {"metadata": {"name": 5, "resourceVersion": "1"}})
        await watch.send("ADDED", server.put(manifest("foreign", labels={"podrun.dev/attempt": "x"})))
        await watch.send("ADDED", server.put(manifest("a")))
        assert await bench.seen.next() == ("a", "Pending", True)
        await watch.send_raw(b'{"type": "ADD\n')
        assert (await server.next_watch()).version == str(server.version)
        assert server.count("LIST", "/pods") == 2


async def test_watch__server_away__comes_back_without_a_hot_loop(bench: Bench, server: FakeApiServer):
    async with bench.make() as backend:
        watch = await server.next_watch()
        server.intercept = refusing(lambda: web.Response(status=503, text="away"), lambda _: True)
        before = len(server.requests)
        watch.end()
        async with asyncio.timeout(WAIT_SECONDS):
            while await backend.check() is None or len(server.requests) < before + 4:
                pass
        server.intercept = None
        assert (await server.next_watch()).version == watch.version
        assert len(server.requests) < before + 60


async def test_namespace__forbidden__said_by_check_and_the_other_works(bench: Bench, server: FakeApiServer):
    server.put(manifest("a", "open"))
    server.intercept = refusing(
        lambda: status_answer(403, "Forbidden", "pods is forbidden"), lambda request: "/closed/" in request.path
    )
    async with bench.make(namespaces=["open", "closed"]) as backend:
        await backend.wait_synced("open")
        assert await bench.seen.next() == ("a", "Pending", True)
        async with asyncio.timeout(WAIT_SECONDS):
            while (sentence := await backend.check()) is None:
                pass
        assert "namespace closed" in sentence
        assert "pods is forbidden" in sentence
        server.intercept = None
        async with asyncio.timeout(WAIT_SECONDS):
            await backend.wait_synced("closed")


async def test_events__of_known_pods_only(bench: Bench, server: FakeApiServer):
    server.put(manifest("a"))
    async with bench.make():
        watch = await server.next_watch("events")
        await watch.send("ADDED", event_of("stranger", 900))
        await watch.send("MODIFIED", event_of("a", 901))
        event = await bench.seen.next_event()
        assert (event.pod, event.reason, event.count, event.source) == ("a", "FailedScheduling", 1, "default-scheduler")
        assert event.event_uid == "event-a"
        assert event.last_at.microsecond == 123456


async def test_events__listed_again__only_new_ones_are_told(bench: Bench, server: FakeApiServer):
    server.put(manifest("a"))
    server.events = [event_of("a", 90)]
    async with bench.make():
        watch = await server.next_watch("events")
        assert (await bench.seen.next_event()).pod == "a"
        await watch.send("MODIFIED", event_of("a", 150))
        await bench.seen.next_event()
        server.version = 200
        server.events = [event_of("a", 150), event_of("a", 160) | {"reason": "Scheduled"}]
        await watch.send("ERROR", {"kind": "Status", "status": "Failure", "code": 410, "reason": "Expired", "message": "old"})
        assert (await bench.seen.next_event()).reason == "Scheduled"
        assert bench.seen.events.empty()


async def test_create__while_a_list_is_under_way__is_not_taken_for_gone(bench: Bench, server: FakeApiServer):
    stale = {"metadata": {"resourceVersion": str(server.version)}, "items": []}
    listing, go_on = asyncio.Event(), asyncio.Event()

    async def intercept(request: web.Request) -> web.StreamResponse | None:
        if request.method != "GET" or "watch" in request.query or request.path.endswith("/events"):
            return None
        listing.set()
        await go_on.wait()
        return web.json_response(stale)

    server.intercept = intercept
    async with bench.make() as backend, asyncio.timeout(WAIT_SECONDS):
        await listing.wait()
        created = await backend.create_pod(manifest("a"), allow)
        go_on.set()
        await backend.wait_synced("ci")
        assert backend.find_pod("ci", "a") == created
        assert bench.seen.told.empty()


async def test_create__watch_saw_it_go_before_the_answer__comes_back_as_gone(bench: Bench, server: FakeApiServer):
    async def intercept(request: web.Request) -> web.StreamResponse | None:
        if request.method != "POST":
            return None
        pod = server.put(await request.json())
        await watch.send("ADDED", pod)
        await watch.send("DELETED", server.remove(pod))
        assert [await bench.seen.next(), await bench.seen.next()] == [("a", "Pending", True), ("a", "Pending", False)]
        return web.json_response(pod, status=201)

    async with bench.make() as backend:
        watch = await server.next_watch()
        server.intercept = intercept
        created = await backend.create_pod(manifest("a"), allow)
        assert not created.exists
        assert backend.find_pod("ci", "a") is None


async def test_create__connection_breaks_after_it_was_done__deferred_then_adopted(bench: Bench, server: FakeApiServer):
    async def intercept(request: web.Request) -> web.StreamResponse | None:
        if request.method == "POST":
            server.intercept = None
            server.put(await request.json())
            assert request.transport is not None
            request.transport.close()
        return None

    server.intercept = intercept
    async with bench.make() as backend:
        with pytest.raises(PodDeferred) as deferred:
            await backend.create_pod(manifest("a"), allow)
        assert deferred.value.reason == "ConnectionError"
        adopted = await backend.create_pod(manifest("a"), allow)
        assert adopted.uid == server.pods["ci", "a"]["metadata"]["uid"]
        with pytest.raises(PodRefused) as refused:
            await backend.create_pod(manifest("a", attempt=2), allow)
        assert refused.value.reason == "PodNameConflict"


async def test_guard__refuses__nothing_is_sent(bench: Bench, server: FakeApiServer):
    def refuse() -> None:
        raise LeaseExpired("not ours any more")

    async with bench.make() as backend:
        await backend.wait_synced("ci")
        for _ in range(3):
            with pytest.raises(LeaseExpired):
                await backend.create_pod(manifest("a"), refuse)
            with pytest.raises(LeaseExpired):
                await backend.delete_pod(PodRef("ci", "a", "u"), refuse)
        assert {verb for verb, _ in server.requests} <= {"LIST", "WATCH"}


async def test_delete__pod_is_gone_already__told_so(bench: Bench, server: FakeApiServer):
    pod = server.put(manifest("a"))
    async with bench.make() as backend:
        assert await bench.seen.next() == ("a", "Pending", True)
        server.remove(pod)
        await backend.delete_pod(PodRef("ci", "a", pod["metadata"]["uid"]), allow)
        assert await bench.seen.next() == ("a", "Pending", False)


class Tokens:
    """Credentials whose first token is not good any more."""

    def __init__(self) -> None:
        self.renewals = 0

    async def header(self) -> str | None:
        return f"Bearer {self.renewals}"

    async def renew(self, rejected: str | None) -> None:
        assert rejected == f"Bearer {self.renewals}"
        self.renewals += 1


def unauthorized(good: str) -> Callable[[web.Request], Awaitable[web.StreamResponse | None]]:
    return refusing(
        lambda: status_answer(401, "Unauthorized", "Unauthorized"),
        lambda request: request.method != "GET" and request.headers["Authorization"] != good,
    )


async def test_credentials__expired__renewed_once_and_sent_again(bench: Bench, server: FakeApiServer):
    tokens = Tokens()
    server.intercept = unauthorized("Bearer 1")
    async with bench.make(tokens) as backend:
        assert (await backend.create_pod(manifest("a"), allow)).name == "a"
        assert tokens.renewals == 1


async def test_credentials__never_good__deferred_after_one_renewal(bench: Bench, server: FakeApiServer):
    tokens = Tokens()
    server.intercept = unauthorized("Bearer x")
    async with bench.make(tokens) as backend:
        with pytest.raises(PodDeferred) as deferred:
            await backend.create_pod(manifest("a"), allow)
        assert deferred.value.reason == "Unauthorized"
        assert (tokens.renewals, server.count("POST", "/pods")) == (1, 2)
