"""The supervisor: the process that runs one local pod, from its start to its outcome. Standard library only.

It is to its pod what the kubelet is: it starts main, stamps its output into the log, ends it when asked to (SIGTERM, and the
grace period in deletion.json) or at its deadline, and writes down what was. It needs no service: those come and go.
"""

from __future__ import annotations

import os
import select
import signal
import time
from pathlib import Path
from typing import Any

from app.pods.local import folders
from app.pods.local.container import Container, StartFailed
from app.pods.local.disk import Patience
from app.pods.local.logfile import EvenClock, LogWriter

START_ERROR_CODE = 128  #: what Kubernetes gives as exit code of a container that could not be started
_READ_BYTES = 256 * 1024
_HOLD_SECONDS = 0.005  #: after a small read; lines that come singly are then written together
_MESSAGE_BYTES = 4096  #: of the termination message, from its end
_DRAIN_SECONDS = 2.0


def supervise(root: str, folder: str) -> None:
    """Run the pod in `folder`, unless another supervisor has it. Returns when its outcome is written."""
    os.chdir(folder)  # names are relative from here on: the folder keeps its meaning when it is moved away to be removed
    wake_read, wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGCHLD):
        signal.signal(number, _note)
    watchers_fd = os.open(Path(root, folders.WATCHERS), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    spec = folders.read_json(Path(folders.SPEC))
    if spec is None or not _claim():
        return
    pod = _Pod(spec, watchers_fd, wake_read)
    try:
        pod.run()
    except BaseException as error:  # noqa: BLE001 - whatever it is, somebody waits for the outcome
        pod.give_up(f"the pod's supervisor failed: {type(error).__name__}: {error}")


def _note(number: int, frame: object) -> None:
    """Nothing: the wake-up pipe has the signal's number."""


def _claim() -> bool:
    """Become this pod's only supervisor, for ever; False where there was one before."""
    pid = os.getpid()
    scratch = Path(f"{folders.SUPERVISOR}.{pid}.claim")
    folders.write_json(scratch, {"pid": pid, "pid_start": folders.process_start(pid), "boot_id": folders.boot_id()})
    try:
        os.link(scratch, folders.SUPERVISOR)
    except FileExistsError:
        return False
    finally:
        scratch.unlink()
    return True


class _Pod:
    def __init__(self, spec: dict[str, Any], watchers_fd: int, wake_fd: int) -> None:
        self._spec = spec
        self._watchers_fd = watchers_fd
        self._wake_fd = wake_fd
        self._report_patience, self._log_patience = Patience(), Patience()
        self._status: dict[str, Any] = {"phase": "waiting", "over": False}
        self._clock = EvenClock()
        log_fd = os.open(folders.LOG, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._log = LogWriter(log_fd, self._clock)
        self._container: Container | None = None
        self._kill_at: float | None = None  #: monotonic; when SIGKILL follows SIGTERM
        self._killed = False
        seconds = spec["deadline_seconds"]
        self._deadline_at = time.monotonic() + seconds if seconds is not None else None

    def run(self) -> None:
        if Path(folders.DELETION).exists():
            self._report_end()  # deleted before it started: main never runs
            return
        try:
            self._container = container = Container.start(self._spec["launch"])
        except StartFailed as error:
            self._report_end(
                phase="terminated", reason="StartError", exit_code=START_ERROR_CODE, finished_at=self._clock(),
                message=f"unable to start the process: {error}",
            )  # fmt: skip
            return
        self._status.update(
            phase="running", pid=container.pid, pid_start=folders.process_start(container.pid), started_at=self._clock()
        )
        self._report_patience.attempt(self._report)
        exit_code = self._watch(container)
        finished_at = self._clock()
        container.clear()
        self._drain(container.output_fd)
        self._log_patience.insist(self._log.flush)
        self._log_patience.attempt(self._log.finish)
        self._log_patience.insist(self._log.flush)
        self._report_end(
            phase="terminated", exit_code=exit_code, reason="Error" if exit_code else "Completed",
            message=_termination_message(), finished_at=finished_at,
        )  # fmt: skip

    def give_up(self, message: str) -> None:
        if self._container is not None:
            self._container.clear()
        self._report_end(pod_reason="PodLost", pod_message=message)

    def _report_end(self, **changes: Any) -> None:
        self._status.update(changes, over=True)
        self._report_patience.insist(self._report)

    def _report(self) -> None:
        folders.write_json(Path(folders.STATUS), self._status)
        folders.notify_watchers(self._watchers_fd, self._spec["uid"])

    def _watch(self, container: Container) -> int:
        """Carry main's output into the log until it ends; its exit code."""
        busy, idle = select.poll(), select.poll()
        busy.register(self._wake_fd, select.POLLIN)
        idle.register(self._wake_fd, select.POLLIN)
        idle.register(container.output_fd, select.POLLIN)
        has_output, hold = True, False
        while True:
            is_behind = self._log_patience.retry_at is not None  # main waits as well, once the pipe is full
            ready = (busy if hold or is_behind or not has_output else idle).poll(self._wait_milliseconds(hold))
            hold = False
            for fd, _ in ready:
                if fd == self._wake_fd:
                    self._take_signals()
                    exit_code = container.poll()
                    if exit_code is not None:
                        return exit_code
                elif (size := self._copy(fd)) is None:
                    has_output = False  # main closed its streams and goes on
                else:
                    hold = size < _READ_BYTES // 4
            self._mind_the_clock(container)
            self._mind_the_disk()

    def _wait_milliseconds(self, hold: bool) -> float | None:
        now = time.monotonic()
        moments = (self._kill_at, self._deadline_at, self._log_patience.retry_at, self._report_patience.retry_at)
        times = [at - now for at in moments if at is not None]
        if hold:
            times.append(_HOLD_SECONDS)
        return max(0.0, min(times)) * 1000 + 0.5 if times else None

    def _copy(self, fd: int) -> int | None:
        """One read's worth of output into the log: how many bytes, 0 where none is there now, None at its end."""
        try:
            chunk = os.read(fd, _READ_BYTES)
        except BlockingIOError:
            return 0
        if not chunk:
            return None
        self._log_patience.attempt(lambda: self._log.feed(chunk))
        return len(chunk)

    def _drain(self, fd: int) -> None:
        give_up_at = time.monotonic() + _DRAIN_SECONDS  # somebody who escaped may write for ever
        self._log_patience.insist(self._log.flush)
        while self._copy(fd) and time.monotonic() < give_up_at:
            self._log_patience.insist(self._log.flush)
        os.close(fd)

    def _take_signals(self) -> None:
        numbers = os.read(self._wake_fd, 4096)
        if signal.SIGTERM not in numbers:
            return
        deletion = folders.read_json(Path(folders.DELETION)) or {}
        if not Path(folders.DELETION).exists():
            self._status.update(
                pod_reason="NodeShutdown", pod_message="the pod's supervisor was told to end, as when the machine shuts down"
            )
        grace = deletion.get("grace_seconds")
        self._end_main(grace if isinstance(grace, int) else self._spec["grace_seconds"])

    def _mind_the_clock(self, container: Container) -> None:
        now = time.monotonic()
        if self._deadline_at is not None and now >= self._deadline_at:
            self._deadline_at = None
            # Source: https://kubernetes.io/docs/concepts/workloads/controllers/job/#job-termination-and-cleanup
            self._status.update(
                pod_reason="DeadlineExceeded", pod_message="Pod was active on the node longer than the specified deadline"
            )
            self._end_main(self._spec["grace_seconds"])
        if self._kill_at is not None and now >= self._kill_at and not self._killed:
            self._killed = True
            self._kill_at = None
            container.signal(signal.SIGKILL)

    def _mind_the_disk(self) -> None:
        now = time.monotonic()
        for patience, write in ((self._log_patience, self._log.flush), (self._report_patience, self._report)):
            if patience.retry_at is not None and now >= patience.retry_at:
                patience.attempt(write)

    def _end_main(self, grace_seconds: int) -> None:
        kill_at = time.monotonic() + grace_seconds
        if self._kill_at is None and not self._killed:
            if self._container is not None and grace_seconds > 0:
                self._container.signal(signal.SIGTERM)
            self._kill_at = kill_at
        elif self._kill_at is not None:
            self._kill_at = min(self._kill_at, kill_at)


def _termination_message() -> str:
    """What main wrote into the file that PODRUN_OUTPUTS names: Kubernetes' termination message."""
    try:
        with os.fdopen(folders.open_file(Path(folders.OUTPUTS)), "rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _MESSAGE_BYTES))
            return file.read(_MESSAGE_BYTES).decode("utf-8", "replace")
    except (OSError, ValueError):
        return ""
