"""The example that everyone starts with, opened in the browser: what failed and why is seen at once."""

from __future__ import annotations

import json
import re

import pytest
from playwright.async_api import expect

from tests.browser.conftest import MakeService
from tests.support.api import api_of
from tests.support.browser import Browsing
from tests.support.chromium import ROOT

EXAMPLE = json.loads((ROOT / "examples" / "kubernetes-sample.json").read_text())
NOT_FOUND = '"Python": executable file not found'


@pytest.mark.parametrize("pods", ["local", pytest.param("kubernetes", marks=pytest.mark.cluster)])
async def test_example__opened_while_it_runs__failing_task_stands_out_with_its_error(
    make_service: MakeService, browsing: Browsing, pods: str
) -> None:
    service = make_service(pods)
    browsing.url = service.url
    async with api_of(service.url) as api:
        run_id = await api.submit(EXAMPLE)
        link = (await api.run(run_id))["links"]["page"]
        assert link == f"/runs/{run_id}"
        page = await browsing.open(link)
        failed = page.get_by_role("article", name="Failed task failing-task")
        await expect(failed).to_be_visible(timeout=60_000)
        await expect(failed).to_be_in_viewport()
        await expect(failed).to_contain_text("StartError")
        await expect(failed).to_contain_text(NOT_FOUND)
        node = page.get_by_role("button", name=re.compile(r"^failing-task\W+Failed.*StartError"))
        await expect(node).to_be_visible()
        await expect(page.get_by_role("button", name=re.compile(r"^passing-task\W+Succeeded"))).to_be_visible(timeout=60_000)
        await expect(page).to_have_title("Failed · kubernetes-sample · podrun", timeout=60_000)

        await page.goto(f"{service.url}{link}/tasks/passing-task/logs")
        await expect(page.get_by_role("main").get_by_text("hello world", exact=True)).to_be_visible()
        await api.finished(run_id)
