"""`make demo`'s script, as it is: on local pods, and on a real Kubernetes."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from app.api.page import NOT_BUILT, is_built
from scripts.demo import differences

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.timeout(200)


def run_demo(*arguments: str, on_cluster: bool = False) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if on_cluster or name != "KUBECONFIG"}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return subprocess.run(
        [sys.executable, str(ROOT / "scripts/demo.py"), *arguments],
        env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=180, check=False,
    )  # fmt: skip


def test_demo__local_pods__outcome_is_the_expected_one() -> None:
    done = run_demo()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "[passing-task] hello world" in done.stdout
    assert re.search(r'failing-task +Failed \(StartError\): .*"Python": executable file not found', done.stdout)
    assert "/runs/" not in done.stdout, "there is no page any more"
    assert ("with KEEP=1" in done.stdout) is is_built()
    assert (NOT_BUILT in done.stdout) is not is_built()


@pytest.mark.cluster
def test_demo__kubernetes__failing_task_says_the_runtimes_sentence() -> None:
    done = run_demo(on_cluster=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r'failing-task +Failed \(StartError\): .*"Python": executable file not found in \$PATH', done.stdout)


def test_demo__keep__leaves_the_service_up() -> None:
    done = run_demo("--keep")
    assert done.returncode == 0, done.stdout + done.stderr
    found = re.search(r"up at (http://\S+) \(its files: (\S+); .*kill (\d+)\)", done.stdout)
    assert found
    try:
        assert httpx.get(f"{found[1]}/readyz", timeout=10).is_success
        page = re.search(rf"the run's page: ({found[1]}/runs/\S+)$", done.stdout, re.MULTILINE)
        assert bool(page) is is_built()
        assert (Path(found[2]) / "service.log").read_text().count(NOT_BUILT) == (not is_built())
        if page:
            assert "<!doctype html>" in httpx.get(page[1], timeout=10).text
    finally:
        os.kill(int(found[3]), signal.SIGTERM)
        wait_until_gone(int(found[3]))
        shutil.rmtree(found[2])


def wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + 30
    while Path(f"/proc/{pid}").exists() and "State:\tZ" not in Path(f"/proc/{pid}/status").read_text():
        assert time.monotonic() < deadline, "the service did not stop"
        time.sleep(0.05)


def test_differences__wrong_outcome__names_each_difference() -> None:
    run = {"phase": "Succeeded"}
    tasks = {
        "start": {"phase": "Succeeded", "reason": None, "message": None},
        "passing-task": {"phase": "Succeeded", "reason": None, "message": None},
        "failing-task": {"phase": "Error", "reason": "ErrImagePull", "message": "no such image"},
    }
    found = differences(run, tasks, [])
    assert [text.split(":")[0] for text in found] == [
        "the run's phase", "the phase of failing-task", "the reason of failing-task",
        "failing-task names what was not found", "the log of passing-task",
    ]  # fmt: skip
