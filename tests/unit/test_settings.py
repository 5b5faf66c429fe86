from __future__ import annotations

import pytest
from pydantic import ValidationError

from app.settings import PodsKind, Settings


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST", "PODRUN_TOKEN", "PODRUN_HOST", "PODRUN_DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)


def test_settings__nothing_given__sqlite_and_loopback() -> None:
    settings = Settings()
    assert settings.is_sqlite
    assert (settings.host, settings.port, settings.token) == ("127.0.0.1", 8080, None)


def test_settings__from_the_environment__lists_are_split(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PODRUN_NAMESPACES", "a, b")
    monkeypatch.setenv("PODRUN_ALLOWED_HOSTS", "podrun.example,[::1]")
    settings = Settings()
    assert settings.namespaces == ("a", "b")
    assert settings.allowed_hosts == ("podrun.example", "[::1]")


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::"])
def test_settings__host_that_others_reach__refused_without_token(host: str) -> None:
    with pytest.raises(ValidationError, match="PODRUN_TOKEN"):
        Settings(host=host)
    with pytest.raises(ValidationError, match="PODRUN_TOKEN"):
        Settings(host=host, token="")
    assert Settings(host=host, token="secret").host == host


@pytest.mark.parametrize(
    "given",
    [
        {"namespaces": "A B"},
        {"namespaces": "-a"},
        {"token": "a b"},
        {"port": 70_000},
        {"max_parallel_pods": 0},
        {"pods": "docker"},
    ],
)
def test_settings__wrong_value__refused(given: dict) -> None:
    with pytest.raises(ValidationError):
        Settings(**given)


def test_settings__token__is_not_printed() -> None:
    assert "hidden-token" not in repr(Settings(token="hidden-token"))


@pytest.mark.parametrize("variable", ["KUBECONFIG", "KUBERNETES_SERVICE_HOST"])
def test_pods_kind__auto_with_a_cluster__kubernetes(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv(variable, "x")
    assert Settings().pods_kind() is PodsKind.KUBERNETES


def test_pods_kind__auto_without_a_cluster__local_on_loopback_only() -> None:
    assert Settings().pods_kind() is PodsKind.LOCAL
    with pytest.raises(ValueError, match="PODRUN_PODS"):
        Settings(host="0.0.0.0", token="t").pods_kind()


def test_unknown_variables__misspelt__named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PODRUN_PROT", "1")
    assert "PODRUN_PROT" in Settings.unknown_variables()
    assert "PODRUN_PORT" not in Settings.unknown_variables()
