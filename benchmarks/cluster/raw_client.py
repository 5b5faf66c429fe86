"""The limit: what a cluster does when a bare client makes pods, with nothing between.

    python -m benchmarks.cluster.raw_client NAMESPACE LABEL CHAINS LENGTH [--complete] [--fake-nodes]

Makes CHAINS chains of LENGTH pods at once, at most 64 creations in flight: a pod of a chain is created as soon as the watch
says that the containers of the one before have ended, not when its phase does. `--complete` does what a workflow system must
as well: it reads each pod's log after its end, deletes the pod by UID, and is done when all of that is. Prints one line of
JSON: when it began and was done (seconds of this machine's monotonic clock), and its CPU seconds between them. What is left of
its pods is deleted then, and it ends when none is there any more.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from http import HTTPStatus

import aiohttp

from benchmarks.cluster.pods import LABEL, Json, has_ended, manifest, open_session, pods_url, watch_pods

_IN_FLIGHT = 64
_CLEAN_UP_SECONDS = 120.0


class RawClient:
    """Makes chains of pods."""

    def __init__(self, http: aiohttp.ClientSession, url: str, label: str, *, complete: bool, on_fake_node: bool) -> None:
        """`url` is where the namespace's pods are."""
        self._http, self._url, self._label, self._complete, self._on_fake_node = http, url, label, complete, on_fake_node
        self._over: dict[str, asyncio.Event] = {}
        self._left: set[str] = set()
        self._none_left = asyncio.Event()
        self._slots = asyncio.Semaphore(_IN_FLIGHT)

    def saw(self, pod: Json, is_gone: bool) -> None:
        """What the watch says."""
        name = pod["metadata"]["name"]
        if is_gone:
            self._left.discard(name)
            if not self._left:
                self._none_left.set()
        over = self._over.get(name)
        if over is not None and has_ended(pod):
            over.set()

    async def chain(self, number: int, length: int) -> None:
        """Make the pods of one chain, one after the other."""
        async with asyncio.TaskGroup() as finishing:
            for place in range(length):
                name = f"raw-{self._label}-{number}-{place}"
                uid = await self._create(name)
                await self._over[name].wait()
                if self._complete:
                    finishing.create_task(self._finish(name, uid), name=f"finish {name}")

    async def _create(self, name: str) -> str:
        self._over[name] = asyncio.Event()
        self._left.add(name)
        body = manifest(name, self._label, on_fake_node=self._on_fake_node)
        async with self._slots, self._http.post(self._url, json=body) as answer:
            made = await answer.json()
            if answer.status != HTTPStatus.CREATED:
                raise SystemExit(f"the API server refused a pod: {made}")
        return str(made["metadata"]["uid"])

    async def _finish(self, name: str, uid: str) -> None:
        async with self._http.get(f"{self._url}/{name}/log", params={"timestamps": "true"}) as answer:
            await answer.read()
        async with self._http.delete(f"{self._url}/{name}", json={"preconditions": {"uid": uid}}) as answer:
            await answer.read()

    async def clean_up(self) -> None:
        """Delete all that is left, and wait until it is gone."""
        params = {"labelSelector": f"{LABEL}={self._label}", "gracePeriodSeconds": "0"}
        async with self._http.delete(self._url, params=params) as answer:
            await answer.read()
        self._none_left.clear()
        if self._left:
            async with asyncio.timeout(_CLEAN_UP_SECONDS):
                await self._none_left.wait()


async def _run(namespace: str, label: str, chains: int, length: int, *, complete: bool, on_fake_node: bool) -> Json:
    server, http = await open_session()
    async with http, asyncio.TaskGroup() as watching:
        url, ready = pods_url(server, namespace), asyncio.Event()
        raw = RawClient(http, url, label, complete=complete, on_fake_node=on_fake_node)
        watch = watching.create_task(watch_pods(http, url, f"{LABEL}={label}", raw.saw, ready), name="watch")
        await ready.wait()
        began, cpu = time.monotonic(), time.process_time()
        async with asyncio.TaskGroup() as group:
            for number in range(chains):
                group.create_task(raw.chain(number, length), name=f"chain {number}")
        done = {"began": began, "done": time.monotonic(), "cpu_seconds": time.process_time() - cpu}
        await raw.clean_up()
        watch.cancel()
    return done


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(usage=__doc__)
    for name, kind in (("namespace", str), ("label", str), ("chains", int), ("length", int)):
        parser.add_argument(name, type=kind)
    parser.add_argument("--complete", action="store_true")
    parser.add_argument("--fake-nodes", action="store_true")
    given = parser.parse_args()
    done = asyncio.run(
        _run(given.namespace, given.label, given.chains, given.length, complete=given.complete, on_fake_node=given.fake_nodes)
    )
    print(json.dumps(done))


if __name__ == "__main__":
    main()
