"""Pods on a Kubernetes cluster: the only room that knows its API.

`backend.KubernetesBackend` implements `pods.port.PodBackend`. Nothing else in here is for other rooms.
"""

from __future__ import annotations

from app.pods.kubernetes.backend import KubernetesBackend

__all__ = ["KubernetesBackend"]
