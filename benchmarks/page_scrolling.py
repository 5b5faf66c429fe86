"""How smoothly a log of a million lines scrolls, and what of it the browser holds."""

from __future__ import annotations

import asyncio
import statistics
import time
from dataclasses import dataclass
from typing import Any

from playwright.async_api import Browser, CDPSession, Page

from benchmarks.measuring import table
from tests.support.api import api_of

LINES = 1_000_000
GOAL_FRAMES = 50
_SECONDS = 5.0
_WHEEL_PIXELS, _WHEEL_EVERY_SECONDS = 120, 1 / 60
_LATE_MS = 20.0
_WRITE = (
    f"BEGIN {{ for (i = 1; i <= {LINES}; i++) "
    r'printf "%07d the quick brown fox \033[3%dmjumps\033[0m over the lazy dog %d\n", i, i % 8, i * 7919 % 1000003 }'
)
_EMPTY = "data:text/html,<!doctype html><div style='height: 20000000px'></div>"
#: Each tenth frame it looks whether there are lines in the document which have not been read yet.
_COUNT_FRAMES = """() => {
  const seen = { frames: [], looked: 0, unread: 0 };
  const row = () => Number(document.querySelector('main [data-line]')?.dataset.line ?? 0);
  const first = row();
  let last = performance.now();
  const tick = (now) => {
    seen.frames.push(now - last);
    last = now;
    if (seen.frames.length % 10 === 0) {
      seen.looked += 1;
      if (document.querySelector('main div[data-line]:not(:has(bdi))') !== null) seen.unread += 1;
    }
    window.ticking = requestAnimationFrame(tick);
  };
  window.ticking = requestAnimationFrame(tick);
  window.stopCounting = () => { cancelAnimationFrame(window.ticking); seen.passed = Math.abs(row() - first); return seen; };
}"""
_ROW = "main [data-line]"


@dataclass(frozen=True)
class _Scrolled:
    """What was seen while the wheel turned."""

    frames: list[float]  #: milliseconds between one and the next
    passed: int  #: lines
    unread: float  #: the share of moments at which a line in the document had not been read yet


async def measure_scrolling(browser: Browser, url: str) -> str:
    """A table of frames while the wheel turns, beside an empty page's, and one of what is loaded."""
    async with api_of(url) as api:
        document = {"name": "long-log", "tasks": [{"name": "writer", "image": "busybox:1", "command": ["awk", _WRITE]}]}
        run_id = await api.submit(document)
        run = await api.finished(run_id)
        assert run["tasks"][0]["attempts"][0]["log"]["lines"] == LINES, run["tasks"]
    address = f"{url}/runs/{run_id}/tasks/writer/logs"
    empty = await _empty_page(browser)
    rows = [_row("an empty page, as tall", empty, empty)]
    context = await browser.new_context(viewport={"width": 1280, "height": 800})
    page = await context.new_page()
    await _open(page, f"{address}#L1")
    rows.append(_row("the log, down from its first line", await _scroll(page, 1), empty))
    jump = await _jump(page, address)
    rows.append(_row("the log, down from its middle", await _scroll(page, 1), empty))
    rows.append(_row("the log, up", await _scroll(page, -1), empty))
    held = await _held(page)
    await context.close()
    title = f"Scrolling a log of {LINES:,} lines by wheel for {_SECONDS:.0f} s (goal: {GOAL_FRAMES} frames a second)"
    head = (
        "page",
        "frames a second",
        "of the empty page's",
        "median",
        "p95",
        f"over {_LATE_MS:.0f} ms",
        "lines passed",
        "some not read yet",
    )
    return "\n".join([
        table(title, head, rows),
        table("What of the log is loaded then", ("what", "much"), [
            ["opening the page at the log's middle", f"{jump:.2f} s"], ["lines in the document", held["rows"]],
            ["elements in the document", held["elements"]], ["JavaScript's memory", f"{held['mebibytes']:.0f} MiB"],
            ["the log itself", f"{run['tasks'][0]['attempts'][0]['log']['bytes'] / 2**20:.0f} MiB"],
        ]),
    ])  # fmt: skip


async def _empty_page(browser: Browser) -> _Scrolled:
    page = await browser.new_page(viewport={"width": 1280, "height": 800})
    await page.goto(_EMPTY)
    scrolled = await _scroll(page, 1)
    await page.close()
    return scrolled


async def _open(page: Page, address: str) -> None:
    await page.goto(address)
    await page.locator(_ROW).first.wait_for(timeout=30_000)


async def _jump(page: Page, address: str) -> float:
    """Seconds from the address of the line in the middle to its text."""
    began = time.perf_counter()
    await page.goto("about:blank")
    await page.goto(f"{address}#L{LINES // 2}")
    await page.get_by_text(f"{LINES // 2:07d} the quick").wait_for(timeout=30_000)
    return time.perf_counter() - began


async def _scroll(page: Page, direction: int) -> _Scrolled:
    """Turn the wheel over the middle of the window."""
    await page.mouse.move(640, 500)
    await asyncio.sleep(1)  # what opening the page began has ended
    await page.evaluate(_COUNT_FRAMES)
    session: CDPSession = await page.context.new_cdp_session(page)
    until = time.monotonic() + _SECONDS
    turn: dict[str, Any] = {"type": "mouseWheel", "x": 640, "y": 500, "deltaX": 0, "deltaY": direction * _WHEEL_PIXELS}
    while time.monotonic() < until:
        began = time.monotonic()
        await session.send("Input.dispatchMouseEvent", turn)
        await asyncio.sleep(max(0.0, _WHEEL_EVERY_SECONDS - (time.monotonic() - began)))
    seen = await page.evaluate("window.stopCounting()")
    await session.detach()
    return _Scrolled(seen["frames"][1:], seen["passed"], seen["unread"] / max(1, seen["looked"]))


def _row(name: str, scrolled: _Scrolled, empty: _Scrolled) -> list[object]:
    frames = scrolled.frames
    late = sum(one > _LATE_MS for one in frames) / len(frames)
    rate, empty_rate = 1000 / statistics.mean(frames), 1000 / statistics.mean(empty.frames)
    p95 = statistics.quantiles(frames, n=20)[-1]
    return [
        name, f"{rate:.0f}", f"{rate / empty_rate:.2f}", f"{statistics.median(frames):.1f} ms", f"{p95:.1f} ms", f"{late:.1%}",
        f"{scrolled.passed:,}", f"{scrolled.unread:.0%}",
    ]  # fmt: skip


async def _held(page: Page) -> dict[str, Any]:
    elements = await page.evaluate("document.querySelectorAll('*').length")
    memory = await page.evaluate("() => { gc(); return performance.memory.usedJSHeapSize; }")
    return {"rows": await page.locator(_ROW).count(), "elements": elements, "mebibytes": memory / 2**20}
