"""The contract of `PodBackend`, held to by the Kubernetes implementation on a real cluster."""

from __future__ import annotations

import pytest

from app.pods.kubernetes.backend import KubernetesBackend
from app.pods.kubernetes.cluster import load_cluster
from tests.contract.pod_backend import MakeBackend, PodBackendContract

pytestmark = pytest.mark.cluster


class TestKubernetesBackend(PodBackendContract):
    @pytest.fixture
    async def make_backend(self, namespace: str) -> MakeBackend:
        cluster = await load_cluster()
        return lambda instance: KubernetesBackend(cluster, instance=instance, namespaces=[namespace])

    @pytest.fixture
    def image(self) -> str:
        return "busybox:1"
