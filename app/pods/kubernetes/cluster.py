"""Which cluster, and as whom: from the pod's service account, or from a kubeconfig through kubernetes_asyncio's loaders.

The loaders know client certificates, tokens and token files, exec plug-ins and OIDC. What is read here is held by one
`Cluster`, whose credentials are asked for their header at each request, because all of these expire.
"""

from __future__ import annotations

import asyncio
import os
import ssl
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from kubernetes_asyncio.client import Configuration
from kubernetes_asyncio.config import ConfigException, load_incluster_config, load_kube_config

from app.domain.errors import ClusterConfigInvalid

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")

#: How often credentials that say when they expire are looked at, in seconds. The loaders renew them five minutes early.
LOOK_SECONDS = 60.0
#: The shortest time between two renewals that a 401 asks for: a plug-in that gives bad tokens is not run per request.
RENEW_SECONDS = 5.0
#: How long a renewal may take: an exec plug-in may speak to a cloud.
RENEW_TIMEOUT_SECONDS = 30.0


class Credentials(Protocol):
    """Who we are. Errors of both methods are whatever the loaders raise."""

    async def header(self) -> str | None:
        """The value of the `Authorization` header for a request that is sent now, None where there is none."""

    async def renew(self, rejected: str | None) -> None:
        """The API server answered 401 to this header: get another, unless somebody else has by now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """An API server and how to speak to it."""

    server: str  #: its URL, without a slash at the end
    namespace: str  #: the kubeconfig's, or the pod's own
    credentials: Credentials
    ssl: ssl.SSLContext | None = None  #: None: plain HTTP, or aiohttp's default
    server_hostname: str | None = None  #: what its certificate is for, where that is not the URL's host
    proxy: str | None = None


class NoCredentials:
    """For an API server that asks for none, or only for a client certificate."""

    async def header(self) -> str | None:
        """None."""
        return None

    async def renew(self, rejected: str | None) -> None:
        """Nothing to do."""


class _LoadedCredentials:
    """Credentials as kubernetes_asyncio loads them. One renewal runs at a time; the others wait for it."""

    def __init__(self, kubeconfig: str | None) -> None:
        self._kubeconfig = kubeconfig  #: None: in the cluster
        self.configuration: Any = Configuration()
        self.loader: Any = None
        self._lock = asyncio.Lock()
        self._looked_at = time.monotonic()
        self._renewed_at = float("-inf")
        self._ssl: ssl.SSLContext | None = None
        self._certificate: tuple[str | None, str | None] = (None, None)

    async def load(self) -> None:
        """Read everything anew: files, and what plug-ins say."""
        async with asyncio.timeout(RENEW_TIMEOUT_SECONDS):
            if self._kubeconfig is None:
                load_incluster_config(client_configuration=self.configuration)  # type: ignore[no-untyped-call]  # untyped package
            else:
                self.loader = await load_kube_config(config_file=self._kubeconfig, client_configuration=self.configuration)
        self._looked_at = time.monotonic()
        self._refresh_certificate()

    async def header(self) -> str | None:
        """The header, looked at once a minute where it may expire."""
        if self.loader is not None and time.monotonic() - self._looked_at > LOOK_SECONDS and self._expires():
            async with self._lock:
                if time.monotonic() - self._looked_at > LOOK_SECONDS:
                    self._looked_at = time.monotonic()
                    async with asyncio.timeout(RENEW_TIMEOUT_SECONDS):
                        await self.loader.load_and_set(self.configuration)
                    self._refresh_certificate()
        # In the cluster this reads the token's file again once a minute.
        token = await self.configuration.get_api_key_with_prefix("BearerToken")
        return token.strip() if token else None

    async def renew(self, rejected: str | None) -> None:
        """Load again, at most once in five seconds."""
        async with self._lock:
            if time.monotonic() - self._renewed_at < RENEW_SECONDS:
                return
            current = self.configuration.api_key.get("BearerToken")
            if current and rejected and current.strip() != rejected:
                return
            self._renewed_at = time.monotonic()
            await self.load()

    def make_ssl(self) -> ssl.SSLContext | None:
        """The TLS context for the cluster; renewals put new client certificates into it."""
        configuration = self.configuration
        if not configuration.host.startswith("https"):
            return None
        context = ssl.create_default_context(cafile=configuration.ssl_ca_cert)
        # Many clusters' authorities lack the extensions that Python 3.13 asks for by default; Go's client doesn't ask either.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        if not configuration.verify_ssl:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        self._ssl = context
        self._refresh_certificate()
        return context

    def _expires(self) -> bool:
        # An exec plug-in that names no expiry is asked again on a 401 only, as Go's client does.
        return bool(self.loader.provider) or hasattr(self.loader, "exec_plugin_expiry")

    def _refresh_certificate(self) -> None:
        pair = (self.configuration.cert_file, self.configuration.key_file)
        if self._ssl is not None and pair[0] and pair != self._certificate:
            self._ssl.load_cert_chain(pair[0], keyfile=pair[1])
            self._certificate = pair


async def load_cluster() -> Cluster:
    """Find the cluster: `KUBECONFIG`, else the service account of the pod that we are in, else ~/.kube/config.

    Raises:
        ClusterConfigInvalid: none of them is there, or it can't be used.
    """
    kubeconfig = _find_kubeconfig()
    credentials = _LoadedCredentials(kubeconfig)
    try:
        await credentials.load()
        configuration = credentials.configuration
        return Cluster(
            server=configuration.host.rstrip("/"),
            namespace=_default_namespace(credentials.loader),
            credentials=credentials,
            ssl=credentials.make_ssl(),
            server_hostname=configuration.tls_server_name,
            proxy=configuration.proxy or _proxy_of_environment(configuration.host),
        )
    except Exception as exc:
        # For a file that is not as it should be the loaders raise whatever they stumble over; the text of what is not theirs
        # (a YAML error's, say) may quote the file.
        detail = str(exc)[:300] if isinstance(exc, ConfigException | OSError) else ""
        where = f"kubeconfig {kubeconfig}" if kubeconfig else "service account of this pod"
        raise ClusterConfigInvalid(f"the {where} can't be used: {detail or type(exc).__name__}") from exc


def _find_kubeconfig() -> str | None:
    """The kubeconfig to use (several, with colons between them, are merged); None: the pod's service account."""
    named = os.environ.get("KUBECONFIG")
    if named or os.environ.get("KUBERNETES_SERVICE_HOST"):
        return named or None
    return str(Path("~/.kube/config").expanduser())


def _default_namespace(loader: Any) -> str:
    if loader is not None:
        context = (loader.current_context or {}).get("context") or {}
        return str(context.get("namespace") or "default")
    try:
        return (SERVICE_ACCOUNT / "namespace").read_text("utf-8").strip() or "default"
    except OSError:
        return "default"


def _proxy_of_environment(server: str) -> str | None:
    """The proxy that HTTPS_PROXY, HTTP_PROXY and NO_PROXY name for that server. Asked once: aiohttp would ask per request."""
    parts = urlsplit(server)
    host = parts.netloc.rpartition("@")[2]
    if urllib.request.proxy_bypass_environment(host):  # type: ignore[attr-defined]  # not in typeshed
        return None
    return urllib.request.getproxies_environment().get(parts.scheme)
