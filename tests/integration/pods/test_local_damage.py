"""Local pods whose own files were damaged, by their tasks or by a power cut: each is settled alone, the others go on."""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from app.domain.pods import PodObservation
from app.pods.local import folders
from app.pods.local.backend import LocalBackend
from app.pods.local.folders import process_start
from tests.contract.bench import FOREVER, Bench, Recorder, allow, split_log
from tests.support.local_pods import folder_of, read
from tests.support.waiting import until


def nudge(root: Path, uid: str) -> None:
    """Have the service look at the pod, as its supervisor would."""
    fd = os.open(root / "watchers", os.O_RDONLY | os.O_DIRECTORY)
    try:
        folders.notify_watchers(fd, uid)
    finally:
        os.close(fd)


async def assert_works(bench: Bench) -> None:
    pod = await bench.run("exit 3")
    assert (await bench.seen.wait_for_end(pod.uid)).exit_code == 3


def text(content: str) -> Callable[[Path], None]:
    return lambda path: path.write_text(content)


def replaced(make: Callable[[Path], object]) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        path.unlink()
        make(path)

    return damage


DAMAGES = {
    "other keys": text('{"a":1}'),
    "no object": text("[]"),
    "no JSON": text("{"),
    "empty": text(""),
    "no UTF-8": lambda path: path.write_bytes(b'{"phase": "\xff"}'),
    "half of an end": text('{"phase":"terminated","over":true}'),
    "half of a start": text('{"phase":"running","over":false,"pid":0,"pid_start":null}'),
    "unknown phase": text('{"phase":"gone","over":true}'),
    "no such time": text('{"phase":"waiting","over":false,"started_at":1e300}'),
    "late": text('{"phase":"terminated","over":true,"exit_code":0,"reason":"","message":"","finished_at":9223372036854775807}'),
    "too large": lambda path: os.truncate(path, 100_000_000_000),
    "a folder": replaced(Path.mkdir),
    "a pipe": replaced(os.mkfifo),
    "endless": replaced(lambda path: path.symlink_to("/dev/zero")),
}
FEW_DAMAGES = {name: DAMAGES[name] for name in ("other keys", "empty", "a folder", "a pipe")}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
async def test_status__damaged_while_main_runs__pod_is_lost_and_main_is_gone(enter_backend, root, damage):
    async with enter_backend() as bench:
        pod = await bench.create(bench.manifest(["sh", "-c", "sleep 601 & echo $!; exec sleep 600"]))
        child = int(split_log(await bench.follow_until(pod.ref, b"\n"))[1])
        status = folder_of(root, pod.name) / "status.json"
        main = read(status)["pid"]
        damage(status)
        nudge(root, pod.uid)
        lost = await bench.seen.wait_for(pod.uid, lambda o: o.phase == "Failed")
        assert (lost.reason, lost.disruption) == ("PodLost", "DeletionByPodGC")
        assert "status.json" in lost.message
        await until(lambda: process_start(main) is None and process_start(child) is None)
        await assert_works(bench)


@pytest.mark.parametrize("damage", FEW_DAMAGES.values(), ids=FEW_DAMAGES)
async def test_supervisor_file__damaged_while_main_runs__pod_is_lost_and_main_is_gone(enter_backend, root, damage):
    async with enter_backend() as bench:
        pod = await bench.create(bench.manifest(FOREVER))
        await bench.seen.wait_for_start(pod.uid)
        folder = folder_of(root, pod.name)
        main = read(folder / "status.json")["pid"]
        damage(folder / "supervisor.json")
        nudge(root, pod.uid)
        lost = await bench.seen.wait_for(pod.uid, lambda o: o.phase == "Failed")
        assert lost.reason == "PodLost"
        assert "supervisor.json" in lost.message
        await until(lambda: process_start(main) is None)
        await assert_works(bench)


@pytest.mark.parametrize("damage", FEW_DAMAGES.values(), ids=FEW_DAMAGES)
async def test_new_service__status_was_damaged__starts_and_pod_is_lost(enter_backend, root, damage):
    async with enter_backend() as bench:
        pod = await bench.run("exit 0")
        await bench.seen.wait_for_end(pod.uid)
        left, bench.refs = bench.refs, []
    damage(folder_of(root, pod.name) / "status.json")
    async with enter_backend() as later:
        later.refs = left
        lost = await later.seen.wait_for(pod.uid, lambda o: o.phase == "Failed")
        assert lost.reason == "PodLost"
        await assert_works(later)
        await later.backend.delete_pod(pod.ref, allow)
        assert not folder_of(root, pod.name).exists()


@pytest.mark.parametrize("damage", FEW_DAMAGES.values(), ids=FEW_DAMAGES)
async def test_deletion_file__damaged__deleted_all_the_same(enter_backend, root, damage):
    async with enter_backend() as bench:
        pod = await bench.create(bench.manifest(FOREVER))
        await bench.seen.wait_for_start(pod.uid)
        deletion = folder_of(root, pod.name) / "deletion.json"
        deletion.touch()
        damage(deletion)
        nudge(root, pod.uid)
        await bench.backend.delete_pod(pod.ref, allow, grace_seconds=0)
        await bench.seen.wait_for_gone(pod.uid)
        await assert_works(bench)


SPEC_DAMAGES = FEW_DAMAGES | {
    "uid of a path": text(
        json.dumps(
            {"uid": "../../x", "grace_seconds": 1, "manifest": {"metadata": {"name": "x", "namespace": "x", "labels": {}}}}
        )
    ),
    "no metadata": text(
        json.dumps({"uid": "6f1ed002-ab5a-4f0c-a0c1-2c6a8d9d1e11", "grace_seconds": 1, "manifest": {"metadata": 7}})
    ),
}


@pytest.mark.parametrize("damage", SPEC_DAMAGES.values(), ids=SPEC_DAMAGES)
async def test_new_service__spec_was_damaged__starts_and_says_so_once(enter_backend, root, damage, caplog):
    async with enter_backend() as bench:
        pod = await bench.run("exit 0")
        await bench.seen.wait_for_end(pod.uid)
        bench.refs = []
    damage(folder_of(root, pod.name) / "spec.json")
    with caplog.at_level(logging.WARNING):
        async with enter_backend() as later:
            assert later.backend.find_pod("default", pod.name) is None
            await assert_works(later)
    assert len([r for r in caplog.records if pod.name in r.getMessage()]) == 1


@pytest.mark.parametrize("damage", [*SPEC_DAMAGES.values(), Path.unlink], ids=[*SPEC_DAMAGES, "missing"])
async def test_spec__damaged_while_main_runs__pod_is_watched_and_deleted_as_before(enter_backend, root, damage):
    async with enter_backend() as bench:
        pod = await bench.create(bench.manifest(FOREVER))
        await bench.seen.wait_for_start(pod.uid)
        damage(folder_of(root, pod.name) / "spec.json")
        nudge(root, pod.uid)
        await bench.backend.delete_pod(pod.ref, allow, grace_seconds=20)
        assert (await bench.seen.wait_for_end(pod.uid)).exit_code == 143
        await bench.seen.wait_for_gone(pod.uid)
        assert not folder_of(root, pod.name).exists()


async def test_pod_folder__taken_away_by_main__pod_is_gone(enter_backend, root):
    async with enter_backend() as bench:
        pod = await bench.create(bench.manifest(FOREVER))
        await bench.seen.wait_for_start(pod.uid)
        main = read(folder_of(root, pod.name) / "status.json")["pid"]
        shutil.rmtree(folder_of(root, pod.name))
        nudge(root, pod.uid)
        await bench.seen.wait_for_gone(pod.uid)
        await until(lambda: process_start(main) is None)
        await assert_works(bench)


async def test_outputs__made_a_pipe_by_main__pod_ends_all_the_same(enter_backend):
    async with enter_backend() as bench:
        pod = await bench.run('rm "$PODRUN_OUTPUTS"; mkfifo "$PODRUN_OUTPUTS"; exit 4')
        assert (await bench.seen.wait_for_end(pod.uid)).exit_code == 4


async def test_watch__listener_fails_once__goes_on(root):
    class Failing(Recorder):
        has_failed = False

        def pod_observed(self, observation: PodObservation) -> None:
            if observation.main is not None and observation.main.exit_code == 1 and not self.has_failed:
                self.has_failed = True
                raise ValueError("once")
            super().pod_observed(observation)

    bench = Bench(LocalBackend(root, "instance-1"), "instance-1", "default", "not-used:1")
    bench.seen = Failing()
    bench.backend.listen(bench.seen)
    async with bench.backend:
        await bench.backend.wait_synced("default")
        await bench.run("exit 1")
        await until(lambda: bench.seen.has_failed)
        await assert_works(bench)
