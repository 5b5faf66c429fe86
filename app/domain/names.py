"""Names that podrun gives to things in the cluster."""

from __future__ import annotations

import base64
import hashlib
import re

NAME_LIMIT = 63  #: a DNS-1123 label. Source: https://kubernetes.io/docs/concepts/overview/working-with-objects/names/
_HASH_BYTES = 16


def pod_name(run_id: str, task: str, attempt: int) -> str:
    """The name of an attempt's pod: a function of the three alone, so that a pod can be found again without a record of it.

    Readable in front, 128 bits of hash behind: two tasks of ten thousand never meet. A DNS-1123 label of at most 63 characters.
    """
    digest = hashlib.blake2b("\0".join((run_id, task, str(attempt))).encode(), digest_size=_HASH_BYTES).digest()
    suffix = base64.b32encode(digest).decode().rstrip("=").lower()
    prefix = re.sub(r"[^a-z0-9]+", "-", task.lower())[: NAME_LIMIT - len(suffix) - 1].strip("-")
    return f"{prefix}-{suffix}" if prefix else suffix
