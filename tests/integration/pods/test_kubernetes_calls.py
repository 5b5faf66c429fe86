"""What the Kubernetes backend makes of answers to its own calls: creations, deletions, credentials that expire."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from aiohttp import web

from app.domain.errors import LeaseExpired, PodDeferred, PodRefused
from app.domain.pods import PodRef
from tests.integration.pods.kubernetes_bench import Bench, allow, manifest, refusing
from tests.support.api_server import WAIT_SECONDS, FakeApiServer, status_answer


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
