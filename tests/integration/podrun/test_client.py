"""The clients against the fake service: retries, reconnects, pages, errors."""

from __future__ import annotations

import json
import socket
import time
from typing import Any

import pytest

from podrun import (
    AsyncClient,
    Client,
    InvalidArgument,
    Patience,
    ProblemError,
    ServerUnreachable,
    UnexpectedAnswer,
    Workflow,
)
from podrun.errors import StreamRefused
from tests.integration.podrun.fake_service import DROP, FakeService

WORKFLOW = {"name": "hello", "tasks": [{"name": "a"}]}
SHORT = Patience(first_seconds=2.0, later_seconds=5.0)


def client(fake: FakeService, **options: object) -> AsyncClient:
    return AsyncClient(fake.url, patience=SHORT, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("trouble", [DROP, 500, 503, 429, 409])
async def test_submit__trouble_twice__one_run_with_one_key(fake: FakeService, trouble: int | str) -> None:
    fake.troubles = [trouble, trouble]
    async with client(fake) as podrun:
        run = await podrun.submit(WORKFLOW)
    sent = fake.asked_for("POST", "/runs")
    assert len(sent) == 3
    assert len({headers["idempotency-key"] for _, headers in sent}) == 1
    assert len(set(fake.bodies)) == 1
    assert list(fake.runs) == [run["id"]]


async def test_submit__json_bytes__sent_as_they_are(fake: FakeService) -> None:
    text = b'{ "name":"x",  "tasks":[]}\n'
    async with client(fake) as podrun:
        await podrun.submit(text, labels={"a": "b"}, idempotency_key="k")
    assert fake.bodies == [b'{"workflow": ' + text + b', "labels": {"a": "b"}}']


async def test_submit__builder_params_labels__one_body(fake: FakeService) -> None:
    with Workflow("x", params={"n": 1}) as w:
        w.task("a")
    async with client(fake) as podrun:
        await podrun.submit(w, params={"n": 2}, labels={"a": "b"})
        await podrun.submit("deploy@3", params={"n": [None]})
        await podrun.submit("deploy")
    assert [json.loads(body) for body in fake.bodies] == [
        {"workflow": {"name": "x", "params": {"n": 1}, "tasks": [{"name": "a"}]}, "params": {"n": 2}, "labels": {"a": "b"}},
        {"workflow": "deploy@3", "params": {"n": [None]}},
        {"workflow": "deploy"},
    ]


@pytest.mark.parametrize(
    ("path", "body", "ask"),
    [
        ("/runs/r/retry", {}, lambda podrun: podrun.retry("r")),
        ("/runs/r/retry", {"tasks": ["a", "work.3"]}, lambda podrun: podrun.retry("r", ["a", "work.3"])),
        ("/runs/r/suspend", {}, lambda podrun: podrun.suspend("r")),
        ("/runs/r/resume", {}, lambda podrun: podrun.resume("r")),
        ("/runs/r/tasks/a.1/approve", {"comment": "fine"}, lambda podrun: podrun.approve("r", "a.1", comment="fine")),
        ("/runs/r/tasks/a/reject", {}, lambda podrun: podrun.reject("r", "a")),
    ],
)
async def test_intents__asked__sent_and_the_run(fake: FakeService, path: str, body: object, ask: Any) -> None:
    fake.add_run("r")
    async with client(fake) as podrun:
        assert (await ask(podrun))["id"] == "r"
    assert fake.asked_for("POST", path)
    assert [json.loads(sent) for sent in fake.bodies] == [body]


async def test_retry__answer_lost__done_once(fake: FakeService) -> None:
    fake.add_run("r")
    fake.troubles = [DROP]
    async with client(fake) as podrun:
        assert (await podrun.retry("r"))["retried_at"]
        with pytest.raises(ProblemError) as caught:
            await podrun.retry("r")
    assert caught.value.status == 409


async def test_workflows__stored_and_changed__as_asked(fake: FakeService) -> None:
    with Workflow("w") as w:
        w.task("a")
    async with client(fake) as podrun:
        assert (await podrun.put_workflow(w))["version"] == 1
        assert (await podrun.put_workflow(b'{"name": "w", "tasks": []}'))["version"] == 2
        assert (await podrun.get_workflow("w", version=1))["document"] == w.to_dict()
        assert (await podrun.get_workflow("w"))["version"] == 2
        assert [item["name"] async for item in podrun.list_workflows()] == ["w"]
        assert [item["version"] async for item in podrun.list_versions("w")] == [2, 1]
        assert (await podrun.pause_workflow("w"))["paused"]
        assert not (await podrun.unpause_workflow("w"))["paused"]
        assert (await podrun.validate(w, pods=True))["pods"]
        await podrun.delete_workflow("w")
        with pytest.raises(ProblemError):
            await podrun.delete_workflow("w")
        fake.troubles = [DROP]
        await podrun.put_workflow(w)
        fake.troubles = [DROP]
        await podrun.delete_workflow("w")


async def test_submit__refused__problem_with_errors_at_once(fake: FakeService) -> None:
    fake.refusal = {"detail": "1 fault", "errors": [{"pointer": "/workflow/name", "detail": "no"}]}
    async with client(fake) as podrun:
        with pytest.raises(ProblemError) as caught:
            await podrun.submit(WORKFLOW)
    assert caught.value.status == 422
    assert caught.value.errors == ({"pointer": "/workflow/name", "detail": "no"},)
    assert len(fake.asked) == 1


async def test_get_run__500_again_and_again__problem_after_four(fake: FakeService) -> None:
    fake.troubles = [500] * 10
    async with client(fake) as podrun:
        with pytest.raises(ProblemError) as caught:
            await podrun.get_run("r")
    assert caught.value.status == 500
    assert len(fake.asked) == 4


async def test_get_run__nothing_listens__unreachable_when_patience_ends() -> None:
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{unheard.getsockname()[1]}"
        started = time.monotonic()
        async with AsyncClient(address, patience=Patience(first_seconds=0.4, later_seconds=60)) as podrun:
            with pytest.raises(ServerUnreachable, match=address):
                await podrun.get_run("r")
    assert 0.3 < time.monotonic() - started < 3


async def test_get_run__not_found__problem(fake: FakeService) -> None:
    async with client(fake) as podrun:
        with pytest.raises(ProblemError, match="there is no run 'r'") as caught:
            await podrun.get_run("r")
    assert caught.value.status == 404


async def test_request__address_of_another_program__unexpected(fake: FakeService) -> None:
    async with AsyncClient(fake.url + "/docs", patience=SHORT) as podrun:
        # The fake's own 404 has JSON without being ours; a web server's has HTML.
        with pytest.raises((UnexpectedAnswer, ProblemError)):
            await podrun.info()


@pytest.mark.parametrize("run_id", ["", ".", ".."])
async def test_get_run__id_that_is_another_path__refused(fake: FakeService, run_id: str) -> None:
    async with client(fake) as podrun:
        with pytest.raises(InvalidArgument):
            await podrun.get_run(run_id)


@pytest.mark.parametrize("address", ["podrun:8080", "ftp://x", "http://", ""])
def test_client__address_that_is_none__refused(address: str) -> None:
    if address:
        with pytest.raises(InvalidArgument, match=r"http://127\.0\.0\.1:8080"):
            AsyncClient(address)


async def test_token__http_and_websocket__in_the_header_never_in_the_url(fake: FakeService) -> None:
    fake.token = "s3cret"
    fake.add_run("r")
    async with client(fake, token="s3cret") as podrun:
        await podrun.get_run("r")
        assert [item["type"] async for item in podrun.logs("r", follow=True)] == ["end"]
    assert [headers["authorization"] for _, _, headers in fake.asked] == ["Bearer s3cret"] * 2
    assert not any("s3cret" in path for _, path, _ in fake.asked)


@pytest.mark.parametrize("follow", [False, True])
async def test_token__wrong__problem_401(fake: FakeService, follow: bool) -> None:
    fake.token = "s3cret"
    fake.add_run("r")
    async with client(fake, token="other") as podrun:
        with pytest.raises(ProblemError) as caught:
            [item async for item in podrun.logs("r", follow=follow)]
    assert caught.value.status == 401
    assert len(fake.asked) == 1


async def test_wait__not_finished_at_first__polls_on(fake: FakeService) -> None:
    fake.add_run("r", phase="Failed", polls=1)
    async with client(fake) as podrun:
        run = await podrun.wait("r", timeout_seconds=10)
    assert run["phase"] == "Failed"
    assert all("wait=30" in path for path, _ in fake.asked_for("GET", "/runs/r"))


async def test_watch_run__changes__each_once_with_etag(fake: FakeService) -> None:
    fake.add_run("r", polls=2)
    async with client(fake) as podrun:
        seen = [run["phase"] async for run in podrun.watch_run("r", interval_seconds=0.01)]
    assert seen == ["Running", "Running", "Succeeded"]
    etags = [headers.get("if-none-match") for _, headers in fake.asked_for("GET", "/runs/r")]
    assert etags == [None, 'W/"r-999"', 'W/"r-1000"']


async def test_delete__gone_after_a_failed_try__done(fake: FakeService) -> None:
    async with client(fake) as podrun:
        with pytest.raises(ProblemError):
            await podrun.delete("r")
        # Whether the first try did the work before its answer was lost can't be told from here.
        fake.troubles = [503]
        await podrun.delete("r")


async def test_list_runs__empty_pages_between__all_and_no_more_than_the_limit(fake: FakeService) -> None:
    for number in range(5):
        fake.add_run(f"r{number}")
    async with client(fake) as podrun:
        assert [run["id"] async for run in podrun.list_runs()] == ["r0", "r1", "r2", "r3", "r4"]
        assert [run["id"] async for run in podrun.list_runs(limit=3)] == ["r0", "r1", "r2"]


@pytest.mark.parametrize("follow", [False, True])
@pytest.mark.parametrize("code", [1011, 1012, 1013])
async def test_logs__cut_in_the_middle__every_line_once(fake: FakeService, follow: bool, code: int) -> None:
    fake.add_run("r")
    fake.add_lines("r", *(f"line {number}" for number in range(20)))
    fake.cuts = [(0, code), (3, code), (1, code), (9, code)]
    async with client(fake) as podrun:
        items = [item async for item in podrun.logs("r", follow=follow)]
    assert [item["text"] for item in items if item["type"] == "line"] == [f"line {number}" for number in range(20)]
    assert fake.cuts == []
    if follow:
        assert items[-1] == {"type": "end", "phase": "Succeeded"}


async def test_logs__cut_after_tail__goes_on_by_cursor_alone(fake: FakeService) -> None:
    fake.add_run("r")
    fake.add_lines("r", *"abcdef")
    fake.cuts = [(2, 1012)]
    async with client(fake) as podrun:
        texts = [item["text"] async for item in podrun.logs("r", follow=True, tail=4, attempt="all") if "text" in item]
    assert texts == ["c", "d", "e", "f"]
    asked = [path for path, _ in fake.asked_for("WEBSOCKET", "logs")]
    assert "tail=4" in asked[0]
    assert "tail" not in asked[1]
    assert "attempt=all" in asked[1]
    assert "cursor=c2" in asked[1]


async def test_logs__handshake_busy__tried_again(fake: FakeService) -> None:
    fake.add_run("r")
    fake.troubles = [503, 429]
    async with client(fake) as podrun:
        assert [item["type"] async for item in podrun.logs("r", follow=True)] == ["end"]


async def test_logs__1008_twice_without_a_frame__refused(fake: FakeService) -> None:
    fake.add_run("r")
    fake.cuts = [(0, 1008), (0, 1008)]
    async with client(fake) as podrun:
        with pytest.raises(StreamRefused) as caught:
            [item async for item in podrun.logs("r", follow=True)]
    assert caught.value.code == 1008


async def test_logs__reader_stops_early__connection_closed(fake: FakeService) -> None:
    fake.add_run("r")
    fake.add_lines("r", *"abc")
    async with client(fake) as podrun:
        items = podrun.logs("r", follow=True)
        assert (await anext(items))["text"] == "a"
        await items.aclose()


async def test_log_bytes__log__as_written(fake: FakeService) -> None:
    fake.add_run("r")
    fake.add_lines("r", "a\x1b[2J", "b")
    fake.troubles = [503]
    async with client(fake) as podrun:
        assert b"".join([piece async for piece in podrun.log_bytes("r", "a")]) == b"a\x1b[2J\nb\n"


@pytest.mark.parametrize("follow", [False, True])
async def test_events__cut__all_once(fake: FakeService, follow: bool) -> None:
    fake.add_run("r")
    fake.events["r"] = [{"cursor": f"{number}", "type": "TaskPhase", "task": "a"} for number in range(5)]
    fake.cuts = [(3, 1012)] if follow else []
    async with client(fake) as podrun:
        found = [event async for event in podrun.events("r", follow=follow)]
    assert [event["cursor"] for event in found if event["type"] == "TaskPhase"] == list("01234")
    assert (found[-1]["type"] == "end") is follow


@pytest.mark.parametrize("follow", [False, True])
async def test_events__tail__begins_there_and_goes_on_by_cursor(fake: FakeService, follow: bool) -> None:
    fake.add_run("r")
    fake.events["r"] = [{"cursor": f"{number}", "type": "TaskPhase", "task": "a"} for number in range(9)]
    fake.cuts = [(2, 1012)] if follow else []
    async with client(fake) as podrun:
        found = [event async for event in podrun.events("r", follow=follow, tail=5)]
        none = [event async for event in podrun.events("r", tail=0)]
    assert [event["cursor"] for event in found if event["type"] == "TaskPhase"] == list("45678")
    assert none == []


def test_client__same_methods__without_asyncio(fake: FakeService) -> None:
    with Client(fake.url, patience=SHORT) as podrun:
        run_id = podrun.submit(WORKFLOW)["id"]
        fake.add_lines(run_id, *"abc")
        fake.tasks[run_id] = [{"name": "a", "phase": "Succeeded"}]
        assert podrun.wait(run_id)["phase"] == "Succeeded"
        assert [item.get("text") for item in podrun.logs(run_id, follow=True)] == ["a", "b", "c", None]
        assert [task["name"] for task in podrun.list_tasks(run_id)] == ["a"]
        assert next(podrun.logs(run_id))["text"] == "a"
        assert podrun.cancel(run_id)["phase"] == "Cancelled"
        podrun.delete(run_id)
        with pytest.raises(ProblemError):
            podrun.get_run(run_id)
    with pytest.raises(RuntimeError, match="closed"):
        podrun.info()
    podrun.close()


def test_client__workflows_and_intents__without_asyncio(fake: FakeService) -> None:
    fake.add_run("r")
    with Client(fake.url, patience=SHORT) as podrun:
        podrun.put_workflow({"name": "w", "tasks": []})
        assert podrun.get_workflow("w", version=1)["version"] == 1
        assert [item["name"] for item in podrun.list_workflows()] == ["w"]
        assert [item["version"] for item in podrun.list_versions("w")] == [1]
        assert podrun.pause_workflow("w")["paused"]
        assert not podrun.unpause_workflow("w")["paused"]
        podrun.delete_workflow("w")
        assert podrun.suspend("r")["suspended"]
        assert not podrun.resume("r")["suspended"]
        assert podrun.retry("r", ["a"])["retried_at"]
        assert podrun.approve("r", "a", comment="yes")["id"] == podrun.reject("r", "a")["id"] == "r"
        assert podrun.validate({}) == {"valid": True}


async def test_client__inside_a_running_loop__works(fake: FakeService) -> None:
    with Client(fake.url, patience=SHORT) as podrun:
        assert podrun.info() == {"version": "0"}


def test_client__every_public_method__is_there() -> None:
    missing = {name for name in dir(AsyncClient) if not name.startswith("_")} - set(vars(Client))
    # `poll_run` is what the others are made of; the rest are properties of the connection.
    assert missing == {"poll_run", "server", "answered"}


async def test_patience__server_has_answered__the_longer_one(fake: FakeService) -> None:
    async with AsyncClient(fake.url, patience=Patience(first_seconds=0.0, later_seconds=5.0)) as podrun:
        fake.troubles = [DROP]
        with pytest.raises(ServerUnreachable):
            await podrun.info()
        await podrun.info()
        fake.troubles = [DROP, DROP]
        await podrun.info()


def test_patience__by_default__as_the_contract_says() -> None:
    assert Patience() == Patience(first_seconds=20.0, later_seconds=600.0)
