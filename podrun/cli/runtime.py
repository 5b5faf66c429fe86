"""What every command shares: the options' types, one client, and which exit code an outcome has.

The exit codes are a contract with scripts: see `Code`.
"""

from __future__ import annotations

import asyncio
import math
import os
import sys
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Annotated

import typer

from podrun.cli.documents import Document, UnreadableDocument
from podrun.cli.escape import plain
from podrun.cli.output import note
from podrun.client import DEFAULT_SERVER, AsyncClient
from podrun.errors import ClientError, InvalidArgument, ProblemError
from podrun.link import Patience


class Code(IntEnum):
    """Exit codes. FAILED, CANCELLED and TIMEOUT come only from commands that wait for a run."""

    SUCCEEDED = 0
    FAILED = 1  #: the run ended Failed or in Error
    USAGE = 2  #: bad usage, or a refused workflow
    CANCELLED = 3
    TIMEOUT = 4  #: --timeout
    UNREACHABLE = 5  #: the server can't be reached, or refused us
    BUG = 70  #: a mistake in this program: never mistaken for a failed run's 1
    INTERRUPTED = 130  #: Ctrl-C
    BROKEN_PIPE = 141  #: who read our output is gone
    TERMINATED = 143  #: SIGTERM


class OutputFormat(StrEnum):
    """How to print."""

    TEXT = "text"  #: for a person
    JSON = "json"  #: one JSON document, or a JSON line for each item of a stream


ServerOption = Annotated[
    str | None,
    typer.Option("--server", metavar="URL", envvar="PODRUN_SERVER", show_default=DEFAULT_SERVER, help="The service's address."),
]
OutputOption = Annotated[OutputFormat, typer.Option("-o", "--output", help="text, or json for scripts.")]
TimeoutOption = Annotated[
    float | None,
    typer.Option("--timeout", min=0.001, metavar="SECONDS", help="Stop waiting after this time, with exit code 4."),
]
RunArgument = Annotated[str, typer.Argument(metavar="RUN", help="The run's id.")]

#: The statuses with which a server refuses us, not what we sent.
_REFUSED_US = frozenset({401, 403, 407, 421, 429})


@dataclass(slots=True)
class Session:
    """One command under way: what it talks to, and what is to be said if it ends early."""

    server: str | None = None
    timeout_seconds: float | None = None
    patience: Patience | None = None
    document: Document | None = None  #: the workflow, so that faults can be shown by line
    root: str = "/workflow"  #: where the workflow stands in what was sent; empty: it is all of it
    runs: list[str] = field(default_factory=list)  #: runs that go on if we leave
    idempotency_key: str | None = None  #: of a submission whose answer has not come

    def client(self) -> AsyncClient:
        """A new client for this command."""
        patience = self.patience or default_patience()
        if self.timeout_seconds is not None:
            patience = Patience(patience.first_seconds, later_seconds=math.inf)
        return AsyncClient(self.server, patience=patience)

    def hint(self) -> None:
        """Say how to go on with what was left."""
        known = os.environ.get("PODRUN_SERVER") or DEFAULT_SERVER
        flag = f" --server {self.server}" if self.server and self.server != known else ""
        for run_id in map(plain, self.runs):
            note(f"The run goes on. To follow it: podrun logs -f {run_id}{flag}   To cancel it: podrun cancel {run_id}{flag}")
        if self.idempotency_key and not self.runs:
            note(
                "The workflow may have been submitted. To be sure, submit it again with the same key: "
                f"--idempotency-key {self.idempotency_key}"
            )


def default_patience() -> Patience:
    """The contract's patience; `PODRUN_PATIENCE_SECONDS` shortens both parts of it, for tests and impatient scripts."""
    seconds = os.environ.get("PODRUN_PATIENCE_SECONDS", "")
    try:
        return Patience(float(seconds), float(seconds)) if seconds else Patience()
    except ValueError:
        raise InvalidArgument(f"PODRUN_PATIENCE_SECONDS is a number of seconds, not {seconds!r}") from None


def execute(session: Session, work: Callable[[AsyncClient], Awaitable[int]]) -> None:
    """Do a command's work with a client and leave with its exit code.

    Raises:
        typer.Exit: Always.
    """
    raise typer.Exit(_guarded(session, lambda: asyncio.run(_with_client(session, work))))


def _guarded(session: Session, work: Callable[[], int]) -> int:
    try:
        code = work()
        sys.stdout.flush()
    except KeyboardInterrupt:
        session.hint()
        return Code.INTERRUPTED
    except BrokenPipeError:
        # The interpreter flushes standard output once more at its end: let that go nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return Code.BROKEN_PIPE
    except (ClientError, UnreadableDocument) as exc:
        return complain(exc, session.document, root=session.root)
    return code


async def _with_client(session: Session, work: Callable[[AsyncClient], Awaitable[int]]) -> int:
    async with session.client() as client:
        try:
            async with asyncio.timeout(session.timeout_seconds) as deadline:
                return await work(client)
        except TimeoutError:
            if not deadline.expired():
                raise
            if not client.answered:
                note(f"no answer from {client.server} in {session.timeout_seconds:g} s")
                session.hint()
                return Code.UNREACHABLE
            note(f"not finished after {session.timeout_seconds:g} s")
            session.hint()
            return Code.TIMEOUT


@contextmanager
def first_error() -> Iterator[None]:
    """Let the first failure of a task group out as what it is."""
    try:
        yield
    except BaseExceptionGroup as group:
        failure: BaseException = group
        while isinstance(failure, BaseExceptionGroup):
            failure = failure.exceptions[0]
        raise failure from None


def complain(exc: ClientError | UnreadableDocument, document: Document | None = None, *, root: str = "/workflow") -> Code:
    """Print what went wrong, each fault of a document on a line of its own, and return the exit code for it.

    Args:
        exc: What went wrong.
        document: The workflow that was sent.
        root: Where it stood in what was sent.
    """
    if isinstance(exc, UnreadableDocument):
        print_faults(exc.name, ((fault.pointer, fault.detail, fault.line) for fault in exc.faults))
        if not exc.faults:
            note(plain(str(exc)))
        return Code.USAGE
    if isinstance(exc, ProblemError):
        for fault in exc.errors:
            _print_fault(document, root, fault["pointer"], fault["detail"])
        if not exc.errors:
            note(plain(str(exc)))
        return Code.UNREACHABLE if exc.status in _REFUSED_US or exc.status >= 500 else Code.USAGE
    note(plain(str(exc)))
    return Code.USAGE if isinstance(exc, InvalidArgument) else Code.UNREACHABLE


def print_faults(name: str, faults: Iterable[tuple[str, str, int | None]]) -> None:
    """Print `FILE:LINE: POINTER: DETAIL` for each fault."""
    for pointer, detail, line in faults:
        place = ":".join(part for part in (name, str(line or "")) if part)
        parts = (place, plain(pointer), plain(detail))
        note(": ".join(part for part in parts if part))


#: What beside the workflow stands in a submission, by the flag that gave it.
_FLAGS = {"params": "-p", "labels": "--label"}


def _print_fault(document: Document | None, root: str, sent: str, detail: str) -> None:
    """Print a fault at its place in the file: there the workflow is the root; or at the flag that it comes from."""
    if root and not (sent == root or sent.startswith(root + "/")):
        _, _, path = sent.partition("/")
        key, _, rest = path.partition("/")
        name, _, inner = rest.partition("/")
        if key in _FLAGS:
            place = f"{_FLAGS[key]} {name.replace('~1', '/').replace('~0', '~')}".rstrip()
            print_faults(plain(place), [(f"/{inner}" if inner else "", detail, None)])
        elif key == "tasks":  # of a retry: the sentence names the one that is meant
            note(plain(detail))
        else:
            print_faults("", [(sent, detail, None)])
        return
    pointer = sent.removeprefix(root)
    print_faults(document.name if document else "", [(pointer, detail, document.line_of(pointer) if document else None)])


def code_of(phase: str | None) -> Code:
    """The exit code for how a run or task ended."""
    if phase in {"Succeeded", "Skipped"}:
        return Code.SUCCEEDED
    return Code.CANCELLED if phase == "Cancelled" else Code.FAILED


def worst(codes: Iterable[int]) -> int:
    """The exit code of several runs: 1 before 3 before 0."""
    found = set(codes)
    return next((code for code in (Code.FAILED, Code.CANCELLED) if code in found), Code.SUCCEEDED)
