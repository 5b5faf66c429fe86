"""Outputs: what a task hands on, read from its container's termination message.

Source: https://kubernetes.io/docs/tasks/debug/debug-application/determine-reason-pod-failure/
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from app.domain.json_values import json_faults
from app.domain.pointers import shown

#: What the kubelet keeps of one container's message: the last bytes of the file.
MESSAGE_BYTES = 4096
#: And of all containers of a pod together.
POD_BYTES = 12 * 1024
_SHOWN = 80  #: characters of what was written that a message repeats


class OutputsRefused(ValueError):
    """The outputs are not what they must be. `reason` is the attempt's, `message` a sentence."""

    def __init__(self, reason: str, message: str) -> None:
        self.reason, self.message = reason, message
        super().__init__(message)


def read_outputs(text: str, declared: Mapping[str, bool], *, containers: int = 1) -> dict[str, Any] | None:
    """The outputs in a termination message; None: the task handed nothing on.

    Args:
        text: the message as the kubelet tells it.
        declared: the names that the task says it hands on, and whether each is required.
        containers: how many the pod has: the more, the less each may say.

    Raises:
        OutputsRefused: no JSON object, too large, or a required name is missing.
    """
    outputs = _parse(text, min(MESSAGE_BYTES, POD_BYTES // max(containers, 1))) if text.strip() else None
    missing = [name for name, required in declared.items() if required and name not in (outputs or {})]
    if missing:
        wrote = f"it wrote {_cut(', '.join(map(shown, outputs)))}" if outputs else "it wrote none"
        raise OutputsRefused(
            "MissingOutputs", f"the task must write {', '.join(map(shown, missing))} into $PODRUN_OUTPUTS: {wrote}"
        )
    return outputs


def _parse(text: str, limit: int) -> dict[str, Any]:
    size = len(text.encode(errors="replace"))
    try:
        outputs = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError) as error:
        if size >= limit:
            raise _too_large(limit) from error
        raise OutputsRefused("InvalidOutputs", f"what was written into $PODRUN_OUTPUTS is not JSON: {error}") from error
    if not isinstance(outputs, dict):
        if size >= limit:  # the end of digits is a number, too
            raise _too_large(limit)
        raise OutputsRefused(
            "InvalidOutputs", f"what was written into $PODRUN_OUTPUTS must be one JSON object, not {shown(outputs)}"
        )
    for fault in json_faults(outputs):
        raise OutputsRefused("InvalidOutputs", f"outputs{_cut(fault.pointer)}: {fault.detail}")
    return outputs


def _too_large(limit: int) -> OutputsRefused:
    """The kubelet keeps the end of a longer file: what fills its limit and is no JSON object was cut."""
    return OutputsRefused("OutputsTooLarge", f"outputs may have at most {limit:,} bytes, as JSON")


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
