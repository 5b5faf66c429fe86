"""The service's settings: `PODRUN_*` in the environment, or flags of `podrun serve`. One place, read once, never global.

Every setting is documented in docs/generated/settings.md, which is made from the descriptions here.
"""

from __future__ import annotations

import os
import re
from enum import StrEnum
from typing import Annotated, Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

_NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
#: Source: https://www.rfc-editor.org/rfc/rfc6750#section-2.1
_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]+")
#: Variables of the command line, and of the tests.
_OTHER_VARIABLES = {"PODRUN_SERVER", "PODRUN_PATIENCE_SECONDS", "PODRUN_TEST_REQUIRE_ALL"}
LOOPBACK_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})


class PodsKind(StrEnum):
    """Where pods run."""

    AUTO = "auto"  #: kubernetes inside a cluster or where KUBECONFIG is set, else local on a loopback host
    KUBERNETES = "kubernetes"  #: in-cluster, or kubeconfig
    LOCAL = "local"  #: processes of this machine


class Settings(BaseSettings):
    """All settings of the service."""

    model_config = SettingsConfigDict(env_prefix="PODRUN_", extra="ignore", frozen=True)

    # storage
    database_url: str = Field(
        "sqlite+aiosqlite:///podrun.db",
        description="SQLite (`sqlite+aiosqlite:///FILE`) or PostgreSQL (`postgresql+asyncpg://USER:PASSWORD@HOST/NAME`). "
        "`serve` migrates SQLite by itself, PostgreSQL by `podrun db upgrade`.",
    )
    # logs
    logs_url: str = Field(
        "podrun-logs", description="Where logs are kept: a folder (made if missing), or `file://`, `s3://`, `gs://`, `az://`."
    )
    # pods
    pods: PodsKind = Field(
        PodsKind.AUTO,
        description="`kubernetes` (in-cluster, or kubeconfig), `local` (processes of this machine), or `auto`: kubernetes "
        "inside a cluster or where `KUBECONFIG` is set, else local on a loopback host.",
    )
    namespaces: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Where pods may run, comma-separated; the first is the default. Empty: the kubeconfig's namespace, in a "
        "cluster the pod's own.",
    )
    local_pods_dir: str = Field("podrun-pods", description="With local pods: the folder for their files (made if missing).")
    max_parallel_pods: int = Field(500, ge=1, le=100_000, description="Pods of the whole service at one time.")
    pod_create_qps: float = Field(200, gt=0, description="Pods created per second, on average.")
    pod_create_burst: int = Field(400, ge=1, description="Pods created at once before `pod_create_qps` holds them back.")
    # api
    host: str = Field("127.0.0.1", description="The address to listen on. Any but loopback is refused while there is no token.")
    port: int = Field(8080, ge=0, le=65535, description="The port to listen on; 0 takes a free one.")
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        ("localhost", "127.0.0.1", "[::1]"),
        description="Comma-separated names by which the service may be called; any other `Host` is refused with 421.",
    )
    token: SecretStr | None = Field(
        None, description="The bearer token for everything but /healthz, /readyz and the page's own files. None: no token."
    )

    @field_validator("namespaces", "allowed_hosts", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("token", mode="after")
    @classmethod
    def _empty_is_none(cls, value: SecretStr | None) -> SecretStr | None:
        return value if value and value.get_secret_value() else None

    @field_validator("namespaces", mode="after")
    @classmethod
    def _are_names(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if not _NAMESPACE.fullmatch(name):
                raise ValueError(f"{name!r} is no namespace: lower-case letters, digits and hyphens, at most 63 characters")
        return value

    @field_validator("token", mode="after")
    @classmethod
    def _is_sendable(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not _TOKEN.fullmatch(value.get_secret_value()):
            raise ValueError("a token is sent in a header: letters, digits and -._~+/= only, no spaces")
        return value

    @model_validator(mode="after")
    def _closed_without_token(self) -> Self:
        if self.token is None and self.host not in LOOPBACK_HOSTS:
            raise ValueError(
                f"host {self.host!r} can be reached from elsewhere, and there is no token: set PODRUN_TOKEN, "
                "or listen on 127.0.0.1"
            )
        return self

    @classmethod
    def unknown_variables(cls) -> list[str]:
        """Variables of the environment that look like settings and are none: most likely misspelt."""
        known = {f"PODRUN_{name.upper()}" for name in cls.model_fields} | _OTHER_VARIABLES
        return sorted(name for name in os.environ if name.startswith("PODRUN_") and name not in known)

    @property
    def is_sqlite(self) -> bool:
        """Whether the database is SQLite, and so this process its only service."""
        return self.database_url.startswith("sqlite")

    def pods_kind(self) -> PodsKind:
        """The backend to use, `auto` resolved.

        Raises:
            ValueError: `auto` finds no cluster, and local pods would be offered to other machines.
        """
        if self.pods is not PodsKind.AUTO:
            return self.pods
        if os.environ.get("KUBERNETES_SERVICE_HOST") or os.environ.get("KUBECONFIG"):
            return PodsKind.KUBERNETES
        if self.host in LOOPBACK_HOSTS:
            return PodsKind.LOCAL
        raise ValueError(
            "no cluster was found (neither inside one, nor KUBECONFIG), and local pods are only chosen by themselves on a "
            "loopback host: set PODRUN_PODS to kubernetes or local"
        )
