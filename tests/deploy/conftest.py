"""The image in the cluster, and a deployed podrun to talk to."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import kubectl, missing_component

ROOT = Path(__file__).resolve().parents[2]
IMAGE = "podrun:0.1.0"
BUILD_SECONDS = 800
ROLLOUT = "--timeout=150s"
SERVER = "app.kubernetes.io/component=server"


def build(name: str, context: Path, **arguments: str | None) -> None:
    """Build an image, with those of the arguments that are given, and give it to the cluster."""
    given = [part for key, value in arguments.items() if value for part in ("--build-arg", f"{key}={value}")]
    command = [*shlex.split(os.environ["IMAGE_BUILDER"]), name, str(context), *given]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=BUILD_SECONDS)
    assert done.returncode == 0, f"{shlex.join(command)}\n{done.stdout}\n{done.stderr}"


@pytest.fixture(scope="session")
def image() -> str:
    """podrun's own image, in the cluster."""
    if reason := missing_component("deploy"):
        pytest.skip(reason)
    build(IMAGE, ROOT, BASE=os.environ.get("BASE_IMAGE"), NODE_IMAGE=os.environ.get("NODE_IMAGE"))
    return IMAGE


@pytest.fixture(scope="session")
def postgres_image() -> None:
    """The image postgres:17: built where POSTGRES_BASE says from what, otherwise the cluster pulls it."""
    if base := os.environ.get("POSTGRES_BASE"):
        build("postgres:17", ROOT / "tests/deploy/postgres", BASE=base)


@dataclass(frozen=True, kw_only=True)
class Deployed:
    """A podrun that was deployed into a namespace."""

    namespace: str

    def kubectl(self, *arguments: str, check: bool = True) -> str:
        """kubectl in its namespace."""
        return kubectl("-n", self.namespace, *arguments, check=check)

    def token(self) -> str:
        """The token that its Secret holds."""
        return self.kubectl("get", "secret", "podrun", "-o", "go-template={{.data.token | base64decode}}")

    def wait_until_rolled_out(self) -> None:
        """Wait until all replicas are ready; show why when they are not."""
        try:
            subprocess.run(
                ["kubectl", "-n", self.namespace, "rollout", "status", "deployment/podrun", ROLLOUT],
                check=True, capture_output=True, text=True, timeout=200,
            )  # fmt: skip
        except subprocess.SubprocessError as error:
            pods = self.kubectl("describe", "pods", check=False)
            logs = self.kubectl("logs", "-l", SERVER, "--all-containers", "--tail=50", check=False)
            pytest.fail(f"the deployment did not become ready: {error}\n{pods}\n{logs}", pytrace=False)

    def server_pods(self) -> list[str]:
        """The names of podrun's own pods that are not on their way out."""
        template = '{{range .items}}{{if not .metadata.deletionTimestamp}}{{.metadata.name}}{{"\\n"}}{{end}}{{end}}'
        return self.kubectl("get", "pods", "-l", SERVER, "-o", f"go-template={template}").split()

    @contextmanager
    def client(self) -> Iterator[httpx.Client]:
        """A client of the Service, over a port that kubectl forwards."""
        forward = subprocess.Popen(
            ["kubectl", "-n", self.namespace, "port-forward", "service/podrun", ":80"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        try:
            assert forward.stdout is not None
            line = forward.stdout.readline()
            port = re.search(r"127\.0\.0\.1:(\d+)", line)
            assert port, line
            headers = {"Authorization": f"Bearer {self.token()}"}
            with httpx.Client(base_url=f"http://127.0.0.1:{port[1]}", headers=headers, timeout=90) as client:
                yield client
        finally:
            forward.terminate()
            forward.wait(10)
            if forward.stdout is not None:
                forward.stdout.close()


def wait_until_finished(client: httpx.Client, run_id: str, seconds: float) -> dict[str, Any]:
    """The run, with its tasks, when it is finished."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        answer = client.get(f"/api/v1/runs/{run_id}", params={"wait": 20, "include": "tasks"})
        answer.raise_for_status()
        run: dict[str, Any] = answer.json()
        if run["is_finished"]:
            return run
    pytest.fail(f"the run is not finished after {seconds} s: {run}", pytrace=False)
