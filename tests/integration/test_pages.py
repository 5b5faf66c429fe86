"""The commands of README and tutorial run as they are written, against a service that the page's own command starts."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
FENCE = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
#: Blocks with these marks are run elsewhere: the first as the page's service, the second by the tests of the deployment.
ELSEWHERE = {"serve", "kubernetes"}
DEFAULT_ADDRESS = "127.0.0.1:8080"


def blocks(page: Path) -> list[tuple[str, str, str]]:
    """Language, mark and text of each fenced block that has a language."""
    return [(language, mark, text) for language, mark, text in FENCE.findall(page.read_text())]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder that looks like a clone after `make setup`."""
    (tmp_path / ".venv").symlink_to(sys.prefix, target_is_directory=True)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    return tmp_path


@pytest.fixture
def port() -> int:
    return free_port()


def environment(port: int) -> dict[str, str]:
    """A user's who has set nothing, but for the port: the default one may be taken."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PODRUN_", "KUBE"))}
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return kept | {"PODRUN_PORT": str(port), "PODRUN_SERVER": f"http://127.0.0.1:{port}", "PYTHONPATH": path}


def is_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
            return answer.status == 200
    except urllib.error.HTTPError as error:
        error.close()
        return False
    except OSError:
        return False


@contextmanager
def service(command: str, folder: Path, port: int) -> Iterator[None]:
    """The service that the page's command starts."""
    with (folder / "service.log").open("wb") as log:
        process = subprocess.Popen(
            command.split(), cwd=folder, env=environment(port), stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    try:
        deadline = time.monotonic() + 40
        while not is_ready(port):
            said = (folder / "service.log").read_text()
            assert process.poll() is None, said
            assert time.monotonic() < deadline, said
            time.sleep(0.05)
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def run_page(page: Path, folder: Path, port: int) -> str:
    """Run a page's blocks in one shell and return all that they printed."""
    script: list[str] = []
    command = ""
    for language, mark, text in blocks(page):
        if language == "yaml" and mark:
            (folder / mark).write_text(text)
        elif mark == "serve":
            command = text.strip()
        elif language == "sh" and mark.startswith("exit="):
            script.append(f"status=0\n{text.strip()} || status=$?\n[ $status = {mark.removeprefix('exit=')} ]\n")
        elif language == "sh" and mark not in ELSEWHERE:
            script.append(text)
    whole = "".join(script).replace(DEFAULT_ADDRESS, f"127.0.0.1:{port}")
    with service(command, folder, port):
        done = subprocess.run(
            ["bash", "-euxo", "pipefail", "-c", whole],
            cwd=folder, env=environment(port), stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=100, check=False,
        )  # fmt: skip
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}\n{(folder / 'service.log').read_text()}"
    return done.stdout


def test_readme__commands__run_as_they_are(folder: Path, port: int) -> None:
    output = run_page(ROOT / "README.md", folder, port)
    assert '"phase":"Succeeded"' in output.replace(" ", "")
    # With curl twice, by `logs -f` and by `run`: each time the log of the same workflow.
    assert output.count("hello world") >= 4
    assert output.count("goodbye") >= 3


def test_tutorial__commands__run_as_they_are(folder: Path, port: int) -> None:
    output = run_page(ROOT / "docs/tutorial/first-run.md", folder, port)
    assert output.count("fetched 3 records") >= 1
    # Two attempts, followed live and read again.
    assert output.count("record 2 has no id") >= 4
    assert "Omitted" in output


def test_pages__blocks_with_commands__are_all_run() -> None:
    """A block without a language is for the eye: what is in it is tested elsewhere, or needs what no test has."""
    for page in (ROOT / "README.md", ROOT / "docs/tutorial/first-run.md"):
        assert {language for language, _, _ in blocks(page)} <= {"sh", "yaml"}
