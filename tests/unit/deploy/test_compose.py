"""docker-compose.yml, read with a parser: no container engine is needed."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
TEXT = (ROOT / "docker-compose.yml").read_text()


@pytest.fixture
def services() -> dict[str, Any]:
    return yaml.safe_load(TEXT)["services"]


def test_compose__services__are_database_migration_and_podrun(services: dict[str, Any]) -> None:
    assert set(services) == {"database", "migrate", "podrun"}
    assert services["database"]["image"] == "postgres:17"
    assert services["migrate"]["command"] == ["db", "upgrade"]
    assert services["podrun"]["command"] == ["serve"]


def test_compose__order__is_database_then_migration_then_service(services: dict[str, Any]) -> None:
    assert services["migrate"]["depends_on"] == {"database": {"condition": "service_healthy"}}
    assert services["podrun"]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}
    assert services["migrate"]["restart"] == "no"
    assert "healthcheck" in services["database"]
    assert "/readyz" in services["podrun"]["healthcheck"]["test"][-1]


def test_compose__secrets__are_required_and_have_no_default() -> None:
    for variable in ("PODRUN_TOKEN", "POSTGRES_PASSWORD", "KUBECONFIG"):
        assert re.search(rf"\$\{{{variable}:\?", TEXT), variable
        assert not re.search(rf"\$\{{{variable}:?-", TEXT), variable


def test_compose__service__runs_pods_on_kubernetes_with_the_kubeconfig_read_only(services: dict[str, Any]) -> None:
    environment = services["podrun"]["environment"]
    assert environment["PODRUN_PODS"] == "kubernetes"
    target = f":{environment['KUBECONFIG']}:ro"
    assert any(volume.endswith(target) for volume in services["podrun"]["volumes"])


def test_compose__logs__are_on_a_named_volume(services: dict[str, Any]) -> None:
    declared = yaml.safe_load(TEXT)["volumes"]
    assert "logs:/data" in services["podrun"]["volumes"]
    assert services["podrun"]["environment"]["PODRUN_LOGS_URL"].startswith("/data/")
    assert {"logs", "database"} <= set(declared)


def test_compose__migration_and_service__use_one_database(services: dict[str, Any]) -> None:
    urls = {services[name]["environment"]["PODRUN_DATABASE_URL"] for name in ("migrate", "podrun")}
    assert len(urls) == 1
    assert urls.pop().endswith("@database/podrun")


def test_compose__service__is_published_on_loopback_only(services: dict[str, Any]) -> None:
    assert services["podrun"]["ports"] == ["127.0.0.1:8080:8080"]
    assert "ports" not in services["database"]


@pytest.mark.parametrize("name", ["migrate", "podrun"])
def test_compose__podrun_containers__are_unprivileged(services: dict[str, Any], name: str) -> None:
    service = services[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["user"].startswith("${PODRUN_USER:-10001")


def test_compose__settings__are_known(services: dict[str, Any]) -> None:
    from app.settings import Settings

    known = {f"PODRUN_{name.upper()}" for name in Settings.model_fields}
    used = {name for service in services.values() for name in service["environment"] if name.startswith("PODRUN_")}
    assert used <= known
