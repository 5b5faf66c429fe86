"""Logs as the API server serves them: lines, the kubelet's excuses in their place, and what a stream begins with."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from app.domain.errors import LogUnavailable
from app.domain.pods import PodRef
from app.pods.kubernetes.backend import KubernetesBackend
from app.pods.kubernetes.client import ApiClient
from app.pods.kubernetes.cluster import Cluster, NoCredentials
from app.pods.kubernetes.logs import stream_log
from tests.support.api_server import FakeApiServer

LATER = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SINCE = pytest.mark.parametrize("since", [None, LATER], ids=["from the start", "from a time"])
LINE = b"2026-01-02T03:04:05.000000001Z text\n"
EXCUSES = [
    b'failed to try resolving symlinks in path "/var/log/pods/a/main/0.log": no such file or directory',
    b"unable to retrieve container logs for containerd://0123",
    b"rpc error: code = NotFound\nan error occurred when try to find container\n",
    b"oops",
]
RESTS = [b"rest of a line\n", b"x" * 300_000 + b"\n", b"\n", b"2026-\n", b"x" * 30 + b"2026-01-02T03:04:05\n"]


@pytest.fixture
async def server() -> AsyncIterator[FakeApiServer]:
    async with FakeApiServer() as running:
        yield running


async def read(server: FakeApiServer, since: datetime | None) -> bytes:
    """What is given of the log that the server has."""
    async with ApiClient(Cluster(server=server.url, namespace="ci", credentials=NoCredentials())) as client:
        stream = stream_log(client, PodRef("ci", "a", "u"), "main", since, follow=False)
        return b"".join([chunk async for chunk in stream])


@SINCE
@pytest.mark.parametrize("excuse", EXCUSES)
async def test_log__kubelets_excuse_with_status_200__unavailable(
    server: FakeApiServer, excuse: bytes, since: datetime | None
) -> None:
    server.log_body = excuse
    with pytest.raises(LogUnavailable) as unavailable:
        await read(server, since)
    assert str(unavailable.value) == excuse.decode().strip()
    assert not unavailable.value.gone


@pytest.mark.parametrize(("grace_seconds", "gone"), [(0, True), (30, False), (None, False)])
async def test_log__excuse_for_a_pod_that_the_kubelet_is_done_with__gone(
    server: FakeApiServer, grace_seconds: int | None, gone: bool
) -> None:
    names = {"run": "r", "task": "a", "attempt": "1", "instance": "inst"}
    labels = {f"podrun.dev/{key}": value for key, value in names.items()}
    metadata = {"name": "a", "namespace": "ci", "labels": labels}
    if grace_seconds is not None:  # a finalizer keeps it
        metadata |= {"deletionTimestamp": "2026-01-02T03:04:05Z", "deletionGracePeriodSeconds": grace_seconds}
    ended = {"name": "main", "state": {"terminated": {"exitCode": 0, "reason": "Completed"}}}
    pod = server.put({"metadata": metadata, "spec": {}, "status": {"phase": "Succeeded", "containerStatuses": [ended]}})
    server.log_body = EXCUSES[1]
    backend = KubernetesBackend(Cluster(server=server.url, namespace="ci", credentials=NoCredentials()), instance="inst")
    async with backend:
        await backend.wait_synced("ci")
        with pytest.raises(LogUnavailable) as unavailable:
            async for _ in backend.read_log(PodRef("ci", "a", pod["metadata"]["uid"]), "main", None):
                pass
    assert unavailable.value.gone is gone


@SINCE
@pytest.mark.parametrize("body", [b"", LINE, LINE + b"2026-01-02T03:04:05.000000002Z no line feed \xff", LINE + b"\xff\n"])
async def test_log__lines_with_stamps__as_they_are(server: FakeApiServer, body: bytes, since: datetime | None) -> None:
    server.log_body = body
    assert await read(server, since) == body


@pytest.mark.parametrize("rest", RESTS, ids=range(len(RESTS)))
async def test_log__rest_of_a_line_before_the_first_stamp__is_left_out(server: FakeApiServer, rest: bytes) -> None:
    server.log_body = rest + LINE
    assert await read(server, LATER) == LINE
