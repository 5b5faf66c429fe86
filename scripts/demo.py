"""The demonstration behind `make demo`: a service of its own, the example posted as a CI job would, its logs followed live.

It runs `examples/kubernetes-sample.json` on local pods, or on the cluster of KUBECONFIG where that is set, and exits 0 only
when the outcome is the one that the example must have. With `--keep` the service goes on afterwards.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any

import httpx
from websockets.asyncio.client import connect

from app.api.page import NOT_BUILT, is_built

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE = ROOT / "examples" / "kubernetes-sample.json"
START_SECONDS = 60.0
STOP_SECONDS = 30.0
#: The whole run; on Kubernetes an image may have to be pulled.
RUN_SECONDS = 300.0
POLL_SECONDS = 0.2


class DemoFailed(Exception):
    """The demonstration did not go as it must; the message says how."""


class Service:
    """A `podrun serve` of this demonstration's own, on SQLite, in a temporary folder."""

    def __init__(self) -> None:
        """Choose a folder and a free port; nothing runs yet."""
        self.folder = Path(tempfile.mkdtemp(prefix="podrun-demo-"))
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.address = f"http://127.0.0.1:{self.port}"
        self.pods = "kubernetes" if os.environ.get("KUBECONFIG") else "local"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process id of the service."""
        if self._process is None:
            raise DemoFailed("the service was not started")
        return self._process.pid

    def start(self) -> None:
        """Start it; it listens a moment later."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PODRUN_")}
        environment |= {
            "PODRUN_DATABASE_URL": f"sqlite+aiosqlite:///{self.folder}/podrun.db",
            "PODRUN_LOGS_URL": str(self.folder / "logs"),
            "PODRUN_LOCAL_PODS_DIR": str(self.folder / "pods"),
            "PODRUN_PODS": self.pods,
            "PODRUN_PORT": str(self.port),
        }
        with (self.folder / "service.log").open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "podrun.cli", "serve"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, cwd=self.folder, start_new_session=True,
            )  # fmt: skip

    async def wait_until_ready(self) -> None:
        """Wait until it says on /readyz that it takes runs."""
        deadline = time.monotonic() + START_SECONDS
        async with httpx.AsyncClient(base_url=self.address, timeout=5) as client:
            while time.monotonic() < deadline:
                if self._process is not None and self._process.poll() is not None:
                    break
                try:
                    if (await client.get("/readyz")).is_success:
                        return
                except httpx.TransportError:
                    pass
                await asyncio.sleep(0.05)
        raise DemoFailed(f"the service did not become ready:\n{self.log_text()}")

    def log_text(self) -> str:
        """What the service has written."""
        return (self.folder / "service.log").read_text(errors="replace")

    def stop(self) -> None:
        """Stop it and delete its folder."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
                print(f"the service did not stop within {STOP_SECONDS:.0f} s and was killed", file=sys.stderr)
        shutil.rmtree(self.folder, ignore_errors=True)


async def submit(client: httpx.AsyncClient, document: object) -> dict[str, Any]:
    """POST the workflow, with a key that makes a repeated POST harmless, and return the run."""
    answer = await client.post("/api/v1/runs", json={"workflow": document}, headers={"Idempotency-Key": f"demo-{uuid.uuid4()}"})
    if answer.status_code != httpx.codes.CREATED:
        raise DemoFailed(f"the workflow was refused: {answer.status_code} {answer.text}")
    run: dict[str, Any] = answer.json()
    print(f"posted {document['name']}: run {run['id']}" if isinstance(document, dict) else run["id"])
    return run


async def follow_logs(address: str, run_id: str) -> list[dict[str, Any]]:
    """Print the run's log lines as they come over the websocket, to the run's end, and return them."""
    lines: list[dict[str, Any]] = []
    url = address.replace("http://", "ws://", 1) + f"/api/v1/runs/{run_id}/logs"
    async with connect(url, proxy=None) as websocket:
        async for text in websocket:
            frame = json.loads(text)
            if frame["type"] == "lines":
                for line in frame["lines"]:
                    print(f"  [{line['task']}] {line['text']}")
                lines += frame["lines"]
            elif frame["type"] == "end":
                break
    return lines


async def poll_until_finished(client: httpx.AsyncClient, run_id: str) -> dict[str, Any]:
    """Ask for the run's status again and again, as a script does, and return it when it is finished."""
    shown = None
    while True:
        answer = await client.get(f"/api/v1/runs/{run_id}")
        answer.raise_for_status()
        run: dict[str, Any] = answer.json()
        counts = {phase: count for phase, count in run["task_phases"].items() if count}
        if (run["phase"], counts) != shown:
            shown = (run["phase"], counts)
            print(f"  {run['phase']}: " + ", ".join(f"{count} {phase}" for phase, count in counts.items()))
        if run["is_finished"]:
            return run
        await asyncio.sleep(POLL_SECONDS)


async def run_example(service: Service) -> str:
    """Run the example, compare the outcome with what it must be, and return the address of the run's page."""
    document = json.loads(EXAMPLE.read_text())
    async with httpx.AsyncClient(base_url=service.address, timeout=30) as client, asyncio.timeout(RUN_SECONDS):
        posted = await submit(client, document)
        async with asyncio.TaskGroup() as group:
            logs = group.create_task(follow_logs(service.address, posted["id"]), name="follow logs")
            status = group.create_task(poll_until_finished(client, posted["id"]), name="poll")
        answer = await client.get(f"/api/v1/runs/{posted['id']}/tasks")
        answer.raise_for_status()
    tasks = {task["name"]: task for task in answer.json()["items"]}
    print_outcome(status.result(), tasks)
    wrong = differences(status.result(), tasks, logs.result())
    if wrong:
        raise DemoFailed("this is not the outcome that the example must have:\n  " + "\n  ".join(wrong))
    return f"{service.address}{posted['links']['page']}"


def print_outcome(run: dict[str, Any], tasks: dict[str, dict[str, Any]]) -> None:
    """Print how the run and each of its tasks ended, and why."""
    print(f"outcome: {run['phase']}")
    for name, task in tasks.items():
        why = f" ({task['reason']}): {task['message']}" if task["reason"] else ""
        print(f"  {name:<14}{task['phase']}{why}")


def differences(run: dict[str, Any], tasks: dict[str, dict[str, Any]], lines: list[dict[str, Any]]) -> list[str]:
    """All that is not as it must be, in words; empty when everything is."""
    message = tasks.get("failing-task", {}).get("message") or ""
    expected = [
        ("the run's phase", run["phase"], "Failed"),
        ("the tasks", list(tasks), ["start", "passing-task", "failing-task"]),
        *(
            (f"the phase of {name}", tasks.get(name, {}).get("phase"), phase)
            for name, phase in (("start", "Succeeded"), ("passing-task", "Succeeded"), ("failing-task", "Failed"))
        ),
        ("the reason of failing-task", tasks.get("failing-task", {}).get("reason"), "StartError"),
        ("failing-task names what was not found", '"Python": executable file not found' in message, True),
        ("the log of passing-task", [x["text"] for x in lines if x["task"] == "passing-task"], ["hello world"]),
    ]
    return [f"{what}: {found!r} instead of {wanted!r}" for what, found, wanted in expected if found != wanted]


def main() -> int:
    """Run the demonstration; 0 when everything was as it must be."""
    parser = argparse.ArgumentParser(description="Run the example as a CI job would.")
    parser.add_argument("--keep", action="store_true", help="leave the service up and print its address")
    keep = parser.parse_args().keep
    service = Service()
    where = f"the cluster of {os.environ['KUBECONFIG']}" if service.pods == "kubernetes" else "processes of this machine"
    print(f"service: {service.address}, on SQLite; pods: {where}")
    status, shown = 1, ""
    try:
        service.start()
        shown = asyncio.run(demonstrate(service))
        status = 0
    except DemoFailed as failure:
        print(f"demo: {failure}", file=sys.stderr)
    except TimeoutError:
        print(
            f"demo: the run was not finished after {RUN_SECONDS:.0f} s; the service says:\n{service.log_text()}",
            file=sys.stderr,
        )
    finally:
        if not (keep and status == 0):
            service.stop()
    if status == 0:
        print("as expected: passing-task said hello world, and failing-task says why it failed")
        if keep:
            print(f"the service is up at {service.address} (its files: {service.folder}; stop it with: kill {service.pid})")
        print_page(shown, keep=keep)
    return status


def print_page(address: str, *, keep: bool) -> None:
    """Say where the run's page is, or what there would be to see."""
    if not is_built():
        print(NOT_BUILT)
    elif keep:
        print(f"the run's page: {address}")
    else:
        print("the service and its page are gone again; with KEEP=1 they stay, and the run can be looked at in a browser")


async def demonstrate(service: Service) -> str:
    """Wait for the service and run the example on it; the address of the run's page."""
    await service.wait_until_ready()
    address = ""
    try:
        address = await run_example(service)
    except* httpx.HTTPError as errors:
        raise DemoFailed(f"the service failed: {errors.exceptions[0]!r}; it says:\n{service.log_text()}") from errors
    return address


if __name__ == "__main__":
    sys.exit(main())
