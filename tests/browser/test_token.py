"""A service with a token: the page asks for it, keeps it for the session, and shows it to nobody."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from urllib.parse import unquote

import pytest
from playwright.async_api import Page, expect

from tests.browser.conftest import MakeService
from tests.support.api import api_of
from tests.support.browser import Browsing
from tests.support.service import ServiceProcess, free_port
from tests.support.workflows import shell, workflow

TOKEN = "s3cret/+t0ken="
#: The service refuses what comes without the token: that is what these tests are about.
#: In Chromium's words, of a request and of a websocket.
REFUSED = r"\b401\b|HTTP Authentication failed"
_OPEN_SOCKET = """([url, protocols]) => new Promise((resolve) => {
  const socket = new WebSocket(url, protocols);
  socket.onopen = () => { socket.close(); resolve('opened'); };
  socket.onerror = () => resolve('refused');
})"""


@pytest.fixture(scope="module")
def guarded(make_shared_service: MakeService) -> ServiceProcess:
    """A service with a token, on local pods."""
    return make_shared_service("local", settings={"TOKEN": TOKEN})


async def _run_with_log(service: ServiceProcess) -> str:
    async with api_of(service.url, service.headers) as api:
        run_id = await api.submit(workflow(shell("speaker", "echo spoken; sleep 60; echo never"), name="guarded"))
        await api.log_when(run_id, "speaker", b"spoken")
    return run_id


def _subprotocols() -> list[str]:
    told = base64.urlsafe_b64encode(TOKEN.encode()).decode().rstrip("=")
    return ["podrun.v1", f"base64url.bearer.podrun.dev.{told}"]


async def _sign_in(page: Page, token: str) -> None:
    await page.get_by_label("Token of this service").fill(token)
    await page.get_by_role("button", name="Continue").click()


def _check_token_in_no_address(browsing: Browsing) -> None:
    told = _subprotocols()[1].rsplit(".", 1)[1]
    assert browsing.requested
    for url in browsing.requested:
        assert TOKEN not in unquote(url), url
        assert told not in url, url


async def test_token__wrong_then_right__shows_everything_and_is_kept_for_the_session(
    guarded: ServiceProcess, browsing: Browsing
) -> None:
    run_id = await _run_with_log(guarded)
    browsing.url = guarded.url
    browsing.allow(REFUSED)
    page = await browsing.open("/runs")
    await _sign_in(page, "wrong")
    await expect(page.get_by_role("alert")).to_contain_text("does not take this token")
    await _sign_in(page, TOKEN)
    await expect(page.get_by_role("main").get_by_text("guarded").first).to_be_visible()
    assert page.url.endswith("/runs")

    await page.reload()
    await expect(page.get_by_role("main").get_by_text("guarded").first).to_be_visible()
    await page.goto(f"{guarded.url}/runs/{run_id}/tasks/speaker/logs")
    await expect(page.get_by_role("main").get_by_text("spoken", exact=True)).to_be_visible()
    assert any(url.startswith("ws") and url.split("?")[0].endswith("/logs") for url in browsing.requested)
    assert await page.evaluate("JSON.stringify(localStorage) + document.cookie") in ("{}", '{"podrun.theme":"light"}')
    assert await page.context.cookies() == []

    another = await browsing.open(f"/runs/{run_id}")
    await expect(another.get_by_label("Token of this service")).to_be_visible()
    assert "guarded" not in await another.content()
    await _sign_in(another, TOKEN)
    await expect(another.get_by_role("main").get_by_text("speaker").first).to_be_visible()
    assert another.url.endswith(f"/runs/{run_id}"), "after the token was asked for it is the same address"
    _check_token_in_no_address(browsing)


async def test_token__forgotten__the_page_asks_again(guarded: ServiceProcess, browsing: Browsing) -> None:
    browsing.url = guarded.url
    browsing.allow(REFUSED)
    page = await browsing.open("/workflows")
    await _sign_in(page, TOKEN)
    await page.get_by_role("button", name="Forget token").click()
    await expect(page.get_by_label("Token of this service")).to_be_visible()
    assert await page.evaluate("sessionStorage.length") == 0


async def test_token__download__is_the_bytes_of_the_log(guarded: ServiceProcess, browsing: Browsing) -> None:
    run_id = await _run_with_log(guarded)
    browsing.url = guarded.url
    browsing.allow(REFUSED)
    page = await browsing.open(f"/runs/{run_id}/tasks/speaker/logs")
    await _sign_in(page, TOKEN)
    await expect(page.get_by_role("main").get_by_text("spoken", exact=True)).to_be_visible()
    async with page.expect_download() as downloading:
        await page.get_by_role("main").get_by_text("Download").click()
    path = await (await downloading.value).path()
    assert Path(path).read_bytes() == b"spoken\n"  # noqa: ASYNC240 - a few bytes
    _check_token_in_no_address(browsing)


async def test_websocket__from_a_page_of_another_origin__refused(guarded: ServiceProcess, browsing: Browsing) -> None:
    browsing.allow(r"WebSocket connection to", REFUSED)
    address = guarded.url.replace("http", "ws") + "/api/v1/runs/events"
    own = await browsing.open(guarded.url)
    assert await own.evaluate(_OPEN_SOCKET, [address, _subprotocols()]) == "opened"

    foreign = await browsing.open("about:blank")
    other = f"http://127.0.0.1:{free_port()}/"
    await foreign.route(
        other, lambda route: route.fulfill(body="<!doctype html><title>Elsewhere</title>", content_type="text/html")
    )
    await foreign.goto(other)
    assert json.loads(await foreign.evaluate("JSON.stringify(location.origin)")) == other.rstrip("/")
    assert await foreign.evaluate(_OPEN_SOCKET, [address, _subprotocols()]) == "refused"
