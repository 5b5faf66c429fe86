"""The proxy that other tests break the API server with does what it is told, and nothing else."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.pods.kubernetes.cluster import load_cluster
from tests.support.api_faults import EXPIRED_LINE, Answer, Break, Delay, Drop, Garbage, Lose, Trickle
from tests.support.api_proxy import ApiProxy
from tests.support.cluster import kubectl
from tests.support.waiting import until

pytestmark = [pytest.mark.faults, pytest.mark.cluster]
WAIT_SECONDS = 15.0


class Bench:
    """A caller on the other side of a proxy, with config maps and pods of a namespace of its own."""

    def __init__(self, proxy: ApiProxy, namespace: str, http: httpx.Client) -> None:
        self.proxy, self.namespace, self.http = proxy, namespace, http
        self.root = f"/api/v1/namespaces/{namespace}"

    def create(self, name: str) -> httpx.Response:
        """Make a config map."""
        return self.http.post(f"{self.root}/configmaps", json={"metadata": {"name": name}, "data": {"a": "b" * 100}})

    def names(self) -> list[str]:
        """The config maps that are there, asked past the proxy."""
        words = kubectl("get", "configmaps", "-n", self.namespace, "-o", "name").split()
        return sorted(word.removeprefix("configmap/") for word in words if "kube-root-ca" not in word)

    def watch(self, into: list[bytes]) -> Any:
        """Read a watch in a thread of its own; ends with b"cut", or with b"end" where it ended cleanly."""

        def read() -> None:
            query = {"watch": "true", "timeoutSeconds": "60"}
            try:
                with self.http.stream("GET", f"{self.root}/configmaps", params=query) as answer:
                    into.append(str(answer.status_code).encode())
                    into.extend(answer.iter_raw())
                into.append(b"end")
            except httpx.TransportError:
                into.append(b"cut")

        thread = threading.Thread(target=read)
        thread.start()
        return thread


@pytest.fixture
def bench(namespace: str, kubeconfig: Path) -> Iterator[Bench]:  # noqa: ARG001 - the proxy reads its variable
    with ApiProxy() as proxy, httpx.Client(base_url=proxy.url, timeout=WAIT_SECONDS, trust_env=False) as http:
        http.headers["User-Agent"] = "bench/1"
        yield Bench(proxy, namespace, http)


def test_proxy__without_rules__passes_on_and_tells_what_passed(bench: Bench) -> None:
    assert bench.create("a").status_code == 201
    assert bench.create("a").json()["reason"] == "AlreadyExists"
    assert bench.http.get(f"{bench.root}/configmaps").json()["kind"] == "ConfigMapList"
    assert bench.http.request("DELETE", f"{bench.root}/configmaps/a", json={"kind": "DeleteOptions"}).is_success
    told = [(call.verb, call.resource, call.name, call.status, call.is_passed, call.agent) for call in bench.proxy.calls]
    assert told == [
        ("create", "configmaps", "a", 201, True, "bench/1"),
        ("create", "configmaps", "a", 409, True, "bench/1"),
        ("list", "configmaps", "", 200, True, "bench/1"),
        ("delete", "configmaps", "a", 200, True, "bench/1"),
    ]
    assert bench.proxy.busiest(verb="create", seconds=60) == (2, f"create {bench.root}/configmaps a")
    assert bench.names() == []


async def test_kubeconfig__of_the_proxy__is_one_that_the_service_reads(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(bench.proxy.write_kubeconfig(tmp_path / "kubeconfig", bench.namespace)))
    cluster = await load_cluster()
    assert (cluster.server, cluster.namespace, cluster.ssl) == (bench.proxy.url, bench.namespace, None)


def test_answers__in_the_api_servers_place__only_where_a_rule_says(bench: Bench) -> None:
    with bench.proxy.rule(Answer(429, "TooManyRequests", retry_after=7), verb="create", only=lambda n: n % 2 == 1) as rule:
        refused, taken = bench.create("a"), bench.create("b")
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "7")
    assert (refused.json()["kind"], refused.json()["reason"]) == ("Status", "TooManyRequests")
    assert (taken.status_code, rule.seen, rule.hits) == (201, 2, 1)
    assert [call.is_passed for call in bench.proxy.calls] == [False, True]
    with bench.proxy.rule(Garbage(b"\xff{"), verb="get", name="^b$"):
        assert bench.http.get(f"{bench.root}/configmaps/b").content == b"\xff{"
        assert bench.http.get(f"{bench.root}/configmaps/kube-root-ca.crt").json()["kind"] == "ConfigMap"
    with bench.proxy.rule(Garbage(is_http=False), verb="get", times=1), pytest.raises(httpx.RemoteProtocolError):
        bench.http.get(f"{bench.root}/configmaps/b")
    with bench.proxy.rule(Answer(500), query="limit="):
        assert bench.http.get(f"{bench.root}/configmaps", params={"limit": "5"}).status_code == 500
        assert bench.http.get(f"{bench.root}/configmaps").status_code == 200


def test_chance__of_one_seed__hits_the_same_requests(bench: Bench) -> None:
    def answered() -> list[int]:
        with bench.proxy.rule(Answer(503), verb="get", probability=0.5, chance=random.Random(5)):
            return [bench.http.get(f"{bench.root}/configmaps/no").status_code for _ in range(20)]

    first = answered()
    assert set(first) == {404, 503}
    assert answered() == first


def test_connections__dropped_before_and_after__nothing_done_and_done(bench: Bench) -> None:
    with bench.proxy.rule(Drop(), verb="create"), pytest.raises(httpx.TransportError):
        bench.create("dropped")
    with bench.proxy.rule(Lose(), verb="create"), pytest.raises(httpx.TransportError):
        bench.create("lost")
    assert bench.names() == ["lost"]
    with bench.proxy.rule(Lose(), verb="delete"), pytest.raises(httpx.TransportError):
        bench.http.delete(f"{bench.root}/configmaps/lost")
    assert bench.names() == []
    assert [(call.status, call.is_passed) for call in bench.proxy.calls] == [(None, False), (None, True), (None, True)]


def test_slow__before_after_and_drop_by_drop__takes_its_time(bench: Bench) -> None:
    bench.create("a")
    for action in (Delay(0.5), Delay(0.5, after=True), Trickle(500)):
        began = time.monotonic()
        with bench.proxy.rule(action):
            assert bench.http.get(f"{bench.root}/configmaps/a").json()["data"] == {"a": "b" * 100}
        assert time.monotonic() - began >= 0.5


def test_away__refuses_and_cuts__and_comes_back(bench: Bench) -> None:
    got: list[bytes] = []
    thread = bench.watch(got)
    with bench.proxy.away():
        thread.join(WAIT_SECONDS)
        assert got[-1] == b"cut"
        with pytest.raises(httpx.ConnectError):
            bench.create("a")
    assert bench.create("b").status_code == 201
    assert bench.names() == ["b"]


async def test_watch__silent_then_told_to_speak__brings_what_was_held_back(bench: Bench) -> None:
    got: list[bytes] = []
    thread = bench.watch(got)
    await until(lambda: got, WAIT_SECONDS)
    bench.create("a")
    await until(lambda: b'"name":"a"' in b"".join(got), WAIT_SECONDS)
    assert bench.proxy.now("silence", verb="watch") == 1
    bench.create("b")
    # What the API server says goes its way in milliseconds; here nothing may come.
    thread.join(1)
    assert b'"name":"b"' not in b"".join(got)
    bench.proxy.now("speak")
    await until(lambda: b'"name":"b"' in b"".join(got), WAIT_SECONDS)
    assert bench.proxy.now("end", EXPIRED_LINE, verb="watch") == 1
    thread.join(WAIT_SECONDS)
    assert b"".join(got).endswith(EXPIRED_LINE + b"end")


async def test_watch__ended_while_it_is_silent__brings_nothing_of_what_was_held_back(bench: Bench) -> None:
    got: list[bytes] = []
    bench.create("a")
    with bench.proxy.rule(Break("silence"), verb="watch"):
        thread = bench.watch(got)
        await until(lambda: got, WAIT_SECONDS)
        thread.join(1)
    assert bench.proxy.now("end", EXPIRED_LINE, verb="watch") == 1
    thread.join(WAIT_SECONDS)
    assert got[1:] == [EXPIRED_LINE, b"end"]


@pytest.mark.parametrize("how", ["cut", "end"])
async def test_watch__broken_after_some_bytes__ends_there(bench: Bench, how: Any) -> None:
    for name in "abc":
        bench.create(name)
    got: list[bytes] = []
    with bench.proxy.rule(Break(how, after_bytes=700), verb="watch"):
        thread = bench.watch(got)
        thread.join(WAIT_SECONDS)
    body = b"".join(got[1:-1])
    assert got[-1].decode() == how
    if how == "cut":
        assert len(body) <= 700
    else:
        assert 700 <= len(body) < 6000
        assert all(json.loads(line)["type"] == "ADDED" for line in body.splitlines())


async def test_watch__broken_at_once_and_after_a_time__ends_then(bench: Bench) -> None:
    for action, ending in ((Break("end", say=EXPIRED_LINE), EXPIRED_LINE + b"end"), (Break("cut", after_seconds=0.5), b"cut")):
        got: list[bytes] = []
        with bench.proxy.rule(action, verb="watch"):
            bench.watch(got).join(WAIT_SECONDS)
        assert b"".join(got).endswith(ending)


def test_page_limit__makes_small_pages_of_all_lists(namespace: str) -> None:
    with ApiProxy(page_limit=2) as proxy, httpx.Client(base_url=proxy.url, timeout=WAIT_SECONDS, trust_env=False) as http:
        bench = Bench(proxy, namespace, http)
        for name in "abc":
            bench.create(name)
        page = http.get(f"{bench.root}/configmaps", params={"limit": "500"}).json()
        assert len(page["items"]) == 2
        rest = http.get(f"{bench.root}/configmaps", params={"limit": "500", "continue": page["metadata"]["continue"]}).json()
        assert len(rest["items"]) == 2
        assert [call.query.partition("=")[0] for call in proxy.find(query="continue=")] == ["limit"]
