"""`python -m benchmarks.page [open] [scroll] [size]`: what the web page costs in a real browser, as Markdown.

With all parts measured, the answer is written to docs/generated/page-benchmark.md too.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import os
import platform
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from playwright.async_api import Browser

from benchmarks.measuring import machine_model
from benchmarks.page_opening import measure_opening
from benchmarks.page_scrolling import measure_scrolling
from benchmarks.page_size import measure_size
from tests.support.browser import launched
from tests.support.chromium import ROOT, missing_browser
from tests.support.service import ServiceProcess

PARTS = ("open", "scroll", "size")
REPORT = ROOT / "docs" / "generated" / "page-benchmark.md"


async def measure(parts: list[str]) -> str:
    """The whole report, of these parts."""
    async with _browser_and_service() as (browser, url):
        said = [f"# What the web page costs\n\n{_machine(browser)}\n"]
        if "open" in parts:
            said.append(await measure_opening(browser, url))
        if "scroll" in parts:
            said.append(await measure_scrolling(browser, url))
        if "size" in parts:
            said.append(measure_size())
    return "\n".join(said)


@asynccontextmanager
async def _browser_and_service() -> AsyncIterator[tuple[Browser, str]]:
    with tempfile.TemporaryDirectory(prefix="podrun-benchmark-") as folder:
        service = ServiceProcess(Path(folder), "local")
        service.start()
        try:
            # Chromium rounds what `performance.memory` says, and lets nobody collect garbage, unless it is told to.
            async with launched("--enable-precise-memory-info", "--js-flags=--expose-gc") as browser:
                yield browser, service.url
        finally:
            service.close()


def _machine(browser: Browser) -> str:
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    return (
        f"{os.cpu_count()} cores of {machine_model()}, {platform.system()} {platform.release()}, load {load}. Chromium "
        f"{browser.version} without a window (it draws with the CPU), driven by Playwright "
        f"{importlib.metadata.version('playwright')}; a service of its own, on SQLite, on the same machine."
    )


def main() -> None:
    """Measure the parts that the command line names, or all."""
    wanted = sys.argv[1:] or list(PARTS)
    if unknown := [name for name in wanted if name not in PARTS]:
        sys.exit(f"there is no part {unknown[0]!r}: {', '.join(PARTS)}")
    if reason := missing_browser():
        sys.exit(f"the page can't be measured: {reason}")
    report = asyncio.run(measure(wanted))
    print(report)
    if set(wanted) == set(PARTS):
        REPORT.write_text(report)
        print(f"written to {REPORT.relative_to(ROOT)}", file=sys.stderr)


if __name__ == "__main__":
    main()
