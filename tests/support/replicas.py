"""Several processes of `podrun serve` that share everything, as the replicas of one installation do."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tests.support.cluster import Json, apply, fresh_namespace, kubectl
from tests.support.service import ServiceProcess

FREEZE_SECONDS = 10.0
#: What podrun may do in a namespace where it runs pods; see deploy/.
_RULES: list[Json] = [
    {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch", "create", "delete"]},
    {"apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"]},
    {"apiGroups": [""], "resources": ["events"], "verbs": ["list", "watch"]},
]


class Replica(ServiceProcess):
    """One of several. `user` is its own name for the API server, so that the audit log tells who did what."""

    user = ""

    @property
    def is_frozen(self) -> bool:
        """Whether its process is stopped, by itself or by `freeze`."""
        return Path(f"/proc/{self.pid}/stat").read_text().rpartition(") ")[2][0] == "T"

    def freeze(self) -> None:
        """Stop the process where it is, as `kill -STOP` does: it does nothing more, and its connections live."""
        os.kill(self.pid, signal.SIGSTOP)
        deadline = time.monotonic() + FREEZE_SECONDS
        while not self.is_frozen:
            assert time.monotonic() < deadline, "the process does not stop"
            time.sleep(0.001)

    def thaw(self) -> None:
        """Let it go on as if nothing had happened."""
        os.kill(self.pid, signal.SIGCONT)

    def close(self) -> None:
        """See ServiceProcess; a frozen one goes on first."""
        if self.is_running:
            self.thaw()
        super().close()


@contextmanager
def replicas(
    folder: Path, database_url: str, count: int = 2, *, pods: str = "local", settings: Sequence[dict[str, str]] = ()
) -> Iterator[Sequence[Replica]]:
    """So many services on one PostgreSQL, with one log store, one folder of local pods or one namespace. All of them run.

    `settings` are further ones of each, as ServiceProcess has them.
    """
    with made_replicas(folder, [database_url] * count, pods=pods, settings=settings) as made:
        for one in made:
            one.start(wait=False)
        for one in made:
            one.wait_ready()
        yield made
    for one in made:
        assert not one.faults(), f"a replica wrote of faults:\n{one.text()}"


@contextmanager
def made_replicas(
    folder: Path, database_urls: Sequence[str], *, pods: str = "local", settings: Sequence[dict[str, str]] = ()
) -> Iterator[Sequence[Replica]]:
    """As many services as there are URLs, all of one database. None of them runs yet; those that do are ended."""
    upgrade(database_urls[0])
    shared = {"LOGS_URL": str(folder / "logs"), "LOCAL_PODS_DIR": str(folder / "pods")}
    with ExitStack() as stack:
        namespaces = [stack.enter_context(fresh_namespace())] if pods == "kubernetes" else []
        made = []
        for number, url in enumerate(database_urls):
            own, user = folder / f"replica-{number}", f"replica-{number}"
            given: dict[str, Any] = {"database_url": url, "namespaces": namespaces}
            if namespaces:
                own.mkdir(parents=True, exist_ok=True)
                given["kubeconfig"] = _make_user(namespaces[0], user, own / "kubeconfig")
            one = Replica(own, pods, settings=shared | dict(settings[number] if settings else {}), **given)
            if namespaces:
                one.user = f"system:serviceaccount:{namespaces[0]}:{user}"
            stack.callback(one.close)
            made.append(one)
        yield made


def upgrade(database_url: str) -> None:
    """Give a PostgreSQL database its tables."""
    environment = os.environ | {"PODRUN_DATABASE_URL": database_url}
    subprocess.run([sys.executable, "-m", "podrun.cli", "db", "upgrade"], check=True, env=environment, timeout=60)


def _make_user(namespace: str, name: str, kubeconfig: Path) -> Path:
    """A service account that may do in the namespace what podrun needs, and a kubeconfig by which it does it."""
    kubectl("create", "serviceaccount", name, "-n", namespace)
    group = "rbac.authorization.k8s.io"
    apply(namespace, apiVersion=f"{group}/v1", kind="Role", metadata={"name": name}, rules=_RULES)
    apply(
        namespace, apiVersion=f"{group}/v1", kind="RoleBinding", metadata={"name": name},
        roleRef={"apiGroup": group, "kind": "Role", "name": name},
        subjects=[{"kind": "ServiceAccount", "name": name, "namespace": namespace}],
    )  # fmt: skip
    token = kubectl("create", "token", name, "-n", namespace, "--duration=2h").strip()
    config: Json = json.loads(kubectl("config", "view", "--raw", "--minify", "--flatten", "-o", "json"))
    config["users"] = [{"name": name, "user": {"token": token}}]
    config["contexts"][0]["context"]["user"] = name
    kubeconfig.write_text(json.dumps(config))
    kubeconfig.chmod(0o600)
    return kubeconfig
