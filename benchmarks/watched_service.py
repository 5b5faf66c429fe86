"""A service in a process of its own that is asked over its standard input how long its event loop was held.

`python -m benchmarks.watched_service FOLDER`: prints its URL as a line of JSON, then answers each line that comes with
what happened since the last one, and starts again where that line is `restart`.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import uvloop

from app.main import GC_THRESHOLD, configure_logging, running_service
from app.settings import PodsKind, Settings
from benchmarks.measuring import resident_mebibytes

_TICK_SECONDS = 0.002


@dataclass
class Watched:
    """What happened in this process since it was last asked."""

    hold_seconds: float = 0.0  #: the longest time that the loop's turn took, by the wall clock
    busy_seconds: float = 0.0  #: the same, as far as this process computed meanwhile: another process's load is not in it
    collection_seconds: float = 0.0  #: the longest garbage collection, in whatever thread
    cpu_seconds: float = 0.0  #: of all threads
    memory_mebibytes: int = 0


class Ticker:
    """Wakes up every 2 ms, and remembers when it came late."""

    def __init__(self) -> None:
        self._since, self._seen = time.process_time(), Watched()
        self._collecting = 0.0
        gc.callbacks.append(self._collected)

    def _collected(self, phase: str, info: dict[str, int]) -> None:
        del info
        if phase == "start":
            self._collecting = time.perf_counter()
        else:
            took = time.perf_counter() - self._collecting
            self._seen.collection_seconds = max(self._seen.collection_seconds, took)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            began, cpu = time.perf_counter(), time.process_time()
            await asyncio.sleep(_TICK_SECONDS)
            held = time.perf_counter() - began - _TICK_SECONDS
            self._seen.hold_seconds = max(self._seen.hold_seconds, held)
            self._seen.busy_seconds = max(self._seen.busy_seconds, min(held, time.process_time() - cpu))

    def take(self) -> Watched:
        """What was seen since the last call."""
        seen, self._seen = self._seen, Watched()
        seen.cpu_seconds, self._since = time.process_time() - self._since, time.process_time()
        seen.memory_mebibytes = resident_mebibytes()
        return seen


def _settings(folder: Path) -> Settings:
    return Settings(
        database_url=f"sqlite+aiosqlite:///{folder}/podrun.db",
        logs_url=str(folder / "logs"),
        local_pods_dir=str(folder / "pods"),
        pods=PodsKind.LOCAL,
        port=0,
        max_parallel_pods=1,
    )


async def _serve(folder: Path) -> None:
    asked = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(asked), sys.stdin)
    ticker = Ticker()
    async with asyncio.TaskGroup() as group:
        ticking = group.create_task(ticker.run(), name="ticker")
        goes_on = True
        while goes_on:
            async with running_service(_settings(folder)) as url:
                gc.freeze()
                print(json.dumps({"url": url}), flush=True)
                while (line := await asked.readline()).strip() == b"":
                    if not line:
                        goes_on = False
                        break
                    print(json.dumps(asdict(ticker.take())), flush=True)
        ticking.cancel()


def main() -> None:
    """Serve until the input ends."""
    configure_logging()
    gc.set_threshold(*GC_THRESHOLD)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(Path(sys.argv[1])))


if __name__ == "__main__":
    main()
