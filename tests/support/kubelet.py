"""The real node's kubelet, killed by its process id and brought back by the command that starts the cluster."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

NODE = "node-1"
BACK_SECONDS = 120.0


class Kubelet:
    """Kill it, and bring it back: its containers go on meanwhile, since they are not its children."""

    def __init__(self, kubeconfig: Path) -> None:
        """Skips the test where it can't be done: it needs `CLUSTER_UP`, and the process id beside the kubeconfig."""
        self._command, self._pid_file = os.environ.get("CLUSTER_UP", ""), kubeconfig.parent / "kubelet.pid"
        if not self._command or not self._pid_file.exists():
            pytest.skip("CLUSTER_UP is not set, or the cluster's kubelet is not a process of this machine")

    @contextmanager
    def away(self) -> Iterator[None]:
        """It is dead when the block begins, and back after it, whatever happened in it."""
        pid = int(self._pid_file.read_text())
        assert b"kubelet" in _command_line(pid), f"process {pid} is no kubelet"
        try:
            os.kill(pid, signal.SIGKILL)
            deadline = time.monotonic() + 10
            while _command_line(pid):
                assert time.monotonic() < deadline, f"the kubelet, process {pid}, does not end"
                time.sleep(0.05)
            yield
        finally:
            subprocess.run(shlex.split(self._command), check=True, timeout=BACK_SECONDS, stdout=subprocess.DEVNULL)


def _command_line(pid: int) -> list[bytes]:
    try:
        return [part for part in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0") if part]
    except FileNotFoundError:
        return []
