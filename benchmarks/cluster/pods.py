"""The cluster's pods as a bare client has them: a session, the pod that is made, a watch. Nothing of podrun is in it."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Callable
from typing import Any

import aiohttp
from kubernetes_asyncio import client, config

Json = dict[str, Any]
LABEL = "podrun-benchmark"
GRACE_SECONDS = 1
_READ_BYTES = 2**20


async def open_session() -> tuple[str, aiohttp.ClientSession]:
    """The API server of `KUBECONFIG` and a session that speaks to it; the caller closes it.

    Raises:
        ValueError: the kubeconfig has no client certificate.
    """
    found = client.Configuration()
    await config.load_kube_config(client_configuration=found)
    if not found.cert_file:
        raise ValueError("the benchmarks need a kubeconfig with a client certificate")
    context = ssl.create_default_context(cafile=found.ssl_ca_cert)
    context.load_cert_chain(found.cert_file, found.key_file)
    return str(found.host), aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context, limit=0))


def pods_url(server: str, namespace: str) -> str:
    """Where the namespace's pods are."""
    return f"{server}/api/v1/namespaces/{namespace}/pods"


def pod_keys(*, on_fake_node: bool) -> Json:
    """What a task of podrun says for the pod that `manifest` makes."""
    pod: Json = {"terminationGracePeriodSeconds": GRACE_SECONDS}
    keys: Json = {"image": "busybox:1", "command": ["true"], "pod": pod}
    if on_fake_node:
        keys |= {"node_selector": {"type": "fake"}, "tolerations": [{"operator": "Exists"}]}
    return keys


def manifest(name: str, label: str, *, on_fake_node: bool) -> Json:
    """A pod that ends at once."""
    spec: Json = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        "containers": [{"name": "main", "image": "busybox:1", "command": ["true"]}],
    }
    if on_fake_node:
        spec |= {"nodeSelector": {"type": "fake"}, "tolerations": [{"operator": "Exists"}]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {LABEL: label}}, "spec": spec}


def has_ended(pod: Json) -> bool:
    """Whether all its containers have, which a real node tells about a second before the phase says so."""
    status = pod.get("status", {})
    if status.get("phase") in ("Succeeded", "Failed"):
        return True
    containers = status.get("containerStatuses") or ()
    return bool(containers) and all("terminated" in one.get("state", {}) for one in containers)


async def watch_pods(
    http: aiohttp.ClientSession, url: str, selector: str, saw: Callable[[Json, bool], object], ready: asyncio.Event
) -> None:
    """Call `saw(pod, is_gone)` for each pod and each change of one, for ever; `ready` once the first list was read.

    The API server closes a watch now and then: the pods are listed again, and those that are no longer there are gone.
    """
    there: dict[str, Json] = {}
    while True:
        async with http.get(url, params={"labelSelector": selector}) as answer:
            answer.raise_for_status()
            listed = await answer.json()
        now = {pod["metadata"]["uid"]: pod for pod in listed["items"]}
        for uid in there.keys() - now.keys():
            saw(there[uid], True)
        for pod in now.values():
            saw(pod, False)
        there = now
        ready.set()
        async for event in _events(http, url, selector, listed["metadata"]["resourceVersion"]):
            pod, is_gone = event["object"], event["type"] == "DELETED"
            if is_gone:
                there.pop(pod["metadata"]["uid"], None)
            else:
                there[pod["metadata"]["uid"]] = pod
            saw(pod, is_gone)


async def _events(http: aiohttp.ClientSession, url: str, selector: str, version: str) -> Any:
    params = {"watch": "1", "labelSelector": selector, "resourceVersion": version}
    forever = aiohttp.ClientTimeout(total=None)
    async with http.get(url, params=params, timeout=forever, read_bufsize=_READ_BYTES) as answer:
        rest = b""
        async for chunk in answer.content.iter_any():
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                event = json.loads(line)
                if event["type"] == "ERROR":
                    return
                yield event
