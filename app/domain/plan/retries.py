"""Whether and when a task gets another attempt. No randomness: jitter is a function of the attempt's name."""

from __future__ import annotations

import hashlib
from datetime import timedelta

from app.domain.phases import Phase
from app.domain.plan.attempt_state import AttemptState
from app.domain.plan.run_state import TaskState
from app.domain.plan.verdict import is_replaced
from app.domain.pods import AttemptKey
from app.domain.workflow.document import Retries

#: How often a pod that was lost before main started is replaced without counting as a retry.
REPLACEMENT_LIMIT = 3
#: Never retried: another attempt would end alike, or the time is up.
FINAL_REASONS = frozenset({"ExpressionError", "InvalidOutputs"})


def may_replace(task: TaskState, attempt: AttemptState) -> bool:
    """Whether the cluster took the pod away before the user's code ran, and it was not replaced too often."""
    if attempt.phase is not Phase.ERROR or attempt.started_at is not None or not is_replaced(attempt.reason):
        return False
    return sum(other.is_replacement for other in task.recent_attempts) < REPLACEMENT_LIMIT


def may_retry(task: TaskState, attempt: AttemptState) -> bool:
    """Whether the task's own `retries` give it another attempt."""
    policy = _policy(task)
    if attempt.phase.value not in policy.on or attempt.reason in FINAL_REASONS:
        return False
    if attempt.phase is Phase.FAILED and policy.exit_codes is not None and attempt.exit_code not in policy.exit_codes:
        return False
    return counted_retries(task) < policy.limit


def counted_retries(task: TaskState) -> int:
    """How many of the attempts, since the run was last retried, were retries: not the first, and no replacements."""
    return sum(not attempt.is_replacement for attempt in task.recent_attempts) - 1


def _policy(task: TaskState) -> Retries:
    return task.spec.retries if task.spec is not None else Retries(limit=0)


def retry_delay(task: TaskState, key: AttemptKey) -> timedelta:
    """How long to wait before the attempt behind `key`: delay times factor for each retry so far, at most the limit.

    With jitter, between half of it and the whole: retries that failed together don't come back together.
    """
    policy = _policy(task)
    exponent = min(counted_retries(task), 64)
    seconds = min(policy.delay_seconds * policy.factor**exponent, policy.max_delay_seconds)
    if policy.jitter:
        seconds *= 0.5 + spread(key) / 2
    return timedelta(seconds=seconds)


def back_off(tries: int, key: AttemptKey, *, limit_seconds: float = 30.0) -> timedelta:
    """How long to wait before asking the cluster again, after so many tries (from 1)."""
    return timedelta(seconds=min(0.5 * 2.0 ** min(tries - 1, 10), limit_seconds) * (0.75 + spread(key) / 2))


def spread(key: AttemptKey) -> float:
    """A number from 0 to 1, the same for the same attempt."""
    digest = hashlib.blake2b(f"{key.run_id}/{key.task}/{key.attempt}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big") / 2**32
