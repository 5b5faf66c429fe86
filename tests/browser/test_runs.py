"""The list of runs: filters in its address, counts, pages that come by scrolling, and what is new without a reload."""

from __future__ import annotations

import asyncio
import re

import pytest
import pytest_asyncio
from playwright.async_api import Locator, Page, expect

from tests.browser.conftest import LOOP, MakeService
from tests.support.api import Api, api_of
from tests.support.browser import Browsing
from tests.support.service import ServiceProcess
from tests.support.workflows import approval, shell, workflow

MANY = 230
TEAMS = ("red", "blue")
#: A run without pods, over at once.
DONE = {"name": "many", "tasks": [{"name": "nothing"}]}

#: The rows that are drawn, each with its place and its run's id, and whether they are the last; then it scrolls on.
_SCROLL_ON = """() => {
  const idIn = (row) => row.querySelector('a[href^="/runs/"]').getAttribute('href').split('/').at(-1);
  const drawn = [...document.querySelectorAll('main li[aria-posinset]')].map(
    (row) => [Number(row.getAttribute('aria-posinset')), idIn(row)],
  );
  const root = document.documentElement;
  const isEnd = document.body.innerText.includes('No older runs') && root.scrollTop + innerHeight >= root.scrollHeight - 2;
  window.scrollBy(0, innerHeight / 2);
  return [drawn, isEnd];
}"""


def rows(page: Page) -> Locator:
    """The rows of the list."""
    return page.get_by_role("region", name="List of runs").get_by_role("listitem").filter(has=page.get_by_role("checkbox"))


def chip(page: Page, phase: str, count: int) -> Locator:
    """The button of a phase while so many runs are in it."""
    return page.get_by_role("group", name="Phases").get_by_role("button", name=re.compile(rf"{phase} ?{count}$"))


@pytest_asyncio.fixture(scope="module", loop_scope=LOOP)
async def many_runs(local_service: ServiceProcess) -> None:
    """More runs than are read at once."""
    async with api_of(local_service.url) as api, asyncio.TaskGroup() as group:
        for number in range(MANY):
            group.create_task(api.submit(DONE, labels={"team": TEAMS[number % 2]}), name="submit")


async def test_runs__none_yet__says_how_to_make_one_and_shows_the_first_live(
    make_service: MakeService, browsing: Browsing
) -> None:
    service = make_service("local")
    browsing.url = service.url
    page = await browsing.open("/")
    await expect(page.get_by_text("No runs yet.")).to_be_visible()
    assert page.url.endswith("/runs")
    command = await page.get_by_role("main").locator("pre").filter(has_text="hello").first.inner_text()
    async with asyncio.timeout(30):
        process = await asyncio.create_subprocess_shell(command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE)
        out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    assert b'"workflow"' in out, out.decode()
    await expect(rows(page)).to_have_count(1)
    await expect(rows(page).first).to_contain_text("hello")
    await expect(rows(page).first).to_contain_text("Succeeded")
    await expect(chip(page, "Succeeded", 1)).to_be_visible()


@pytest.mark.usefixtures("many_runs")
async def test_runs__filters__are_kept_in_the_address_and_by_the_back_button(browsing: Browsing) -> None:
    page = await browsing.open("/runs?workflow=many")
    await expect(chip(page, "Succeeded", MANY)).to_be_visible()
    await page.get_by_label("Labels").fill("team=red")
    await page.get_by_label("Labels").press("Enter")
    await expect(chip(page, "Succeeded", MANY // 2)).to_be_visible()
    await expect(page).to_have_url(re.compile("workflow=many.*label_selector=team%3Dred"))
    await chip(page, "Failed", 0).click()
    await expect(page.get_by_text("No run is what these filters ask for.")).to_be_visible()
    await expect(page).to_have_url(re.compile("phase=Failed"))
    await expect(page).to_have_title("Failed · Runs · podrun")
    await page.go_back()
    await expect(rows(page).first).to_be_visible()
    await page.reload()
    await expect(page.get_by_label("Labels")).to_have_value("team=red")
    await expect(rows(page).first).to_contain_text("team=red")

    await page.goto(f"{browsing.url}/runs?label_selector=%3D%3D")
    browsing.allow(r"\b422\b")
    await expect(page.get_by_role("alert").first).to_be_visible()
    await page.get_by_role("button", name="Clear", exact=True).click()
    await expect(rows(page).first).to_be_visible()


@pytest.mark.usefixtures("many_runs")
async def test_runs__created_before_and_after__as_the_api_has_them(browsing: Browsing, api: Api) -> None:
    times = [run["created_at"] async for run in api.pages("/runs", workflow="many")]
    after, before = times[60], times[20]
    wanted = [run["id"] async for run in api.pages("/runs", workflow="many", created_after=after, created_before=before)]
    page = await browsing.open(
        f"/runs?workflow=many&created_after={after.replace('+', '%2B')}&created_before={before.replace('+', '%2B')}"
    )
    assert await _all_ids(page) == wanted


@pytest.mark.usefixtures("many_runs")
async def test_runs__scrolled_down__older_ones_come_page_by_page_to_the_last(browsing: Browsing, api: Api) -> None:
    wanted = [run["id"] async for run in api.pages("/runs", workflow="many")]
    assert len(wanted) == MANY
    page = await browsing.open("/runs?workflow=many")
    await expect(rows(page).first).to_be_visible()
    assert await rows(page).count() < MANY
    assert await _all_ids(page) == wanted, "none lost, none twice, in the API's order"

    # A new run does not move what is read: it is held back until it is asked for.
    await api.submit(DONE)
    await page.get_by_role("button", name="1 new run").click()
    await expect(chip(page, "Succeeded", MANY + 1)).to_be_visible()
    await expect(rows(page).first).to_be_in_viewport()
    await api.finished((await anext(api.pages("/runs", workflow="many")))["id"])
    newest = (await anext(api.pages("/runs", workflow="many")))["id"]
    assert (await api.http.delete(f"/runs/{newest}")).status_code == 204


async def test_runs__a_run_that_goes_on__its_progress_and_phase_change_without_a_reload(browsing: Browsing, api: Api) -> None:
    page = await browsing.open("/runs?workflow=going-on")
    await expect(page.get_by_text("No run is what these filters ask for.")).to_be_visible()
    run_id = await api.submit(
        workflow({"name": "first"}, approval("gate"), shell("last", "exit 4", depends_on=["gate"]), name="going-on")
    )
    await expect(rows(page)).to_have_count(1)
    progress = page.get_by_role("progressbar", name="Tasks")
    await expect(progress).to_have_attribute("aria-valuenow", "1")
    await expect(chip(page, "Running", 1)).to_be_visible()
    await api.approve(run_id, "gate")
    await expect(rows(page).first).to_contain_text("Failed")
    await expect(chip(page, "Failed", 1)).to_be_visible()
    await expect(progress).to_have_count(0)


async def test_runs__service_away__says_so_and_goes_on_by_itself(make_service: MakeService, browsing: Browsing) -> None:
    service = make_service("local")
    browsing.url = service.url
    browsing.allow("ERR_CONNECTION", "WebSocket", "ERR_EMPTY_RESPONSE", "ERR_FAILED", "dynamically imported", "preload CSS")
    page = await browsing.open("/runs")
    await expect(page.get_by_text("No runs yet.")).to_be_visible()
    await asyncio.to_thread(service.kill)
    await chip(page, "Failed", 0).click()
    await expect(page.get_by_role("alert").filter(has_text="be reached").first).to_be_visible()
    other = await browsing.open_beside(page.context, "about:blank")
    await asyncio.to_thread(service.start)
    await expect(page.get_by_text("No run is what these filters ask for.")).to_be_visible()
    await expect(page.get_by_role("alert")).to_have_count(0)

    # A part of the page that was never fetched comes when the service is back, too.
    await other.goto(service.url)
    await expect(other.get_by_text("No runs yet.")).to_be_visible()
    await asyncio.to_thread(service.kill)
    await other.get_by_role("navigation").get_by_role("link", name="Workflows").click()
    await expect(other.get_by_role("alert").filter(has_text="be reached").first).to_be_visible()
    await asyncio.to_thread(service.start)
    await expect(other.get_by_role("heading", name="No workflow is stored yet")).to_be_visible()


async def _all_ids(page: Page) -> list[str]:
    """The ids of all runs of the list, as they pass while the page is scrolled down: only those in sight are in it."""
    seen: dict[int, str] = {}
    await expect(rows(page).first).to_be_visible()
    async with asyncio.timeout(60):
        is_end = False
        while not is_end:
            drawn, is_end = await page.evaluate(_SCROLL_ON)
            for place, run_id in drawn:
                assert seen.setdefault(place, run_id) == run_id
            await asyncio.sleep(0.05)
    assert sorted(seen) == list(range(1, len(seen) + 1))
    return [seen[place] for place in sorted(seen)]
