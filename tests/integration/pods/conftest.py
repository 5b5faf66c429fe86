"""A local backend for tests of its files and processes."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.pods.local.backend import LocalBackend
from tests.contract.bench import enter


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "pods"


@pytest.fixture
def enter_backend(root: Path):
    return lambda: enter(lambda instance: LocalBackend(root, instance), "instance-1", "default", "not-used:1")
