"""Stored workflows: a run started from a form of their params, versions side by side, the schedule paused."""

from __future__ import annotations

import re

from playwright.async_api import expect

from tests.browser.conftest import MakeService
from tests.support.api import Api
from tests.support.browser import Browsing
from tests.support.workflows import shell, workflow

PARAMS = {
    "customer": {"type": "string", "description": "Whose report it is."},
    "copies": 2,
    "format": {"default": "pdf", "enum": ["pdf", "html"]},
    "draft": {"type": "boolean", "default": True},
    "tags": {"type": "array", "default": ["monthly"]},
}
REPORT = workflow(
    shell("render", 'echo "for $CUSTOMER"', env={"CUSTOMER": "${{ params.customer }}"}), name="report", params=PARAMS
)


async def test_start__by_the_form__is_a_run_with_these_params(browsing: Browsing, api: Api) -> None:
    await api.put_workflow(REPORT)
    page = await browsing.open("/workflows")
    await page.get_by_role("button", name="Run report…").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_role("textbox", name=re.compile("^customer")).fill("Ada & <i>Co</i>")
    tags = dialog.get_by_role("textbox", name=re.compile("^tags"))
    await tags.fill("no list")
    await dialog.get_by_role("button", name="Run", exact=True).click()
    await expect(tags).to_have_attribute("aria-invalid", "true")
    await expect(tags).to_be_focused()
    await dialog.get_by_role("combobox", name=re.compile("^format")).select_option(label="html")
    await tags.fill('["a", "b"]')
    await dialog.get_by_label("Labels of the run").fill("team=data")
    await dialog.get_by_role("button", name="Run", exact=True).click()
    await expect(page).to_have_url(re.compile("/runs/[0-9a-f-]{36}"))
    run = await api.finished(page.url.split("?")[0].rsplit("/", 1)[-1])
    assert run["params"] == {"customer": "Ada & <i>Co</i>", "copies": 2, "format": "html", "draft": True, "tags": ["a", "b"]}
    assert (run["labels"]["team"], run["phase"], run["workflow_version"]) == ("data", "Succeeded", 1)


async def test_schedule__paused_and_unpaused__as_the_api_says(browsing: Browsing, api: Api) -> None:
    await api.put_workflow(workflow({"name": "nothing"}, name="hourly", schedule={"cron": "0 * * * *"}))
    page = await browsing.open("/workflows")
    await page.get_by_role("button", name="Pause the schedule of hourly").click()
    await expect(page.get_by_role("button", name="Unpause the schedule of hourly")).to_be_visible()
    assert (await api.get("/workflows/hourly"))["paused"] is True
    await page.get_by_role("link", name="hourly", exact=True).click()
    await expect(page.get_by_role("main")).to_contain_text("none while it is paused")
    await page.get_by_role("button", name="Unpause the schedule").click()
    await expect(page.get_by_role("main")).not_to_contain_text("none while it is paused")
    stored = await api.get("/workflows/hourly")
    assert stored["paused"] is False
    shown = page.get_by_role("main").locator(f'time[datetime="{stored["schedule"]["next_at"]}"]')
    await expect(shown.first).to_be_visible()


async def test_versions__compared__shows_what_changed_and_an_old_one_says_so(browsing: Browsing, api: Api) -> None:
    await api.put_workflow(workflow(shell("only", "echo one"), name="versioned"))
    await api.put_workflow(workflow(shell("only", "echo two"), name="versioned"))
    page = await browsing.open("/workflows/versioned")
    await page.get_by_label("Compare with").select_option(label="version 1")
    changes = page.get_by_role("region", name="Changes from version 1 to version 2")
    await expect(changes.locator("del")).to_contain_text("echo one")
    await expect(changes.locator("ins")).to_contain_text("echo two")
    await expect(page).to_have_url(re.compile("compare=1"))
    await page.get_by_role("link", name="Version 1").click()
    await expect(page.get_by_role("main")).to_contain_text("This is version 1.")
    await expect(page).to_have_url(re.compile("version=1"))


async def test_workflows__none__says_how_to_store_one(make_service: MakeService, browsing: Browsing) -> None:
    browsing.url = make_service("local").url
    page = await browsing.open("/workflows")
    await expect(page.get_by_role("heading", name="No workflow is stored yet")).to_be_visible()
    browsing.allow(r"\b404\b")
    await page.goto(f"{browsing.url}/workflows/nothing")
    await expect(page.get_by_role("main")).to_contain_text("No workflow is stored under this name")
