"""Every example runs as its author means it, on local pods where they can do it and on the real cluster.

Those that end by themselves are posted together, when the first test asks for a run, and each test waits for its own; what
needs more than that (an answer, a second run, a schedule) has a test of its own below.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.service.conftest import MakeService
from tests.support.api import PREFIX, Api, api_of
from tests.support.cluster import apply, fresh_namespace
from tests.support.service import ServiceProcess

Json = dict[str, Any]
FOLDER = Path(__file__).parents[2] / "examples"
#: Where the pods of fan-outs with more than fifty items go on the cluster.
ON_FAKE_NODES: Json = {
    "node_selector": {"type": "fake"},
    "tolerations": [{"key": "fake", "operator": "Exists"}],
    "annotations": {"fake/exit-code": "0"},
}
#: As many pods at a time as one small node starts within seconds.
SETTINGS = {"MAX_PARALLEL_PODS": "15"}


@dataclass(frozen=True, kw_only=True)
class Expected:
    """How a run of an example ends. Tasks that are not named succeed."""

    phase: str = "Succeeded"
    count: int  #: of tasks, items counted
    tasks: Mapping[str, str] = field(default_factory=dict)  #: phase, or phase and reason
    attempts: Mapping[str, int] = field(default_factory=dict)
    outputs: Mapping[str, Json] = field(default_factory=dict)
    says: Mapping[str, str] = field(default_factory=dict)  #: the last line of its log
    params: Json = field(default_factory=dict)
    needs_kubernetes: bool = False


#: Those with deadlines, which must not wait behind the others' pods: they run before them.
HURRIED = ("run-timeout", "task-timeout")
EXPECTED = {
    "run-timeout": Expected(
        phase="Failed", count=4, tasks={"compute": "Failed DeadlineExceeded", "publish": "Omitted"},
        says={"free-licences": "freed; compute is Failed"},
    ),
    "task-timeout": Expected(count=1, attempts={"sync": 2}, says={"sync": "synchronized"}),
    "hello": Expected(count=2, says={"greet": "hello world", "leave": "goodbye"}),
    "kubernetes-sample": Expected(
        phase="Failed", count=3, tasks={"failing-task": "Failed StartError"}, says={"passing-task": "hello world"}
    ),
    "diamond": Expected(count=4, says={"load": "loaded 120 rows"}, outputs={"extract": {"rows": 120}}),
    "conditions": Expected(
        count=5, tasks={"deploy-production": "Skipped", "full-test": "Skipped"}, says={"announce": "deployed something"}
    ),
    "monorepo-ci": Expected(count=5, tasks={"docs": "Skipped"}, says={"api": "api at HEAD", "release": "released"}),
    "mirrors": Expected(
        count=4, tasks={"download.0": "Failed", "escalate": "Skipped"}, says={"unpack": "unpacking /cache/mirror-b"}
    ),
    "matrix-build": Expected(
        count=7, says={"build.1": "built demo-3.11-arm64.whl", "merge": "publishing demo-3.13-arm64.whl"},
        outputs={"merge": {"count": 6}},
    ),
    "matrix-include": Expected(count=2, says={"test.1": "testing oldest with warnings: default"}),
    "dynamic-fan-out": Expected(
        count=5, says={"report": "32 rows in orders.csv, items.csv, customers.csv"}, outputs={"report": {"total": 32}}
    ),
    "map-reduce": Expected(
        count=4, says={"reduce": "counts [6,4,4], together 14"}, outputs={"reduce": {"total": 14, "longest": 0}}
    ),
    "backfill": Expected(count=5, says={"load.3": "loaded 2026-03-31", "done": "loaded 4 days"}),
    "nothing-to-do": Expected(
        count=4, tasks={"process": "Skipped", "index": "Skipped"}, says={"report": "nothing new today"}
    ),
    "retry-by-exit-code": Expected(
        phase="Failed", count=2, tasks={"validate": "Failed"}, attempts={"fetch": 2, "validate": 1},
        says={"fetch": "fetched", "validate": "line 7 has no price"},
    ),
    "clean-up-after-failure": Expected(
        phase="Failed", count=5, tasks={"migrate": "Failed", "test": "Omitted"},
        says={"keep-traces": "migrate ended with 1, test is Omitted", "drop-database": "dropped after a run that is Failed"},
    ),
    "notify-on-failure": Expected(
        phase="Failed", count=3, tasks={"work": "Failed", "all-clear": "Skipped"},
        says={"alarm": "notify-on-failure {id} is Failed: work ended with 1"},
    ),
    "canary-rollback": Expected(
        phase="Failed", count=4, tasks={"smoke-test": "Failed", "promote": "Omitted"}, says={"roll-back": "back to 1.4.1"}
    ),
    "fail-fast-matrix": Expected(
        phase="Failed", count=6, says={"report": "tests: Failed [0,1,null,null]"},
        tasks={
            "test.1": "Failed", "test.2": "Omitted FailFast", "test.3": "Omitted FailFast", "publish": "Omitted",
        },
    ),
    "optional-task": Expected(count=3, tasks={"lint": "Failed"}, says={"lint": "12 warnings"}),
    "approval-or-skip": Expected(
        count=3, tasks={"ask": "Skipped", "migrate": "Skipped"}, says={"release": "released"}
    ),
    "typed-params": Expected(
        count=2, tasks={"print": "Skipped"}, params={"customer": "acme", "tags": ["a", "b"]},
        says={"render": 'acme as pdf, 2 copies, 315 mm wide, a+b, {"height":297,"width":210}'},
    ),
    "placement": Expected(count=2, says={"large": "large"}),
    "prepared-volume": Expected(count=1, says={"build": "all: checked out"}, needs_kubernetes=True),
    "sidecar-database": Expected(count=1, says={"test": "1 passed"}, needs_kubernetes=True),
    "secrets": Expected(
        count=1, says={"connect": "region eu, a password of 6 characters, licence ABC-1"}, needs_kubernetes=True
    ),
    "pod-overlay": Expected(count=1, says={"show": "hello from workbench with a patch"}, needs_kubernetes=True),
}  # fmt: skip
#: Each has a test of its own.
SPECIAL = {
    "deploy-with-approval", "health-probe", "newest-run-wins", "nightly-report", "one-deploy-at-a-time", "sharded-job",
}  # fmt: skip


def load(name: str) -> Json:
    document: Json = json.loads((FOLDER / f"{name}.json").read_text())
    return document


def start_all(url: str, names: list[str]) -> dict[str, str]:
    """Run ids by example."""
    with httpx.Client(base_url=url + PREFIX, timeout=70, trust_env=False) as http:
        runs = {name: start(http, name) for name in HURRIED}
        for run_id in runs.values():
            http.get(f"/runs/{run_id}", params={"wait": 60})
        return runs | {name: start(http, name) for name in names if name not in runs}


def start(http: httpx.Client, name: str) -> str:
    answer = http.post("/runs", json={"workflow": load(name), "params": EXPECTED[name].params})
    assert answer.status_code == 201, f"{name}: {answer.text}"
    return str(answer.json()["id"])


def started(stack: ExitStack, folder: Path, pods: str, namespaces: list[str]) -> ServiceProcess:
    service = ServiceProcess(folder, pods, namespaces=namespaces, settings=SETTINGS)
    stack.callback(service.close)
    service.start()
    return service


@pytest.fixture(scope="module")
def local_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    with ExitStack() as stack:
        service = started(stack, tmp_path_factory.mktemp("service"), "local", [])
        yield service
    assert not service.faults()


@pytest.fixture(scope="module")
def cluster_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    """A service in a namespace that has what `secrets` asks for."""
    with ExitStack() as stack:
        namespace = stack.enter_context(fresh_namespace())
        named = {"apiVersion": "v1", "metadata": {"name": "shop"}}
        apply(namespace, kind="Secret", stringData={"password": "s3cret", "licence": "ABC-1"}, **named)
        apply(namespace, kind="ConfigMap", data={"REGION": "eu"}, **named)
        service = started(stack, tmp_path_factory.mktemp("service"), "kubernetes", [namespace])
        yield service
    assert not service.faults()


LOCAL_NAMES = [name for name, expected in EXPECTED.items() if not expected.needs_kubernetes]


@pytest.fixture(scope="module")
def local_runs(local_service: ServiceProcess) -> dict[str, str]:
    return start_all(local_service.url, LOCAL_NAMES)


@pytest.fixture(scope="module")
def cluster_runs(cluster_service: ServiceProcess) -> dict[str, str]:
    return start_all(cluster_service.url, list(EXPECTED))


def test_examples__all_are_run_here() -> None:
    assert {path.stem for path in FOLDER.glob("*.json")} == EXPECTED.keys() | SPECIAL
    assert not EXPECTED.keys() & SPECIAL


@pytest.mark.parametrize("name", LOCAL_NAMES)
async def test_example__on_local_pods__ends_as_it_must(name: str, api: Api, local_runs: dict[str, str]) -> None:
    await check(api, local_runs[name], EXPECTED[name])


@pytest.mark.cluster
@pytest.mark.parametrize("name", EXPECTED)
async def test_example__on_the_cluster__ends_as_it_must(name: str, api: Api, cluster_runs: dict[str, str]) -> None:
    await check(api, cluster_runs[name], EXPECTED[name])


async def check(api: Api, run_id: str, expected: Expected, *, seconds: float = 100) -> None:
    run = await api.finished(run_id, seconds)
    ended = {task["name"]: task for task in run["tasks"]}
    assert run["phase"] == expected.phase, await api.describe(run_id)
    assert len(ended) == expected.count
    for name, task in ended.items():
        wanted = expected.tasks.get(name, "Succeeded").split()
        assert [task["phase"], task["reason"]][: len(wanted)] == wanted, task
    for name, attempts in expected.attempts.items():
        assert len(ended[name]["attempts"]) == attempts
    for name, outputs in expected.outputs.items():
        assert ended[name]["outputs"] == outputs
    for name, line in expected.says.items():
        assert (await api.log(run_id, name)).decode().splitlines()[-1:] == [line.replace("{id}", run_id)]


BOTH = pytest.mark.usefixtures("service")


@pytest.fixture(scope="module", params=["local", pytest.param("kubernetes", marks=pytest.mark.cluster)])
def service(request: pytest.FixtureRequest) -> ServiceProcess:
    """Each of the two in turn."""
    made: ServiceProcess = request.getfixturevalue("local_service" if request.param == "local" else "cluster_service")
    return made


@BOTH
async def test_deploy_with_approval__approved__deploys(api: Api) -> None:
    run_id = await api.submit(load("deploy-with-approval"))
    waits = await api.task_when(run_id, "approve", phase="Running", reason="WaitingForApproval")
    assert "Deploy 1.4.2 to production?" in waits["message"]
    answer = await api.http.post(f"/runs/{run_id}/tasks/approve/approve", json={"comment": "go"})
    assert answer.status_code == 202, answer.text
    await check(api, run_id, Expected(count=3, says={"deploy": "deployed 1.4.2"}))


@BOTH
async def test_deploy_with_approval__rejected__deploys_nothing(api: Api) -> None:
    run_id = await api.submit(load("deploy-with-approval"))
    await api.task_when(run_id, "approve", phase="Running", reason="WaitingForApproval")
    answer = await api.http.post(f"/runs/{run_id}/tasks/approve/reject", json={"comment": "not on a Friday"})
    assert answer.status_code == 202, answer.text
    await check(api, run_id, Expected(phase="Failed", count=3, tasks={"approve": "Failed", "deploy": "Omitted"}))
    assert "not on a Friday" in (await api.task(run_id, "approve"))["message"]


@BOTH
async def test_newest_run_wins__a_second_run_of_the_branch__cancels_the_first_and_no_other(api: Api) -> None:
    elsewhere = await submit_with(api, "newest-run-wins", {"branch": "other"})
    older = await api.submit(load("newest-run-wins"))
    await api.task_when(older, "build", phase="Running")
    newer = await api.submit(load("newest-run-wins"))
    cancelled = {"build": "Cancelled", "deploy": "Cancelled"}
    await check(api, older, Expected(phase="Cancelled", count=3, tasks=cancelled, says={"unlock": "unlocked"}))
    await check(api, newer, Expected(count=3, says={"deploy": "preview of main is up"}))
    await check(api, elsewhere, Expected(count=3, says={"deploy": "preview of other is up"}))


@BOTH
async def test_one_deploy_at_a_time__two_runs__take_turns(api: Api) -> None:
    first, second = [await api.submit(load("one-deploy-at-a-time")) for _ in range(2)]
    for run_id in (first, second):
        await check(api, run_id, Expected(count=1, says={"deploy": "deployed"}))
    assert (await api.run(first))["finished_at"] <= (await api.run(second))["started_at"]


@BOTH
async def test_nightly_report__stored__waits_for_its_time_and_runs_when_asked(api: Api) -> None:
    stored = await put(api, load("nightly-report"))
    assert stored["schedule"]["next_at"] is not None
    answer = await api.http.post("/runs", json={"workflow": "nightly-report"})
    assert answer.status_code == 201, answer.text
    run = answer.json()
    assert run["workflow_version"] == stored["version"]
    await check(api, run["id"], Expected(count=2, outputs={"collect": {"day": run["created_at"][:10]}}))


@BOTH
async def test_health_probe__every_few_seconds__is_fired_by_its_schedule(api: Api) -> None:
    await put(api, {**load("health-probe"), "schedule": {"every_seconds": 5, "overlap": "replace"}})
    async with asyncio.timeout(40):
        while not (runs := (await api.get("/runs", workflow="health-probe"))["items"]):  # noqa: ASYNC110 - as users do
            await asyncio.sleep(0.2)
    # Before the next one replaces it.
    assert (await api.http.post("/workflows/health-probe/pause")).is_success
    await check(api, runs[-1]["id"], Expected(count=3, says={"probe.2": "mail answers"}))


@pytest.mark.usefixtures("local_service")
async def test_sharded_job__on_local_pods__with_fewer_shards__merges_what_they_put_out(api: Api) -> None:
    run_id = await submit_with(api, "sharded-job", {"shards": 40})
    await check(api, run_id, Expected(count=42, outputs={"merge": {"shards": 40, "rows": 400}}))


@pytest.mark.cluster
@pytest.mark.fake_nodes
@pytest.mark.timeout(260)
async def test_sharded_job__with_its_thousand_shards_on_fake_nodes__merges_them(make_service: MakeService) -> None:
    document = load("sharded-job")
    [shard] = [task for task in document["tasks"] if "foreach" in task]
    shard |= ON_FAKE_NODES
    async with api_of(make_service("kubernetes").url) as api:
        run_id = await api.submit(document)
        # Nothing runs in a fake pod: each item's output is null, but there is one for each.
        await check(api, run_id, Expected(count=1002, outputs={"merge": {"shards": 1000, "rows": 0}}), seconds=200)


async def submit_with(api: Api, name: str, params: Json) -> str:
    answer = await api.http.post("/runs", json={"workflow": load(name), "params": params})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


async def put(api: Api, document: Json) -> Json:
    """The stored workflow."""
    answer = await api.http.put(f"/workflows/{document['name']}", json=document)
    assert answer.status_code in (200, 201), answer.text
    stored: Json = answer.json()
    return stored
