"""A person's browser: Debian's Chromium, driven by Playwright, with an ear for whatever a page should not do.

A console error, an error that nobody caught, a breach of the Content-Security-Policy, a request that fails and an answer from
400 on are complaints; `Browsing.check` fails on each that a test has not said it expects.
"""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from playwright.async_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Request,
    Response,
    WebSocket,
    async_playwright,
    expect,
)

from tests.support.chromium import ROOT, find_chromium

AXE = ROOT / "ui" / "node_modules" / "axe-core" / "axe.min.js"
#: How long a page may take over whatever a test waits for: the machine may be busy with other tests.
WAIT_MS = 30_000
expect.set_options(timeout=WAIT_MS)
#: A request that the page itself gave up, by leaving or by asking anew, is no failure.
_GIVEN_UP = "net::ERR_ABORTED"
#: Nor is one that Chromium breaks off because a network interface came or went, as each pod's does on a node.
_OTHERS_DOING = re.compile("net::ERR_NETWORK_CHANGED")
_LISTEN = """
document.addEventListener('securitypolicyviolation', (event) => {
  console.error(`policy breached: ${event.violatedDirective} ${event.blockedURI} ${event.sample}`);
});
window.longTasks = [];
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) window.longTasks.push(entry.duration);
}).observe({ type: 'longtask', buffered: true });
"""


@asynccontextmanager
async def launched(*arguments: str) -> AsyncIterator[Browser]:
    """A Chromium without a window, closed after the block."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=find_chromium(),
            # Chromium refuses to run as root with its sandbox.
            chromium_sandbox=os.geteuid() != 0,
            args=["--disable-dev-shm-usage", *arguments],
        )
        try:
            yield browser
        finally:
            await browser.close()


class Browsing:
    """What one test does in the browser: its windows, each as new as a private one, what they asked for and complained of."""

    def __init__(self, browser: Browser, url: str) -> None:
        """`url` is the service that paths are of."""
        self.url = url
        self.complaints: list[str] = []
        self.requested: list[str] = []  #: the URLs of all requests and websockets
        self._browser = browser
        self._allowed: list[re.Pattern[str]] = []
        self._contexts: list[BrowserContext] = []

    async def open(self, path: str = "/", **options: Any) -> Page:
        """The page at this path, or whole URL, in a window of its own; `options` are a Playwright context's."""
        context = await self._browser.new_context(**({"viewport": {"width": 1280, "height": 800}} | options))
        context.set_default_timeout(WAIT_MS)
        await context.add_init_script(_LISTEN)
        context.on("page", self._listen_to)
        self._contexts.append(context)
        return await self.open_beside(context, path)

    async def open_beside(self, context: BrowserContext, path: str) -> Page:
        """The page at this path in a new tab of a window that is there."""
        page = await context.new_page()
        heard = len(self.complaints)
        await page.goto(self.url + path if path.startswith("/") else path)
        while any(map(_OTHERS_DOING.search, self.complaints[heard:])):
            heard = len(self.complaints)
            await page.reload()
        return page

    def allow(self, *patterns: str) -> None:
        """Let complaints pass in which one of these regular expressions is found."""
        self._allowed += [re.compile(pattern) for pattern in patterns]

    async def close(self) -> None:
        """Close all windows."""
        for context in self._contexts:
            await context.close()

    def check(self) -> None:
        """Fail where a page complained."""
        allowed = [*self._allowed, _OTHERS_DOING]
        left = [text for text in self.complaints if not any(one.search(text) for one in allowed)]
        assert not left, "the page did what it should not:\n  " + "\n  ".join(left[:20])

    def _listen_to(self, page: Page) -> None:
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.complaints.append(f"uncaught: {error}"))
        page.on("request", lambda request: self.requested.append(request.url))
        page.on("requestfailed", self._failed)
        page.on("response", self._answered)
        page.on("websocket", self._upgraded)

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "assert"):
            self.complaints.append(f"console: {message.text} ({message.location.get('url', '')})")

    def _failed(self, request: Request) -> None:
        if request.failure != _GIVEN_UP:
            self.complaints.append(f"request failed: {request.method} {request.url}: {request.failure}")

    def _answered(self, response: Response) -> None:
        if response.status >= 400:
            self.complaints.append(f"answered {response.status}: {response.request.method} {response.url}")

    def _upgraded(self, socket: WebSocket) -> None:
        self.requested.append(socket.url)


async def axe_findings(page: Page) -> list[str]:
    """What axe-core finds wrong with the page as it is, by the rules of WCAG 2.2 A and AA."""
    if await page.evaluate("typeof window.axe") == "undefined":
        # By the debugger, not by an element: the page's policy lets no foreign script in.
        await page.evaluate(AXE.read_text() + ";0")
    tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
    found = await page.evaluate("(tags) => axe.run(document, { runOnly: tags, resultTypes: ['violations'] })", tags)
    return [
        f"{one['id']} ({one['impact']}): {one['help']}: "
        + "; ".join(f"{node['html'][:150]} {node.get('failureSummary', '')[:300]}" for node in one["nodes"][:3])
        for one in found["violations"]
    ]


async def overflow(page: Page) -> str:
    """The widest element that makes the page scroll sideways, empty where nothing does."""
    return str(
        await page.evaluate(
            """() => {
              const root = document.documentElement;
              if (root.scrollWidth <= root.clientWidth) return '';
              const wide = [...document.querySelectorAll('body *')]
                .filter((element) => element.getBoundingClientRect().right > root.clientWidth + 0.5)
                .map((element) => `<${element.tagName.toLowerCase()} class="${element.className}">`);
              return `${root.scrollWidth} > ${root.clientWidth} px: ${wide.slice(0, 5).join(' ')}`;
            }"""
        )
    )
