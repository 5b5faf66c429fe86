"""Parts of the page that are fetched when they are opened, and requests for them that break off."""

from __future__ import annotations

from playwright.async_api import Route, expect

from tests.browser.conftest import Gallery
from tests.support.browser import Browsing


async def test_part__its_first_fetch_broken_off__comes_with_its_style(browsing: Browsing, gallery: Gallery) -> None:
    browsing.allow(r"net::ERR_FAILED")
    page = await browsing.open("/runs?workflow=gallery")
    link = page.get_by_role("link", name=gallery.failed[-8:]).first
    await expect(link).to_be_visible()
    broken: set[str] = set()

    async def break_off_once(route: Route) -> None:
        if route.request.url in broken:
            await route.continue_()
        else:
            broken.add(route.request.url)
            await route.abort()

    await page.route("**/assets/*", break_off_once)
    await link.click()
    panel = page.get_by_role("region", name="One task failed")
    await expect(panel).to_be_visible()
    assert broken, "nothing was fetched for it"
    await expect(panel).not_to_have_css("border-left-width", "0px")
