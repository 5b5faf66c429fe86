import random
import resource
import shutil
from array import array
from dataclasses import replace

import pytest

from app.domain.logs import LogBlock
from app.logs.errors import LogObjectDamaged, LogStoreUnavailable
from app.logs.store import MARK, LogStore
from tests.integration.logs.conftest import KEY, RUN

BLOCK = LogBlock(first_byte=3, text=b"a\nb\n" * 1000, first_line=0, times=array("q", range(2000)))


@pytest.fixture(params=["{folder}", "file://{folder}"])
def url(request, tmp_path) -> str:
    return request.param.format(folder=tmp_path / "deep" / "logs with spaces")


async def test_store__folder__made_and_blocks_come_back(url, tmp_path):
    store = LogStore(url)
    names = [await store.put_block(KEY, BLOCK) for _ in range(3)]
    assert len(set(names)) == 3
    assert all(name.startswith(f"{RUN}/a/1/main/") for name in names)
    assert [await LogStore(url).get_block(name) for name in names] == [BLOCK] * 3
    assert not [path for path in tmp_path.rglob(".*") if path.is_file()]
    assert await store.check() is None


async def test_store__deleted__missing_and_deleted_again(url):
    store = LogStore(url)
    first, second = await store.put_block(KEY, BLOCK), await store.put_block(KEY, BLOCK)
    await store.delete(first)
    await store.delete(first)
    with pytest.raises(LogObjectDamaged, match="missing"):
        await store.get_block(first)
    assert await store.get_block(second) == BLOCK
    await store.delete_run(RUN)
    await store.delete_run(RUN)
    with pytest.raises(LogObjectDamaged):
        await store.get_block(second)


async def test_store__folder_is_a_file__unavailable_and_says_so(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    store = LogStore(str(tmp_path / "file" / "logs"))
    with pytest.raises(LogStoreUnavailable):
        await store.put_block(KEY, BLOCK)
    assert "not available" in (await store.check() or "")


async def test_store__another_folder_in_its_place__refused_until_it_is_back(tmp_path):
    folder, away = tmp_path / "logs", tmp_path / "away"
    store = LogStore(str(folder))
    name = await store.put_block(KEY, BLOCK)
    folder.rename(away)
    assert "the folder is gone" in (await store.check() or "")
    with pytest.raises(LogStoreUnavailable):
        await store.get_block(name)
    folder.mkdir()  # what is below a disk that is not mounted any more
    assert "is its disk mounted?" in (await store.check() or "")
    for asked in (store.put_block(KEY, BLOCK), store.get_block(name), store.delete(name), store.delete_run(RUN)):
        with pytest.raises(LogStoreUnavailable):
            await asked
    assert not list(folder.iterdir())
    folder.rmdir()
    shutil.copytree(away, folder)  # the same, if not in the same place
    assert await store.check() is None
    assert await store.get_block(await store.put_block(KEY, BLOCK)) == BLOCK
    assert await store.get_block(name) == BLOCK


async def test_check__disk_is_full__says_so_and_leaves_nothing(tmp_path):
    store = LogStore(str(tmp_path))
    assert await store.check() is None
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    block = replace(BLOCK, text=random.randbytes(100_000))
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, before[1]))
    try:
        with pytest.raises(LogStoreUnavailable):
            await store.put_block(KEY, block)
        assert "File too large" in (await store.check() or ""), "there is no room for what was refused"
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert await store.check() is None
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == [MARK]


async def test_store__bucket_out_of_reach__unavailable_without_secrets(monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hidden")
    store = LogStore("s3://bucket/prefix")
    said = await store.check()
    assert said is not None
    assert "hidden" not in said


@pytest.mark.parametrize("url", ["ftp://host/folder", "https://host/x", "memory:///"])
def test_store__other_scheme__refused(url):
    with pytest.raises(ValueError, match="not supported"):
        LogStore(url)


@pytest.mark.parametrize("run_id", ["", "..", "a/b", "."])
async def test_store__strange_run__refused(tmp_path, run_id):
    with pytest.raises(ValueError, match="id"):
        await LogStore(str(tmp_path)).delete_run(run_id)
