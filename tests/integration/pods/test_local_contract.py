"""The local backend against the contract."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.pods.local.backend import LocalBackend
from tests.contract.pod_backend import MakeBackend, PodBackendContract


class TestLocalBackend(PodBackendContract):
    @pytest.fixture
    def make_backend(self, tmp_path: Path) -> MakeBackend:
        return lambda instance: LocalBackend(tmp_path / "pods", instance)

    @pytest.fixture
    def namespace(self) -> str:
        return "default"

    @pytest.fixture
    def image(self) -> str:
        return "not-used:1"
