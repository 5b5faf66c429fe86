"""What podrun took beside what the limit took for the same work, measured in turn, and the goal for it."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum


class Kind(StrEnum):
    """How podrun and the limit are compared."""

    RATIO = "ratio"  #: podrun / limit
    OFFSET = "offset"  #: podrun - limit, in the unit of both
    VALUE = "value"  #: podrun alone, in its unit: there is nothing to hold it against


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """What has to be reached: one bound, either from above or from below."""

    kind: Kind
    bound: float
    is_floor: bool = False  #: at least, rather than at most

    def is_met(self, reached: float, slack: float = 1.0) -> bool:
        """Whether it holds, or would with a bound `slack` times as generous."""
        return reached >= self.bound / slack if self.is_floor else reached <= self.bound * slack

    def __str__(self) -> str:
        prefix = {Kind.RATIO: "x ", Kind.OFFSET: "+ ", Kind.VALUE: ""}[self.kind]
        return f"{'≥' if self.is_floor else '≤'} {prefix}{self.bound:g}"


def at_most(ratio: float) -> Goal:
    """At most so many times the limit."""
    return Goal(kind=Kind.RATIO, bound=ratio)


def at_least(ratio: float) -> Goal:
    """At least so many times the limit."""
    return Goal(kind=Kind.RATIO, bound=ratio, is_floor=True)


def at_most_more(offset: float) -> Goal:
    """At most so much more than the limit, in the comparison's unit."""
    return Goal(kind=Kind.OFFSET, bound=offset)


def value_at_most(value: float) -> Goal:
    """At most this, in the comparison's unit."""
    return Goal(kind=Kind.VALUE, bound=value)


@dataclass(slots=True, kw_only=True)
class Comparison:
    """One row of the table: pairs of the limit's and podrun's figure, each pair measured in turn."""

    name: str
    unit: str  #: of both figures: ms, s, pods/s, requests/s, MiB, ...
    goal: Goal
    limit: list[float] = field(default_factory=list)  #: empty with a goal for podrun's value alone
    podrun: list[float] = field(default_factory=list)
    reached_over_all: float | None = None  #: where the figure is not the median of the pairs', but comes from all repeats
    #: Single measurements of both, for a plot: "limit" and "podrun".
    samples: dict[str, list[float]] = field(default_factory=dict)

    def add(self, limit: float, podrun: float) -> None:
        """One more pair."""
        self.limit.append(limit)
        self.podrun.append(podrun)

    @property
    def reached(self) -> float:
        """The median of what the pairs gave, as the goal compares them."""
        if self.reached_over_all is not None:
            return self.reached_over_all
        if self.goal.kind is Kind.VALUE:
            return statistics.median(self.podrun)
        pairs = zip(self.limit, self.podrun, strict=True)
        if self.goal.kind is Kind.OFFSET:
            return statistics.median(podrun - limit for limit, podrun in pairs)
        return statistics.median(podrun / limit for limit, podrun in pairs)

    @property
    def share_of_goal(self) -> float:
        """How much of what the goal allows was taken: 1 is just met, less is better."""
        reached = max(self.reached, 1e-9)
        if not self.goal.bound:
            return 0.0 if self.is_met else float("inf")
        return self.goal.bound / reached if self.goal.is_floor else self.reached / self.goal.bound

    @property
    def is_met(self) -> bool:
        """Whether the goal is reached."""
        return self.goal.is_met(self.reached)

    def cells(self) -> tuple[str, ...]:
        """The row of the table, as `HEAD` names its columns."""
        sign = {Kind.RATIO: "x ", Kind.OFFSET: "+ " if self.reached >= 0 else "- ", Kind.VALUE: ""}[self.goal.kind]
        return (
            f"{self.name} ({self.unit})",
            _median(self.limit),
            _median(self.podrun),
            f"{sign}{_rounded(abs(self.reached))}",
            str(self.goal),
            "yes" if self.is_met else "**no**",
            str(len(self.podrun)),
        )


HEAD = ("what", "limit", "podrun", "reached", "goal", "met", "pairs")


def percentile(values: Sequence[float], percent: float) -> float:
    """The value below which so many per cent of them are, one of them, by rank."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def _median(values: Sequence[float]) -> str:
    return _rounded(statistics.median(values)) if values else "-"


def _rounded(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
