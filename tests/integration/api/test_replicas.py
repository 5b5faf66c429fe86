"""Two services on one PostgreSQL: what they must agree on."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.integration.api.service import HELLO, read_frames, running

pytestmark = pytest.mark.postgres


async def test_replicas__one_idempotency_key_at_both__makes_one_run(tmp_path: Path, postgres_url: str) -> None:
    async with (
        running(tmp_path / "1", database_url=postgres_url) as one,
        running(tmp_path / "2", database_url=postgres_url) as two,
    ):
        for turn in range(10):
            headers = {"Idempotency-Key": f"key {turn}"}
            async with asyncio.TaskGroup() as group:
                sent = [
                    group.create_task(service.http.post("/runs", json={"workflow": HELLO}, headers=headers))
                    for service in (one, two, one, two)
                ]
            answers = [item.result() for item in sent]
            assert {answer.status_code for answer in answers} <= {201, 409}
            assert len({answer.json()["id"] for answer in answers if answer.status_code == 201}) == 1
        assert len((await two.http.get("/runs")).json()["items"]) == 10


async def test_replicas__what_one_does__the_other_shows(tmp_path: Path, postgres_url: str) -> None:
    async with (
        running(tmp_path / "1", database_url=postgres_url) as one,
        running(tmp_path / "2", database_url=postgres_url) as two,
    ):
        run = await one.submit()
        path = f"/runs/{run['id']}"
        async with two.socket(f"{path}/events") as socket:
            assert (await two.http.post(f"{path}/cancel", json={"reason": "no"})).status_code == 202
            await one.move_run(run["id"], "Cancelled", is_finished=True)
            frames = await read_frames(socket, 4)
        assert [frame["type"] for frame in frames] == ["event", "event", "event", "end"]
        assert [frame["event"]["type"] for frame in frames[:-1]] == ["RunPhase", "CancelRequested", "RunPhase"]
        assert (await one.http.get(f"{path}?include=tasks")).json() == (await two.http.get(f"{path}?include=tasks")).json()
        assert (await one.http.get("/runs?workflow=%00")).status_code == 422
        assert (await two.http.delete(path)).status_code == 204
        assert (await one.http.get(path)).status_code == 404
