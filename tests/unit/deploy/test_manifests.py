"""The manifests under deploy/, the Dockerfile, and what they must agree on."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.settings import Settings

ROOT = Path(__file__).resolve().parents[3]
BASE = ROOT / "deploy" / "base"
OVERLAY = ROOT / "deploy" / "overlays" / "postgres"
#: All that podrun may do. Whoever adds to it must be able to say what for.
ALLOWED = {
    ("", "pods"): {"create", "get", "list", "watch", "delete"},
    ("", "pods/log"): {"get"},
    ("", "events"): {"get", "list", "watch"},
}


def documents(folder: Path) -> list[dict[str, Any]]:
    paths = sorted(folder.glob("*.yaml"))
    return [document for path in paths for document in yaml.safe_load_all(path.read_text()) if document]


def of_kind(kind: str, folder: Path = BASE) -> dict[str, Any]:
    return next(document for document in documents(folder) if document["kind"] == kind)


@pytest.fixture
def pod() -> dict[str, Any]:
    return of_kind("Deployment")["spec"]["template"]["spec"]


def test_role__rules__are_exactly_what_is_needed() -> None:
    rules = of_kind("Role")["rules"]
    assert all(set(rule) == {"apiGroups", "resources", "verbs"} for rule in rules)
    found = {
        (group, resource): set(rule["verbs"]) for rule in rules for group in rule["apiGroups"] for resource in rule["resources"]
    }
    assert found == ALLOWED


@pytest.mark.parametrize("folder", [BASE, OVERLAY])
def test_manifests__permissions__are_namespaced(folder: Path) -> None:
    assert not [document["kind"] for document in documents(folder) if document["kind"].startswith("Cluster")]


def test_base__deployment__never_has_two_pods_on_one_sqlite_file() -> None:
    deployment = of_kind("Deployment")["spec"]
    assert deployment["replicas"] == 1
    assert deployment["strategy"] == {"type": "Recreate"}


def test_base__pod__is_restricted(pod: dict[str, Any]) -> None:
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in pod["containers"]:
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert {"requests", "limits"} <= set(container["resources"])


def test_base__pod__is_not_told_of_services_in_variables(pod: dict[str, Any]) -> None:
    """A Service named podrun would set PODRUN_PORT."""
    assert pod["enableServiceLinks"] is False


def test_base__probes__ask_what_needs_no_token(pod: dict[str, Any]) -> None:
    container = pod["containers"][0]
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"
    startup = container["startupProbe"]
    # A start waits up to 60 s for the last owner of the SQLite file.
    assert startup["periodSeconds"] * startup["failureThreshold"] > 60


def test_base__token__comes_from_a_secret(pod: dict[str, Any]) -> None:
    variables = {variable["name"]: variable for variable in pod["containers"][0]["env"]}
    assert variables["PODRUN_TOKEN"]["valueFrom"]["secretKeyRef"] == {"name": "podrun", "key": "token"}
    assert not [document for document in documents(BASE) + documents(OVERLAY) if document["kind"] == "Secret"]


@pytest.mark.parametrize("folder", [BASE, OVERLAY])
def test_manifests__settings__are_known(folder: Path) -> None:
    known = {f"PODRUN_{name.upper()}" for name in Settings.model_fields}
    spec = of_kind("Deployment", folder)["spec"]["template"]["spec"]
    containers = [*spec["containers"], *spec.get("initContainers", [])]
    used = {
        variable["name"]
        for container in containers
        for variable in container.get("env", [])
        if variable["name"].startswith("PODRUN_")
    }
    assert used <= known


def test_overlay__replicas__are_migrated_before_they_start() -> None:
    deployment = of_kind("Deployment", OVERLAY)["spec"]
    assert deployment["replicas"] == 2
    assert deployment["strategy"]["type"] == "RollingUpdate"
    assert deployment["template"]["spec"]["initContainers"][0]["args"] == ["db", "upgrade"]


def test_manifests__image__is_this_version() -> None:
    version = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version
    for path in [*BASE.glob("*.yaml"), *OVERLAY.glob("*.yaml"), ROOT / "docker-compose.yml"]:
        for image in re.findall(r"image: (podrun.*)", path.read_text()):
            assert image == f"podrun:{version[1]}", path


def test_dockerfile__final_stage__has_a_numeric_user_and_builds_nothing() -> None:
    text = (ROOT / "Dockerfile").read_text()
    assert re.search(r"^ARG BASE=", text, re.MULTILINE)
    final = text.split("\nFROM ")[-1]
    assert re.search(r"^USER [1-9]\d*:0$", final, re.MULTILINE)
    assert not re.search(r"\b(pip|apt-get|gcc|make)\b", final)
    for line in re.findall(r"pip.* install .*", text.replace("\\\n", " ")):
        assert "--require-hashes" in line or "--no-index" in line, line


def test_lock_files__lines__name_no_index() -> None:
    for path in (ROOT / "requirements").glob("*.txt"):
        assert not re.search(r"^--|https?://", path.read_text(), re.MULTILINE), path
