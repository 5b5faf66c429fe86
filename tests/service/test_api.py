"""What scripts rely on: idempotency, waiting, entity tags, lists, events by cursor, deletion; on a service that runs."""

from __future__ import annotations

import asyncio
import json
import time

import pytest

from tests.service.conftest import MakeService
from tests.support.api import Api, Followed, api_of
from tests.support.waiting import until
from tests.support.workflows import shell, workflow

pytestmark = pytest.mark.usefixtures("local_service")
QUICK = workflow(shell("quick", "echo quick"), name="quick")


async def test_idempotency__same_key_many_times_at_once__one_run(api: Api) -> None:
    body = {"workflow": QUICK}
    async with asyncio.TaskGroup() as group:
        posts = [group.create_task(api.http.post("/runs", json=body, headers={"Idempotency-Key": '"same"'})) for _ in range(20)]
    answers = [post.result() for post in posts]
    made = [answer for answer in answers if answer.status_code == 201]
    assert {answer.status_code for answer in answers} <= {201, 409}
    assert len({answer.json()["id"] for answer in made}) == 1
    assert [answer.headers.get("Idempotency-Replayed") for answer in made].count(None) == 1
    for answer in answers:
        if answer.status_code == 409:
            assert answer.headers["content-type"] == "application/problem+json"
    run_id = made[0].json()["id"]
    await api.finished(run_id)
    again = await api.http.post("/runs", json=body, headers={"Idempotency-Key": "same"})
    assert (again.status_code, again.json()["phase"], again.headers["Idempotency-Replayed"]) == (201, "Succeeded", "true")
    other = await api.http.post(
        "/runs", json={"workflow": QUICK | {"description": "other"}}, headers={"Idempotency-Key": "same"}
    )
    assert other.status_code == 422
    assert (await api.http.delete(f"/runs/{run_id}")).status_code == 204
    gone = await api.http.post("/runs", json=body, headers={"Idempotency-Key": "same"})
    assert gone.status_code == 410


async def test_idempotency__same_key_after_a_kill__the_same_run(make_service: MakeService) -> None:
    service = make_service("local")
    async with api_of(service.url) as api:
        first = await api.submit(QUICK, key="once")
    service.kill()
    service.start()
    async with api_of(service.url) as api:
        assert await api.submit(QUICK, key="once") == first
        assert (await api.finished(first))["phase"] == "Succeeded"
        assert len((await api.get("/runs"))["items"]) == 1


async def test_wait__answers_when_finished_or_changed_and_not_before(api: Api) -> None:
    run_id = await api.submit(workflow(shell("slow", "sleep 1")))
    began = time.monotonic()
    short = await api.http.get(f"/runs/{run_id}", params={"wait": 0.2})
    assert (short.status_code, short.json()["is_finished"]) == (200, False)
    changed = await api.http.get(f"/runs/{run_id}", params={"wait": 30}, headers={"If-None-Match": short.headers["ETag"]})
    assert (changed.status_code, changed.json()["version"] > short.json()["version"]) == (200, True)
    done = await api.http.get(f"/runs/{run_id}", params={"wait": 30})
    assert (done.json()["is_finished"], done.json()["phase"]) == (True, "Succeeded")
    assert 1 <= time.monotonic() - began < 20
    tag = done.headers["ETag"]
    assert tag.startswith('W/"')
    same = await api.http.get(f"/runs/{run_id}", headers={"If-None-Match": tag})
    assert (same.status_code, same.content, same.headers["ETag"]) == (304, b"", tag)
    assert (await api.http.get(f"/runs/{run_id}", params={"wait": 0.1}, headers={"If-None-Match": tag})).status_code == 304


async def test_versions__of_a_run_that_goes_on__only_grow_and_never_contradict(api: Api) -> None:
    run_id = await api.submit(workflow(*(shell(f"t{n}", "true") for n in range(10)), max_parallel_tasks=2))
    seen: list[dict[str, object]] = []
    tag = ""
    while not seen or not seen[-1]["is_finished"]:
        answer = await api.http.get(
            f"/runs/{run_id}", params={"wait": 20, "include": "tasks"}, headers={"If-None-Match": tag} if tag else {}
        )
        assert answer.status_code == 200
        run, tag = answer.json(), answer.headers["ETag"]
        phases = [task["phase"] for task in run["tasks"]]
        assert run["task_phases"] == {phase: phases.count(phase) for phase in set(phases)}
        seen.append(run)
    versions = [run["version"] for run in seen]
    assert versions == sorted(set(versions))


async def test_delete__unfinished_409__finished_204_and_gone_with_logs(api: Api) -> None:
    run_id = await api.submit(workflow(shell("waits", "trap 'exit 0' TERM; echo said; while :; do sleep 0.05; done")))
    assert (await api.http.delete(f"/runs/{run_id}")).status_code == 409
    await api.cancel(run_id)
    await api.finished(run_id)
    assert (await api.http.delete(f"/runs/{run_id}")).status_code == 204
    for path in ("", "/tasks", "/logs", "/events", "/workflow"):
        answer = await api.http.get(f"/runs/{run_id}{path}")
        assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json"), path
    assert (await api.http.delete(f"/runs/{run_id}")).status_code == 404
    assert run_id not in [run["id"] async for run in api.pages("/runs")]


async def test_events__followed_from_a_cursor__give_each_once(api: Api) -> None:
    run_id = await api.submit(workflow(shell("a", "true"), shell("b", "true", depends_on=["a"])))
    first = await api.follow(f"/runs/{run_id}/events")
    assert first.end == "Succeeded"
    assert first.events == await api.events(run_id)
    middle = first.events[3]["cursor"]
    rest = await api.follow(f"/runs/{run_id}/events?cursor={middle}")
    assert (rest.events, rest.end) == (first.events[4:], "Succeeded")
    sent, last_id = await api.server_sent(f"/runs/{run_id}/events", **{"Last-Event-ID": middle})
    assert (sent.events, sent.end) == (first.events[4:], "Succeeded")
    over = await api.http.get(f"/runs/{run_id}/events", headers={"Accept": "text/event-stream", "Last-Event-ID": str(last_id)})
    assert over.status_code == 204


async def test_events__of_all_runs__show_a_run_from_its_post_to_its_end(api: Api) -> None:
    followed = Followed()
    async with asyncio.TaskGroup() as group:
        following = group.create_task(api.follow("/runs/events?workflow=watched", into=followed))
        await asyncio.sleep(0.3)  # from now on: what was before the socket opened is not told
        other = await api.submit(workflow(shell("a", "true"), name="other"))
        run_id = await api.submit(workflow(shell("a", "true"), name="watched"))
        await api.finished(other)
        await api.finished(run_id)
        await until(lambda: bool(followed.events) and followed.events[-1]["type"] == "RunFinished", 10)
        following.cancel()
    assert {event["run_id"] for event in followed.events} == {run_id}
    assert followed.events == await api.events(run_id)


async def test_list__by_phase_workflow_label_and_time__gives_those_newest_first(api: Api) -> None:
    made = []
    for number in range(5):
        document = workflow(shell("a", "exit 1" if number % 2 else "true"), name="listed", labels={"number": str(number)})
        made.append(await api.submit(document, labels={"parity": "odd" if number % 2 else "even"}))
    runs = [await api.finished(run_id) for run_id in made]

    async def listed(**params: object) -> list[str]:
        return [run["id"] async for run in api.pages("/runs", workflow="listed", **params)]

    assert await listed() == made[::-1]
    assert await listed(limit=2) == made[::-1]
    assert await listed(phase="Failed") == [made[3], made[1]]
    assert await listed(phase=["Failed", "Succeeded"]) == made[::-1]
    assert await listed(label_selector="parity=even,number!=0") == [made[4], made[2]]
    assert await listed(label_selector="number in (1,2)") == [made[2], made[1]]
    assert await listed(created_after=runs[2]["created_at"]) in (made[:1:-1], made[:2:-1])
    assert await listed(created_before=runs[2]["created_at"]) in (made[1::-1], made[2::-1])
    assert [run["id"] async for run in api.pages("/runs", workflow="nobody")] == []
    page = await api.http.get("/runs", params={"limit": 1})
    assert 'rel="next"' in page.headers["Link"]


async def test_document__of_a_run__is_byte_for_byte_what_was_posted(api: Api) -> None:
    text = '{ "name":"odd" ,"tasks": [ {"name": "a", "depends_on": [ ] } ],\n "description": "\\u00e4 ä" }'
    body = f'{{"workflow": {text}}}'.encode()
    answer = await api.http.post("/runs", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 201
    run = await api.finished(answer.json()["id"])
    assert (run["phase"], run["tasks"][0]["attempts"]) == ("Succeeded", [])
    stored = await api.http.get(f"/runs/{run['id']}/workflow")
    assert stored.content.decode() == text


async def test_faults__of_a_document__are_all_told_at_once_with_pointers(api: Api) -> None:
    document = {
        "name": "Bad_Name",
        "tasks": [
            {"name": "a", "image": "Python:3.6", "depends_on": ["c"]},
            {"name": "a", "image": "x", "resources": {"requests": {"cpu": "one"}}},
            {"name": "c", "image": "x", "depends_on": ["a", "nobody"], "colour": "blue"},
        ],
    }
    for path, body, prefix in (("/runs", {"workflow": document}, "/workflow"), ("/workflows/validate", document, "")):
        answer = await api.http.post(path, content=json.dumps(body), headers={"Content-Type": "application/json"})
        assert answer.status_code == 422
        pointers = [error["pointer"].removeprefix(prefix) for error in answer.json()["errors"]]
        assert {
            "/name", "/tasks/0/image", "/tasks/1/name", "/tasks/1/resources/requests/cpu", "/tasks/2/depends_on/1",
            "/tasks/2/colour",
        } <= set(pointers)  # fmt: skip


async def test_info_and_health__of_a_running_service__say_what_it_is(api: Api) -> None:
    info = await api.get("/info")
    assert info["version"]
    assert "local" in json.dumps(info)
    base = api.url
    for path in ("/healthz", "/readyz"):
        answer = await api.http.get(f"{base}{path}", headers={"Host": "anything.example"})
        assert answer.status_code == 200, answer.text
    assert (await api.http.get("/info", headers={"Host": "evil.example"})).status_code == 421
    assert (await api.http.get("/info", headers={"Origin": "http://evil.example"})).status_code == 403
