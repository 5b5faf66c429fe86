"""How long it takes from the address to the graph of a run of 10,000 tasks, folded, on the screen."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import httpx
from playwright.async_api import Browser, Page, Request

from benchmarks.documents import Document, fan_out, layers
from benchmarks.measuring import table
from tests.support.api import api_of

TASKS = 10_000
GOAL_SECONDS = 2.0
_TIMES = 5
_SHAPES: Mapping[str, Callable[[int, Mapping[str, Any]], Document]] = {
    "fan-out": fan_out,
    "layers of 100, 20 upstream each": layers,
}
#: A node is shown when it has a size and stands in the window, and the browser has drawn the frame with it.
_SHOWN = """() => new Promise((resolve) => {
  const look = () => {
    const shown = [...document.querySelectorAll('.react-flow__node')].some((node) => {
      const box = node.getBoundingClientRect();
      return box.width > 0 && box.bottom > 0 && box.top < innerHeight && getComputedStyle(node).visibility !== 'hidden';
    });
    requestAnimationFrame(shown ? () => resolve(performance.now()) : look);
  };
  look();
})"""


async def measure_opening(browser: Browser, url: str) -> str:
    """A table: seconds until the graph is shown, beside what the same JSON costs to fetch."""
    rows = []
    async with api_of(url) as api:
        for name, make in _SHAPES.items():
            run_id = await api.submit(make(TASKS, {}))
            await api.finished(run_id)
            rows += await _rows(browser, f"{url}/runs/{run_id}", name)
    head = ("run, and what the browser has", "median", "least", "most", "the JSON alone", "ratio", "nodes", "longest task")
    return table(f"Opening a run of {TASKS:,} tasks: seconds until its graph is shown (goal: {GOAL_SECONDS:.0f})", head, rows)


async def _rows(browser: Browser, address: str, name: str) -> list[list[object]]:
    rows: list[list[object]] = []
    for kind in ("nothing", "the page's files"):
        opened = []
        asked: list[str] = []
        warm = await browser.new_context() if kind != "nothing" else None
        if warm is not None:
            await _open(await warm.new_page(), address)
        for _ in range(_TIMES):
            context = warm or await browser.new_context()
            page = await context.new_page()
            asked = _collect(page)
            opened.append(await _open(page, address))
            await (page if warm else context).close()
        if warm is not None:
            await warm.close()
        fetched = await _fetch_seconds(asked)
        seconds = [one["seconds"] for one in opened]
        median = statistics.median(seconds)
        rows.append([
            f"{name}; {kind}", f"{median:.2f} s", f"{min(seconds):.2f} s", f"{max(seconds):.2f} s", f"{fetched:.2f} s",
            f"{median / fetched:.1f}", max(int(one["nodes"]) for one in opened),
            f"{statistics.median(one['longest'] for one in opened) * 1000:.0f} ms",
        ])  # fmt: skip
    return rows


def _collect(page: Page) -> list[str]:
    """The API's addresses that the page reads from now on, as it does."""
    asked: list[str] = []

    def note(request: Request) -> None:
        if "/api/" in request.url and request.method == "GET":
            asked.append(request.url)

    page.on("request", note)
    return asked


async def _open(page: Page, address: str) -> dict[str, float]:
    """Open the address and wait for the graph. `longest` is the longest that the page's own thread was held."""
    await page.add_init_script(
        """window.longest = 0; new PerformanceObserver((list) => {
          for (const entry of list.getEntries()) window.longest = Math.max(window.longest, entry.duration);
        }).observe({ type: 'longtask', buffered: true });"""
    )
    await page.goto(address, wait_until="commit")
    async with asyncio.timeout(60):
        milliseconds = float(await page.evaluate(_SHOWN))
    await asyncio.sleep(0.5)  # what the page does right afterwards holds its thread, too
    nodes, longest = await page.evaluate("[document.querySelectorAll('.react-flow__node').length, window.longest]")
    return {"seconds": milliseconds / 1000, "nodes": nodes, "longest": longest / 1000}


async def _fetch_seconds(addresses: list[str]) -> float:
    """How long a plain client takes over the same answers, one after the other: the median of several times."""
    took = []
    async with httpx.AsyncClient(timeout=60, trust_env=False) as client:
        for _ in range(_TIMES):
            began = time.perf_counter()
            for address in addresses:
                answer = await client.get(address)
                if answer.headers.get("content-type", "").startswith("application/json"):
                    answer.json()
            took.append(time.perf_counter() - began)
    return statistics.median(took)
