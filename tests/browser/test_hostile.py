"""Whatever a workflow or a log contains is text: nothing of it runs, becomes an element, or leads anywhere."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import pytest_asyncio
from playwright.async_api import Page, expect

from tests.browser.conftest import LOOP
from tests.support.api import Api, api_of
from tests.support.browser import Browsing
from tests.support.service import ServiceProcess
from tests.support.workflows import python, workflow

IMAGE = "<img src=x onerror=window.__pwned=1>"
HOSTILE = [
    IMAGE,
    "<script>window.__pwned=2</script>",
    "</pre></script><svg onload=window.__pwned=3>",
    "javascript:window.__pwned=4//",
    "\"'><iframe srcdoc='<script>parent.__pwned=5</script>'>",
    "\u202egpj.exe\u202c \u2066isolated\u2069 \u200bzero",
    "{{constructor.constructor('window.__pwned=6')()}} ${window.__pwned=7} <%= 1 %>",
    "&lt;b&gt;&#60;img src=x onerror=window.__pwned=8&#62;",
    "[click](javascript:window.__pwned=9) http://127.0.0.1:9/leads-away",
]
#: Lines that only a log can have.
SEQUENCES = [
    "\x1b]8;;javascript:window.__pwned=10\x1b\\a link\x1b]8;;\x1b\\",
    "\x1b]0;a new title\x07\x1b[2J\x1b[H\x1b[?1049h\x1b[31mred <b>bold</b>\x1b[0m",
    "\x1b[38;2;1;2;3;expression(window.__pwned=11)mcolour\x1b[0m \x1b[999999999999m\x1b[;;;;m",
    "\x1bP1;2q<script>window.__pwned=12</script>\x1b\\ \x9b31m \x9d0;title\x9c",
    "nul \x00 bell \x07 back\x08\x08\x08 form \x0c del \x7f",
    "lone \udc80 surrogate",
]
_DOES_NOTHING = """() => {
  const found = [];
  if (window.__pwned !== undefined) found.push(`a script ran: ${window.__pwned}`);
  for (const one of document.querySelectorAll('#root script, #root iframe, #root img, #root object, #root embed, #root base'))
    found.push(one.outerHTML.slice(0, 200));
  for (const one of document.querySelectorAll('#root *')) {
    for (const { name, value } of one.attributes) {
      if (/^on/i.test(name)) found.push(`${name}=${value}`);
      if (!/^(href|src|action|formaction|xlink:href)$/i.test(name)) continue;
      // The graph's library names itself; all other addresses are of the page itself.
      if (!/^(\\/|#|\\?|blob:http:|https:\\/\\/reactflow\\.dev\\?)/.test(value))
        found.push(`${name}=${value}`);
    }
  }
  return found;
}"""


def _document() -> dict[str, Any]:
    write = f"""
import json, os, sys
for text in [*{[*HOSTILE, *SEQUENCES]!r}, 'long ' + '<b>x</b>' * 20_000]:
    sys.stdout.buffer.write(text.encode('utf-8', 'surrogateescape') + bytes([10]))
sys.stdout.flush()
json.dump({{'out': {HOSTILE!r}}}, open(os.environ['PODRUN_OUTPUTS'], 'w'))
"""
    params = {f"p{number}": {"default": text, "description": text} for number, text in enumerate(HOSTILE)}
    params["chosen"] = {"default": IMAGE, "enum": HOSTILE}
    return workflow(
        python("writer", write, env={"SHOWN": IMAGE}, annotations={"note": IMAGE}),
        python("loser", write + "sys.exit(3)"),
        {"name": "nowhere", "image": "busybox:1", "command": [IMAGE, "</script>"]},
        {"name": "gate", "approval": {"message": " ".join(HOSTILE)}},
        {"name": "item", "image": "busybox:1", "command": ["echo", "${{ item }}"], "foreach": HOSTILE},
        name="hostile", description=" ".join(HOSTILE), params=params,
    )  # fmt: skip


@pytest_asyncio.fixture(scope="module", loop_scope=LOOP)
async def hostile_run(local_service: ServiceProcess) -> str:
    """A run of it, which waits at its gate; it is stored, too."""
    async with api_of(local_service.url) as api:
        await api.put_workflow(_document())
        run_id = await api.submit("hostile", params={"p1": "</title><script>window.__pwned=13</script>"})
        for name, phase in (("writer", "Succeeded"), ("loser", "Failed"), ("nowhere", "Failed")):
            await api.task_when(run_id, name, phase=phase)
        await api.task_when(run_id, "gate", reason="WaitingForApproval")
    return run_id


async def _check_harmless(page: Page, browsing: Browsing) -> None:
    assert await page.evaluate(_DOES_NOTHING) == []
    own = urlsplit(browsing.url)
    for url in browsing.requested:
        parts = urlsplit(url)
        assert parts.scheme in ("http", "ws", "blob", "data"), url
        assert parts.scheme in ("blob", "data") or (parts.hostname, parts.port) == (own.hostname, own.port), url
    assert not re.search("new title|pwned", await page.title())


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("", "nowhere"), ("?view=timeline", "nowhere"), ("?view=tasks", "nowhere"), ("?view=events", "exit code 3"),
        ("?view=document", "onerror"), ("?task=gate", "onerror"), ("?task=loser", "onerror"), ("?task=writer", "onerror"),
        ("?task=nowhere", "nowhere"),
    ],
)  # fmt: skip
async def test_run__hostile_texts__are_shown_as_they_are(browsing: Browsing, hostile_run: str, query: str, text: str) -> None:
    page = await browsing.open(f"/runs/{hostile_run}{query}")
    await expect(page.get_by_role("main").get_by_text(text).first).to_be_attached()
    await expect(page.get_by_role("main").get_by_text("nowhere").first).to_be_attached()
    await _check_harmless(page, browsing)


@pytest.mark.parametrize("query", ["", "?wrap=1&time=1", "?q=%3Cimg%20src%3Dx%20onerror%3Dwindow.__pwned%3D14%3E"])
async def test_log__hostile_lines__are_shown_as_they_are(browsing: Browsing, hostile_run: str, query: str) -> None:
    page = await browsing.open(f"/runs/{hostile_run}/tasks/writer/logs{query}")
    main = page.get_by_role("main")
    await expect(main.get_by_text("<script>window.__pwned=2</script>").first).to_be_visible()
    await expect(main.get_by_text("lone").first).to_be_attached()
    await _check_harmless(page, browsing)
    shown = await main.inner_text()
    assert not re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\x9b\x9d]", shown), "control characters vanish"
    assert "new title" not in shown


@pytest.mark.usefixtures("hostile_run")
async def test_workflow__hostile_texts__are_shown_as_they_are(browsing: Browsing) -> None:
    # The service refuses such a name, in a sentence that has it.
    browsing.allow(r"\b422\b")
    for path in ("/workflows", "/workflows/hostile", "/runs?workflow=%3Cimg%20src%3Dx%20onerror%3Dwindow.__pwned%3D15%3E"):
        page = await browsing.open(path)
        await expect(page.get_by_role("main").get_by_text("onerror").or_(page.get_by_text("No run is")).first).to_be_attached()
        await _check_harmless(page, browsing)
    page = await browsing.open("/workflows/hostile")
    await page.get_by_role("button", name="Run…").click()
    await expect(page.get_by_role("dialog").get_by_text("onerror").first).to_be_attached()
    await _check_harmless(page, browsing)


async def test_reasons__that_people_give__are_shown_as_they_are(browsing: Browsing, api: Api) -> None:
    run_id = await api.submit(workflow({"name": "gate", "approval": {}}, {"name": "other", "approval": {}}, name="reasons"))
    await api.approve(run_id, "gate", comment=IMAGE)
    await api.cancel(run_id, reason=IMAGE)
    await api.finished(run_id)
    page = await browsing.open(f"/runs/{run_id}?view=events")
    await expect(page.get_by_role("main").get_by_text(IMAGE).first).to_be_attached()
    await _check_harmless(page, browsing)


async def test_files_of_the_page__are_strict_and_hold_nothing_inline(local_service: ServiceProcess) -> None:
    async with httpx.AsyncClient(base_url=local_service.url, trust_env=False) as http:
        answer = await http.get("/runs")
        policy = dict(part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";"))
        assert policy["default-src"] == "'none'"
        assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
        assert policy["base-uri"] == policy["form-action"] == policy["frame-ancestors"] == "'none'"
        assert "unsafe" not in answer.headers["content-security-policy"]
        assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)", answer.text)
        for address in re.findall(r'(?:src|href)="([^"]+)"', answer.text):
            assert address.startswith("/"), address
            assert (await http.get(address)).status_code == 200
