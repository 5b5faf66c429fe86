"""Where sealed objects of logs are kept: a folder of this machine, or a bucket (S3, GCS, Azure) through obstore.

An object is written once, under a name that nobody else makes, and never changed. One that the index does not name does not
exist: it is what a collector left that lost its run in between.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import re
import secrets
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

from app import failpoints
from app.domain.logs import LogBlock, LogKey
from app.failpoints import Action
from app.logs.codec import decode_block, encode_block
from app.logs.errors import LogObjectDamaged, LogStoreUnavailable

_CALL_SECONDS = 60.0  #: one call to the store
CHECK_SECONDS = 2.0
#: A file in a folder of logs: by it the folder is known again.
MARK = "podrun-log-store"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(?:/[A-Za-z0-9][A-Za-z0-9._-]*)*")
_BUCKETS = frozenset({"s3", "gs", "az"})


class _Objects(Protocol):
    """Bytes by name. Each call may raise OSError or obstore's errors; `get` raises FileNotFoundError."""

    async def put(self, name: str, data: bytes) -> None:
        """Durable when it returns. The name is new."""

    async def get(self, name: str) -> bytes: ...

    async def delete(self, name: str) -> None:
        """One that is not there is no error."""

    async def delete_folder(self, name: str) -> None: ...

    async def check(self, size_bytes: int) -> None:
        """Raise where the store can't be used, for an object of that size where that can be told."""


class LogStore:
    """Blocks of logs as objects. Safe for concurrent use; holds no connection that must be closed.

    Args:
        url: a folder (made if missing), or `file://`, `s3://`, `gs://`, `az://`. Credentials come from the environment, as
            obstore documents them.

    Raises:
        ValueError: the URL is of none of these kinds.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._refused_bytes = 0  # the size of an object that was refused: a full disk may take the smallest things all the same
        scheme = urlsplit(url).scheme if "://" in url else ""
        if scheme in ("", "file"):
            self._objects: _Objects = _Folder(Path(unquote(urlsplit(url).path) if scheme else url))
        elif scheme in _BUCKETS:
            self._objects = _Bucket(url)
        else:
            raise ValueError(f"logs_url {url!r}: {scheme} is not supported, use a folder, or file://, s3://, gs:// or az://")

    async def put_block(self, key: LogKey, block: LogBlock) -> str:
        """Store the block; returns its name. Durable when it returns. Raises LogStoreUnavailable."""
        name = f"{key.run_id}/{key.task}/{key.attempt}/{key.container}/{block.first_byte:014d}-{secrets.token_hex(8)}"
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} can't be the name of an object")
        data = await asyncio.to_thread(encode_block, block)
        failpoints.before(Action.PUT_OBJECT)
        try:
            async with _translated(name):
                await self._objects.put(name, data)
        except LogStoreUnavailable:
            self._refused_bytes = len(data)
            raise
        if len(data) >= self._refused_bytes:
            self._refused_bytes = 0
        failpoints.after(Action.PUT_OBJECT)
        return name

    async def get_block(self, name: str) -> LogBlock:
        """The block under that name. Raises LogStoreUnavailable, LogObjectDamaged (also where it is missing)."""
        try:
            async with _translated(name):
                data = await self._objects.get(name)
        except FileNotFoundError as exc:
            raise LogObjectDamaged(name, "it is missing") from exc
        return await asyncio.to_thread(decode_block, name, data)

    async def delete(self, name: str) -> None:
        """Delete one object. Raises LogStoreUnavailable."""
        async with _translated(name):
            await self._objects.delete(name)

    async def delete_run(self, run_id: str) -> None:
        """Delete every object of a run. Raises LogStoreUnavailable."""
        if not _NAME.fullmatch(run_id) or "/" in run_id:
            raise ValueError(f"{run_id!r} is no run's id")
        failpoints.before(Action.DELETE_OBJECTS)
        async with _translated(run_id):
            await self._objects.delete_folder(run_id)
        failpoints.after(Action.DELETE_OBJECTS)

    async def check(self) -> str | None:
        """None when the store can be used, else a sentence that says what is wrong. For /readyz; bounded to two seconds."""
        try:
            async with asyncio.timeout(CHECK_SECONDS), _translated(self.url):
                await self._objects.check(self._refused_bytes)
        except TimeoutError:
            return f"the log store did not answer within {CHECK_SECONDS:g} s"
        except LogStoreUnavailable as exc:
            return str(exc)
        self._refused_bytes = 0
        return None


@contextlib.asynccontextmanager
async def _translated(name: str) -> Any:
    """Turn what the system or obstore raises into LogStoreUnavailable; FileNotFoundError passes."""
    from obstore.exceptions import BaseError  # noqa: PLC0415 - 30 ms, and a folder does not need it

    try:
        async with asyncio.timeout(_CALL_SECONDS):
            yield
    except FileNotFoundError:
        raise
    except TimeoutError as exc:
        raise LogStoreUnavailable(f"{name}: no answer within {_CALL_SECONDS:g} s") from exc
    except OSError as exc:
        raise LogStoreUnavailable(f"{name}: {exc.strerror or type(exc).__name__}") from exc
    except BaseError as exc:  # its text may hold headers and addresses with signatures: only its kind is told
        raise LogStoreUnavailable(f"{name}: {type(exc).__name__}") from exc


class _Folder:
    """Objects as files. obstore renames into place, but does not fsync: what the index names must survive a power cut."""

    def __init__(self, root: Path) -> None:
        self._root = root.absolute()
        self._known: tuple[int, int] | None = None  # device and inode of the root, as it was last used

    async def put(self, name: str, data: bytes) -> None:
        await asyncio.to_thread(self._put, self._root / name, data)

    def _put(self, path: Path, data: bytes) -> None:
        self._enter()
        self._make(path.parent)
        unfinished = path.with_name(f".{path.name}")
        try:
            fd = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640)
            try:
                view = memoryview(data)
                while view:
                    view = view[os.write(fd, view) :]
                os.fsync(fd)
            finally:
                os.close(fd)
            unfinished.rename(path)
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise
        _sync(path.parent)

    def _enter(self) -> None:
        """See that this is the folder that it was, made if it was not used yet.

        A disk that is not mounted any more leaves another folder in its place. What would be put there is gone when it is back.

        Raises:
            OSError: it is another one.
        """
        mark = self._root / MARK
        if self._known is None:
            self._make(self._root)
            if not mark.exists():
                mark.touch(mode=0o640)
                _sync(self._root)
        try:
            there_is = self._root.stat()
        except FileNotFoundError:
            raise OSError(errno.ENODEV, "the folder is gone") from None
        found = (there_is.st_dev, there_is.st_ino)
        if found != self._known and not mark.exists():
            raise OSError(errno.ENODEV, "another folder is in its place: is its disk mounted?")
        self._known = found

    def _make(self, folder: Path) -> None:
        """Make the folder, and its parents, so that they survive a power cut as well."""
        if not folder.is_dir():
            self._make(folder.parent)
            folder.mkdir(mode=0o750, exist_ok=True)
            _sync(folder.parent)

    async def get(self, name: str) -> bytes:
        def read() -> bytes:
            try:
                return (self._root / name).read_bytes()
            except FileNotFoundError:
                self._enter()  # raises where not this object alone is away
                raise

        return await asyncio.to_thread(read)

    async def delete(self, name: str) -> None:
        def remove() -> None:
            self._enter()
            (self._root / name).unlink(missing_ok=True)

        await asyncio.to_thread(remove)

    async def delete_folder(self, name: str) -> None:
        def remove() -> None:
            self._enter()
            with contextlib.suppress(FileNotFoundError):
                shutil.rmtree(self._root / name)

        await asyncio.to_thread(remove)

    async def check(self, size_bytes: int) -> None:
        def try_it() -> None:
            self._enter()
            probe = self._root / f".check-{secrets.token_hex(4)}"
            try:
                probe.write_bytes(bytes(max(size_bytes, 1)))
            finally:
                probe.unlink(missing_ok=True)

        await asyncio.to_thread(try_it)


def _sync(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


class _Bucket:
    """Objects in a bucket; a put is durable when it was answered."""

    def __init__(self, url: str) -> None:
        from obstore.store import from_url  # noqa: PLC0415 - see above

        self._store: Any = from_url(
            url,
            client_options={"timeout": timedelta(seconds=30), "connect_timeout": timedelta(seconds=5)},
            retry_config={"max_retries": 3, "retry_timeout": timedelta(seconds=20)},
        )

    async def put(self, name: str, data: bytes) -> None:
        await self._store.put_async(name, data, use_multipart=False)

    async def get(self, name: str) -> bytes:
        answer = await self._store.get_async(name)
        return bytes(await answer.bytes_async())

    async def delete(self, name: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            await self._store.delete_async(name)

    async def delete_folder(self, name: str) -> None:
        async for page in self._store.list(f"{name}/", chunk_size=500):
            await self._store.delete_async([item["path"] for item in page])

    async def check(self, size_bytes: int) -> None:  # noqa: ARG002 - a bucket is as large as it needs to be
        await self._store.list_with_delimiter_async(".check")
