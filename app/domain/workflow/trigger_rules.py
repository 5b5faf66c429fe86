"""Trigger rules: whether a task runs, given how its upstream tasks ended.

Source: the names and their meaning are Airflow's,
https://airflow.apache.org/docs/apache-airflow/stable/core-concepts/dags.html#trigger-rules
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from app.domain.phases import Phase


class TriggerRule(StrEnum):
    """When a task runs, once all its upstream tasks are over. Each item of a fan-out counts as a task."""

    ALL_SUCCESS = "all_success"  #: every one succeeded
    ALL_DONE = "all_done"  #: however they ended
    ALL_FAILED = "all_failed"  #: none succeeded, none was skipped
    ONE_SUCCESS = "one_success"  #: at least one succeeded
    ONE_FAILED = "one_failed"  #: at least one failed
    NONE_FAILED = "none_failed"  #: none failed: they succeeded or were skipped
    NONE_FAILED_MIN_ONE_SUCCESS = "none_failed_min_one_success"  #: none failed and at least one succeeded
    ALWAYS = "always"  #: the same as all_done


#: Tasks with these rules still run after `fail_fast` has stopped the others: they are there for failures.
RUN_AFTER_FAILURE = frozenset({TriggerRule.ALL_DONE, TriggerRule.ALL_FAILED, TriggerRule.ONE_FAILED, TriggerRule.ALWAYS})


class Tally(NamedTuple):
    """How many upstream tasks ended in which way."""

    succeeded: int = 0
    failed: int = 0  #: Failed, Error, Cancelled, Omitted
    skipped: int = 0

    @classmethod
    def of(cls, phase: Phase) -> Tally:
        """One task that is over."""
        if phase is Phase.SUCCEEDED:
            return cls(succeeded=1)
        return cls(skipped=1) if phase is Phase.SKIPPED else cls(failed=1)

    def plus(self, other: Tally) -> Tally:
        """Both together."""
        return Tally(self.succeeded + other.succeeded, self.failed + other.failed, self.skipped + other.skipped)


def decide(rule: TriggerRule, upstream: Tally) -> Phase | None:
    """None: the task runs. Else the phase in which it ends without running: Omitted or Skipped. `upstream` is not empty."""
    succeeded, failed, skipped = upstream
    may_run, otherwise = {
        TriggerRule.ALL_SUCCESS: (not failed and not skipped, None),
        TriggerRule.ALL_DONE: (True, None),
        TriggerRule.ALWAYS: (True, None),
        TriggerRule.ALL_FAILED: (not succeeded and not skipped, Phase.SKIPPED),
        TriggerRule.ONE_SUCCESS: (succeeded > 0, None),
        TriggerRule.ONE_FAILED: (failed > 0, Phase.SKIPPED),
        TriggerRule.NONE_FAILED: (not failed, Phase.OMITTED),
        TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS: (not failed and succeeded > 0, None),
    }[rule]
    if may_run:
        return None
    return otherwise or (Phase.OMITTED if failed else Phase.SKIPPED)
