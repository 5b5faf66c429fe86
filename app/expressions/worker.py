"""The process that evaluates: reads requests from standard input, answers on standard output, ends at the input's end.

It knows nothing of podrun but CEL. What takes too much CPU or memory ends it, and the evaluator starts another. It is no part
of the service's process group and ignores its signals: a service that shuts down may still need values; one that was killed
closes the pipe, and that ends this process.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import sys
from pathlib import Path
from typing import Any, BinaryIO, Final

import msgspec

from app.expressions.compute import Computer
from app.expressions.protocol import EXIT_NO_MEMORY, READY, RecentContexts, Request, header, read_frame
from app.expressions.results import may_hold_big_integers

_KEEP_ALIVE_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class _Context(msgspec.Struct):
    values: dict[str, Any]
    is_suspect: bool


def main(memory_bytes: int) -> None:
    """Serve until the input ends. `memory_bytes`: what may come on top of what an idle worker has."""
    for number in _KEEP_ALIVE_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb", buffering=0)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # whatever a library prints must not get between the frames
    computer = Computer()
    _limit_memory(memory_bytes)
    code = 0
    try:
        _serve(computer, sys.stdin.buffer, answers)
    except BrokenPipeError:
        pass
    except MemoryError:
        code = EXIT_NO_MEMORY
    # Nothing is left to be said or saved, and a quick end leaves nothing to go wrong at exit.
    os._exit(code)


def _serve(computer: Computer, requests: BinaryIO, answers: BinaryIO) -> None:
    decode = msgspec.json.Decoder(Request).decode
    encode = msgspec.json.Encoder().encode
    contexts: RecentContexts[_Context] = RecentContexts()
    _write(answers, READY)
    while (payload := read_frame(requests)) is not None:
        request = decode(payload)
        if request.brings_context:
            if (encoded := read_frame(requests)) is None:
                return
            contexts.keep(request.context_key, _Context(msgspec.json.decode(encoded), may_hold_big_integers(encoded)))
            del encoded
        elif not contexts.use(request.context_key):
            raise LookupError("the evaluator left out a context that is not here")
        context = contexts[request.context_key]
        is_suspect = context.is_suspect or may_hold_big_integers(payload)
        _write(answers, encode(computer.answer(request, context.values, is_suspect=is_suspect)))


def _write(answers: BinaryIO, payload: bytes) -> None:
    rest = memoryview(header(len(payload)) + payload)
    while rest:
        rest = rest[answers.write(rest) :]


def _limit_memory(memory_bytes: int) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError, ValueError):  # where there is no /proc, CPU time is the only bound
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        most = pages * resource.getpagesize() + memory_bytes
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
    with contextlib.suppress(OSError):
        # Where the machine or the container runs out of memory: rather this process than the service.
        Path("/proc/self/oom_score_adj").write_text("1000")


if __name__ == "__main__":
    main(int(sys.argv[1]))
