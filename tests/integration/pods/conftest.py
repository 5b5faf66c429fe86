"""A local backend for tests of its files and processes, and a Kubernetes backend before a made up API server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.pods.local.backend import LocalBackend
from tests.contract.bench import enter
from tests.integration.pods.kubernetes_bench import Bench
from tests.support.api_server import FakeApiServer


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "pods"


@pytest.fixture
def enter_backend(root: Path):
    return lambda: enter(lambda instance: LocalBackend(root, instance), "instance-1", "default", "not-used:1")


@pytest.fixture
async def server() -> AsyncIterator[FakeApiServer]:
    async with FakeApiServer() as running:
        yield running


@pytest.fixture
async def bench(server: FakeApiServer) -> Bench:
    return Bench(server)
