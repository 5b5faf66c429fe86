"""How every page looks: light and dark, from 360 px up, and without findings of axe-core."""

from __future__ import annotations

import asyncio

import pytest
from playwright.async_api import Page, expect

from tests.browser.conftest import Gallery
from tests.support.browser import AXE, Browsing, axe_findings, overflow

#: Of each page its path and a text that is there when it is whole.
VIEWS = {
    "runs": ("/runs", "Select all"),
    "runs filtered": ("/runs?phase=Failed&workflow=gallery&label_selector=team%3Dgallery", "exit code 3"),
    "runs, none": ("/runs?workflow=nothing-of-this-name", "No run is what these filters ask for."),
    "run, graph": ("/runs/{failed}", "cannot open the file"),
    "run, task": ("/runs/{failed}?task=broken", "cannot open the file"),
    "run, timeline": ("/runs/{failed}?view=timeline", "cannot open the file"),
    "run, tasks": ("/runs/{failed}?view=tasks", "Omitted"),
    "run, events": ("/runs/{failed}?view=events", "upstream broken is Failed"),
    "run, document": ("/runs/{failed}?view=document", "What goes wrong"),
    "run, waiting": ("/runs/{waiting}?task=gate", "Go on with gate?"),
    "log": ("/runs/{failed}/tasks/build/logs?time=1&wrap=1&q=colour", "colour 7"),
    "workflows": ("/workflows", "gallery-report"),
    "workflow": ("/workflows/{stored}?compare=1", "Whose report it is."),
    "nothing": ("/nothing-here", "nothing at this address"),
}


@pytest.mark.parametrize("view", VIEWS)
async def test_view__light_dark_and_narrow__without_findings_or_sideways_scrolling(
    browsing: Browsing, gallery: Gallery, view: str
) -> None:
    if not AXE.is_file():
        pytest.skip("axe-core is not installed (`npm ci` in ui/)")
    path, text = VIEWS[view]
    if view == "nothing":
        browsing.allow(r"\b404\b")
    # The service knows no such page: the page itself says so, once it is open.
    page = await browsing.open("/runs" if view == "nothing" else path.format(**vars(gallery)), color_scheme="light")
    if view == "nothing":
        await page.evaluate(
            "path => { history.pushState(null, '', path); dispatchEvent(new PopStateEvent('popstate')); }", path
        )
    await expect(page.get_by_role("main").get_by_text(text).first).to_be_visible()
    assert await _findings(page, "light") == []
    await page.emulate_media(color_scheme="dark")
    assert await _findings(page, "dark") == []
    for width in (360, 768):
        await page.set_viewport_size({"width": width, "height": 780})
        await expect(page.get_by_role("main").get_by_text(text).first).to_be_attached()
        assert await overflow(page) == "", f"at {width} px"
    await page.set_viewport_size({"width": 360, "height": 780})
    assert await _findings(page, "dark") == [], "at 360 px"


async def _findings(page: Page, theme: str) -> list[str]:
    await expect(page.locator("html")).to_have_attribute("data-theme", theme)
    # A part of the page that is being fetched has no style yet.
    await page.evaluate(
        """() => Promise.all([...document.querySelectorAll('link[rel=stylesheet]')].filter((link) => link.sheet === null)
          .map((link) => new Promise((loaded) => { link.onload = link.onerror = loaded; })))"""
    )
    # A colour that fades to another is neither for a moment.
    await page.evaluate(
        "Promise.all(document.getAnimations().filter((one) => one instanceof CSSTransition).map((one) => one.finished))"
    )
    return await axe_findings(page)


async def test_theme__switched__is_kept_and_the_system_no_longer_asked(browsing: Browsing) -> None:
    page = await browsing.open("/runs", color_scheme="dark")
    html = page.locator("html")
    await expect(html).to_have_attribute("data-theme", "dark")
    dark = await page.evaluate("getComputedStyle(document.body).backgroundColor")
    await page.get_by_role("button", name="Switch to the light theme").click()
    await expect(html).to_have_attribute("data-theme", "light")
    assert await page.evaluate("getComputedStyle(document.body).backgroundColor") != dark
    await page.reload()
    await expect(html).to_have_attribute("data-theme", "light")
    await page.emulate_media(color_scheme="light")
    await page.get_by_role("button", name="Switch to the dark theme").click()
    await expect(html).to_have_attribute("data-theme", "dark")


async def test_titles__of_every_page__say_what_it_is(browsing: Browsing, gallery: Gallery) -> None:
    page = await browsing.open("/runs")
    titles = {
        "/runs": "Runs · podrun",
        f"/runs/{gallery.failed}": "Failed · gallery · podrun",
        f"/runs/{gallery.failed}/tasks/build/logs": r"build",
        "/workflows": "Workflows · podrun",
        f"/workflows/{gallery.stored}": "gallery-report · Workflows · podrun",
    }
    for path, title in titles.items():
        await page.goto(browsing.url + path)
        async with asyncio.timeout(20):
            while title not in await page.title():  # noqa: ASYNC110 - a title has no event
                await asyncio.sleep(0.05)
