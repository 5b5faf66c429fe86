"""What is particular to local pods: processes that die, are left over, or outlive their service."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from app.domain.errors import PodRefused
from app.domain.pods import ContainerPhase
from app.pods.local.backend import LocalBackend
from app.pods.local.folders import process_start
from app.pods.local.store import PodStore
from tests.contract.bench import FOREVER, WAIT_SECONDS, Bench, allow, split_log
from tests.support.local_pods import folder_of, read
from tests.support.waiting import until


async def log_of(bench: Bench, script: str) -> bytes:
    pod = await bench.run(script)
    await bench.seen.wait_for_end(pod.uid)
    return split_log(await bench.read(pod.ref))[1]


async def test_supervisor__killed__pod_is_lost_and_main_is_gone(enter_backend, root):
    async with enter_backend() as bench:
        pod = await bench.create(bench.manifest(FOREVER))
        await bench.seen.wait_for_start(pod.uid)
        main = read(folder_of(root, pod.name) / "status.json")["pid"]
        os.kill(read(folder_of(root, pod.name) / "supervisor.json")["pid"], signal.SIGKILL)
        lost = await bench.seen.wait_for(pod.uid, lambda o: o.phase == "Failed")
        assert lost.reason == "PodLost"
        assert lost.disruption == "DeletionByPodGC"
        assert "was killed or crashed" in lost.message
        assert lost.main is not None
        assert lost.main.phase is ContainerPhase.TERMINATED
        await until(lambda: process_start(main) is None)


async def test_supervisor__of_an_earlier_boot__pod_is_lost(enter_backend, root):
    async with enter_backend() as bench:
        pod = await bench.create(bench.manifest(FOREVER))
        await bench.seen.wait_for_start(pod.uid)
        folder = folder_of(root, pod.name)
        left, bench.refs = bench.refs, []
        supervisor = read(folder / "supervisor.json")
    (folder / "supervisor.json").write_text(json.dumps(supervisor | {"boot_id": "another"}))
    async with enter_backend() as later:
        later.refs = left
        lost = await later.seen.wait_for(pod.uid, lambda o: o.phase == "Failed")
        assert lost.reason == "PodLost"
        assert "restart of the machine" in lost.message
        os.kill(supervisor["pid"], signal.SIGTERM)


async def test_supervisor__told_to_end_by_the_machine__pod_fails_as_node_shutdown(enter_backend, root):
    async with enter_backend() as bench:
        pod = await bench.create(bench.manifest(FOREVER))
        await bench.seen.wait_for_start(pod.uid)
        os.kill(read(folder_of(root, pod.name) / "supervisor.json")["pid"], signal.SIGTERM)
        ended = await bench.seen.wait_for(pod.uid, lambda o: o.phase == "Failed")
        assert (ended.reason, ended.disruption) == ("NodeShutdown", "TerminationByKubelet")
        assert ended.main is not None
        assert ended.main.exit_code == 143


async def test_launcher__killed__next_pod_gets_another(enter_backend, root):
    async with enter_backend() as bench:
        first = await bench.run("exit 0")
        await bench.seen.wait_for_end(first.uid)
        launchers = _find_launchers(root)
        assert len(launchers) == 1
        os.kill(launchers[0], signal.SIGKILL)
        second = await bench.run("exit 0")
        assert (await bench.seen.wait_for_end(second.uid)).exit_code == 0


def _find_launchers(root: Path) -> list[int]:
    processes = [path for path in Path("/proc").iterdir() if path.name.isdigit()]
    return [int(path.name) for path in processes if _is_launcher(path, str(root).encode(), os.getpid())]


def _is_launcher(process: Path, root: bytes, parent: int) -> bool:
    try:
        stat = (process / "stat").read_text().rpartition(")")[2].split()
        return int(stat[1]) == parent and root in (process / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return False


async def test_new_service__pod_that_was_made_and_never_launched__runs_once(enter_backend, root):
    async with enter_backend() as bench:
        pod = await bench.run("echo once; exit 6")
        await bench.seen.wait_for_end(pod.uid)
        left, bench.refs = bench.refs, []
    for name in ("supervisor.json", "status.json"):
        (folder_of(root, pod.name) / name).unlink()
    (folder_of(root, pod.name) / "log").write_bytes(b"")
    async with enter_backend() as later:
        later.refs = left
        assert (await later.seen.wait_for_end(pod.uid)).exit_code == 6
        assert split_log(await later.read(pod.ref))[1] == b"once\n"


async def test_new_service__first_was_killed__pod_runs_on_and_its_end_is_seen(enter_backend, root):
    script = """
import asyncio, sys, time
from pathlib import Path
from app.pods.local.backend import LocalBackend
from tests.contract.bench import enter
async def serve():
    async with enter(lambda i: LocalBackend(Path(sys.argv[1]), i), "instance-1", "default", "x") as bench:
        pod = await bench.run("echo one; while [ ! -e ../go ]; do sleep 0.02; done; echo two; exit 9")
        await bench.follow_until(pod.ref, b"one\\n")
        print(pod.name, flush=True)
        await asyncio.sleep(60)
asyncio.run(serve())
"""
    service = subprocess.Popen([sys.executable, "-c", script, str(root)], stdout=subprocess.PIPE, text=True)  # noqa: ASYNC220
    assert service.stdout is not None
    name = (await asyncio.to_thread(service.stdout.readline)).strip()
    service.kill()
    service.wait()
    service.stdout.close()
    async with enter_backend() as later:
        pod = later.backend.find_pod("default", name)
        assert pod is not None
        later.refs = [pod.ref]
        assert pod.main is not None
        assert pod.main.phase is ContainerPhase.RUNNING
        (folder_of(root, name) / "go").touch()
        assert (await later.seen.wait_for_end(pod.uid)).exit_code == 9
        assert split_log(await later.read(pod.ref))[1] == b"one\ntwo\n"
        # The dead service's is taken away by whoever finds it so; a supervisor may come to it after the living one's.
        await until(lambda: len(list((root / "watchers").iterdir())) == 1, 10)


async def test_main__leaves_processes_behind__they_end_with_it(enter_backend):
    async with enter_backend() as bench:
        text = await log_of(bench, "sleep 600 & echo $!; setsid sleep 600 & echo $!; sleep 0.1; echo end")
        first, second, end = text.split()
        assert end == b"end"
        await until(lambda: process_start(int(first)) is None and process_start(int(second)) is None)


async def test_main__closes_its_streams__runs_on_to_its_end(enter_backend):
    async with enter_backend() as bench:
        pod = await bench.run("echo said; exec >&- 2>&-; sleep 0.3; exit 2")
        main = await bench.seen.wait_for_end(pod.uid)
        assert main.exit_code == 2
        assert main.started_at is not None
        assert main.finished_at is not None
        assert (main.finished_at - main.started_at).total_seconds() > 0.25


async def test_main__environment__nothing_of_the_services(enter_backend, monkeypatch):
    monkeypatch.setenv("PODRUN_TOKEN", "hush")
    async with enter_backend() as bench:
        text = await log_of(bench, "env")
        names = {line.partition(b"=")[0].decode() for line in text.splitlines()} - {"PWD", "SHLVL", "_", "OLDPWD"}
        assert names == {"PATH", "HOME", "LANG", "TMPDIR", "PODRUN_TASK", "PODRUN_OUTPUTS"}


@pytest.mark.parametrize(
    ("main", "sentence"),
    [
        (
            {"command": ["true"], "workingDir": "/nowhere"},
            'chdir to cwd ("/nowhere") set in config.json failed: no such file or directory',
        ),
        ({"command": ["/nowhere/x"]}, 'exec: "/nowhere/x": stat /nowhere/x: no such file or directory'),
        ({"command": ["/etc/passwd"]}, 'exec: "/etc/passwd": permission denied'),
    ],
)
async def test_main__can_not_be_started__start_error(enter_backend, main, sentence):
    async with enter_backend() as bench:
        pod = await bench.create(bench.manifest(**main))
        ended = await bench.seen.wait_for_end(pod.uid)
        assert (ended.reason, ended.exit_code, ended.started_at) == ("StartError", 128, None)
        assert sentence in ended.message


async def test_main__ended_by_a_signal__128_and_its_number(enter_backend):
    async with enter_backend() as bench:
        pod = await bench.run("kill -9 $$$$")  # one dollar of two is Kubernetes' own escape
        main = await bench.seen.wait_for_end(pod.uid)
        assert (main.exit_code, main.reason) == (137, "Error")


async def test_delete__before_the_pod_was_launched__main_never_runs(enter_backend):
    async with enter_backend() as bench:
        pod = await bench.run("sleep 600")
        await bench.backend.delete_pod(pod.ref, allow, grace_seconds=0)
        await bench.seen.wait_for_gone(pod.uid)


async def test_delete__while_its_supervisor_was_not_known_yet__tells_it(enter_backend, root):
    async with enter_backend() as bench:
        pod = await bench.create(bench.manifest(FOREVER))
        await bench.seen.wait_for_start(pod.uid)
        store = PodStore(root, "instance-1")
        stored = store.find("default", pod.name)
        assert stored is not None
        store.request_end(stored, allow, grace_seconds=30, pidfd=None)
        assert (await bench.seen.wait_for_end(pod.uid)).exit_code == 143


async def test_delete__again_and_shorter_after_the_clock_was_set_forward__is_shorter(enter_backend, root):
    async with enter_backend() as bench:
        pod = await bench.run("trap '' TERM; echo ready; while :; do sleep 0.1; done")
        log = folder_of(root, pod.name) / "log"
        await until(lambda: b"ready" in log.read_bytes())
        await bench.backend.delete_pod(pod.ref, allow, grace_seconds=60)
        deletion = folder_of(root, pod.name) / "deletion.json"
        until_ns = read(deletion)["until_ns"] - 3600 * 1_000_000_000
        deletion.write_text(json.dumps({"grace_seconds": 60, "until_ns": until_ns}))
        await bench.backend.delete_pod(pod.ref, allow, grace_seconds=0)
        assert (await bench.seen.wait_for_end(pod.uid)).exit_code == 137


async def test_delete__name_used_again__new_pod_is_left_alone(enter_backend):
    async with enter_backend() as bench:
        manifest = bench.manifest(["sh", "-c", "exit 0"])
        first = await bench.create(manifest)
        await bench.seen.wait_for_end(first.uid)
        await bench.backend.delete_pod(first.ref, allow)
        second = await bench.create(manifest)
        await bench.backend.delete_pod(first.ref, allow)
        assert second.uid != first.uid
        assert (await bench.seen.wait_for_end(second.uid)).exit_code == 0
        assert bench.backend.find_pod("default", second.name) is not None


async def test_follow_log__pod_deleted_meanwhile__read_to_the_end(enter_backend):
    async with enter_backend() as bench:
        pod = await bench.run("trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.1; done")
        stream = bench.backend.follow_log(pod.ref, "main", None)
        got = await anext(stream)
        await bench.backend.delete_pod(pod.ref, allow, grace_seconds=20)
        await bench.seen.wait_for_gone(pod.uid)
        async for chunk in stream:
            got += chunk
        text = split_log(got)[1]
        assert text.startswith(b"ready\n")  # a shell may have a word on its child that the signal reached as well
        assert text.endswith(b"bye\n")


async def test_follow_log__ten_pods_talk_at_once__each_byte_for_byte(enter_backend):
    script = "i=0; while [ $i -lt 300 ]; do i=$((i+1)); echo $PODRUN_TASK $i; done; head -c 500000 /dev/zero; printf end"
    async with enter_backend() as bench:
        pods = [await bench.run(script) for _ in range(10)]
        for pod in pods:
            async with asyncio.timeout(WAIT_SECONDS):
                log = b"".join([chunk async for chunk in bench.backend.follow_log(pod.ref, "main", None)])
            expected = "".join(f"{pod.name} {i}\n" for i in range(1, 301)).encode() + b"\0" * 500_000 + b"end"
            assert split_log(log)[1] == expected


async def test_create__a_hundred_at_once__all_end_and_their_ends_are_seen(enter_backend):
    async with enter_backend() as bench:
        async with asyncio.TaskGroup() as group:
            creations = [group.create_task(bench.run(f"exit {number % 7}")) for number in range(100)]
        for number, creation in enumerate(creations):
            assert (await bench.seen.wait_for_end(creation.result().uid)).exit_code == number % 7


@pytest.mark.parametrize(
    ("command", "keys", "message"),
    [
        ([], {}, "need a command"),
        (["true"], {"pod": {"volumes": [{"name": "v", "emptyDir": {}}]}}, "have no volumes"),
        (["true"], {"pod": {"initContainers": [{"name": "first", "image": "x"}]}}, "this one also has first"),
    ],
)
async def test_create__what_needs_a_real_container__refused_and_nothing_is_left(enter_backend, command, keys, message):
    async with enter_backend() as bench:
        manifest = bench.manifest(command, **keys)
        with pytest.raises(PodRefused, match=message) as refused:
            await bench.create(manifest)
        assert refused.value.reason == "NotSupportedLocally"
        assert bench.backend.find_pod(manifest["metadata"]["namespace"], manifest["metadata"]["name"]) is None


async def test_check__folder_can_not_be_made__a_sentence(tmp_path):
    (tmp_path / "file").touch()
    async with LocalBackend(tmp_path / "file" / "pods", "instance-1") as backend:
        sentence = await backend.check()
    assert sentence is not None
    assert "can't be written to" in sentence


def test_launcher__imports__only_the_standard_library():
    code = "import sys; sys.path.append('.'); import app.pods.local.launcher; print(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True)
    loaded = {name for name in done.stdout.split() if name.partition(".")[0] == "app"}
    modules = ("container", "disk", "folders", "launcher", "logfile", "supervisor")
    assert loaded == {"app", "app.pods", "app.pods.local", *(f"app.pods.local.{name}" for name in modules)}
