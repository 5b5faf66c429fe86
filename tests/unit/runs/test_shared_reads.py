"""Reads that are shared: how many are made, and what those who share them get."""

from __future__ import annotations

import asyncio

import pytest

from app.runs.shared_reads import SharedReads


class Source:
    """Reads that end when the test says so; each gives its number."""

    def __init__(self) -> None:
        self.begun = 0
        self.gates: list[asyncio.Event] = []
        self.fails = False

    async def read(self, key: str) -> int:
        self.begun += 1
        number, gate = self.begun, asyncio.Event()
        self.gates.append(gate)
        await gate.wait()
        if self.fails:
            raise ConnectionError(key)
        return number


async def settle() -> None:
    """Let everything go on that can."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_shared_reads__many_come_during_a_read__they_share_the_next_one() -> None:
    source = Source()
    reads = SharedReads(source.read)
    async with asyncio.TaskGroup() as group:
        first = group.create_task(reads.get("a"))
        await settle()
        later = [group.create_task(reads.get("a")) for _ in range(100)]
        other = group.create_task(reads.get("b"))
        await settle()
        assert source.begun == 2, "one of each key"
        for gate in source.gates:
            gate.set()
        await settle()
        assert (first.result(), other.result()) == (1, 2)
        assert not any(one.done() for one in later), "they came after that read had begun"
        source.gates[2].set()
    assert {one.result() for one in later} == {3}
    source.gates.clear()
    async with asyncio.TaskGroup() as group:
        again = group.create_task(reads.get("a"))
        await settle()
        source.gates[0].set()
    assert again.result() == 4, "nothing is kept"


@pytest.mark.parametrize("is_waiting", [False, True])
async def test_shared_reads__who_makes_it_is_cancelled__the_others_get_theirs(is_waiting: bool) -> None:
    source = Source()
    reads = SharedReads(source.read)
    async with asyncio.TaskGroup() as group:
        first = group.create_task(reads.get("a"))
        await settle()
        second = group.create_task(reads.get("a"))
        await settle()
        third = group.create_task(reads.get("a"))
        await settle()
        (second if is_waiting else first).cancel()
        await settle()
        for _ in range(3):
            for gate in source.gates:
                gate.set()
            await settle()
    assert third.result() == 2
    assert second.cancelled() is is_waiting
    assert first.cancelled() is not is_waiting


async def test_shared_reads__it_fails__all_who_share_it_are_told() -> None:
    source = Source()
    source.fails = True
    reads = SharedReads(source.read)

    async def failure() -> str:
        with pytest.raises(ConnectionError) as caught:
            await reads.get("a")
        return str(caught.value)

    async with asyncio.TaskGroup() as group:
        first = group.create_task(failure())
        await settle()
        others = [group.create_task(failure()) for _ in range(3)]
        await settle()
        source.gates[0].set()
        await settle()
        assert source.begun == 2
        source.gates[1].set()
    assert {one.result() for one in (first, *others)} == {"a"}
