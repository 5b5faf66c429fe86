"""Without a mouse: from the list of runs to the failed task's log, and into dialogs and back."""

from __future__ import annotations

import re

from playwright.async_api import Page, expect

from tests.browser.conftest import Gallery
from tests.support.browser import Browsing

#: What has the focus, and whether that can be seen.
_FOCUS = """() => {
  const element = document.activeElement;
  if (element === null || element === document.body) return null;
  const style = getComputedStyle(element);
  // A field of a time has a button inside which shows its focus by itself; `main` has it after a link only, to begin there.
  const isOwn = element.type === 'datetime-local' || element.tagName === 'MAIN';
  const ring = isOwn || (style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0);
  const box = element.getBoundingClientRect();
  return {
    name: (element.getAttribute('aria-label') ?? element.textContent ?? '').trim().slice(0, 120),
    tag: element.tagName, isSeen: (ring || style.boxShadow !== 'none') && box.width > 0 && box.height > 0,
  };
}"""
MOST_STEPS = 80
#: Its node in the graph.
BROKEN = re.compile(r"^broken\W+Failed")


async def _tab_to(page: Page, name: str | re.Pattern[str], key: str = "Tab") -> None:
    """Press the key until what has the focus is called so; on the way each stop can be seen."""
    passed = []
    for _ in range(MOST_STEPS):
        await page.keyboard.press(key)
        focus = await page.evaluate(_FOCUS)
        if focus is None:
            continue
        assert focus["isSeen"], f"the focus on {focus} can't be seen"
        passed.append(focus["name"])
        if re.search(name, focus["name"]):
            return
    raise AssertionError(f"{name!r} was not reached: {passed}")


async def test_keyboard__from_the_runs_to_the_log_of_the_failed_task(browsing: Browsing, gallery: Gallery) -> None:
    page = await browsing.open("/runs?workflow=gallery")
    await expect(page.get_by_role("link", name=re.compile("^gallery ")).first).to_be_visible()
    await page.keyboard.press("Tab")
    assert (await page.evaluate(_FOCUS))["name"] == "Skip to the content"
    await page.keyboard.press("Enter")
    await _tab_to(page, "^gallery ")
    await page.keyboard.press("Enter")
    await expect(page).to_have_url(re.compile(f"/runs/{gallery.failed}"))
    await expect(page.get_by_role("article", name="Failed task broken")).to_contain_text("cannot open the file")
    await expect(page.get_by_role("main")).to_be_focused()
    await _tab_to(page, "Whole log of broken")
    await page.keyboard.press("Enter")
    await expect(page).to_have_url(re.compile("/tasks/broken/logs"))
    await expect(page.get_by_role("main").get_by_text("cannot open the file")).to_be_visible()


async def test_keyboard__in_the_graph__arrows_lead_to_tasks_and_enter_opens_one(browsing: Browsing, gallery: Gallery) -> None:
    page = await browsing.open(f"/runs/{gallery.failed}")
    await expect(page.get_by_role("button", name=BROKEN).first).to_be_visible()
    await _tab_to(page, BROKEN)
    await page.keyboard.press("ArrowLeft")
    await expect(page.get_by_role("button", name=re.compile(r"^build\W+Succeeded"))).to_be_focused()
    await page.keyboard.press("Enter")
    panel = page.get_by_role("complementary", name="Task build")
    await expect(panel).to_be_visible()
    await expect(page).to_have_url(re.compile("task=build"))
    await page.keyboard.press("Escape")
    await expect(panel).to_have_count(0)
    await expect(page.get_by_role("button", name=re.compile(r"^build\W+Succeeded"))).to_be_focused()


async def test_keyboard__in_tabs__arrows_change_the_view(browsing: Browsing, gallery: Gallery) -> None:
    page = await browsing.open(f"/runs/{gallery.failed}")
    await expect(page.get_by_role("article", name="Failed task broken")).to_contain_text("cannot open the file")
    await _tab_to(page, "^Graph$")
    for view in ("Timeline", "Tasks", "Events", "Document"):
        await page.keyboard.press("ArrowRight")
        await expect(page.get_by_role("tab", name=view)).to_be_focused()
        await expect(page).to_have_url(re.compile(f"view={view.lower()}"))
    await page.keyboard.press("Home")
    await expect(page.get_by_role("tab", name="Graph")).to_have_attribute("aria-selected", "true")


async def test_dialog__opened_by_key__keeps_the_focus_and_gives_it_back(browsing: Browsing, gallery: Gallery) -> None:
    page = await browsing.open(f"/runs/{gallery.failed}")
    await expect(page.get_by_role("button", name="Resubmit…")).to_be_visible()
    await _tab_to(page, "^Resubmit…$")
    await page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    await expect(dialog.get_by_role("button", name="Start the run")).to_be_visible()
    for _ in range(20):
        await page.keyboard.press("Tab")
        # Between the dialog's last and first elements the focus is at the browser's own controls, never at the page's.
        assert await page.evaluate(
            "document.activeElement === document.body || document.activeElement.closest('dialog') !== null"
        )
    await page.keyboard.press("Escape")
    await expect(dialog).to_have_count(0)
    await expect(page.get_by_role("button", name="Resubmit…")).to_be_focused()
