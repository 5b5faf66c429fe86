"""The service as its users have it: a process of `podrun serve`, started, stopped, killed, and started again on its data."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, ClassVar

import httpx

from tests.support.cluster import fresh_namespace
from tests.support.ports import free_port
from tests.support.preloaded import PreloadedProcess, Template

START_SECONDS = 60.0
STOP_SECONDS = 20.0
#: What a healthy service never writes. What it says when it is killed at the wrong moment is no fault of it.
_FAULTS = re.compile(r"level=(error|critical)|Traceback|never retrieved|was destroyed but it is pending")


class ServiceProcess:
    """One installation: a folder with database, logs and local pods, and at most one process that serves it."""

    #: Where this is set, processes that nothing special is asked of come out of it, rather than import podrun each.
    template: ClassVar[Template | None] = None

    def __init__(
        self,
        folder: Path,
        pods: str,
        *,
        namespaces: Sequence[str] = (),
        database_url: str | None = None,
        kubeconfig: Path | None = None,
        settings: dict[str, str] | None = None,
        interpreter: Path | None = None,
    ) -> None:
        """`settings` are further `PODRUN_*` without their prefix; `interpreter` is another Python. Nothing runs yet."""
        self.folder, self.pods, self.namespaces = folder, pods, tuple(namespaces)
        folder.mkdir(parents=True, exist_ok=True)
        self._environment = {name: value for name, value in os.environ.items() if not name.startswith("PODRUN_")}
        if kubeconfig is not None:
            self._environment["KUBECONFIG"] = str(kubeconfig)
        given = {
            "DATABASE_URL": database_url or f"sqlite+aiosqlite:///{folder}/podrun.db",
            "LOGS_URL": str(folder / "logs"),
            "LOCAL_PODS_DIR": str(folder / "pods"),
            "PODS": pods,
            "NAMESPACES": ",".join(namespaces),
            "PORT": str(free_port()),
        }
        for name, value in (given | (settings or {})).items():
            self._environment[f"PODRUN_{name}"] = value
        token = (settings or {}).get("TOKEN")
        self.headers = {"Authorization": f"Bearer {token}"} if token else {}  #: what its API wants
        self.url = f"http://127.0.0.1:{given['PORT']}"  #: the same for all its processes
        self._process: subprocess.Popen[bytes] | PreloadedProcess | None = None
        self._said: list[Path] = []
        self._interpreter = str(interpreter or sys.executable)
        self.program = ["-m", "podrun.cli"]  #: what Python runs in its next process; it is given `serve`

    @property
    def database_url(self) -> str:
        """Where its data is."""
        return self._environment["PODRUN_DATABASE_URL"]

    @property
    def logs_url(self) -> str:
        """Where its logs' objects are."""
        return self._environment["PODRUN_LOGS_URL"]

    @property
    def local_pods_folder(self) -> Path:
        """Where its local pods are."""
        return Path(self._environment["PODRUN_LOCAL_PODS_DIR"])

    @property
    def pid(self) -> int:
        """Of its process, which runs."""
        assert self._process is not None
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether its process is there."""
        return self._process is not None and self._process.poll() is None

    def text(self) -> str:
        """What its processes have written, each under its number."""
        return "".join(f"-- process {n}\n{path.read_text(errors='replace')}" for n, path in enumerate(self._said, 1))

    def faults(self) -> list[str]:
        """Lines that no service should ever write."""
        return [line for line in self.text().splitlines() if _FAULTS.search(line)]

    def start(self, *, wait: bool = True) -> None:
        """Start a process on the data that is there; with `wait`, until it takes runs."""
        assert not self.is_running, "it runs already"
        self._said.append(self.folder / f"stderr.{len(self._said) + 1}")
        with self._said[-1].open("wb") as said:
            is_plain = self._interpreter == sys.executable and "LD_PRELOAD" not in self._environment
            if self.template is not None and is_plain:
                command = [*self.program, "serve"]
                self._process = self.template.start(command, self._environment, self.folder, self._said[-1])
            else:
                self._process = subprocess.Popen(
                    [self._interpreter, *self.program, "serve"],
                    stdin=subprocess.DEVNULL, stdout=said, stderr=said, env=self._environment, cwd=self.folder,
                    start_new_session=True,
                )  # fmt: skip
        if wait:
            self.wait_ready()

    def wait_ready(self, seconds: float = START_SECONDS) -> None:
        """Wait until /readyz says that it takes runs."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            assert self.is_running, f"the service ended\n{self.text()}"
            if self.is_ready():
                return
            time.sleep(0.02)
        raise AssertionError(f"the service was not ready after {seconds} s\n{self.text()}")

    def is_ready(self) -> bool:
        """Whether it takes runs."""
        try:
            # Without certificates, which there is no use for: to read them anew each time would keep a core busy.
            return httpx.get(f"{self.url}/readyz", timeout=5, trust_env=False, verify=False).is_success
        except httpx.TransportError:
            return False

    def kill(self) -> None:
        """End the process as a power cut would. Its pods go on."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(STOP_SECONDS)

    def ask_to_stop(self) -> None:
        """Send SIGTERM, and do not wait."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)

    def terminate(self) -> int:
        """End the process as an upgrade does, and return its exit code. Its pods go on."""
        self.ask_to_stop()
        assert self._process is not None
        try:
            return self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise AssertionError(f"the service did not end within {STOP_SECONDS} s of SIGTERM\n{self.text()}") from None

    def wait_ended(self, seconds: float = STOP_SECONDS) -> int:
        """The exit code of a process that ends by itself."""
        assert self._process is not None
        return self._process.wait(seconds)

    def close(self) -> None:
        """Cancel what still runs, so that no pod stays behind, then end the process."""
        if not self.is_running:
            return
        try:
            self._cancel_all()
        finally:
            self.terminate()

    def _cancel_all(self) -> None:
        deadline = time.monotonic() + 30
        with httpx.Client(base_url=f"{self.url}/api/v1", headers=self.headers, timeout=30, trust_env=False) as client:
            while time.monotonic() < deadline:
                items = client.get("/runs", params={"limit": 1000}).json()["items"]
                open_runs = [run["id"] for run in items if not run["is_finished"]]
                for run_id in open_runs:
                    client.post(f"/runs/{run_id}/cancel", json={"reason": "the test is over"})
                if not open_runs:
                    return
                time.sleep(0.2)


def started(stack: ExitStack, folder: Path, pods: str, **options: Any) -> ServiceProcess:
    """A service that ends with the stack, and must not have written of faults; on a cluster in a namespace of its own."""
    if pods == "kubernetes" and "namespaces" not in options:
        options["namespaces"] = [stack.enter_context(fresh_namespace())]
    service = ServiceProcess(folder, pods, **options)
    stack.callback(_end, service)
    service.start()
    return service


def _end(service: ServiceProcess) -> None:
    service.close()
    faults = service.faults()
    assert not faults, "the service wrote of faults:\n" + "\n".join(faults[:20])
