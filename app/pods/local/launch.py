"""From a pod's manifest to what its supervisor runs: arguments, environment, folder, deadlines. Pure."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from app.domain.errors import PodRefused
from app.domain.pods import MAIN, AttemptKey
from app.pods.local import folders
from app.pods.local.honour import find_unsupported
from app.pods.manifest import ATTEMPT_LABEL, RUN_LABEL, TASK_LABEL

DEFAULT_GRACE_SECONDS = 30  #: Kubernetes' own default

_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_REFERENCE = re.compile(r"\$(?:\$|\(([^)]*)\))")


def read_key(manifest: Mapping[str, Any]) -> AttemptKey:
    """Which attempt a manifest is for.

    Raises:
        PodRefused: its labels do not say so, or its names can't be names of files.
    """
    metadata = manifest["metadata"]
    labels = metadata.get("labels") or {}
    for field in ("name", "namespace"):
        if not _NAME.fullmatch(str(metadata.get(field))):
            raise PodRefused("Invalid", f"metadata.{field} {metadata.get(field)!r} is not a DNS-1123 name")
    try:
        return AttemptKey(labels[RUN_LABEL], labels[TASK_LABEL], int(labels[ATTEMPT_LABEL]))
    except (KeyError, ValueError) as error:
        raise PodRefused("Invalid", f"metadata.labels: {RUN_LABEL}, {TASK_LABEL} or {ATTEMPT_LABEL} is missing") from error


def build_spec(manifest: Mapping[str, Any], uid: str, folder: Path, created_ns: int) -> dict[str, Any]:
    """Make the content of a pod's spec.json.

    `folder` is where the pod will be, absolute; `created_ns` is now, in nanoseconds since 1970.

    Raises:
        PodRefused: it needs a real container; see `honour`.
    """
    if reason := find_unsupported(manifest):
        raise PodRefused("NotSupportedLocally", reason)
    pod = manifest["spec"]
    main = next(container for container in pod["containers"] if container["name"] == MAIN)
    return {
        "uid": uid,
        "created_ns": created_ns,
        "manifest": manifest,
        "launch": _build_launch(main, folder),
        "grace_seconds": pod.get("terminationGracePeriodSeconds", DEFAULT_GRACE_SECONDS),
        "deadline_seconds": pod.get("activeDeadlineSeconds"),
    }


def _build_launch(main: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    own = _build_env(main, folder)
    machine = {
        "PATH": os.environ.get("PATH") or os.defpath,
        "HOME": os.environ.get("HOME") or "/",
        "LANG": os.environ.get("LANG") or "C.UTF-8",
        "TMPDIR": str(folder / folders.TMP),
    }
    return {
        "argv": [expand(text, own) for text in (*main["command"], *(main.get("args") or ()))],
        "env": machine | own,
        "cwd": str(folder / folders.WORK / (main.get("workingDir") or "")),
    }


def _build_env(main: Mapping[str, Any], folder: Path) -> dict[str, str]:
    env: dict[str, str] = {}
    for item in main.get("env") or ():
        env[item["name"]] = expand(item.get("value") or "", env)
        if item["name"] == "PODRUN_OUTPUTS":
            env["PODRUN_OUTPUTS"] = str(folder / folders.OUTPUTS)
    env["PODRUN_OUTPUTS"] = str(folder / folders.OUTPUTS)
    return env


def expand(text: str, env: Mapping[str, str]) -> str:
    """Put values in for `$(NAME)` as Kubernetes does: `$$` is a dollar, an unknown name stays as it is written.

    Source: https://kubernetes.io/docs/tasks/inject-data-application/define-interdependent-environment-variables/
    """

    def replace(match: re.Match[str]) -> str:
        name = match.group(1)
        return "$" if name is None else env.get(name, match.group(0))

    return _REFERENCE.sub(replace, text)
