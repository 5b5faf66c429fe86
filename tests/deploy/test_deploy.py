"""deploy/ on a real cluster: the example over the Service, the Role alone, podrun's own pod deleted in the middle of a run."""

from __future__ import annotations

import json
import re
import secrets
import shutil
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from scripts.demo import differences
from tests.conftest import kubectl
from tests.deploy.conftest import ROOT, Deployed, wait_until_finished

pytestmark = [pytest.mark.deploy, pytest.mark.timeout(1000)]

LINES = 60
TALK = f"import time\nfor number in range({LINES}):\n    print('line', number, flush=True)\n    time.sleep(0.3)\n"
LONG_WORKFLOW = {
    "name": "long",
    "tasks": [
        {"name": "talk", "image": "python:3", "command": ["python3", "-c", TALK]},
        {"name": "after", "depends_on": ["talk"], "image": "python:3", "command": ["python3", "-c", "print('after')"]},
    ],
}
ALLOWED = ["create pods", "get pods", "list pods", "watch pods", "delete pods", "get pods --subresource=log", "watch events"]
FORBIDDEN = [
    "get secrets", "list configmaps", "update pods", "create pods --subresource=exec", "delete deployments", "create events",
]  # fmt: skip


@pytest.fixture(scope="module")
def on_sqlite(image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:  # noqa: ARG001 - must be there
    """deploy/base in a namespace of its own."""
    folder = tmp_path_factory.mktemp("deploy")
    shutil.copytree(ROOT / "deploy", folder / "deploy")
    deployed = Deployed(namespace=f"podrun-test-{secrets.token_hex(5)}")
    (folder / "kustomization.yaml").write_text(f"namespace: {deployed.namespace}\nresources: [deploy/base]\n")
    kubectl("create", "namespace", deployed.namespace)
    try:
        token = secrets.token_hex(16)
        deployed.kubectl("create", "secret", "generic", "podrun", f"--from-literal=token={token}")
        kubectl("apply", "-k", str(folder))
        deployed.wait_until_rolled_out()
        yield deployed
    finally:
        kubectl("delete", "namespace", deployed.namespace, "--wait=false")


@pytest.fixture(scope="module")
def on_postgres(image: str, postgres_image: None) -> Iterator[Deployed]:  # noqa: ARG001 - must be there
    """The overlay with PostgreSQL, by the very commands of the README."""
    deployed = Deployed(namespace="podrun")
    taken = kubectl("get", "namespace", "podrun", "--ignore-not-found", "-o", "name")
    assert not taken, "the cluster has a namespace `podrun` already: this test would overwrite what is in it"
    block = re.search(r"^```sh kubernetes\n(.*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    assert block
    try:
        command = ["bash", "-euo", "pipefail", "-c", block[1]]
        done = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True, timeout=330)
        if done.returncode != 0:
            deployed.wait_until_rolled_out()
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        yield deployed
    finally:
        # Waited for: the next call of these tests needs the name.
        subprocess.run(["kubectl", "delete", "namespace", "podrun", "--ignore-not-found"], check=True, timeout=180)


def test_deploy__example_on_sqlite__ends_as_it_must(on_sqlite: Deployed) -> None:
    run_example(on_sqlite)


def test_deploy__service_account__may_do_what_the_role_says_and_no_more(on_sqlite: Deployed) -> None:
    account = f"system:serviceaccount:{on_sqlite.namespace}:podrun"

    def may(what: str, namespace: str) -> bool:
        answer = kubectl("auth", "can-i", *what.split(), "--as", account, "-n", namespace, check=False)
        return answer.strip() == "yes"

    assert [what for what in ALLOWED if not may(what, on_sqlite.namespace)] == []
    assert [what for what in FORBIDDEN if may(what, on_sqlite.namespace)] == []
    assert [what for what in ALLOWED if may(what, "default")] == []
    assert bindings_of(on_sqlite.namespace) == ["RoleBinding"]


def test_deploy__token__is_required(on_sqlite: Deployed) -> None:
    with on_sqlite.client() as client:
        assert client.get("/readyz", headers={"Authorization": ""}).status_code == httpx.codes.OK
        assert client.get("/api/v1/runs", headers={"Authorization": ""}).status_code == httpx.codes.UNAUTHORIZED
        assert client.get("/api/v1/runs", headers={"Host": "evil.example"}).status_code == httpx.codes.MISDIRECTED_REQUEST


def test_deploy__page__is_served_without_a_token(on_sqlite: Deployed) -> None:
    with on_sqlite.client() as client:
        index = client.get("/", headers={"Authorization": "", "Accept-Encoding": "br"})
        assert index.status_code == httpx.codes.OK, index.text
        assert index.headers["content-encoding"] == "br"
        assert "script-src 'self'" in index.headers["content-security-policy"]
        index = client.get("/runs/any", headers={"Authorization": "", "Accept-Encoding": ""})
        assets = re.findall(r'(?:src|href)="(/assets/[^"]+)"', index.text)
        assert {asset.rpartition(".")[2] for asset in assets} >= {"js", "css"}, index.text
        for asset in assets:
            answer = client.get(asset, headers={"Authorization": ""})
            assert answer.status_code == httpx.codes.OK, asset
            assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"


def test_deploy__pod_of_podrun_deleted_on_sqlite__run_goes_on(on_sqlite: Deployed) -> None:
    run_with_podrun_deleted(on_sqlite)


def test_deploy__example_on_postgres__ends_as_it_must(on_postgres: Deployed) -> None:
    run_example(on_postgres)


def test_deploy__pod_of_podrun_deleted_on_postgres__run_goes_on(on_postgres: Deployed) -> None:
    assert len(on_postgres.server_pods()) == 2
    run_with_podrun_deleted(on_postgres)


def bindings_of(namespace: str) -> list[str]:
    """The kinds of all bindings that give that namespace's service account `podrun` anything."""
    items = json.loads(kubectl("get", "rolebindings,clusterrolebindings", "-A", "-o", "json"))["items"]
    return [
        item["kind"]
        for item in items
        for subject in item.get("subjects", [])
        if (subject["kind"], subject["name"], subject.get("namespace")) == ("ServiceAccount", "podrun", namespace)
    ]


def submit(client: httpx.Client, workflow: Any) -> str:
    """POST the workflow and return its run's id."""
    answer = client.post("/api/v1/runs", json={"workflow": workflow}, headers={"Idempotency-Key": secrets.token_hex(8)})
    assert answer.status_code == httpx.codes.CREATED, answer.text
    return str(answer.json()["id"])


def log_lines(client: httpx.Client, run_id: str) -> list[dict[str, Any]]:
    """The lines of the run's log, as they are stored now."""
    answer = client.get(f"/api/v1/runs/{run_id}/logs", headers={"Accept": "application/x-ndjson"})
    assert answer.status_code == httpx.codes.OK, answer.text
    return [line for line in map(json.loads, answer.text.splitlines()) if "text" in line]


def run_example(deployed: Deployed) -> None:
    """Post the example to the Service and compare its outcome with what it must be."""
    workflow = json.loads((ROOT / "examples/kubernetes-sample.json").read_text())
    with deployed.client() as client:
        run = wait_until_finished(client, submit(client, workflow), 120)
        tasks = {task["name"]: task for task in run["tasks"]}
        assert differences(run, tasks, log_lines(client, run["id"])) == []
    wait_until_pods_are_gone(deployed, run["id"])


def wait_until_pods_are_gone(deployed: Deployed, run_id: str) -> None:
    """Wait until the cluster has none of the run's pods: of a finished run their deletes are under way."""
    deadline = time.monotonic() + 60
    while left := deployed.kubectl("get", "pods", "-l", f"podrun.dev/run={run_id}", "-o", "name").split():
        assert time.monotonic() < deadline, left
        time.sleep(0.3)


def run_with_podrun_deleted(deployed: Deployed) -> None:
    """Delete all of podrun's own pods while a run's pod talks: the run ends right, no line is lost, no pod made twice."""
    with deployed.client() as client:
        run_id = submit(client, LONG_WORKFLOW)
        wait_for_lines(client, run_id, 5)
    before = deployed.server_pods()
    deployed.kubectl("delete", "pods", *before, "--wait=false")
    wait_until_replaced(deployed, before)
    deployed.wait_until_rolled_out()
    with deployed.client() as client:
        run = wait_until_finished(client, run_id, 120)
        lines = log_lines(client, run_id)
    assert run["phase"] == "Succeeded", run
    assert [line["text"] for line in lines if line["task"] == "talk"] == [f"line {number}" for number in range(LINES)]
    assert [line["text"] for line in lines if line["task"] == "after"] == ["after"]
    assert [len(task["attempts"]) for task in run["tasks"]] == [1, 1]
    assert pods_ever_scheduled(deployed, run) == len(run["tasks"])
    wait_until_pods_are_gone(deployed, run_id)


def wait_for_lines(client: httpx.Client, run_id: str, count: int) -> None:
    """Wait until the log of the run's first task has that many lines."""
    deadline = time.monotonic() + 60
    while len(log_lines(client, run_id)) < count:
        assert time.monotonic() < deadline, "the pod's log did not come"
        time.sleep(0.3)


def wait_until_replaced(deployed: Deployed, before: list[str]) -> None:
    """Wait until there are new pods of podrun in the place of those."""
    deadline = time.monotonic() + 60
    while not (now := deployed.server_pods()) or set(now) & set(before):
        assert time.monotonic() < deadline, "no new pod of podrun came"
        time.sleep(0.3)


def pods_ever_scheduled(deployed: Deployed, run: dict[str, Any]) -> int:
    """How many times the scheduler has placed a pod of this run's names."""
    names = {attempt["pod"] for task in run["tasks"] for attempt in task["attempts"]}
    events = json.loads(deployed.kubectl("get", "events", "--field-selector=reason=Scheduled", "-o", "json"))["items"]
    return sum(event.get("count") or 1 for event in events if event["involvedObject"]["name"] in names)
