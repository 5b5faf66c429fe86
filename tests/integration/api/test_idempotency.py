"""Idempotency keys over HTTP."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from app.runs.submit import Submitter
from app.storage.idempotency import KEPT_FOR
from app.storage.models import IdempotencyKeyRow, table_of
from app.storage.writer import Change
from tests.integration.api.service import HELLO, FakeEvaluator, FakePods, running

KEYS = table_of(IdempotencyKeyRow)


async def test_idempotency__the_same_again__is_the_run_as_it_is_now(tmp_path: Path) -> None:
    async with running(tmp_path) as service:
        run = await service.submit(**{"Idempotency-Key": '"key one"'})
        await service.move_run(run["id"], "Running")
        again = await service.http.post("/runs", json={"workflow": HELLO}, headers={"Idempotency-Key": "key one"})
        assert again.status_code == 201
        assert again.headers["idempotency-replayed"] == "true"
        assert (again.json()["id"], again.json()["phase"]) == (run["id"], "Running")
        other = await service.http.post(
            "/runs", json={"workflow": {**HELLO, "name": "x"}}, headers={"Idempotency-Key": "key one"}
        )
        assert other.status_code == 422
        assert other.json()["type"].endswith("idempotency-key-reused")


async def test_idempotency__refused_requests__are_not_remembered(tmp_path: Path) -> None:
    async with running(tmp_path) as service:
        refused = await service.http.post("/runs", json={"workflow": {}}, headers={"Idempotency-Key": "k"})
        assert refused.status_code == 422
        assert "Idempotency-Replayed" not in refused.headers
        await service.submit(**{"Idempotency-Key": "k"})


async def test_idempotency__deleted_since__is_410(tmp_path: Path) -> None:
    async with running(tmp_path) as service:
        run = await service.submit(**{"Idempotency-Key": "k"})
        await service.move_run(run["id"], "Succeeded", is_finished=True)
        assert (await service.http.delete(f"/runs/{run['id']}")).status_code == 204
        again = await service.http.post("/runs", json={"workflow": HELLO}, headers={"Idempotency-Key": "k"})
        assert again.status_code == 410


@pytest.mark.parametrize("key", ["", '""', '"a', "x" * 256, "tab\there", '"a"b"'])
async def test_idempotency__no_key_at_all__is_422(tmp_path: Path, key: str) -> None:
    async with running(tmp_path) as service:
        answer = await service.http.post("/runs", json={"workflow": HELLO}, headers={"Idempotency-Key": key})
        assert answer.status_code == 422, answer.text
        assert answer.json()["errors"][0]["parameter"] == "Idempotency-Key"


async def test_idempotency__twenty_at_once__make_one_run(tmp_path: Path) -> None:
    async with running(tmp_path) as service:
        async with asyncio.TaskGroup() as group:
            sent = [
                group.create_task(service.http.post("/runs", json={"workflow": HELLO}, headers={"Idempotency-Key": "k"}))
                for _ in range(20)
            ]
        statuses = [one.result().status_code for one in sent]
        assert set(statuses) <= {201, 409}
        assert 201 in statuses
        assert len((await service.http.get("/runs")).json()["items"]) == 1


async def test_idempotency__another_replica_was_first__is_seen_by_the_key(tmp_path: Path) -> None:
    """The row appears between the look and the insert: the primary key decides, and the answer is as for one that was there."""
    async with running(tmp_path) as service:
        run = await service.submit()
        go_on = asyncio.Event()
        commit = service.writer.commit

        async def commit_after_the_other(change: Change, *, urgent: bool = True) -> object:
            if change.call is not None and not go_on.is_set():
                go_on.set()
                await commit(Change(call=change.call))
                await commit(Change(rows=[(KEYS.update().values(run_id=run["id"]), {})]))
            return await commit(change, urgent=urgent)

        service.writer.commit = commit_after_the_other  # type: ignore[method-assign]  # another replica, at the worst moment
        answer = await service.http.post("/runs", json={"workflow": HELLO}, headers={"Idempotency-Key": "k"})
        assert go_on.is_set()
        assert (answer.status_code, answer.json()["id"]) == (201, run["id"])
        assert answer.headers["idempotency-replayed"] == "true"


async def test_idempotency__a_day_later__the_key_makes_a_new_run(tmp_path: Path) -> None:
    async with running(tmp_path) as service:
        first = await service.submit(**{"Idempotency-Key": "k"})
        a_day_ago = datetime.now(UTC) - KEPT_FOR
        await service.writer.commit(Change(rows=[(KEYS.update().values(created_at=a_day_ago), {})]))
        second = await service.submit(**{"Idempotency-Key": "k"})
        assert second["id"] != first["id"]
        again = await service.http.post("/runs", json={"workflow": HELLO}, headers={"Idempotency-Key": "k"})
        assert (again.json()["id"], again.headers["idempotency-replayed"]) == (second["id"], "true")


async def test_idempotency__the_database_was_away__old_keys_are_forgotten_with_the_next_submission(tmp_path: Path) -> None:
    async with running(tmp_path) as service:
        old = {"caller": "c", "key": "k", "body_hash": "", "run_id": "", "created_at": datetime.now(UTC) - 2 * KEPT_FOR}
        await service.writer.commit(Change(rows=[(KEYS.insert(), old)]))
        commit = service.writer.commit

        async def out_of_reach(*_: object) -> object:
            service.writer.commit = commit  # type: ignore[method-assign]
            raise OperationalError("", {}, OSError())

        service.writer.commit = out_of_reach  # type: ignore[method-assign]
        body, headers = {"workflow": HELLO}, {"Idempotency-Key": "new"}
        assert (await service.http.post("/runs", json=body, headers=headers)).status_code == 503
        assert (await service.http.post("/runs", json=body, headers=headers)).status_code == 201
        keys = await service.database.read(lambda session: session.execute(select(KEYS.c.key)).scalars().all())
        assert keys == ["new"]


async def test_idempotency__a_request_is_cancelled_while_it_is_committed__the_same_again_is_its_run(tmp_path: Path) -> None:
    async with running(tmp_path) as service:
        submitter = Submitter(service.database, service.writer, FakePods(), FakeEvaluator(), None)
        body = json.dumps({"workflow": HELLO}).encode()
        commit, queued = service.writer.commit, asyncio.Event()

        async def commit_for_ever(change: Change, *, urgent: bool = True) -> object:
            await commit(change, urgent=urgent)
            queued.set()
            return await asyncio.Event().wait()

        service.writer.commit = commit_for_ever  # type: ignore[method-assign]
        async with asyncio.TaskGroup() as group:
            request = group.create_task(submitter.submit(body, key="k", caller="c"))
            await queued.wait()
            request.cancel()
        service.writer.commit = commit  # type: ignore[method-assign]
        assert (await submitter.submit(body, key="k", caller="c")).replayed
        assert len((await service.http.get("/runs")).json()["items"]) == 1
