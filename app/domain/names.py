"""Names that podrun gives to things in the cluster."""

from __future__ import annotations

import base64
import hashlib

NAME_LIMIT = 63  #: a DNS-1123 label. Source: https://kubernetes.io/docs/concepts/overview/working-with-objects/names/
_HASH_BYTES = 16


def pod_name(run_id: str, task: str, attempt: int) -> str:
    """The name of an attempt's pod: the task's name to read, and a hash of 128 bits, so that no two attempts ever meet."""
    digest = hashlib.blake2b(f"{run_id}/{task}/{attempt}".encode(), digest_size=_HASH_BYTES).digest()
    suffix = base64.b32encode(digest).decode().rstrip("=").lower()
    return f"{task[: NAME_LIMIT - 1 - len(suffix)].rstrip('-.')}-{suffix}"
