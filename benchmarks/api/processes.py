"""The processes of a measurement: podrun, the bare service beside it, and the clients; all of this machine."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.api.answers import HOST
from benchmarks.comparison import HEAD, Comparison
from benchmarks.measuring import table
from benchmarks.stand import UNLIMITED
from tests.support.chromium import ROOT
from tests.support.ports import free_port
from tests.support.service import ServiceProcess

START_SECONDS = 60.0
PREFIX = "/api/v1"


class Rest:
    """JSON over one kept connection. For one thread."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection(HOST, port, timeout=120)

    def ask_bytes(self, method: str, path: str, value: Any = None) -> tuple[int, dict[str, str], bytes]:
        """Status, headers (names in lower case) and body."""
        body, headers = (None, {}) if value is None else (json.dumps(value), {"Content-Type": "application/json"})
        self._connection.request(method, path, body, headers)
        answer = self._connection.getresponse()
        return answer.status, {name.lower(): text for name, text in answer.getheaders()}, answer.read()

    def ask(self, method: str, path: str, value: Any = None) -> Any:
        """What the service answers. Raises RuntimeError for anything but success."""
        status, _, body = self.ask_bytes(method, path, value)
        if status >= 300:
            raise RuntimeError(f"{method} {path}: {status} {body[:600]!r}")
        return json.loads(body)

    def submit(self, workflow: dict[str, Any]) -> str:
        """The id of a run of it."""
        return str(self.ask("POST", f"{PREFIX}/runs", {"workflow": workflow})["id"])

    def wait_until(self, run_id: str, key: str, value: object, seconds: float = 60.0) -> None:
        """Until the run says so of itself."""
        deadline = time.monotonic() + seconds
        while (run := self.ask("GET", f"{PREFIX}/runs/{run_id}"))[key] != value:
            if time.monotonic() > deadline:
                raise RuntimeError(f"{key} of run {run_id} is {run[key]!r}, and not {value!r}, after {seconds} s")
            time.sleep(0.02)

    def count(self, *phases: str) -> int:
        """How many of the newest 5,000 runs in any of these phases there are, which is all where there are fewer."""
        asked = "&".join(f"phase={phase}" for phase in phases)
        return sum(self.ask("GET", f"{PREFIX}/runs/counts?{asked}")["phases"].values())


@dataclass(frozen=True, slots=True)
class Served:
    """A service's process."""

    port: int
    pid: int

    def rest(self) -> Rest:
        """A connection to it."""
        return Rest(self.port)


def port_of(service: ServiceProcess) -> int:
    """Where a service of podrun's listens."""
    return int(service.url.rpartition(":")[2])


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder for the length of a measurement."""
    with tempfile.TemporaryDirectory(prefix="podrun-benchmark-") as folder:
        yield Path(folder)


@contextmanager
def podrun_service(
    folder: Path, *, database_url: str | None = None, settings: dict[str, str] | None = None
) -> Iterator[Served]:
    """Serve podrun with local pods. At the end what runs among the newest thousand is cancelled."""
    service = ServiceProcess(folder, "local", database_url=database_url, settings={**UNLIMITED, **(settings or {})})
    service.start()
    try:
        yield Served(port_of(service), service.pid)
    finally:
        service.close()
    if faults := service.faults():
        raise RuntimeError("the service wrote of faults:\n" + "\n".join(faults[:20]))


@contextmanager
def bare_service(database_url: str | None = None) -> Iterator[Served]:
    """Serve the limit."""
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.api.bare_service", str(port), *([database_url] if database_url else [])]
    process = subprocess.Popen(command, cwd=ROOT, start_new_session=True)
    try:
        wait_until_answered(process, port, "/openapi.json")
        yield Served(port, process.pid)
    finally:
        process.terminate()
        process.wait(20)


def wait_until_answered(process: subprocess.Popen[bytes] | None, port: int, path: str) -> None:
    """Until the path is answered with success; at once again where it is not."""
    deadline = time.monotonic() + START_SECONDS
    while not _is_answered(port, path):
        if process is not None and process.poll() is not None:
            raise RuntimeError(f"the process ended with {process.returncode}")
        if time.monotonic() > deadline:
            raise RuntimeError(f"{path} was not answered within {START_SECONDS} s")
        time.sleep(0.005)


def _is_answered(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection(HOST, port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def run_client(kind: str, **given: Any) -> dict[str, Any]:
    """What clients of that kind saw: see `benchmarks.api.clients`."""
    command = [sys.executable, "-m", "benchmarks.api.clients", kind]
    made = subprocess.run(command, cwd=ROOT, input=json.dumps(given), capture_output=True, text=True, timeout=300, check=False)
    if made.returncode:
        raise RuntimeError(f"the clients failed:\n{made.stderr[-3000:]}")
    said: dict[str, Any] = json.loads(made.stdout)
    return said


def print_comparisons(title: str, comparisons: Sequence[Comparison]) -> None:
    """The table of a module that is run alone."""
    print(table(title, HEAD, (comparison.cells() for comparison in comparisons)))
