"""What the Kubernetes backend makes of an API server that ends watches, forgets, falls silent and refuses."""

from __future__ import annotations

import asyncio

from aiohttp import web

from app.pods.kubernetes.listwatch import Timing
from tests.integration.pods.kubernetes_bench import Bench, event_of, manifest, refusing
from tests.support.api_server import WAIT_SECONDS, FakeApiServer, status_answer


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
