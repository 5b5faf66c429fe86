"""A connection that breaks: the page says so, comes back by itself, and nothing is lost or doubled."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

from playwright.async_api import Page, expect

from tests.browser.conftest import MakeService
from tests.browser.test_runs import rows
from tests.support.api import api_of
from tests.support.browser import Browsing
from tests.support.cutting_proxy import cutting_proxy
from tests.support.log_page import all_lines, line
from tests.support.service import ServiceProcess
from tests.support.workflows import shell, workflow

LINES = 400
WRITE = f'for i in $(seq 1 {LINES}); do echo "line $i of many"; sleep 0.01; done'
#: A quarter at once, two when the first file is there, the last one when the second one is.
WRITE_WHEN_TOLD = """
say() { for i in $(seq $1 $2); do echo "line $i of many"; done; }
say 1 100; while [ ! -e %s ]; do sleep 0.05; done; say 101 300; while [ ! -e %s ]; do sleep 0.05; done; say 301 400
"""
#: What a browser says of a service that is not there.
AWAY = ("ERR_CONNECTION", "ERR_EMPTY_RESPONSE", "ERR_SOCKET", "ERR_INCOMPLETE", "WebSocket connection to", r"\b503\b")


async def _check_lines(service: ServiceProcess, page: Page, run_id: str) -> None:
    async with api_of(service.url) as api:
        await api.finished(run_id)
        told = (await api.log(run_id, "writer")).decode().splitlines()
    assert told == [f"line {number} of many" for number in range(1, LINES + 1)]
    await expect(line(page, LINES)).to_contain_text(f"line {LINES} of many")
    assert await all_lines(page) == told


async def test_log__service_killed_and_started_again__nothing_lost_or_doubled(
    make_service: MakeService, browsing: Browsing, tmp_path: Path
) -> None:
    service = make_service("local")
    browsing.url = service.url
    browsing.allow(*AWAY)
    meanwhile, afterwards = tmp_path / "meanwhile", tmp_path / "afterwards"
    async with api_of(service.url) as api:
        run_id = await api.submit(workflow(shell("writer", WRITE_WHEN_TOLD % (meanwhile, afterwards)), name="followed"))
        await api.log_when(run_id, "writer", b"line 100 ")
    log = await browsing.open(f"/runs/{run_id}/tasks/writer/logs")
    runs = await browsing.open("/runs")
    await expect(line(log, 100)).to_be_visible()
    await expect(rows(runs)).to_have_count(1)

    await asyncio.to_thread(service.kill)
    meanwhile.touch()
    for page in (log, runs):
        await expect(page.get_by_role("alert").filter(has_text="be reached").first).to_be_visible()
    await expect(line(log, 100)).to_be_visible()
    await expect(rows(runs)).to_have_count(1)

    await asyncio.to_thread(service.start)
    for page in (log, runs):
        await expect(page.get_by_role("alert")).to_have_count(0)
    await expect(line(log, 300)).to_be_visible()
    afterwards.touch()
    await expect(rows(runs).first).to_contain_text("Succeeded")
    async with api_of(service.url) as api:
        await api.submit(workflow({"name": "nothing"}, name="afterwards"))
    await expect(rows(runs)).to_have_count(2)
    await _check_lines(service, log, run_id)


async def test_log__stream_cut_within_frames__nothing_lost_or_doubled(make_service: MakeService, browsing: Browsing) -> None:
    service = make_service("local")
    browsing.allow(*AWAY)
    async with cutting_proxy(service.url) as proxy, api_of(service.url) as api:
        browsing.url = proxy.url
        run_id = await api.submit(workflow(shell("writer", WRITE), name="cut"))
        await api.log_when(run_id, "writer", b"line 5 ")
        proxy.cut(5, "/logs")
        page = await browsing.open(f"/runs/{run_id}/tasks/writer/logs")
        await _check_lines(service, page, run_id)
        assert proxy.cuts == 5
        await page.goto("about:blank")


async def test_run__stream_of_events_cut__shows_how_it_ended(make_service: MakeService, browsing: Browsing) -> None:
    service = make_service("local")
    browsing.allow(*AWAY)
    async with cutting_proxy(service.url) as proxy, api_of(service.url) as api:
        browsing.url = proxy.url
        tasks = [shell(f"t{number}", "sleep 0.3", depends_on=[f"t{number - 1}"] if number else []) for number in range(8)]
        proxy.cut(4, "/events")
        run_id = await api.submit(workflow(*tasks, name="cut-events"))
        page = await browsing.open(f"/runs/{run_id}")
        await expect(page.get_by_role("main").locator("header").first).to_contain_text("Succeeded", timeout=60_000)
        await expect(page.get_by_role("button", name=re.compile(r"^t7\W+Succeeded"))).to_be_attached()
        assert proxy.cuts > 0
        await page.goto("about:blank")
