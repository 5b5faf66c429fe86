"""One worker process as the service sees it: started, asked, ended."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from pathlib import Path
from typing import Final, Self

import structlog

import app
from app.expressions.contexts import EncodedContext
from app.expressions.protocol import EXIT_NO_MEMORY, HEADER_BYTES, RecentContexts, header

log = structlog.get_logger(__name__)

_START_SECONDS: Final = 30.0
_STOP_SECONDS: Final = 2.0
_STDERR_BYTES: Final = 4096  #: of one log line
#: What the worker gets of our environment. Tokens and passwords are not among them.
_ENVIRONMENT: Final = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PYTHONHOME", "PYTHONPATH", "TZ")

#: The worker gets the same code as this process, wherever it is; never what lies in the current folder.
_ROOT: Final = str(Path(app.__file__).resolve().parent.parent)


class WorkerDied(Exception):
    """The worker ended instead of answering. `returncode` is below zero for a signal."""

    def __init__(self, returncode: int) -> None:
        self.returncode = returncode
        super().__init__(f"the worker ended: {how_it_ended(returncode)}")

    @property
    def used_up_cpu(self) -> bool:
        """Whether it was its limit of CPU time that ended it."""
        return self.returncode == -signal.SIGPROF

    @property
    def used_up_memory(self) -> bool:
        """Whether it ended because it got no more memory."""
        return self.returncode == EXIT_NO_MEMORY


def how_it_ended(returncode: int) -> str:
    """`signal SIGKILL`, or `exit code 1`."""
    if returncode < 0:
        with contextlib.suppress(ValueError):
            return f"signal {signal.Signals(-returncode).name}"
    return f"exit code {returncode}"


class WorkerProcess:
    """A worker that can be asked, one thing at a time. Whoever starts it ends it with `stop`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None and process.stdout is not None and process.stderr is not None  # noqa: S101, PT018  # all are pipes
        self._process = process
        self._stdin, self._stdout, self._stderr = process.stdin, process.stdout, process.stderr
        #: Keys of the contexts that it still has.
        self.contexts: RecentContexts[None] = RecentContexts()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @classmethod
    async def start(cls, memory_bytes: int, python: str = sys.executable) -> Self:
        """Start a worker; it can be asked when this returns. `python`: the interpreter that runs it.

        Raises:
            WorkerDied: it could not start.
            OSError: this machine has no room for another process.
            TimeoutError: it did not come up.
        """
        environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, (_ROOT, environment.get("PYTHONPATH"))))
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            *(python, "-P", "-m", "app.expressions.worker", str(memory_bytes)),
            stdin=pipe, stdout=pipe, stderr=pipe, env=environment, start_new_session=True,
        )  # fmt: skip
        worker = cls(process)
        try:
            async with asyncio.timeout(_START_SECONDS):
                await worker._receive()  # READY
        except BaseException:
            worker.kill()
            await worker.log_stderr_to_its_end()
            await worker.stop()
            raise
        return worker

    async def ask(self, request: bytes, context: EncodedContext | None = None) -> bytes:
        """Send a request and wait for the answer. Cancelled, it leaves a worker that can't be asked again.

        Raises:
            WorkerDied: there is no answer.
        """
        with contextlib.suppress(ConnectionError):  # the reading says it better
            self._stdin.write(header(len(request)) + request)
            if context is not None:
                self._stdin.write(header(context.size_bytes))
                for part in context.parts:
                    self._stdin.write(part)
                    await self._stdin.drain()
            await self._stdin.drain()
        return await self._receive()

    async def _receive(self) -> bytes:
        try:
            header = await self._stdout.readexactly(HEADER_BYTES)
            return await self._stdout.readexactly(int.from_bytes(header, "big"))
        except (asyncio.IncompleteReadError, ConnectionError):
            raise WorkerDied(await self._process.wait()) from None

    async def log_stderr(self) -> None:
        """Put what the worker says on standard error into the log, until it ends."""
        with contextlib.suppress(ConnectionError):
            while said := await self._stderr.read(_STDERR_BYTES):
                log.warning("the expression worker says", pid=self.pid, text=said.decode(errors="replace").strip())

    async def log_stderr_to_its_end(self) -> None:
        """The same, for a worker that is about to end: not longer than it may take."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_STOP_SECONDS):
                await self.log_stderr()

    async def stop(self) -> None:
        """End it, at once if it doesn't by itself."""
        with contextlib.suppress(OSError, RuntimeError):
            self._stdin.close()
        try:
            async with asyncio.timeout(_STOP_SECONDS):
                await self._process.wait()
        finally:
            if self._process.returncode is None:
                self.kill()

    def kill(self) -> None:
        """End it now."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
