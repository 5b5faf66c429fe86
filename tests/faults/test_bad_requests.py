"""Requests made by hand to break or exhaust the service: each is refused, and costs little more than a good one."""

from __future__ import annotations

import asyncio
import gzip
import json
import mmap
import os
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, suppress
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.support.api import PREFIX, Api, api_of
from tests.support.process_cost import cost_of
from tests.support.service import ServiceProcess, started
from tests.support.workflows import shell, workflow

pytestmark = [pytest.mark.faults]
MIB = 1024 * 1024
JSON = {"Content-Type": "application/json"}
HEAD = b"POST /api/v1/runs HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
GET = b"GET /api/v1/runs HTTP/1.1\r\nHost: 127.0.0.1\r\n"
#: What a bad request may cost: so many times a good one of 12 MiB, and so much memory more.
FACTOR, FLOOR_SECONDS, MEMORY_BYTES = 8, 0.3, 640 * MIB
#: A body that is refused by its size leaves what it takes to read and drop it.
DROPPED_BYTES = 64 * MIB


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    with ExitStack() as stack:
        yield started(stack, tmp_path_factory.mktemp("service"), "local")


@pytest.fixture
async def api(service: ServiceProcess) -> AsyncIterator[Api]:
    """And afterwards the service lives, takes runs, and has written of no fault."""
    async with api_of(service.url) as made:
        yield made
        run = await made.finished(await made.submit(workflow(shell("a", "true"))))
        assert run["phase"] == "Succeeded"
    assert service.is_ready()
    assert not service.faults(), "\n".join(service.faults()[:5])


def many(item: bytes, size: int = 8 * MIB) -> bytes:
    return b"[" + b",".join([item] * (size // (len(item) + 1))) + b"]"


def posted(tasks: bytes = b'[{"name":"a"}]', more: bytes = b"") -> bytes:
    return b'{"workflow":{"name":"w","tasks":' + tasks + b"}" + more + b"}"


def task(key: bytes, value: bytes) -> bytes:
    return posted(b'[{"name":"a","image":"x","command":["true"],"' + key + b'":' + value + b"}]")


def number(text: bytes, default: bytes = b"1.5") -> bytes:
    return b'{"workflow":{"name":"w","params":{"x":' + default + b'},"tasks":[{"name":"a"}]},"params":{"x":' + text + b"}}"


async def cost_of_a_good_one(service: ServiceProcess, api: Api) -> float:
    tasks = [{"name": f"t{n}", "image": "x", "command": ["true"], "env": {"A": "x" * 1200}} for n in range(10_000)]
    with cost_of(service.pid) as cost:
        answer = await api.http.post("/workflows/validate", json=workflow(*tasks))
        assert answer.status_code == 200
    return cost.cpu_seconds


BODIES: dict[str, tuple[Any, set[int]]] = {
    "a list of lists without end": (lambda: b"[" * 15 * MIB, {400}),
    "an object of objects without end": (lambda: b'{"a":' * (3 * MIB), {400}),
    "100 levels": (lambda: number(b"[" * 97 + b"]" * 97, b"[]"), {201}),
    "101 levels": (lambda: number(b"[" * 101 + b"]" * 101, b"[]"), {400}),
    "100,000 levels": (lambda: number(b"[" * 100_000 + b"]" * 100_000, b"[]"), {400}),
    "a text of 15 MiB": (lambda: task(b"working_dir", b'"/' + b"x" * 15 * MIB + b'"'), {422}),
    "a description of 15 MiB": (lambda: posted(b'[{"name":"a"}],"description":"' + b"x" * 15 * MIB + b'"'), {422}),
    "a name of 15 MiB": (lambda: posted(b'[{"name":"' + b"a" * 15 * MIB + b'"}]'), {422}),
    "a key of 15 MiB": (lambda: b'{"' + b"k" * 15 * MIB + b'":1}', {422}),
    "quotes": (lambda: b'"\\"' * (5 * MIB), {400}),
    "half a million objects": (lambda: many(b"{}", MIB), {422}),
    "three million objects": (lambda: many(b"{}"), {422}),
    "four million numbers for texts": (lambda: task(b"args", many(b"0")), {422}),
    "four million numbers for tasks": (lambda: posted(many(b"0")), {422}),
    "NUL, a million times": (lambda: task(b"args", many(b'"\\u0000"')), {422}),
    "half of surrogate pairs": (lambda: task(b"args", many(b'"\\ud800"')), {422}),
    "defaults times tasks": (
        lambda: posted(
            b"[" + b",".join(b'{"name":"t%d"}' % n for n in range(10_000)) + b'],"task_defaults":{"image":"x","args":'
            + many(b'"a"', MIB) + b"}"
        ),
        {422},
    ),
    "items times items": (
        lambda: task(b"foreach", b'{"a":' + many(b'"' + b"x" * 99_999 + b'"') + b',"b":' + many(b"0", 130) + b"}"), {422}
    ),
    "1e999": (lambda: number(b"1e999"), {422}),
    "-1e999": (lambda: number(b"-1e999"), {422}),
    "10**4000": (lambda: number(b"1" + b"0" * 4000), {422}),
    "10**4000 as integer": (lambda: number(b"1" + b"0" * 4000, b"1"), {422}),
    "10**10,000,000": (lambda: number(b"1" + b"0" * 10_000_000), {400}),
    "a fraction of 10,000,000 digits": (lambda: number(b"0." + b"1" * 10_000_000), {201}),
    "-0": (lambda: number(b"-0", b"1"), {201}),
    "-0.0": (lambda: number(b"-0.0"), {201}),
    "NaN": (lambda: number(b"NaN"), {400}),
    "Infinity": (lambda: number(b"-Infinity"), {400}),
    "a leading zero": (lambda: number(b"01"), {400}),
    "a key twice": (lambda: b'{"workflow":1,"workflow":{"name":"w","tasks":[{"name":"a"}]}}', {400}),
    "a key twice, deep inside": (lambda: number(b'{"a":{"b":1,"b":1}}', b'{"type":"object"}'), {400}),
    "no UTF-8": (lambda: posted(more=b',"labels":{"a":"\xff"}'), {400}),
    "UTF-16": (lambda: posted().decode().encode("utf-16"), {400}),
    "a byte order mark": (lambda: b"\xef\xbb\xbf" + posted(), {400}),
    "a surrogate alone": (lambda: posted(more=b',"labels":{"\\ud800":"\\udfff"}'), {422}),
    "NUL in a label": (lambda: posted(more=b',"labels":{"a":"\\u0000"}'), {422}),
    "labels, a hundred thousand": (
        lambda: posted(more=b',"labels":{' + b",".join(b'"k%d":""' % n for n in range(100_000)) + b"}"), {422}
    ),
    "nothing": (lambda: b"", {400}),
    "white space": (lambda: b" " * 15 * MIB, {400}),
    "null": (lambda: b"null", {422}),
}  # fmt: skip


@pytest.mark.timeout(240)
async def test_bodies__made_to_be_dear_or_wrong__are_answered_for_the_price_of_a_good_one(
    service: ServiceProcess, api: Api, chance: random.Random
) -> None:
    allowed = max(FACTOR * await cost_of_a_good_one(service, api), FLOOR_SECONDS)
    dear: dict[str, str] = {}
    for name, (make, statuses) in chance.sample([*BODIES.items()], len(BODIES)):
        body = make()
        with cost_of(service.pid) as cost:
            answer = await api.http.post("/runs", content=body, headers=JSON)
        assert answer.status_code in statuses, f"{name}: {answer.status_code} {answer.text[:500]}"
        assert len(answer.content) <= 4 * MIB, f"{name}: the answer has {len(answer.content):,} bytes"
        if cost.cpu_seconds > allowed or cost.memory_bytes > MEMORY_BYTES:
            dear[name] = f"{cost.cpu_seconds:.1f} s of CPU, and {cost.memory_bytes // MIB} MiB"
    assert not dear, f"a good one of 12 MiB takes {allowed / FACTOR:.2f} s: {dear}"


@pytest.mark.parametrize("is_chunked", [False, True], ids=["length", "chunks"])
async def test_bodies__over_16_mib__are_413_and_never_held(service: ServiceProcess, api: Api, is_chunked: bool) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(48):
            yield b"[" * MIB

    for _ in range(3):
        with cost_of(service.pid) as cost:
            content: Any = chunks() if is_chunked else b"[" * (48 * MIB)
            answer = await api.http.post("/runs", content=content, headers=JSON)
        assert answer.status_code == 413
        assert answer.json()["type"] == "urn:podrun:problem:body-too-large"
    assert cost.memory_bytes < DROPPED_BYTES, f"{cost.memory_bytes // MIB} MiB"
    assert cost.cpu_seconds < FLOOR_SECONDS, f"{cost.cpu_seconds} s"


async def test_bodies__of_the_wrong_kind__are_415(api: Api) -> None:
    good = json.dumps({"workflow": workflow(shell("a", "true"))}).encode()
    for kind in ("text/plain", "application/x-yaml", "multipart/form-data; boundary=x", "\xff", "application", "image/json"):
        headers = [(b"Content-Type", kind.encode("latin-1"))]
        assert (await api.http.post("/runs", content=good, headers=headers)).status_code == 415, kind
    bomb = gzip.compress(b" " * 100 * MIB)
    for coding in ("gzip", "GZIP", "deflate", "br", "zstd", "gzip, identity"):
        answer = await api.http.post("/runs", content=bomb, headers={**JSON, "Content-Encoding": coding})
        assert answer.status_code == 415, coding


ODD = [
    "", " ", "a b", "\x7f", "é", "\xff\xfe", '"', '"a', 'a"', '""', "a" * 256, "\t", "😀", "' OR 1=1 --", "%00", "\\",
]  # fmt: skip


async def test_idempotency_keys__of_odd_characters__are_refused_or_kept(api: Api) -> None:
    body = {"workflow": workflow(shell("a", "true"))}
    for key in ODD:
        headers = [(b"Idempotency-Key", key.encode(errors="replace"))]
        with suppress(httpx.LocalProtocolError):  # what HTTP itself does not send
            first = await api.http.post("/runs", json=body, headers=headers)
            again = await api.http.post("/runs", json=body, headers=headers)
            assert first.status_code == again.status_code, key
            assert first.status_code in (201, 400, 422), (key, first.text)
            assert first.status_code != 201 or first.json()["id"] == again.json()["id"], key


async def test_cursors__that_podrun_did_not_make__are_refused(api: Api) -> None:
    run_id = await api.submit(workflow(shell("a", "echo a")))
    await api.finished(run_id)
    paths = [
        "/runs", "/workflows", "/runs/events", f"/runs/{run_id}/events", f"/runs/{run_id}/tasks", f"/runs/{run_id}/logs",
        f"/runs/{run_id}/tasks/a/logs",
    ]  # fmt: skip
    made = [
        "l0.0",
        "r0.0.0",
        "l" + "9" * 18 + ".0",
        "r1." + "9" * 18 + ".0.999999999.999999999",
        "9" * 18,
        "9" * 200,
        "0.-1",
        "~a",
    ]
    for path in paths:
        for cursor in (*ODD, *made, "-1", "~end", "~", run_id, run_id.upper()):
            for accept in ("*/*", "text/event-stream"):
                headers = [(b"Last-Event-ID", cursor.encode(errors="replace")), (b"Accept", accept.encode())]
                with suppress(httpx.LocalProtocolError, httpx.ReadTimeout):  # a stream of all runs goes on
                    answer = await api.http.get(path, params={"cursor": cursor}, headers=headers[1:], timeout=0.5)
                    assert answer.status_code in (200, 404, 422), (path, cursor, answer.text)
                    answer = await api.http.get(path, headers=headers, timeout=0.5)
                    assert answer.status_code in (200, 204, 400, 404, 422), (path, cursor, answer.text)


async def test_queries__of_100_kb__cost_little(service: ServiceProcess, api: Api) -> None:
    selectors = [
        "a=b," * 1000,
        "a in (" + "b," * 1500 + "b)",
        "!" * 4000,
        "(" * 4000,
        "a=" + "b" * 4000,
        "a" * 50_000,
        "a,a" * 5000,
    ]
    with cost_of(service.pid) as cost:
        for selector in selectors:
            answer = await api.http.get("/runs", params={"label_selector": selector})
            assert answer.status_code in (200, 422), answer.text
        many_phases = "&".join(["phase=Failed"] * 4000)
        assert (await api.http.get(f"/runs?{many_phases}")).status_code == 200
        assert (await api.http.get("/runs?" + "&".join(f"a{n}=" for n in range(8000)))).status_code == 200
        accept = ",".join(f"a{n}/b;q=0.{n}" for n in range(3000))
        assert (await api.http.get("/runs", headers={"Accept": accept, "If-None-Match": 'W/"x",' * 3000})).status_code == 200
    assert await raw(service, GET.replace(b"runs", b"runs?label_selector=" + b"a=b," * 25_000) + b"\r\n") in (400, 414, 431)
    assert cost.cpu_seconds < 10 * FLOOR_SECONDS, f"{cost.cpu_seconds} s"


async def raw(service: ServiceProcess, *parts: bytes, seconds: float = 5.0) -> int | None:
    """The status that these bytes are answered with; None: the connection was closed, or there was no answer in time."""
    async with opened(service) as (reader, writer):
        with suppress(ConnectionError, TimeoutError):
            async with asyncio.timeout(seconds):
                for part in parts:
                    writer.write(part)
                    await writer.drain()
        with suppress(ConnectionError, TimeoutError):
            async with asyncio.timeout(seconds):
                line = await reader.readline()
            return int(line.split()[1]) if line.startswith(b"HTTP/1.1 ") else None
    return None


@asynccontextmanager
async def opened(service: ServiceProcess) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(service.url.rpartition(":")[2]))
    try:
        yield reader, writer
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


FLOODS: dict[str, tuple[list[bytes], set[int | None]]] = {
    "headers": ([GET, *[b"X-Y: z\r\n" * 8192] * 400], {431, None}),
    "a header": ([GET, b"X: ", *[b"y" * 65_536] * 400], {431, None}),
    "an address": ([b"GET /", *[b"y" * 65_536] * 400], {400, 431, None}),
    "a method": ([b"G" * 65_536] * 400, {400, 431, None}),
    "trailers": ([HEAD, CHUNKED + b"2\r\n{}\r\n0\r\n", *[b"X-Y: z\r\n" * 8192] * 400], {400, 422, None}),
    "chunk extensions": ([HEAD, CHUNKED + b"2;", *[b"x" * 65_536] * 400], {400, None}),
    "noise": ([bytes(range(256)) * 100], {400}),
    "no chunks": ([HEAD, CHUNKED, b"ZZ\r\n"], {400}),
    "two lengths": ([HEAD, b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}"], {400}),
    "length and chunks": ([HEAD, b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"], {400}),
    "a negative length": ([HEAD, b"Content-Length: -1\r\n\r\n{}"], {400}),
    "a length of 5,000 digits": ([HEAD, b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n{}"], {400}),
    "two hosts": ([b"GET /api/v1/runs HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: 127.0.0.1\r\n\r\n"], {400, 421}),
    "no host": ([b"GET /api/v1/runs HTTP/1.1\r\n\r\n"], {400, 421}),
    "a path that is no text": ([b"GET /api/v1/runs/%ff%00%ed%a0%80 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"], {404}),
    "a query that is no text": ([b"GET /api/v1/runs?workflow=%ff%00 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"], {422}),
    "a method that is none": ([b"BREW /api/v1/runs HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"], {400, 405}),
}  # fmt: skip


@pytest.mark.usefixtures("api")
@pytest.mark.parametrize("name", FLOODS)
async def test_connections__that_send_no_request__are_refused_and_cost_little(service: ServiceProcess, name: str) -> None:
    parts, statuses = FLOODS[name]
    with cost_of(service.pid) as cost:
        assert await raw(service, *parts) in statuses
    assert cost.memory_bytes < 16 * MIB, f"{cost.memory_bytes // MIB} MiB"
    assert cost.cpu_seconds < FLOOR_SECONDS, f"{cost.cpu_seconds} s"


async def test_bodies__that_come_slowly_or_never_end__hold_up_nobody(service: ServiceProcess, api: Api) -> None:
    async with asyncio.TaskGroup() as group:
        over = asyncio.Event()

        async def linger(number: int) -> None:
            async with opened(service) as (_, writer):
                head = b"Content-Length: 1000\r\n\r\n{" if number % 2 else b"Transfer-Encoding: chunked\r\n\r\n5\r\n{"
                writer.write(HEAD + head)
                while not over.is_set():
                    with suppress(TimeoutError, ConnectionError):
                        async with asyncio.timeout(0.2):
                            await over.wait()
                    writer.write(b" " if number % 3 else b"")

        for number in range(200):
            group.create_task(linger(number), name=f"slow {number}")
        with cost_of(service.pid) as cost:
            ids = [await api.submit(workflow(shell("a", "true"))) for _ in range(10)]
            for run_id in ids:
                await api.finished(run_id)
        over.set()
    assert cost.cpu_seconds < 20 * FLOOR_SECONDS, f"{cost.cpu_seconds} s"
    assert cost.memory_bytes < 64 * MIB


async def test_websockets__whose_clients_talk__are_not_listened_to(
    service: ServiceProcess, api: Api, chance: random.Random
) -> None:
    run_id = await api.submit(workflow(shell("a", "sleep 60")))
    url = f"ws{service.url.removeprefix('http')}{PREFIX}/runs/{run_id}/events"
    said: list[Any] = ["", "x", "{", b"\0" * 1000, "é" * 10_000, *["x" * 60_000] * 50]
    with cost_of(service.pid) as cost:
        async with connect(url, compression=None, proxy=None) as socket:
            for message in said:
                await socket.send(message)
            assert (await socket.recv()).startswith('{"type":"event"')
            await socket.send("x" * 70_000)
            with pytest.raises(ConnectionClosed) as closed:
                [None async for _ in endless(socket)]
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1009
        for noise in (chance.randbytes(5000), b"\x81\xff" + b"\xff" * 8 + b"x" * 5000, b"\x81\x05hello", b"\xf1\x80\0\0\0\0"):
            assert await raw(service, upgrade(run_id) + noise) == 101
        for _ in range(20):
            async with connect(url, compression=None, proxy=None) as socket:
                socket.transport.abort()
    assert cost.memory_bytes < 32 * MIB
    assert cost.cpu_seconds < 5 * FLOOR_SECONDS, f"{cost.cpu_seconds} s"
    await api.cancel(run_id)
    await api.finished(run_id)


async def endless(socket: ClientConnection) -> AsyncIterator[Any]:
    while True:
        yield await socket.recv()


def upgrade(run_id: str) -> bytes:
    return (
        f"GET {PREFIX}/runs/{run_id}/events HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    ).encode()


def test_cost_of__a_process_that_works__is_told() -> None:
    """The measure itself, on this process."""
    with cost_of(os.getpid()) as cost:
        # Of the system, and not out of what earlier tests have given back to the allocator.
        held = mmap.mmap(-1, 50 * MIB)
        held.write(b"x" * (50 * MIB))
        sum(range(5_000_000))
    held.close()
    assert cost.memory_bytes > 40 * MIB
    assert cost.cpu_seconds > 0.02
