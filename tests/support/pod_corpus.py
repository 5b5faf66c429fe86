"""Tasks whose pods an API server takes or refuses: what `tests/cluster/test_pod_checks.py` asks a real one.

Each case is a task's keys beside its name and image. `Verdict` says who refuses the pod.
"""

from __future__ import annotations

from tests.support.pod_keys import (
    Keys,
    Verdict,
    claim,
    env,
    init,
    main_overlay,
    mounted,
    overlay,
    port,
    probe,
    projected,
    sidecar,
    volume,
)

FIRST_VOLUMES = [{"name": "data", "emptyDir": {}}, {"name": "b", "emptyDir": {}}]
SPREAD = {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}

GOOD: dict[str, Keys] = {
    "nothing": {},
    "empty dir": mounted(readOnly=True, subPath="a/b"),
    "no source: an empty dir": volume(),
    "image": volume(image={"reference": "busybox:1"}),
    "empty dir of memory": volume(emptyDir={"medium": "Memory", "sizeLimit": "64Mi"}),
    "empty dir of huge pages": volume(emptyDir={"medium": "HugePages"}),
    "config map": volume(configMap={"name": "c", "defaultMode": 0o400, "items": [{"key": "k", "path": "a/b", "mode": 0}]}),
    "secret": volume(secret={"secretName": "s", "optional": True}),
    "host path": volume(hostPath={"path": "/var/log", "type": "DirectoryOrCreate"}),
    "host path without type": volume(hostPath={"path": "/var/log", "type": ""}),
    "claim": volume(persistentVolumeClaim={"claimName": "c", "readOnly": True}),
    "ephemeral": claim(storageClassName="standard", volumeMode="Filesystem", selector={"matchLabels": {"a": "b"}}),
    "nfs": volume(nfs={"server": "nfs.example.com", "path": "/exports"}),
    "csi": volume(csi={"driver": "secrets.Example.com", "volumeAttributes": {"a": "b"}}),
    "downward": volume(
        downwardAPI={
            "items": [
                {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}},
                {"path": "one", "fieldRef": {"fieldPath": "metadata.annotations['Example.com/x']"}},
                {"path": "cpu", "resourceFieldRef": {"containerName": "main", "resource": "limits.cpu", "divisor": "1m"}},
            ]
        }
    ),
    "projected": projected(
        {"secret": {"name": "s", "items": [{"key": "a", "path": "a"}]}},
        {"configMap": {"name": "s", "items": [{"key": "a", "path": "b"}]}},
        {"serviceAccountToken": {"path": "token", "audience": "x", "expirationSeconds": 600}},
    ),
    "git repo": volume(gitRepo={"repository": "https://example.com/r.git", "directory": "."}),
    "iscsi": volume(iscsi={"targetPortal": "10.0.0.1", "iqn": "iqn.2001-04.com.example:storage", "lun": 0}),
    "fibre channel": volume(fc={"targetWWNs": ["50060e801049cfd1"], "lun": 0}),
    "rbd": volume(rbd={"monitors": ["10.0.0.1"], "image": "i"}),
    "azure disk": volume(azureDisk={"diskName": "d", "diskURI": "https://x", "kind": "Dedicated"}),
    "block device": {
        "volumes": [{"name": "disk", "persistentVolumeClaim": {"claimName": "c"}}],
        **sidecar(volumeDevices=[{"name": "disk", "devicePath": "/dev/x"}]),
    },
    "sub path of env": mounted(subPathExpr="$(PODRUN_TASK)"),
    "recursive read-only": mounted(readOnly=True, recursiveReadOnly="IfPossible"),
    "propagation": mounted(mountPropagation="HostToContainer"),
    "volume that nobody mounts": volume(emptyDir={}),
    "one volume at two paths": {
        "volumes": [{"name": "data", "emptyDir": {}}],
        "volume_mounts": [{"name": "data", "mountPath": "/a"}, {"name": "data", "mountPath": "/b"}],
    },
    "secret files beside a volume": {**mounted(), "secrets": [{"secret": "s", "mount_path": "/s"}]},
    "init container": init(command=["true"], env=[{"name": "A", "value": "b"}], resources={"limits": {"cpu": 1}}),
    "init containers, two": {"init_containers": [{"name": n, "image": "busybox:1"} for n in ("a", "b")]},
    "sidecar": sidecar(ports=[{"containerPort": 80, "name": "http", "protocol": "UDP"}]),
    "sidecar that says so": sidecar(restartPolicy="Always"),
    "sidecar with all probes": sidecar(
        livenessProbe={"httpGet": {"port": "http", "path": "/", "httpHeaders": [{"name": "X-A", "value": "b"}]}},
        readinessProbe={"exec": {"command": ["true"]}, "successThreshold": 3},
        startupProbe={"grpc": {"port": 9}, "failureThreshold": 30, "terminationGracePeriodSeconds": 5},
    ),
    "probe with zeros": probe(initialDelaySeconds=0, periodSeconds=0, successThreshold=0),
    "sidecar with a lifecycle": sidecar(
        lifecycle={"postStart": {"exec": {"command": ["true"]}}, "preStop": {"sleep": {"seconds": 5}}}
    ),
    "sidecar, message of its log": sidecar(terminationMessagePolicy="FallbackToLogsOnError", imagePullPolicy="Never"),
    "sidecar, terminal": sidecar(stdin=True, tty=True, workingDir="/srv"),
    "sidecar, security": sidecar(securityContext={"runAsUser": 0, "capabilities": {"drop": ["ALL"]}}),
    "sidecar, env of all kinds": sidecar(
        env=[
            {"name": "a.b-c", "value": "$(PODRUN_TASK)"},
            {"name": "B", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            {"name": "C", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Mi"}}},
        ],
        envFrom=[{"configMapRef": {"name": "c"}, "prefix": "C_"}],
    ),
    "host ports": sidecar(ports=[{"containerPort": 80, "hostPort": 8080}, {"containerPort": 81, "hostPort": 0}]),
    "priority class, of Kubernetes itself": {"priority_class_name": "system-node-critical"},
    "overlay, names": overlay(hostname="h", subdomain="s", setHostnameAsFQDN=True),
    "overlay, dns": overlay(
        dnsPolicy="None",
        dnsConfig={"nameservers": ["10.0.0.1", "::1"], "searches": ["a.b.", "_tcp.x"], "options": [{"name": "ndots"}]},
    ),
    "overlay, aliases": overlay(hostAliases=[{"ip": "10.0.0.1", "hostnames": ["a.example.com"]}]),
    "overlay, host": overlay(hostNetwork=True, hostPID=True, hostIPC=True),
    "overlay, users of its own": overlay(hostUsers=False),
    "overlay, spread": overlay(topologySpreadConstraints=[{**SPREAD, "labelSelector": {"matchLabels": {"a": "b"}}}]),
    "overlay, grace": overlay(terminationGracePeriodSeconds=0, activeDeadlineSeconds=5, shareProcessNamespace=True),
    "overlay, gates of readiness": overlay(readinessGates=[{"conditionType": "example.com/ready"}]),
    "overlay, system": overlay(os={"name": "linux"}, schedulerName="other", nodeName="node-1"),
    "overlay, stop signal": overlay(os={"name": "linux"}, containers=[{"name": "main", "lifecycle": {"stopSignal": "SIGINT"}}]),
    "overlay, claims of devices": overlay(
        resourceClaims=[{"name": "gpu", "resourceClaimTemplateName": "t"}],
        containers=[{"name": "main", "resources": {"claims": [{"name": "gpu"}]}}],
    ),
    "overlay, resources of the whole": {
        **overlay(resources={"requests": {"cpu": "2"}, "limits": {"cpu": "3", "memory": "1Gi"}}),
        "resources": {"requests": {"cpu": "1"}, "limits": {"cpu": "2"}},
    },
    "overlay, service account": overlay(automountServiceAccountToken=True, enableServiceLinks=True),
    "overlay, main's mount of the task's volume": {
        **volume(emptyDir={}),
        **main_overlay(volumeMounts=[{"name": "data", "mountPath": "/x"}]),
    },
    "overlay, volume for the task's mount": {
        "volume_mounts": [{"name": "data", "mountPath": "/x"}],
        **overlay(volumes=[{"name": "data", "emptyDir": {}}]),
    },
    "overlay, part of the task's volume": {
        **volume(configMap={"name": "c"}),
        **overlay(volumes=[{"name": "data", "configMap": {"defaultMode": 0o400}}]),
    },
    "overlay, another source for the task's volume": {
        **volume(hostPath={"path": "/x"}),
        **overlay(volumes=[{"name": "data", "$retainKeys": ["name", "emptyDir"], "emptyDir": {}}]),
    },
    "overlay, part of the task's mount": {**mounted(), **main_overlay(volumeMounts=[{"mountPath": "/data", "readOnly": True}])},
    "overlay, image of the task's sidecar": {
        **sidecar(),
        **overlay(initContainers=[{"name": "side", "image": "busybox:2"}]),
    },
    "overlay, another container": overlay(containers=[{"name": "other", "image": "busybox:1"}]),
    "overlay, command of main": main_overlay(command=["true"], args=None, stdin=True),
    "overlay, env of main replaced": {
        "env": {"A": "1"},
        **main_overlay(env=[{"name": "B", "value": "2"}, {"$patch": "replace"}]),
    },
    "overlay, env of main taken away": {"env": {"A": "1", "B": "2"}, **main_overlay(env=[{"name": "A", "$patch": "delete"}])},
    "overlay, the task's volumes reordered": {
        "volumes": FIRST_VOLUMES,
        **overlay(**{"$setElementOrder/volumes": [{"name": "b"}, {"name": "data"}]}),
    },
    "overlay, tolerations replaced": {
        "tolerations": [{"operator": "Exists"}],
        **overlay(tolerations=[{"key": "a", "operator": "Exists"}]),
    },
    "overlay, security of the pod": {
        "security_context": {"runAsUser": 1},
        **overlay(securityContext={"fsGroup": 2, "sysctls": [{"name": "net.ipv4.ip_unprivileged_port_start", "value": "0"}]}),
    },
    "overlay, init container that always restarts": overlay(
        initContainers=[
            {"name": "x", "image": "busybox:1", "restartPolicy": "Always", "startupProbe": {"exec": {"command": ["a"]}}}
        ]
    ),
    "overlay, ports of main": main_overlay(ports=[{"containerPort": 80, "hostIP": "127.0.0.1"}]),
    "overlay, nulls": overlay(hostname=None, initContainers=None, volumes=None),
}

BAD: dict[str, Keys] = {
    "volume without name": {"volumes": [{"emptyDir": {}}]},
    "volume's name": {"volumes": [{"name": "Data", "emptyDir": {}}]},
    "volume's name is long": {"volumes": [{"name": "a" * 64, "emptyDir": {}}]},
    "volume twice": {"volumes": [{"name": "data", "emptyDir": {}}] * 2},
    "volume with two sources": volume(emptyDir={}, hostPath={"path": "/a"}),
    "volume, misspelt source": volume(emptydir={}),
    "empty dir, limit": volume(emptyDir={"sizeLimit": "much"}),
    "empty dir, negative limit": volume(emptyDir={"sizeLimit": "-1"}),
    "config map without name": volume(configMap={}),
    "config map, mode": volume(configMap={"name": "c", "defaultMode": 0o1000}),
    "config map, mode of an item": volume(configMap={"name": "c", "items": [{"key": "a", "path": "b", "mode": -1}]}),
    "config map, path up": volume(configMap={"name": "c", "items": [{"key": "a", "path": "../b"}]}),
    "config map, hidden path": volume(configMap={"name": "c", "items": [{"key": "a", "path": "..b"}]}),
    "config map, absolute path": volume(configMap={"name": "c", "items": [{"key": "a", "path": "/b"}]}),
    "config map, item without key": volume(configMap={"name": "c", "items": [{"path": "b"}]}),
    "secret without name": volume(secret={}),
    "host path, empty": volume(hostPath={"path": ""}),
    "host path, up": volume(hostPath={"path": "/a/../b"}),
    "host path, type": volume(hostPath={"path": "/a", "type": "Folder"}),
    "claim without name": volume(persistentVolumeClaim={"claimName": ""}),
    "claim, misspelt": volume(persistentVolumeClaim={"claim": "c"}),
    "ephemeral, empty": volume(ephemeral={}),
    "ephemeral, access mode": claim(accessModes=["ReadWrite"]),
    "ephemeral, no access mode": claim(accessModes=[]),
    "ephemeral, once and many": claim(accessModes=["ReadWriteOncePod", "ReadWriteMany"]),
    "ephemeral, no storage": claim(resources={}),
    "ephemeral, storage of 0": claim(resources={"requests": {"storage": 0}}),
    "ephemeral, storage is no quantity": claim(resources={"requests": {"storage": "big"}}),
    "ephemeral, class": claim(storageClassName="Fast!"),
    "ephemeral, volume mode": claim(volumeMode="File"),
    "ephemeral, selector": claim(selector={"matchExpressions": [{"key": "a", "operator": "Is"}]}),
    "ephemeral, source of data": claim(dataSource={"kind": "Thing", "name": "x"}),
    "nfs, relative": volume(nfs={"server": "a", "path": "b"}),
    "nfs without server": volume(nfs={"server": "", "path": "/b"}),
    "csi, driver": volume(csi={"driver": "a_b"}),
    "csi, long driver": volume(csi={"driver": "a" * 64}),
    "downward, field": volume(downwardAPI={"items": [{"path": "a", "fieldRef": {"fieldPath": "spec.nodeName"}}]}),
    "downward, label's key": volume(downwardAPI={"items": [{"path": "a", "fieldRef": {"fieldPath": "metadata.labels['-']"}}]}),
    "downward, nothing": volume(downwardAPI={"items": [{"path": "a"}]}),
    "downward, no container": volume(downwardAPI={"items": [{"path": "a", "resourceFieldRef": {"resource": "limits.cpu"}}]}),
    "projected, same path": projected(
        {"secret": {"name": "s", "items": [{"key": "a", "path": "a"}]}},
        {"configMap": {"name": "s", "items": [{"key": "a", "path": "a"}]}},
    ),
    "projected, two in one": projected({"secret": {"name": "s"}, "configMap": {"name": "c"}}),
    "projected, short token": projected({"serviceAccountToken": {"path": "token", "expirationSeconds": 60}}),
    "projected, no name": projected({"secret": {}}),
    "iscsi, lun": volume(iscsi={"targetPortal": "10.0.0.1", "iqn": "iqn.2001-04.com.example:storage", "lun": 256}),
    "fibre channel, nothing": volume(fc={}),
    "azure disk, kind": volume(azureDisk={"diskName": "d", "diskURI": "https://x", "kind": "Big"}),
    "disk, partition": volume(gcePersistentDisk={"pdName": "a", "partition": 256}),
    "mount without volume": {"volume_mounts": [{"name": "data", "mountPath": "/data"}]},
    "mount, misspelt volume": mounted(name="date"),
    "mount without path": {"volumes": [{"name": "data", "emptyDir": {}}], "volume_mounts": [{"name": "data"}]},
    "mount, empty path": mounted(mountPath=""),
    "mount, sub path up": mounted(subPath="../a"),
    "mount, absolute sub path": mounted(subPath="/a"),
    "mount, both sub paths": mounted(subPath="a", subPathExpr="b"),
    "mount, propagation": mounted(mountPropagation="Both"),
    "mount, bidirectional": mounted(mountPropagation="Bidirectional"),
    "mount, recursive and written": mounted(recursiveReadOnly="Enabled"),
    "mount, recursive": mounted(readOnly=True, recursiveReadOnly="Yes"),
    "mount, misspelt key": mounted(readonly=True),
    "mounts at one path": {
        "volumes": FIRST_VOLUMES,
        "volume_mounts": [{"name": "data", "mountPath": "/a"}, {"name": "b", "mountPath": "/a"}],
    },
    "mount where a secret is": {**mounted(mountPath="/s"), "secrets": [{"secret": "s", "mount_path": "/s"}]},
    "device of a folder": {**volume(emptyDir={}), **sidecar(volumeDevices=[{"name": "data", "devicePath": "/dev/x"}])},
    "device without volume": sidecar(volumeDevices=[{"name": "data", "devicePath": "/dev/x"}]),
    "init container without name": {"init_containers": [{"image": "busybox:1"}]},
    "init container's name": init(name="First"),
    "init container without image": {"init_containers": [{"name": "a"}]},
    "init container called main": init(name="main"),
    "init containers of one name": {"init_containers": [{"name": "a", "image": "busybox:1"}] * 2},
    "init container and sidecar of one name": {**init(name="side"), **sidecar()},
    "init container with a probe": init(readinessProbe={"tcpSocket": {"port": 80}}),
    "init container with a lifecycle": init(lifecycle={"preStop": {"exec": {"command": ["a"]}}}),
    "init container's mount": init(volumeMounts=[{"name": "data", "mountPath": "/a"}]),
    "init container, misspelt key": init(commands=["true"]),
    "init container, command": init(command="true"),
    "init container, image": init(image=" busybox:1"),
    "sidecar, request over limit": sidecar(resources={"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}),
    "sidecar, resource": sidecar(resources={"limits": {"cpus": "1"}}),
    "sidecar, quantity": sidecar(resources={"limits": {"cpu": "1 core"}}),
    "sidecar, huge pages": sidecar(resources={"limits": {"hugepages-2Mi": "3Mi", "cpu": 1}}),
    "sidecar, claim": sidecar(resources={"claims": [{"name": "gpu"}]}),
    "sidecar, pull policy": sidecar(imagePullPolicy="Sometimes"),
    "sidecar, message policy": sidecar(terminationMessagePolicy="Log"),
    "sidecar, env name": sidecar(env=[{"name": "A=B"}]),
    "sidecar, env of two": env(fieldRef={"fieldPath": "metadata.name"}, secretKeyRef={"name": "s", "key": "k"}),
    "sidecar, env field": env(fieldRef={"fieldPath": "metadata.labels"}),
    "sidecar, env label": env(fieldRef={"fieldPath": "metadata.labels['a b']"}),
    "sidecar, env divisor": env(resourceFieldRef={"resource": "limits.cpu", "divisor": "2"}),
    "sidecar, env resource": env(resourceFieldRef={"resource": "limits.gpu"}),
    "sidecar, env from nothing": sidecar(envFrom=[{"prefix": "A"}]),
    "sidecar, capabilities": sidecar(
        securityContext={"allowPrivilegeEscalation": False, "capabilities": {"add": ["CAP_SYS_ADMIN"]}}
    ),
    "sidecar, group of the pod": sidecar(securityContext={"fsGroup": 1}),
    "sidecar, profile": sidecar(securityContext={"seccompProfile": {"type": "Localhost", "localhostProfile": "../a"}}),
    "sidecar, proc": sidecar(securityContext={"procMount": "Unmasked"}),
    "sidecar, resize": sidecar(resizePolicy=[{"resourceName": "cpu", "restartPolicy": "RestartContainer"}]),
    "port 0": port(containerPort=0),
    "port too high": port(containerPort=65536),
    "port without number": sidecar(ports=[{"name": "a"}]),
    "port, name too long": port(name="a-very-long-name"),
    "port, name of digits": port(name="80"),
    "port, name": port(name="a--b"),
    "port, protocol": port(protocol="HTTP"),
    "port, of the host": port(hostPort=70000),
    "ports of one name": sidecar(ports=[{"containerPort": 80, "name": "a"}, {"containerPort": 81, "name": "a"}]),
    "probe of nothing": sidecar(livenessProbe={"periodSeconds": 5}),
    "probe of two": probe(exec={"command": ["a"]}),
    "probe, negative": probe(periodSeconds=-1),
    "probe, successes": probe(successThreshold=2),
    "probe, grace": probe(terminationGracePeriodSeconds=0),
    "probe, grace of readiness": sidecar(readinessProbe={"tcpSocket": {"port": 80}, "terminationGracePeriodSeconds": 5}),
    "probe, port": probe(tcpSocket={"port": 0}),
    "probe, name of a port": probe(tcpSocket={"port": "80"}),
    "probe, type of the port": sidecar(livenessProbe={"httpGet": {"port": 80.5}}),
    "probe, scheme": sidecar(livenessProbe={"httpGet": {"port": 80, "scheme": "http"}}),
    "probe, header": sidecar(livenessProbe={"httpGet": {"port": 80, "httpHeaders": [{"name": "a b", "value": ""}]}}),
    "probe, empty command": sidecar(livenessProbe={"exec": {"command": []}}),
    "probe, misspelt": sidecar(livenessProbe={"http": {"port": 80}}),
    "lifecycle, long sleep": sidecar(lifecycle={"preStop": {"sleep": {"seconds": 31}}}),
    "lifecycle of nothing": sidecar(lifecycle={"preStop": {}}),
    "priority class's name": {"priority_class_name": "Very High"},
    "overlay, misspelt": overlay(hostNam="a"),
    "overlay, host name": overlay(hostname="a_b"),
    "overlay, sub-domain": overlay(subdomain="a.b"),
    "overlay, dns policy": overlay(dnsPolicy="Cluster"),
    "overlay, dns of nothing": overlay(dnsPolicy="None"),
    "overlay, name servers": overlay(dnsConfig={"nameservers": ["10.0.0.1"] * 4}),
    "overlay, name server": overlay(dnsConfig={"nameservers": ["dns.example.com"]}),
    "overlay, search": overlay(dnsConfig={"searches": ["a b"]}),
    "overlay, option of dns": overlay(dnsConfig={"options": [{"value": "1"}]}),
    "overlay, alias": overlay(hostAliases=[{"ip": "host", "hostnames": ["a"]}]),
    "overlay, alias's name": overlay(hostAliases=[{"ip": "10.0.0.1", "hostnames": ["a b"]}]),
    "overlay, users and network": overlay(hostUsers=False, hostNetwork=True),
    "overlay, processes": overlay(shareProcessNamespace=True, hostPID=True),
    "overlay, deadline": overlay(activeDeadlineSeconds=0),
    "overlay, spread": overlay(topologySpreadConstraints=[{**SPREAD, "maxSkew": 0}]),
    "overlay, spread, else": overlay(topologySpreadConstraints=[{**SPREAD, "whenUnsatisfiable": "Maybe"}]),
    "overlay, spread, domains": overlay(
        topologySpreadConstraints=[{**SPREAD, "whenUnsatisfiable": "ScheduleAnyway", "minDomains": 2}]
    ),
    "overlay, spread, keys": overlay(topologySpreadConstraints=[{**SPREAD, "matchLabelKeys": ["a"]}]),
    "overlay, gate of readiness": overlay(readinessGates=[{"conditionType": "a b"}]),
    "overlay, system": overlay(os={"name": "plan9"}),
    "overlay, node": overlay(nodeName="Node 1"),
    "overlay, preemption": overlay(preemptionPolicy="Always"),
    "overlay, runtime": overlay(runtimeClassName="a b"),
    "overlay, claim of two": overlay(
        resourceClaims=[{"name": "a", "resourceClaimName": "b", "resourceClaimTemplateName": "c"}]
    ),
    "overlay, claim of nothing": overlay(resourceClaims=[{"name": "a"}]),
    "overlay, resources of the whole": overlay(resources={"limits": {"example.com/gpu": 1}}),
    "overlay, whole less than its parts": {
        **overlay(resources={"requests": {"cpu": "1"}}),
        "resources": {"requests": {"cpu": "2"}},
    },
    "overlay, limit over the whole's": {**overlay(resources={"limits": {"cpu": "1"}}), "resources": {"limits": {"cpu": "2"}}},
    "overlay, sysctl": overlay(securityContext={"sysctls": [{"name": "Net", "value": "1"}]}),
    "overlay, sysctl of the host": overlay(
        hostNetwork=True, securityContext={"sysctls": [{"name": "net.ipv4.ip_unprivileged_port_start", "value": "0"}]}
    ),
    "overlay, security": overlay(securityContext={"privileged": True}),
    "overlay, volume of two sources": {
        **volume(hostPath={"path": "/x"}),
        **overlay(volumes=[{"name": "data", "emptyDir": {}}]),
    },
    "overlay, mount without volume": main_overlay(volumeMounts=[{"name": "data", "mountPath": "/x"}]),
    "overlay, the volume taken away": {**mounted(), **overlay(volumes=[{"name": "data", "$patch": "delete"}])},
    "overlay, container without image": overlay(containers=[{"name": "other"}]),
    "overlay, container of a sidecar's name": {**sidecar(), **overlay(containers=[{"name": "side", "image": "busybox:1"}])},
    "overlay, init container with a probe": overlay(
        initContainers=[{"name": "x", "image": "busybox:1", "livenessProbe": {"exec": {"command": ["a"]}}}]
    ),
    "overlay, host ports": overlay(
        containers=[
            {"name": "main", "ports": [{"containerPort": 80, "hostPort": 80}]},
            {"name": "b", "image": "busybox:1", "ports": [{"containerPort": 81, "hostPort": 80}]},
        ]
    ),
    "overlay, port of the host's network": overlay(
        hostNetwork=True, containers=[{"name": "main", "ports": [{"containerPort": 80, "hostPort": 81}]}]
    ),
    "overlay, request over the task's limit": {
        "resources": {"limits": {"cpu": "1"}},
        **main_overlay(resources={"requests": {"cpu": "2"}}),
    },
    "overlay, pull policy": main_overlay(imagePullPolicy="always"),
    "overlay, type": overlay(hostNetwork="yes"),
    "overlay, toleration": overlay(tolerations=[{"value": "x"}]),
    "overlay, affinity": overlay(affinity={"nodeAffinity": {"required": {}}}),
    "overlay, node selector": overlay(nodeSelector={"a b": "c"}),
    "overlay, ephemeral containers": overlay(ephemeralContainers=[{"name": "e", "image": "busybox:1"}]),
}

STRICTER: dict[str, Keys] = {
    "a variable twice": sidecar(env=[{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]),
    "podrun's variable": sidecar(env=[{"name": "PODRUN_TASK", "value": "1"}]),
    "podrun's volume": {"volumes": [{"name": "podrun-secret-7", "emptyDir": {}}]},
    "an image that can't be": sidecar(image="Busybox:1"),
    "a key that no Secret has": volume(secret={"secretName": "s", "items": [{"key": "a/b", "path": "c"}]}),
    "never over": overlay(restartPolicy="Always"),
    "a gate that nobody opens": overlay(schedulingGates=[{"name": "a"}]),
    "outputs elsewhere": main_overlay(terminationMessagePath="/tmp/x"),
    "a sidecar that ends": sidecar(restartPolicy="Never"),
    "a stop signal for any system": sidecar(lifecycle={"stopSignal": "SIGINT"}),  # where the feature gate is off
    "null in a list": sidecar(args=[None]),
}

CLUSTER: dict[str, Keys] = {
    "bidirectional, privileged": mounted(mountPropagation="Bidirectional") | {"security_context": {"privileged": True}},
    "priority class": {"priority_class_name": "no-such-class"},
    "runtime class": overlay(runtimeClassName="no-such-class"),
    "service account": {"service_account_name": "no-such-account"},
    "priority": overlay(priority=5),
}


def corpus() -> list[tuple[str, Keys, Verdict]]:
    """All of it: what it is, a task's keys, and who refuses them."""
    parts = ((GOOD, Verdict.GOOD), (BAD, Verdict.BAD), (STRICTER, Verdict.STRICTER), (CLUSTER, Verdict.CLUSTER))
    return [(name, keys, verdict) for cases, verdict in parts for name, keys in cases.items()]
