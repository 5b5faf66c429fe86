"""Takes the pictures of docs/generated/screenshots: the page's main views, of a service of its own with runs of the examples.

`make screenshots` runs it. Pods are processes of this machine; each picture is small enough to stand in a repository.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, Page

from tests.support.api import Api, api_of
from tests.support.browser import launched
from tests.support.chromium import ROOT, missing_browser
from tests.support.service import ServiceProcess
from tests.support.workflows import put_out, shell, workflow

FOLDER = ROOT / "docs" / "generated" / "screenshots"
LARGEST_BYTES = 150_000
WIDE, NARROW = {"width": 1280, "height": 800}, {"width": 360, "height": 800}
_SECONDS = 120
_BUILD = r"""
for step in $(seq 1 16); do
  printf '\033[2m[%02d/16]\033[0m \033[36mcompiling\033[0m src/module_%02d.c\n' "$step" "$step"; sleep 0.02
done
printf '\033[33mwarning:\033[0m unused variable `size` in src/module_07.c\n'
printf '\033[1;32mBuilt\033[0m 16 modules\n'
"""


@dataclass(frozen=True)
class Picture:
    """A view and how it is looked at."""

    name: str
    path: str
    shown: str  #: a text that is there when the view is
    theme: str = "light"
    is_narrow: bool = False
    top: str | None = None  #: what stands at the upper edge, as a selector; None: the page's beginning


async def make_runs(api: Api) -> dict[str, str]:
    """The runs that are shown, by name: some over, one that goes on."""
    runs: dict[str, str] = {}
    await _store_workflows(api)
    for name in ("hello", "diamond", "map-reduce"):
        runs[name] = await api.submit(json.loads((ROOT / "examples" / f"{name}.json").read_text()), labels={"team": "data"})
    runs["sample"] = await api.submit(json.loads((ROOT / "examples" / "kubernetes-sample.json").read_text()))
    runs["fan-out"] = await api.submit(_fan_out())
    runs["release"] = await api.submit(_release())
    for run_id in runs.values():
        await api.finished(run_id, _SECONDS)
    runs["open"] = await api.submit(_open_run(), labels={"team": "web"})
    await api.task_when(runs["open"], "go-live", reason="WaitingForApproval")
    return runs


async def _store_workflows(api: Api) -> None:
    await api.put_workflow(json.loads((ROOT / "examples" / "nightly-report.json").read_text()))
    await api.put_workflow(json.loads((ROOT / "examples" / "typed-params.json").read_text()))
    await api.put_workflow(_release() | {"params": {"version": "1.4.0"}})


def _release() -> dict[str, Any]:
    flaky = (
        'test "$PODRUN_ATTEMPT" -ge 2 || { echo "connection reset by peer" >&2; sleep 0.5; exit 75; }; sleep 1; echo uploaded'
    )
    retries = {"limit": 2, "delay_seconds": 1, "jitter": False}
    return workflow(
        {"name": "checkout"},
        shell("build", _BUILD, depends_on=["checkout"]),
        shell("lint", "sleep 0.4; echo no findings", depends_on=["checkout"]),
        shell("unit-tests", "sleep 1.2; echo 412 passed", depends_on=["build"]),
        shell("upload", flaky, depends_on=["build"], retries=retries),
        shell("sign", f"sleep 0.3; {put_out(signatures=2)}", depends_on=["upload"]),
        shell("announce", "echo done", depends_on=["sign", "unit-tests", "lint"]),
        name="release",
    )


def _fan_out() -> dict[str, Any]:
    script = 'case "$PODRUN_TASK" in *.17|*.58) echo "shard is corrupt" >&2; exit 3;; esac; echo ok'
    return workflow(
        {"name": "plan"},
        shell("shard", script, depends_on=["plan"], foreach=list(range(120))),
        {"name": "merge", "depends_on": ["shard"]},
        shell("report", "echo partial report", depends_on=["shard"], trigger_rule="all_done"),
        name="sharded-import", max_parallel_tasks=20,
    )  # fmt: skip


def _open_run() -> dict[str, Any]:
    return workflow(
        shell("build", _BUILD),
        shell("smoke-test", "for i in $(seq 1 600); do echo probe $i: 200 OK; sleep 1; done", depends_on=["build"]),
        {"name": "go-live", "depends_on": ["build"], "approval": {"message": "Error rates are flat. Let everyone have it?"}},
        shell("cleanup", "true", depends_on=["smoke-test", "go-live"]),
        name="deploy",
    )


def pictures(runs: dict[str, str]) -> list[Picture]:
    """What is taken."""
    sample, fan_out, release, live = (f"/runs/{runs[name]}" for name in ("sample", "fan-out", "release", "open"))
    return [
        Picture("runs", "/runs", "kubernetes-sample"),
        Picture("runs-dark", "/runs", "kubernetes-sample", theme="dark"),
        Picture("run-failed", sample, "StartError"),
        Picture("run-failed-dark", sample, "StartError", theme="dark"),
        Picture("run-live", live, "smoke-test"),
        Picture("graph-fan-out", fan_out, "shard", top="[role=tablist]"),
        Picture("timeline", f"{release}?view=timeline", "upload"),
        Picture("log", f"{release}/tasks/build/logs?time=1", "16 modules"),
        Picture("log-dark", f"{release}/tasks/build/logs?time=1&q=module_1", "16 modules", theme="dark"),
        Picture("workflows", "/workflows", "nightly-report"),
        Picture("workflow", "/workflows/typed-params", "typed-params"),
        Picture("runs-phone", "/runs", "kubernetes-sample", is_narrow=True),
        Picture("run-phone", sample, "StartError", is_narrow=True),
    ]


async def take(browser: Browser, url: str, picture: Picture) -> int:
    """Take it; the bytes that it has."""
    context = await browser.new_context(
        viewport=NARROW if picture.is_narrow else WIDE,  # type: ignore[arg-type]
        color_scheme="dark" if picture.theme == "dark" else "light",
        reduced_motion="reduce",
        locale="en-GB", timezone_id="UTC",
    )  # fmt: skip
    page = await context.new_page()
    await page.goto(url + picture.path)
    await page.locator("main").get_by_text(picture.shown).first.wait_for(timeout=30_000)
    if picture.top is not None:
        await page.locator(picture.top).evaluate("(element) => element.scrollIntoView()")
    await _settle(page)
    path = FOLDER / f"{picture.name}.png"
    await page.screenshot(path=path)
    await context.close()
    return path.stat().st_size


async def _settle(page: Page) -> None:
    """Wait until two pictures, one after the other, are the same; a clock on the page may keep them from that."""
    before = b""
    for _ in range(20):
        now = await page.screenshot()
        if now == before:
            return
        before = now
        await asyncio.sleep(0.2)


async def take_all() -> list[str]:
    """Take all pictures, and name those that are too large."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    large = []
    with tempfile.TemporaryDirectory(prefix="podrun-screenshots-") as folder:
        service = ServiceProcess(Path(folder), "local")
        service.start()
        try:
            async with api_of(service.url) as api, launched() as browser:
                for picture in pictures(await make_runs(api)):
                    size = await take(browser, service.url, picture)
                    print(f"{picture.name}.png: {size / 1000:.0f} kB")
                    large += [picture.name] if size > LARGEST_BYTES else []
        finally:
            service.close()
    return large


def main() -> int:
    """Take the pictures; 0 when they are there and small."""
    if reason := missing_browser():
        print(f"make screenshots: {reason}", file=sys.stderr)
        return 1
    if large := asyncio.run(take_all()):
        print(f"over {LARGEST_BYTES / 1000:.0f} kB: {', '.join(large)}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
