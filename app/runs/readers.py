"""Large bodies are read in threads, two at a time: while one is read it may take twenty times its size in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

#: Larger bodies are read in a thread: the event loop has others to serve.
INLINE_BYTES: Final = 64 * 1024

_Result = TypeVar("_Result")
#: More would share one interpreter, and read no faster. Its threads come with the first large body.
_THREADS = ThreadPoolExecutor(2, thread_name_prefix="reader")


async def read_apart(read: Callable[[], _Result], size: int) -> _Result:
    """What `read` makes of a body of this size: in a thread if it is large."""
    if size <= INLINE_BYTES:
        return read()
    return await asyncio.get_running_loop().run_in_executor(_THREADS, read)
