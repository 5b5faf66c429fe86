"""Starts services out of a process that has imported all of podrun: a second of CPU less for each of hundreds of starts.

    ServiceProcess ─ what to run ─▶ template (imports once) ─ fork ─▶ `podrun serve`, a process of its own session

What a service does is the same; how Python and podrun come to be imported is left out, which tests of starts themselves need.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import pkgutil
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_PACKAGES = ("app", "podrun")
#: Run as programs, not imported.
_PROGRAMS = ("__main__", "app.expressions.worker", "app.pods.local.launcher", "app.pods.local.supervisor")
START_SECONDS = 60.0


class PreloadedProcess:
    """A process that the template has forked, as subprocess.Popen has it."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None  #: negative: the signal that ended it
        self._over = threading.Event()

    def ended(self, returncode: int) -> None:
        """The template has reaped it."""
        self.returncode = returncode
        self._over.set()

    def poll(self) -> int | None:
        """Its exit code, None while it runs."""
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end."""
        if not self._over.wait(timeout):
            raise subprocess.TimeoutExpired(["podrun", "serve"], timeout or 0.0)
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send it, unless the process is over."""
        if self.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)


class Template:
    """The process that has imported podrun. Threads may start services at the same time."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.preloaded", str(theirs.fileno())],
                stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()], cwd=Path(__file__).resolve().parents[2],
            )  # fmt: skip
        self._socket, self._starting = ours, threading.Lock()
        self._processes: dict[int, PreloadedProcess] = {}
        self._started: PreloadedProcess | None = None
        self._has_started = threading.Event()
        threading.Thread(target=self._listen, name="template", daemon=True).start()

    def start(self, arguments: Sequence[str], environment: Mapping[str, str], folder: Path, said: Path) -> PreloadedProcess:
        """Run Python with these arguments (`-m MODULE ...` or `-P PROGRAM ...`); what it writes goes to the file."""
        wanted = {"arguments": list(arguments), "environment": dict(environment), "folder": str(folder), "said": str(said)}
        with self._starting:
            self._has_started.clear()
            self._socket.sendall(json.dumps(wanted).encode() + b"\n")
            if not self._has_started.wait(START_SECONDS):
                raise AssertionError("the template process does not answer")
            assert self._started is not None
            return self._started

    def close(self) -> None:
        """End the template. What it has started runs on."""
        self._socket.shutdown(socket.SHUT_RDWR)
        self._process.wait(START_SECONDS)
        self._socket.close()

    def _listen(self) -> None:
        """Take what the template says: a pid where it has forked, a pid and an exit code where it has reaped."""
        with self._socket.makefile("rb") as lines:
            for line in lines:
                told: Mapping[str, int] = json.loads(line)
                if "code" in told:
                    self._processes.pop(told["pid"]).ended(told["code"])
                else:
                    self._started = self._processes[told["pid"]] = PreloadedProcess(told["pid"])
                    self._has_started.set()


def _import_all() -> None:
    for package in _PACKAGES:
        module = importlib.import_module(package)
        for found in pkgutil.walk_packages(module.__path__, f"{package}."):
            if not found.name.endswith(_PROGRAMS):
                importlib.import_module(found.name)


def _serve(asking: socket.socket) -> list[str] | None:
    """Fork what is asked for and reap what is over, until nobody asks any more: None.

    In a process that was forked: what Python is to do in it.
    """
    waking, woken = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
    held = b""
    while True:
        ready, _, _ = select.select([asking, waking], [], [])
        if waking in ready:
            with contextlib.suppress(BlockingIOError):
                os.read(waking, 4096)
            _reap(asking)
        if asking in ready:
            chunk = asking.recv(1 << 20)
            if not chunk:
                return None
            *lines, held = (held + chunk).split(b"\n")
            for line in lines:
                wanted = json.loads(line)
                if not (pid := os.fork()):
                    _become(wanted, [asking.fileno(), waking, woken])
                    arguments: list[str] = wanted["arguments"]
                    return arguments
                _tell(asking, pid=pid)


def _tell(asking: socket.socket, **told: int) -> None:
    with contextlib.suppress(BrokenPipeError):
        asking.sendall(json.dumps(told).encode() + b"\n")


def _reap(asking: socket.socket) -> None:
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            _tell(asking, pid=pid, code=os.waitstatus_to_exitcode(status))


def _become(wanted: Mapping[str, Any], descriptors: list[int]) -> None:
    """Make of a forked process what a started one would be; the template's descriptors are not its."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for descriptor in descriptors:
        os.close(descriptor)
    os.setsid()
    said = os.open(wanted["said"], os.O_WRONLY | os.O_APPEND)
    os.dup2(said, 1)
    os.dup2(said, 2)
    os.close(said)
    os.environ.clear()
    os.environ.update(wanted["environment"])
    os.chdir(wanted["folder"])


def main() -> None:
    """Be the template of whoever holds the other end of the socket; in what it forks, the program that is asked for."""
    _import_all()
    gc.collect()
    gc.freeze()
    asking = socket.socket(fileno=int(sys.argv[1]))
    arguments = _serve(asking)
    if arguments is None:
        return
    asking.detach()
    kind, what, *rest = arguments
    sys.argv = [what, *rest]
    if kind == "-m":
        runpy.run_module(what, run_name="__main__", alter_sys=True)
    else:
        runpy.run_path(what, run_name="__main__")


if __name__ == "__main__":
    main()
