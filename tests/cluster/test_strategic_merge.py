"""Our strategic merge against the API server's own: the same patches of the same PodSpec."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest

from app.domain.kubernetes.strategic_merge import strategic_merge
from app.pods.kubernetes.cluster import Cluster, load_cluster

pytestmark = pytest.mark.cluster

Json = dict[str, Any]


def containers(*names: str, **keys: Any) -> list[Json]:
    return [{"name": name, "image": "busybox:1", **keys} for name in names]


BASE: Json = {
    "containers": [
        {
            "name": "main",
            "image": "busybox:1",
            "command": ["a"],
            "args": ["b"],
            "env": [{"name": name, "value": name.lower()} for name in "ABC"],
            "ports": [{"containerPort": 80}, {"containerPort": 81}],
            "volumeMounts": [{"name": "one", "mountPath": "/one"}, {"name": "two", "mountPath": "/two"}],
            "resources": {"requests": {"cpu": "1", "memory": "1Gi"}},
            "securityContext": {"capabilities": {"add": ["CHOWN"]}, "runAsUser": 1},
        },
        *containers("other"),
    ],
    "initContainers": containers("first", "second", "third"),
    "volumes": [{"name": "one", "emptyDir": {"medium": "Memory"}}, {"name": "two", "hostPath": {"path": "/two"}}],
    "nodeSelector": {"a": "1", "b": "2"},
    "tolerations": [{"key": "a", "operator": "Exists"}],
    "hostAliases": [{"ip": "10.0.0.1", "hostnames": ["a"]}],
    "imagePullSecrets": [{"name": "a"}, {"name": "b"}],
    "securityContext": {"runAsUser": 5, "fsGroup": 6},
    "topologySpreadConstraints": [
        {"maxSkew": 1, "topologyKey": key, "whenUnsatisfiable": "ScheduleAnyway"} for key in ("zone", "node")
    ],
    "hostname": "h",
}

PATCHES: dict[str, Json] = {
    "nothing": {},
    "a text, and one taken away": {"hostname": None, "subdomain": "s"},
    "objects": {"nodeSelector": {"b": None, "c": "3"}, "securityContext": {"runAsUser": 7}},
    "an object replaced": {"nodeSelector": {"$patch": "replace", "c": "3"}},
    "an object emptied": {"securityContext": {"$patch": "delete"}},
    "a key of a container": {"containers": [{"name": "main", "image": "busybox:2", "args": None}]},
    "a list without merge key": {"containers": [{"name": "main", "command": ["x", "y"]}], "tolerations": []},
    "new items come first": {"initContainers": containers("new"), "containers": containers("newer")},
    "items in another order": {"initContainers": containers("third", "new", "first")},
    "the last, and a new one": {"initContainers": [*containers("third"), *containers("new")]},
    "an item taken away": {"initContainers": [{"name": "second", "$patch": "delete"}]},
    "a list replaced": {"initContainers": [{"$patch": "replace"}, *containers("new")]},
    "a list taken away": {"initContainers": None},
    "inner lists": {
        "containers": [
            {
                "name": "main",
                "env": [{"name": "B", "value": "x"}, {"name": "D", "value": "$(A)"}],
                "ports": [{"containerPort": 81, "name": "http"}, {"containerPort": 82}],
                "volumeMounts": [{"mountPath": "/two", "readOnly": True}, {"name": "one", "mountPath": "/three"}],
                "resources": {"limits": {"cpu": "2"}, "requests": {"memory": None}},
                "securityContext": {"capabilities": {"add": ["SYS_TIME"]}, "runAsUser": None},
            }
        ]
    },
    "an order that is asked for": {
        "$setElementOrder/initContainers": [{"name": "third"}, {"name": "first"}, {"name": "second"}]
    },
    "an order, and items": {
        "$setElementOrder/initContainers": [{"name": "new"}, {"name": "third"}, {"name": "second"}],
        "initContainers": containers("new"),
    },
    "an order of env": {
        "containers": [
            {
                "name": "main",
                "$setElementOrder/env": [{"name": "C"}, {"name": "D"}, {"name": "A"}],
                "env": [{"name": "D", "value": "d"}, {"name": "A", "value": "x"}],
            }
        ]
    },
    "another source": {"volumes": [{"name": "two", "$retainKeys": ["name", "emptyDir"], "emptyDir": {}}]},
    "part of a source": {"volumes": [{"name": "one", "emptyDir": {"sizeLimit": "1Gi"}}, {"name": "three", "emptyDir": {}}]},
    "lists of single texts": {"imagePullSecrets": [{"name": "c"}, {"name": "a", "$patch": "delete"}]},
    "an alias of another host": {
        "hostAliases": [{"ip": "10.0.0.1", "hostnames": ["b"]}, {"ip": "10.0.0.2", "hostnames": ["c"]}]
    },
    "a constraint": {"topologySpreadConstraints": [{"topologyKey": "node", "maxSkew": 5}]},
    "retained keys of a container": {
        "containers": [{"name": "other", "$retainKeys": ["name", "image", "stdin"], "stdin": True, "image": "busybox:3"}]
    },
}


def deployment(name: str, spec: Json) -> Json:
    labels = {"app": "merge"}
    template = {"metadata": {"labels": labels}, "spec": spec}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {"replicas": 0, "selector": {"matchLabels": labels}, "template": template},
    }


class Deployments:
    """The namespace's deployments, of whose template this tells the PodSpec. Nothing but `create` changes anything."""

    def __init__(self, session: aiohttp.ClientSession, cluster: Cluster, namespace: str) -> None:
        self._session = session
        self._url = f"{cluster.server}/apis/apps/v1/namespaces/{namespace}/deployments"

    async def create(self, name: str, spec: Json, **params: str) -> Json:
        return await self._spec_of("POST", self._url, params, "application/json", deployment(name, spec))

    async def patch(self, patch: Json) -> Json:
        body = {"spec": {"template": {"spec": patch}}}
        kind = "application/strategic-merge-patch+json"
        return await self._spec_of("PATCH", f"{self._url}/merge", {"dryRun": "All"}, kind, body)

    async def _spec_of(self, method: str, url: str, params: dict[str, str], kind: str, body: Json) -> Json:
        async with self._session.request(method, url, params=params, json=body, headers={"Content-Type": kind}) as response:
            answer = await response.json()
            assert response.status < 300, answer["message"]
            spec: Json = answer["spec"]["template"]["spec"]
            return spec


async def test_strategic_merge__patches_of_all_kinds__as_the_api_server_merges(namespace: str):
    cluster = await load_cluster()
    connector = aiohttp.TCPConnector(ssl=cluster.ssl or True)
    header = await cluster.credentials.header()
    async with aiohttp.ClientSession(connector=connector, headers={"Authorization": header} if header else {}) as session:
        deployments = Deployments(session, cluster, namespace)
        base = await deployments.create("merge", BASE)
        wrong = {}
        for name, patch in PATCHES.items():
            theirs = await deployments.patch(patch)
            # Taken as a new one, so that the API server's defaults are in it too.
            ours = await deployments.create("ours", strategic_merge(base, patch, "PodSpec"), dryRun="All")
            if ours != theirs:
                wrong[name] = (ours, theirs)
        assert not wrong
