"""The real kubelet dies while its pods run, end and talk; users cancel and delete meanwhile; it comes back after a minute."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.api import Api
from tests.support.kubelet import NODE, Kubelet
from tests.support.moves import (
    ONE_RETRY,
    SHORT_GRACE,
    assert_one_pod_each,
    delete_pod,
    ends,
    find_pod,
    kube,
    pod_of,
    pod_up,
    tries,
)
from tests.support.service import ServiceProcess
from tests.support.workflows import approval, shell, workflow

pytestmark = [
    pytest.mark.faults, pytest.mark.cluster, pytest.mark.exclusive, pytest.mark.usefixtures("cluster_service"),
    pytest.mark.timeout(400),
]  # fmt: skip
Json = dict[str, Any]
STAYS = "echo up; exec sleep 1000"
STAYS_ONCE = f"[ $PODRUN_ATTEMPT = 1 ] || exit 0; {STAYS}"


def _counts(end: str, last: str = "exit 0") -> str:
    """Says `up`, then a number each quarter of a second until `end` holds, then how many."""
    return f"echo up; i=0; until {end}; do i=$((i+1)); echo $i; sleep 0.25; done; echo $i lines; {last}"


def _assert_whole(log: bytes) -> int:
    """The log of a `_counts` has each line once; returns how many."""
    first, *numbers, last = log.decode().splitlines()
    assert (first, last) == ("up", f"{len(numbers)} lines")
    assert numbers == [str(number) for number in range(1, len(numbers) + 1)]
    return len(numbers)


async def _submit(api: Api) -> tuple[str, str, str]:
    """A run that goes on, one that is cancelled, one that a person harms."""
    going = [
        shell("talks", _counts("[ -e /tmp/go ]"), **SHORT_GRACE),
        shell("ends-well", _counts("[ $i = 100 ]"), **SHORT_GRACE),
        shell("ends-badly", _counts("[ $i = 100 ]", "exit 3"), **SHORT_GRACE),
        approval("gate"),
        shell("begins-meanwhile", "echo ran", depends_on=["gate"]),
        shell("after", "echo ran", depends_on=["ends-well", "begins-meanwhile"]),
        shell("cleans-up", "echo ran", depends_on=["ends-badly"], trigger_rule="one_failed"),
    ]
    harmed = [
        shell("times-out", STAYS, timeout_seconds=20, **SHORT_GRACE),
        shell("deleted", STAYS_ONCE, retries=ONE_RETRY, **SHORT_GRACE),
        shell("at-once", "echo ran", depends_on=["times-out"], trigger_rule="one_failed"),
    ]
    going_id = await api.submit(workflow(*going))
    cancelled_id = await api.submit(workflow(shell("cancelled", STAYS, **SHORT_GRACE)))
    return going_id, cancelled_id, await api.submit(workflow(*harmed))


async def test_kubelet__dies_and_comes_back__nothing_is_lost_stuck_or_left_behind(
    api: Api, cluster_service: ServiceProcess, kubeconfig: Path
) -> None:
    namespace, kubelet = cluster_service.namespaces[0], Kubelet(kubeconfig)
    going_id, cancelled_id, harmed_id = await _submit(api)
    for name in ("talks", "ends-well", "ends-badly"):
        await pod_up(api, going_id, name)
    stuck = [await pod_up(api, cancelled_id, "cancelled")]
    stuck += [await pod_up(api, harmed_id, name) for name in ("times-out", "deleted")]
    with kubelet.away():
        await api.cancel(cancelled_id)
        await delete_pod(namespace, stuck[2])
        await api.approve(going_id, "gate")
        await api.task_when(going_id, "begins-meanwhile", attempts=1)
        cluster_service.kill()  # and what is new to the next process is seen as it is
        cluster_service.start()
        # No downstream waits for pods that do not go, and the users are told at last which these are.
        await api.task_when(harmed_id, "times-out", phase="Failed", reason="DeadlineExceeded", seconds=40)
        await api.task_when(harmed_id, "at-once", attempts=1, seconds=5)
        cancelled = await api.finished(cancelled_id, 100)
        lost = await api.task_when(harmed_id, "deleted", attempts=2, seconds=60)
        await kube("wait", "--for=condition=Ready=Unknown", f"node/{NODE}", "--timeout=60s")
        for pod in stuck:
            left = await find_pod(namespace, pod)
            assert left is not None
            assert left["metadata"]["deletionTimestamp"]
        assert (await api.task(going_id, "talks"))["phase"] == "Running"
        assert (await api.task(going_id, "ends-well"))["phase"] == "Running"  # it has ended, and nobody can know
    await kube("wait", "--for=condition=Ready", f"node/{NODE}", "--timeout=60s")
    await api.task_when(going_id, "ends-well", phase="Succeeded")
    await kube("exec", "-n", namespace, await pod_of(api, going_id, "talks"), "-c", "main", "--", "touch", "/tmp/go")
    going, harmed = await api.finished(going_id), await api.finished(harmed_id)

    assert (cancelled["phase"], cancelled["reason"]) == ("Cancelled", "Cancelled")
    assert cancelled["message"] == f"left on nodes that do not answer: {namespace}/{stuck[0]}"
    assert lost["attempts"][0]["message"] == f"pod {stuck[2]} did not go: node {NODE} does not answer"
    assert tries(harmed, "times-out") == [("Failed", "DeadlineExceeded")]
    assert tries(harmed, "deleted") == [("Error", "NodeLost"), ("Succeeded", None)]
    assert ends(harmed)["at-once"] == ("Succeeded", None)
    # The kubelet may be back in time for the last one.
    for run, name, gaps in ((cancelled, "cancelled", {1}), (harmed, "deleted", {1}), (harmed, "times-out", {0, 1})):
        log = next(task for task in run["tasks"] if task["name"] == name)["attempts"][0]["log"]
        assert log["sealed"], name
        assert log["gaps"] in gaps, name
        assert await api.log(run["id"], name, attempt=1) == b"up\n"
    assert {name: end[0] for name, end in ends(going).items()} == {
        "ends-badly": "Failed",
        **dict.fromkeys(("talks", "ends-well", "gate", "begins-meanwhile", "after", "cleans-up"), "Succeeded"),
    }
    assert _assert_whole(await api.log(going_id, "talks")) > 200
    for name in ("ends-well", "ends-badly"):
        assert _assert_whole(await api.log(going_id, name)) == 100
    for task in going["tasks"]:
        assert [(attempt["log"]["gaps"], attempt["exit_code"]) for attempt in task["attempts"]] == (
            [] if task["name"] == "gate" else [(0, 3 if task["name"] == "ends-badly" else 0)]
        ), task["name"]
    for run in (going, cancelled, harmed):
        await assert_one_pod_each(kubeconfig, namespace, run)
