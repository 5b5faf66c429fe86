"""The real API server is killed, stays away for a minute, and comes back with all that it knew.

Containers go on under the kubelet meanwhile. Two services live through it: one goes on, the other is killed and started again
while the API server is away. The first has a service account's rights, as in `deploy/`; the second has a proxy before it.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import shlex
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from tests.faults.api_stand import Stand, talker
from tests.support.api import Json, api_of
from tests.support.api_proxy import ApiProxy
from tests.support.cluster import apply, fresh_namespace, kubectl
from tests.support.service import ServiceProcess, started
from tests.support.workflows import fake, shell, workflow

pytestmark = [
    pytest.mark.faults, pytest.mark.cluster, pytest.mark.fake_nodes, pytest.mark.exclusive, pytest.mark.timeout(400),
]  # fmt: skip
AWAY_SECONDS = 60.0
BACK_SECONDS = 120.0
#: So long after the API server is back, the node controller has had its say.
SETTLED_SECONDS = 20.0
#: So many tasks wait for pods when the API server is killed, some of them just being created.
BURST = 60
ENDS_MEANWHILE, OUTLASTS, TIMED = "talk-short", "talk-long", "talk-timed"
#: How many lines they say, one each 50 ms, or somewhat slower on a busy machine.
LINES = {ENDS_MEANWHILE: 400, OUTLASTS: 1700, TIMED: 300}
#: It comes while the API server is away, long after that task's container has ended.
TIMEOUT_SECONDS = 45
READY = {"status": {"conditions": [{"type": "Ready", "status": "True", "reason": "FakeNode", "message": ""}]}}
RULES = [
    {"apiGroups": [""], "resources": ["pods"], "verbs": ["create", "get", "list", "watch", "delete"]},
    {"apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"]},
    {"apiGroups": [""], "resources": ["events"], "verbs": ["get", "list", "watch"]},
]


class ApiServer:
    """The API server of the cluster, by its process id."""

    def __init__(self, kubeconfig: Path) -> None:
        self._pid_file = kubeconfig.parent / "kube-apiserver.pid"
        server = json.loads(kubectl("config", "view", "-o", "json"))["clusters"][0]["cluster"]["server"]
        address = urlsplit(server)
        self._address = (address.hostname, address.port)
        self._back_at: float | None = None

    def kill(self) -> None:
        """As a power cut would; returns when nobody answers any more."""
        os.kill(int(self._pid_file.read_text()), signal.SIGKILL)
        deadline = time.monotonic() + 10
        while self.answers():
            assert time.monotonic() < deadline, "the API server is still there"
            time.sleep(0.05)

    def answers(self) -> bool:
        """Whether somebody listens there."""
        with socket.socket() as probe:
            probe.settimeout(2)
            return probe.connect_ex(self._address) == 0

    def bring_back(self) -> None:
        """Start it where it does not run."""
        subprocess.run(shlex.split(os.environ["CLUSTER_UP"]), check=True, timeout=BACK_SECONDS, stdout=subprocess.DEVNULL)
        self._back_at = self._back_at or time.monotonic()

    def tend_nodes(self) -> None:
        """Return when all nodes are ready, and stay so.

        The node controller has heard nothing of them for so long that it takes them for lost, some seconds after the API server
        is back. A kubelet says again and again that its node is ready; a fake node says it once.
        """
        assert self._back_at is not None
        deadline = time.monotonic() + BACK_SECONDS
        while (lost := _lost_nodes()) or time.monotonic() < self._back_at + SETTLED_SECONDS:
            assert time.monotonic() < deadline, f"nodes that are not ready: {lost}"
            for name in lost:
                if name.startswith("fake-"):
                    kubectl("patch", "node", name, "--subresource=status", "--type=strategic", "-p", json.dumps(READY))
            time.sleep(1)


def _lost_nodes() -> list[str]:
    """The nodes that are not ready, or still have a taint of that: it comes and goes later than the condition."""
    items = json.loads(kubectl("get", "nodes", "-o", "json"))["items"]
    return [node["metadata"]["name"] for node in items if not _is_well(node)]


def _is_well(node: Json) -> bool:
    conditions = {condition["type"]: condition["status"] for condition in node["status"].get("conditions", ())}
    taints = [taint["key"] for taint in node["spec"].get("taints", ())]
    return conditions.get("Ready") == "True" and not any(key.startswith("node.kubernetes.io/") for key in taints)


@pytest.fixture
def api_server(kubeconfig: Path) -> Iterator[ApiServer]:
    """The API server, which is there again after the test, whatever happened."""
    if not os.environ.get("CLUSTER_UP"):
        pytest.skip("CLUSTER_UP is not set (the command that brings the API server back)")
    server = ApiServer(kubeconfig)
    try:
        yield server
    finally:
        server.bring_back()
        server.tend_nodes()


def _restricted(kubeconfig: Path, namespace: str, path: Path) -> Path:
    """A kubeconfig for a service account that may do what `deploy/` lets the service do."""
    kubectl("create", "serviceaccount", "podrun", "-n", namespace)
    apply(namespace, apiVersion="rbac.authorization.k8s.io/v1", kind="Role", metadata={"name": "podrun"}, rules=RULES)
    kubectl("create", "rolebinding", "podrun", "-n", namespace, "--role=podrun", f"--serviceaccount={namespace}:podrun")
    token = kubectl("create", "token", "podrun", "-n", namespace).strip()
    config = json.loads(kubectl("config", "view", "--raw", "-o", "json", f"--kubeconfig={kubeconfig}"))
    config["users"] = [{"name": config["users"][0]["name"], "user": {"token": token}}]
    path.write_text(json.dumps(config))
    return path


def _open(stack: ExitStack, folder: Path, kubeconfig: Path, *, behind_proxy: bool) -> tuple[ApiProxy, ServiceProcess]:
    folder.mkdir()
    namespace = stack.enter_context(fresh_namespace())
    proxy = stack.enter_context(ApiProxy())
    path = folder / "kubeconfig"
    config = proxy.write_kubeconfig(path, namespace) if behind_proxy else _restricted(kubeconfig, namespace, path)
    return proxy, started(stack, folder, "kubernetes", kubeconfig=config, namespaces=[namespace])


@asynccontextmanager
async def _stand(folder: Path, kubeconfig: Path, chance: random.Random, *, behind_proxy: bool) -> AsyncIterator[Stand]:
    """A service with a proxy before the cluster, or with a service account's rights."""
    with ExitStack() as stack:
        proxy, service = await asyncio.to_thread(_open, stack, folder, kubeconfig, behind_proxy=behind_proxy)
        async with api_of(service.url) as api:
            stand = Stand(proxy, service, api, chance)
            try:
                yield stand
            except Exception as error:
                error.add_note(stand.describe())
                raise


async def _begin(stand: Stand) -> str:
    """Post what is under way when the API server goes, and return the run whose containers talk."""
    stand.lines |= LINES
    talkers = [talker(ENDS_MEANWHILE, LINES[ENDS_MEANWHILE]), talker(OUTLASTS, LINES[OUTLASTS])]
    timed = talker(TIMED, LINES[TIMED], timeout_seconds=TIMEOUT_SECONDS)
    after = shell("after", "echo done", depends_on=[ENDS_MEANWHILE])
    run_id = await stand.submit(workflow(*talkers, timed, after, name="talking"))
    for name in (ENDS_MEANWHILE, OUTLASTS, TIMED):
        await stand.api.log_when(run_id, name, b"line 5\n")
    await stand.load(24, seconds=40)
    await stand.submit(workflow(*(fake(f"t{number}", 1) for number in range(BURST)), name="burst"))
    return run_id


async def _restart(stand: Stand, run_id: str) -> None:
    """Kill the service and start it again without an API server: all that it has stored is there, and it takes runs."""
    await asyncio.to_thread(stand.service.kill)
    stand.service.start(wait=False)
    deadline = time.monotonic() + 30
    while True:
        try:
            told = await stand.readiness()
            break
        except httpx.TransportError:
            assert time.monotonic() < deadline, "the service does not answer"
            await asyncio.sleep(0.1)
    assert told.startswith("pods: "), told
    assert (await stand.api.task(run_id, ENDS_MEANWHILE))["phase"] == "Running"
    assert (await stand.api.log(run_id, ENDS_MEANWHILE)).startswith(b"line 0\nline 1\n")
    new = await stand.submit(workflow(fake("posted")))
    await stand.api.task_when(new, "posted", phase="Pending", reason="ConnectionError")


async def test_api_server__killed_for_a_minute__runs_go_on_and_end_as_they_would_have(
    api_server: ApiServer, tmp_path: Path, kubeconfig: Path, chance: random.Random
) -> None:
    async with AsyncExitStack() as stack:
        goes_on = await stack.enter_async_context(_stand(tmp_path / "first", kubeconfig, chance, behind_proxy=False))
        restarted = await stack.enter_async_context(_stand(tmp_path / "second", kubeconfig, chance, behind_proxy=True))
        first, second = await _begin(goes_on), await _begin(restarted)
        killed_at = time.monotonic()
        await asyncio.to_thread(api_server.kill)
        try:
            told = await goes_on.until_ready(False)
            assert "pods: " in told
            assert "can't be reached" in told
            await _restart(restarted, second)
            assert not api_server.answers()
            await asyncio.sleep(killed_at + AWAY_SECONDS - time.monotonic())
            for stand, run_id in ((goes_on, first), (restarted, second)):
                assert await stand.readiness() != "ok"
                run = await stand.api.run(run_id)
                assert {task["phase"] for task in run["tasks"]} == {"Running", "Pending"}
        finally:
            await asyncio.to_thread(api_server.bring_back)
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.to_thread(api_server.tend_nodes), name="nodes")
            for stand in (goes_on, restarted):
                await stand.until_ready(True)
                runs = await stand.check(lost_audit=True)
                assert [task["phase"] for run in runs for task in run["tasks"] if task["name"] == TIMED] == ["Succeeded"]
