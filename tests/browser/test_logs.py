"""Logs in the browser: live while a pod writes, coloured, searched, shared by links, and the same bytes as the API's."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Page, expect

from tests.browser.conftest import LOOP, MakeService
from tests.support.api import Api, api_of
from tests.support.browser import Browsing
from tests.support.cluster import kubectl
from tests.support.log_page import all_lines, drawn, line, read
from tests.support.service import ServiceProcess
from tests.support.workflows import python, shell, workflow

LINES = 5_000
NEEDLES = (40, 2_500, 4_900)
#: Colours first, then many lines, some with what is searched for, and bytes that are no text, without a line feed.
WRITE = rf"""
import sys
out = sys.stdout.buffer
out.write(b'plain \x1b[31mred\x1b[0m \x1b[1;44mbold on blue\x1b[0m \x1b[38;2;10;200;30mgreen\x1b[0m \x1b[4munder\x1b[0m\n')
out.write(b'wide ' + b'word ' * 200 + b'\n')
for number in range(3, {LINES}):
    out.write(f'{{number}}: {{"a needle in hay, and a needle" if number in {NEEDLES} else "hay"}}\n'.encode())
out.write(b'bytes \xff\xfe\x00 and no end')
"""


@pytest_asyncio.fixture(scope="module", loop_scope=LOOP)
async def written(local_service: ServiceProcess) -> str:
    """The path of a log that is over."""
    async with api_of(local_service.url) as api:
        run_id = await api.submit(workflow(python("writer", WRITE), name="written"))
        await api.finished(run_id)
    return f"/runs/{run_id}/tasks/writer/logs"


async def _open(browsing: Browsing, path: str) -> Page:
    page = await browsing.open(path)
    await expect(page.get_by_role("region", name=re.compile("^Log of "))).to_be_visible()
    return page


@pytest.mark.parametrize("pods", ["local", pytest.param("kubernetes", marks=pytest.mark.cluster)])
async def test_log__while_the_pod_writes__follows_pauses_and_resumes(
    make_service: MakeService, browsing: Browsing, tmp_path: Path, pods: str
) -> None:
    service = make_service(pods)
    browsing.url = service.url
    async with api_of(service.url) as api:
        run_id, stop = await _start_writer(api, service, tmp_path / "stop")
        page = await browsing.open(f"/runs/{run_id}/tasks/writer/logs")
        await expect(page.get_by_role("button", name="Pause", exact=True)).to_be_visible()
        seen = max(await drawn(page), default=0)
        for more in (20, 40, 60):
            await _wait_for_line(page, seen + more)

        await page.get_by_role("region", name=re.compile("^Log of ")).hover()
        await page.mouse.wheel(0, -300)
        await expect(page.get_by_role("button", name="Follow", exact=True)).to_be_visible()
        place = await _settled_top_line(page)
        await expect(page.get_by_text(re.compile(r"([3-9]\d|\d{3,}) new lines below"))).to_be_visible()
        assert await _top_line(page) == place, "what is read moved"

        await page.get_by_role("button", name="Follow", exact=True).click()
        await expect(page.get_by_role("button", name="Pause", exact=True)).to_be_visible()
        await asyncio.to_thread(stop)
        await api.finished(run_id)
        told = (await api.log(run_id, "writer")).decode().splitlines()
        assert told == [f"line {number}" for number in range(1, len(told) + 1)]
        await expect(line(page, len(told))).to_be_visible()
        assert await all_lines(page) == told
        if pods == "kubernetes":
            await page.get_by_role("combobox", name="Container").select_option(label="prepare")
            await expect(line(page, 1)).to_contain_text("prepared")
            await expect(page).to_have_url(re.compile("container=prepare"))


async def _start_writer(api: Api, service: ServiceProcess, told: Path) -> tuple[str, Callable[[], object]]:
    """A run whose only task writes lines until the function is called."""
    path = str(told) if service.pods == "local" else "/tmp/stop"
    script = f'i=0; while [ ! -e {path} ]; do i=$((i + 1)); echo "line $i"; sleep 0.04; done'
    prepare = [{"name": "prepare", "image": "busybox:1", "command": ["echo", "prepared"]}]
    keys = {} if service.pods == "local" else {"init_containers": prepare}
    run_id = await api.submit(workflow(shell("writer", script, **keys), name="live"))
    [attempt] = (await api.task_when(run_id, "writer", phase="Running"))["attempts"]
    if service.pods == "local":
        return run_id, told.touch
    return run_id, lambda: kubectl("exec", "-n", attempt["namespace"], attempt["pod"], "-c", "main", "--", "touch", path)


async def _wait_for_line(page: Page, number: int) -> None:
    async with asyncio.timeout(60):
        while max(await drawn(page), default=0) < number:  # noqa: ASYNC110 - rows have no event
            await asyncio.sleep(0.02)


async def _settled_top_line(page: Page) -> int:
    """The first line in sight when the scrolling that a turn of the wheel began has come to rest."""
    await page.evaluate(
        """() => new Promise((rest) => {
          const list = document.querySelector('main [data-virtuoso-scroller]');
          let [top, frames] = [list.scrollTop, 0];
          const look = () => {
            frames = list.scrollTop === top ? frames + 1 : 0;
            top = list.scrollTop;
            frames < 20 ? requestAnimationFrame(look) : rest();
          };
          look();
        })"""
    )
    return await _top_line(page)


async def _top_line(page: Page) -> int:
    """The first line in sight."""
    return int(
        await page.evaluate(
            """() => {
              const top = document.querySelector('main [data-virtuoso-scroller]').getBoundingClientRect().top;
              const rows = [...document.querySelectorAll('main [data-virtuoso-scroller] div[data-line]')];
              return rows.find((row) => row.getBoundingClientRect().bottom > top + 1).dataset.line;
            }"""
        )
    )


@pytest.mark.parametrize("theme", ["light", "dark"])
async def test_log__with_colours__shows_them_and_no_escape_sequence(browsing: Browsing, written: str, theme: str) -> None:
    page = await browsing.open(written, color_scheme=theme)
    await expect(line(page, 1).locator("bdi")).to_have_text("plain red bold on blue green under")

    async def style(text: str, name: str) -> str:
        return str(
            await line(page, 1).get_by_text(text, exact=True).evaluate("(one, name) => getComputedStyle(one)[name]", name)
        )

    plain = str(await line(page, 1).locator("bdi").evaluate("(one) => getComputedStyle(one).color"))
    colours = {await style("red", "color"), await style("green", "color"), plain}
    assert len(colours) == 3
    assert int(await style("bold on blue", "fontWeight")) >= 600
    assert await style("bold on blue", "backgroundColor") not in ("rgba(0, 0, 0, 0)", await style("red", "backgroundColor"))
    assert "underline" in await style("under", "textDecorationLine")


async def test_log__searched__marks_hits_and_goes_from_one_to_the_next(browsing: Browsing, written: str) -> None:
    page = await _open(browsing, written)
    search = page.get_by_role("searchbox", name="Search this log")
    await search.fill("needle")
    status = page.get_by_role("search").get_by_role("status")
    for place, number in enumerate(NEEDLES, 1):
        await expect(status).to_contain_text(f"{place} of 3 lines")
        await expect(line(page, number)).to_be_in_viewport()
        await expect(line(page, number).locator("mark")).to_have_text(["needle", "needle"])
        await search.press("Enter")
    await expect(page).to_have_url(re.compile("q=needle"))
    await page.reload()
    await expect(status).to_contain_text("3 lines")
    await search.fill("no such thing")
    await expect(status).to_contain_text("Not found")


async def test_log__wrapped_and_with_times__as_its_address_says(browsing: Browsing, written: str) -> None:
    page = await _open(browsing, written)
    await read(page)
    single = await line(page, 2).bounding_box()
    assert single is not None
    await page.get_by_label("Wrap lines").click()
    await expect(page).to_have_url(re.compile("wrap=1"))
    await expect(line(page, 2)).to_be_visible()
    wrapped = await line(page, 2).bounding_box()
    assert wrapped is not None
    assert wrapped["height"] >= 2 * single["height"]
    assert await line(page, 1).get_by_role("time").count() == 0
    await page.get_by_label("Timestamps").click()
    await expect(page).to_have_url(re.compile("time=1"))
    await expect(line(page, 1).locator("time")).to_have_attribute("datetime", re.compile(r"^\d{4}-\d\d-\d\dT"))
    await page.reload()
    await expect(page.get_by_label("Wrap lines")).to_be_checked()
    await expect(line(page, 1).locator("time")).to_be_visible()


async def test_log__link_to_lines__opened_in_a_new_tab_shows_them_selected(browsing: Browsing, written: str) -> None:
    page = await _open(browsing, f"{written}#L2500")
    await expect(line(page, 2_500)).to_be_in_viewport()
    await line(page, 2_502).get_by_role("link").click()
    await expect(page).to_have_url(re.compile("#L2502$"))
    await line(page, 2_505).get_by_role("link").click(modifiers=["Shift"])
    await expect(page).to_have_url(re.compile("#L2502-L2505$"))

    shared = await browsing.open_beside(page.context, page.url)
    for number in (2_502, 2_505):
        await expect(line(shared, number)).to_be_in_viewport()
        await expect(line(shared, number)).to_have_attribute("data-selected", "true")
    await expect(line(shared, 2_506)).not_to_have_attribute("data-selected", "true")
    await expect(shared.get_by_role("region", name=re.compile("lines 2,502 to 2,505 selected"))).to_be_visible()
    assert len(await drawn(shared)) < 200, "not the whole log is in the document"


async def test_log__read_from_the_first_to_the_last_line__is_what_the_api_has(
    browsing: Browsing, api: Api, written: str
) -> None:
    run_id = written.split("/")[2]
    told = [one["text"] for one in (await api.log_lines(run_id, "writer", limit=200)).lines]
    page = await _open(browsing, f"{written}#L1")
    for number in (1, 2, 3):
        await expect(line(page, number)).to_be_visible()
    shown = await read(page)
    assert [shown[number] for number in range(1, 30)] == told[1:30]
    await page.get_by_role("button", name="Go to the end").click()
    await expect(line(page, LINES)).to_contain_text("and no end")
    await page.get_by_label("Line", exact=True).fill("1234")
    await page.get_by_role("button", name="Go", exact=True).click()
    await expect(line(page, 1_234)).to_be_in_viewport()
    await expect(line(page, 1_234).locator("bdi")).to_have_text("1234: hay")


async def test_log__downloaded__is_the_apis_bytes(browsing: Browsing, api: Api, written: str) -> None:
    page = await _open(browsing, written)
    async with page.expect_download() as downloading:
        await page.get_by_role("link", name=re.compile("^Download")).click()
    download = await downloading.value
    assert download.suggested_filename == "writer-1.log"
    data = Path(await download.path()).read_bytes()  # noqa: ASYNC240 - a few bytes
    assert data == await api.log(written.split("/")[2], "writer")
    assert data.endswith(b"bytes \xff\xfe\x00 and no end")


async def test_log__of_several_attempts__each_can_be_picked(browsing: Browsing, api: Api) -> None:
    retries = {"limit": 1, "delay_seconds": 0.1, "jitter": False}
    script = 'echo "this is attempt $PODRUN_ATTEMPT"; test "$PODRUN_ATTEMPT" = 2'
    run_id = await api.submit(workflow(shell("flaky", script, retries=retries), name="attempts"))
    await api.finished(run_id)
    page = await _open(browsing, f"/runs/{run_id}/tasks/flaky/logs")
    await expect(line(page, 1)).to_contain_text("this is attempt 2")
    await page.get_by_role("combobox", name="Attempt").select_option(value="1")
    await expect(line(page, 1)).to_contain_text("this is attempt 1")
    await expect(page).to_have_url(re.compile("attempt=1"))
    await page.get_by_role("button", name="Next attempt").click()
    await expect(line(page, 1)).to_contain_text("this is attempt 2")
    await page.go_back()
    await expect(line(page, 1)).to_contain_text("this is attempt 1")


async def test_log__of_a_task_without_one__says_why(browsing: Browsing, api: Api) -> None:
    run_id = await api.submit(workflow(shell("bad", "exit 1"), shell("after", "true", depends_on=["bad"]), name="no-log"))
    await api.finished(run_id)
    page = await browsing.open(f"/runs/{run_id}/tasks/after/logs")
    await expect(page.get_by_role("main")).to_contain_text("did not run (Omitted)")
    await page.goto(f"{browsing.url}/runs/{run_id}/tasks/bad/logs")
    await expect(page.get_by_role("main")).to_contain_text("The log is empty")
    browsing.allow(r"\b404\b")
    await page.goto(f"{browsing.url}/runs/{run_id}/tasks/nothing/logs")
    await expect(page.get_by_role("alert")).to_be_visible()
