"""The log page as a reader has it: only the lines in sight are in the document, so all of them are read by scrolling."""

from __future__ import annotations

import asyncio
from typing import Any

from playwright.async_api import Locator, Page

_SECONDS = 60.0
#: The rows that are drawn, each with its number from 0 and its text, null while it is being read.
_ROWS = """() => [...document.querySelectorAll('main [data-virtuoso-scroller] div[data-line]')].map(
  (row) => [Number(row.dataset.line), row.querySelector('bdi') && row.querySelector('bdi').textContent],
)"""
_SCROLL_TO = """(top) => {
  const list = document.querySelector('main [data-virtuoso-scroller]');
  list.scrollTop = top;
  return [list.clientHeight, list.scrollTop + list.clientHeight >= list.scrollHeight - 1];
}"""


def line(page: Page, number: int) -> Locator:
    """The row of the line with this number, from 1 as on screen."""
    return page.get_by_role("main").locator(f'div[data-line="{number - 1}"]')


async def drawn(page: Page) -> dict[int, str | None]:
    """The rows that are in the document now, by number from 0. Each is there once, and they stand in order."""
    rows: list[list[Any]] = await page.evaluate(_ROWS)
    numbers = [number for number, _ in rows]
    assert numbers == sorted(set(numbers)), f"rows doubled or out of order: {numbers}"
    return dict(rows)


async def read(page: Page) -> dict[int, str]:
    """The rows that are in the document once none of them is being read any more: their texts by number from 0."""
    async with asyncio.timeout(_SECONDS):
        while True:
            rows = await drawn(page)
            texts = {number: text for number, text in rows.items() if text is not None}
            if rows and len(texts) == len(rows):
                return texts
            await asyncio.sleep(0.03)


async def all_lines(page: Page) -> list[str]:
    """The texts of all lines, from the first to the last, as they pass while the page is scrolled down."""
    seen: dict[int, str] = {}
    top = 0.0
    async with asyncio.timeout(_SECONDS):
        height, is_end = await page.evaluate(_SCROLL_TO, top)
        while True:
            await asyncio.sleep(0.03)
            for number, text in (await read(page)).items():
                assert seen.setdefault(number, text) == text, f"line {number} has changed"
            if is_end:
                break
            top += height * 0.7
            height, is_end = await page.evaluate(_SCROLL_TO, top)
    assert sorted(seen) == list(range(len(seen))), f"lines are missing: {sorted(set(range(max(seen))) - set(seen))[:20]}"
    return [seen[number] for number in range(len(seen))]
