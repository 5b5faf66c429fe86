"""The real cluster, as tests of the whole service use it: namespaces, pods as they are, and what was really done."""

from __future__ import annotations

import json
import secrets
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any

from tests.support.audit import audit_folder, read_audit

Json = dict[str, Any]
KUBECTL_SECONDS = 90


def kubectl(*arguments: str, check: bool = True, input_text: str | None = None) -> str:
    """What kubectl printed. Fails with its own words when it fails and `check` is on."""
    done = subprocess.run(
        ["kubectl", *arguments], check=False, input=input_text, capture_output=True, text=True, timeout=KUBECTL_SECONDS
    )
    assert done.returncode == 0 or not check, f"kubectl {' '.join(arguments)}: {done.stderr}"
    return done.stdout


@contextmanager
def fresh_namespace() -> Iterator[str]:
    """A namespace, deleted after the block (nobody waits for that)."""
    name = f"podrun-test-{secrets.token_hex(5)}"
    kubectl("create", "namespace", name)
    deadline = time.monotonic() + 30
    # Without it the API server refuses every pod.
    while not kubectl("get", "serviceaccount", "default", "-n", name, "-o", "name", check=False):
        assert time.monotonic() < deadline, "the namespace got no service account within 30 s"
        time.sleep(0.05)
    try:
        yield name
    finally:
        kubectl("delete", "namespace", name, "--wait=false")


def apply(namespace: str, **manifest: Any) -> None:
    """Create the object in the namespace."""
    kubectl("apply", "-n", namespace, "-f", "-", input_text=json.dumps(manifest))


def list_pods(namespace: str) -> list[Json]:
    """The pods that are there, those under deletion too."""
    items: list[Json] = json.loads(kubectl("get", "pods", "-n", namespace, "-o", "json"))["items"]
    return items


def wait_no_pods(namespace: str, seconds: float = 60, run_id: str | None = None) -> None:
    """Wait until no pod is there: the service asked for their deletion, the kubelet takes its time."""
    selector = ("-l", f"podrun.dev/run={run_id}") if run_id else ()
    deadline = time.monotonic() + seconds
    while left := kubectl("get", "pods", "-n", namespace, "-o", "name", *selector):
        assert time.monotonic() < deadline, f"pods left in {namespace}: {left.split()}"
        time.sleep(0.2)


def creations(kubeconfig: Path, namespace: str) -> Counter[str]:
    """How often a pod of each name was made in the namespace, out of the API server's audit log.

    A creation whose client was killed is answered 504, and may have made its pod all the same: what was made is bound to a
    node, once, so bindings count as well.
    """
    counts: dict[str, Counter[str]] = {"": Counter(), "binding": Counter()}
    for entry in read_audit(audit_folder(kubeconfig), [namespace], frozenset({"create"})):
        if entry.resource == "pods" and entry.subresource in counts and entry.code == HTTPStatus.CREATED:
            counts[entry.subresource][entry.name] += 1
    return counts[""] | counts["binding"]  # the larger one of each
