"""What people do to runs from the page: cancel, retry, approve, run again with other params, delete, several at once."""

from __future__ import annotations

import re

from playwright.async_api import Page, Route, expect

from tests.browser.test_runs import rows
from tests.support.api import Api
from tests.support.browser import Browsing
from tests.support.workflows import approval, shell, workflow

#: Fails until it is tried again.
FLAKY = 'echo "attempt $PODRUN_ATTEMPT"; test "$PODRUN_ATTEMPT" -ge 2'


def _phase(page: Page, phase: str):
    return expect(page.get_by_role("main").locator("header").first).to_contain_text(phase)


async def test_cancel__a_running_run__asks_first_and_shows_it_cancelled(browsing: Browsing, api: Api) -> None:
    run_id = await api.submit(workflow(shell("long", "echo begun; sleep 120"), name="to-cancel"))
    await api.task_when(run_id, "long", phase="Running")
    page = await browsing.open(f"/runs/{run_id}")
    await _phase(page, "Running")
    await page.get_by_role("button", name="Cancel…").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_role("button", name="Let it run").click()
    await expect(dialog).to_have_count(0)
    assert (await api.run(run_id))["phase"] == "Running"
    await page.get_by_role("button", name="Cancel…").click()
    await dialog.get_by_label("Reason").fill("not needed any more")
    await dialog.get_by_role("button", name="Cancel the run").click()
    await _phase(page, "Cancelled")
    run = await api.finished(run_id)
    assert (run["phase"], "not needed any more" in run["message"]) == ("Cancelled", True)


async def test_retry__from_failed__runs_only_what_had_failed_and_what_is_after_it(browsing: Browsing, api: Api) -> None:
    run_id = await api.submit(
        workflow(
            shell("good", "echo good"), shell("flaky", FLAKY), shell("after", "true", depends_on=["flaky"]), name="to-retry"
        )
    )
    await api.finished(run_id)
    page = await browsing.open(f"/runs/{run_id}")
    await expect(page.get_by_role("article", name="Failed task flaky")).to_contain_text("exit code 1")
    await page.get_by_role("button", name="Retry from failed").click()
    await _phase(page, "Succeeded")
    await expect(page.get_by_role("article", name="Failed task flaky")).to_have_count(0)
    tasks = {task["name"]: len(task["attempts"]) for task in (await api.finished(run_id))["tasks"]}
    assert tasks == {"good": 1, "flaky": 2, "after": 1}


async def test_retry__one_of_two_failed_tasks__leaves_the_other_alone(browsing: Browsing, api: Api) -> None:
    run_id = await api.submit(workflow(shell("one", FLAKY), shell("two", FLAKY), name="to-retry-one"))
    await api.finished(run_id)
    page = await browsing.open(f"/runs/{run_id}")
    await page.get_by_role("article", name="Failed task one").get_by_role("button", name="Retry this task").click()
    await expect(page.get_by_role("article", name="Failed task one")).to_have_count(0)
    await expect(page.get_by_role("article", name="Failed task two")).to_be_visible()
    tasks = {task["name"]: len(task["attempts"]) for task in (await api.finished(run_id))["tasks"]}
    assert tasks == {"one": 2, "two": 1}


async def test_resubmit__with_other_params__is_a_new_run_that_is_shown(browsing: Browsing, api: Api) -> None:
    params = {"who": "world", "times": 2, "loud": {"type": "boolean", "default": False}}
    say = shell("say", "echo hello ${{ params.who }} ${{ params.times }} ${{ params.loud }}")
    first = await api.submit(workflow(say, name="greeter", params=params), params={"times": 3})
    await api.finished(first)
    page = await browsing.open(f"/runs/{first}")
    await page.get_by_role("button", name="Resubmit…").click()
    dialog = page.get_by_role("dialog")
    await expect(dialog.get_by_role("textbox", name=re.compile("^times"))).to_have_value("3")
    await dialog.get_by_role("textbox", name=re.compile("^times")).fill("many")
    await dialog.get_by_role("button", name="Start the run").click()
    await expect(dialog.get_by_role("textbox", name=re.compile("^times"))).to_have_attribute("aria-invalid", "true")
    await dialog.get_by_role("textbox", name=re.compile("^times")).fill("4")
    await dialog.get_by_role("textbox", name=re.compile("^who")).fill("<b>you</b> & me")
    await dialog.get_by_role("button", name="Start the run").click()
    await expect(page).not_to_have_url(re.compile(first))
    second = page.url.split("?")[0].rsplit("/", 1)[-1]
    run = await api.finished(second)
    assert (run["params"]["times"], run["params"]["who"], run["params"]["loud"]) == (4, "<b>you</b> & me", False)
    await _phase(page, "greeter")
    await expect(page).to_have_title(re.compile("greeter"))


async def test_approval__approved_with_a_comment__the_run_goes_on(browsing: Browsing, api: Api) -> None:
    run_id = await api.submit(workflow(approval("gate"), shell("go", "echo gone", depends_on=["gate"]), name="to-approve"))
    page = await browsing.open(f"/runs/{run_id}")
    await expect(page.get_by_role("group", name="gate")).to_contain_text("Go on with gate?")
    await page.get_by_role("group", name="gate").get_by_label("Comment").fill("looks good")
    await page.get_by_role("button", name="Approve").click()
    await expect(page.get_by_role("button", name="Approve")).to_have_count(0)
    await _phase(page, "Succeeded")
    await api.finished(run_id)
    assert any("looks good" in str(event) for event in await api.events(run_id))


async def test_action__refused__shows_the_services_sentence(browsing: Browsing, api: Api) -> None:
    run_id = await api.submit(workflow(shell("flaky", FLAKY + " && sleep 2"), name="to-retry-late"))
    await api.finished(run_id)
    page = await browsing.open(f"/runs/{run_id}")

    async def somebody_is_faster(route: Route) -> None:
        await api.retry(run_id)
        await route.continue_()

    await page.route("**/retry", somebody_is_faster)
    browsing.allow(r"\b409\b")
    await page.get_by_role("button", name="Retry from failed").click()
    await expect(page.get_by_role("alert")).to_contain_text("finished")
    await _phase(page, "Succeeded")


async def test_delete__a_finished_run__is_gone_and_its_page_says_so(browsing: Browsing, api: Api) -> None:
    run_id = await api.submit(workflow({"name": "nothing"}, name="to-delete"))
    await api.finished(run_id)
    page = await browsing.open(f"/runs/{run_id}")
    await page.get_by_role("button", name="Delete…").click()
    await page.get_by_role("dialog").get_by_role("button", name="Delete the run").click()
    await expect(page).to_have_url(re.compile("/runs$"))
    assert (await api.http.get(f"/runs/{run_id}")).status_code == 404
    browsing.allow(r"\b404\b")
    await page.goto(f"{browsing.url}/runs/{run_id}")
    await expect(page.get_by_role("main")).to_contain_text(re.compile("no run|deleted|not there", re.IGNORECASE))


async def test_several__selected_and_cancelled_at_once__those_that_were_not_over(browsing: Browsing, api: Api) -> None:
    ids = [await api.submit(workflow(approval("gate"), name="to-select")) for _ in range(3)]
    over = await api.submit(workflow({"name": "nothing"}, name="to-select"))
    await api.finished(over)
    page = await browsing.open("/runs?workflow=to-select")
    await expect(rows(page)).to_have_count(4)
    await page.get_by_role("checkbox", name="Select all 4").check()
    await page.get_by_role("button", name="Cancel 3…").click()
    await page.get_by_role("dialog").get_by_role("button", name="Cancel 3 runs").click()
    await expect(rows(page).filter(has_text="Cancelled")).to_have_count(3)
    phases = {run_id: (await api.finished(run_id))["phase"] for run_id in [*ids, over]}
    assert phases == dict.fromkeys(ids, "Cancelled") | {over: "Succeeded"}
