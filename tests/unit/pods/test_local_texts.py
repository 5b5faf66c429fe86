"""What a local pod's files say may hold any character; main writes some of them."""

from __future__ import annotations

from pathlib import Path

from app.domain.pods import AttemptKey
from app.pods.local.records import Status
from app.pods.local.store import StoredPod, observe


def test_observe__texts_that_no_database_takes__are_replaced(tmp_path: Path) -> None:
    pod = StoredPod(
        folder=tmp_path, uid="u", namespace="n", name="p", key=AttemptKey("r", "t", 1), instance="i", grace_seconds=1
    )
    ended = Status(
        phase="terminated", over=True, exit_code=1, finished_at=1, reason="Err\0or", message="a\0b\ud800",
        pod_reason="Lost\0", pod_message="\0",
    )  # fmt: skip
    seen = observe(pod, "node", ended, None)
    assert (seen.reason, seen.message) == ("Lost\ufffd", "\ufffd")
    assert seen.main is not None
    assert (seen.main.reason, seen.main.message) == ("Err\ufffdor", "a\ufffdb\ufffd")
    lost = observe(pod, "node", Status(phase="running", over=True, pid=2, pod_message="\0"), None)
    assert lost.main is not None
    assert lost.main.message == "\ufffd"
