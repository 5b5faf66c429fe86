"""Whether the Kubernetes backend sees pods as they are: what may end one waits while it does not."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

from tests.integration.pods.kubernetes_bench import QUICK, Bench, manifest, refusing
from tests.support.api_server import WAIT_SECONDS, FakeApiServer, Watch, status_answer
from tests.support.waiting import until


async def _blind(bench: Bench, server: FakeApiServer, watch: Watch, seconds: float = 0) -> Watch:
    """Have the API server away for so long, or for a moment; the watch that follows."""
    server.intercept = refusing(lambda: status_answer(503, "ServiceUnavailable", "no"), lambda _: True)
    watch.end()
    await until(lambda: not bench.backend.sees("ci"), WAIT_SECONDS)
    await asyncio.sleep(seconds)
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


async def test_sees__after_an_outage__when_kubelets_have_reported_what_happened_meanwhile(bench: Bench, server: FakeApiServer):
    async with bench.make(timing=replace(QUICK, settled=0.05, outage=0.3, reported=0.5)) as backend:
        watch = await _blind(bench, server, await server.next_watch())
        await watch.send("ADDED", server.put(manifest("a")))
        began = time.monotonic()
        await until(lambda: backend.sees("ci"), WAIT_SECONDS)
        assert time.monotonic() - began < 0.4, "it was away for a moment only"
        watch = await _blind(bench, server, watch, seconds=0.3)
        began = time.monotonic()
        await watch.send("ADDED", server.put(manifest("b")))
        await until(lambda: backend.sees("ci"), WAIT_SECONDS)
        assert time.monotonic() - began > 0.4
