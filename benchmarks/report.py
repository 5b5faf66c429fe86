"""What was measured, kept in docs/generated/benchmark.json, as a table and as plots. Each part can be measured for itself."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from benchmarks.comparison import HEAD, Comparison, Goal, Kind
from benchmarks.measuring import describe_machine, table
from tests.support.chromium import ROOT

FOLDER = ROOT / "docs" / "generated"
RESULTS, REPORT = FOLDER / "benchmark.json", FOLDER / "benchmark.md"
GOALS_PLOT, HAND_OVER_PLOT = FOLDER / "benchmark-goals.svg", FOLDER / "benchmark-hand-over.svg"
STAGES, STAGES_PLOT = FOLDER / "benchmark-stages.json", FOLDER / "benchmark-stages.svg"
_MET, _MISSED = "#2f7d4f", "#b3442f"
_MOST_SHARE = 3.0  # what is worse is drawn as this


def keep(part: str, found: Iterable[Comparison]) -> None:
    """Put the part's figures in place of those that it had."""
    kept = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    rows = [asdict(one) for one in found]
    kept[part] = {"measured_at": datetime.now(UTC).isoformat(timespec="seconds"), "machine": describe_machine(), "rows": rows}
    RESULTS.write_text(json.dumps(_rounded(kept), indent=1) + "\n")


def keep_stages(found: Mapping[str, Mapping[str, float]]) -> None:
    """Put these, milliseconds of each stage of a hand-over by database, in place of those that were kept, and draw them."""
    STAGES.write_text(json.dumps(_rounded(dict(found)), indent=1) + "\n")
    _set_style()
    figure = Figure(figsize=(9, 0.6 * len(found) + 1.4), layout="constrained")
    axes = figure.subplots()
    ends = dict.fromkeys(found, 0.0)
    for stage in next(iter(found.values())):
        widths = [stages[stage] for stages in found.values()]
        axes.barh(list(found), widths, left=list(ends.values()), label=stage)
        ends = {database: end + width for (database, end), width in zip(ends.items(), widths, strict=True)}
    axes.set_xlabel("ms from a pod's end to the next one's creation, as an observer outside sees them; medians")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.35), ncols=2)
    figure.savefig(STAGES_PLOT, metadata={"Date": None})


def write() -> None:
    """Make the table and the plots from what is kept."""
    kept: Mapping[str, Any] = json.loads(RESULTS.read_text())
    parts = {name: [_read(row) for row in part["rows"]] for name, part in kept.items()}
    sections = [
        table(name.capitalize(), HEAD, [one.cells() for one in rows])
        + f"\nMeasured at {kept[name]['measured_at']} on {kept[name]['machine']}\n"
        for name, rows in parts.items()
    ]
    REPORT.write_text("\n".join([_HEADING, *sections]))
    _set_style()
    _plot_goals([one for rows in parts.values() for one in rows])
    hand_overs = [one for rows in parts.values() for one in rows if one.samples]
    if hand_overs:
        _plot_hand_over(hand_overs)


_HEADING = """# What podrun costs beside the limit

<!-- Made by `make bench`; do not edit. -->

*limit* is a bare client, route or query that does the same work, measured in turn with podrun in one run; *reached* is the
median over the pairs of podrun's figure divided by the limit's (`x`), of the difference (`+`), or podrun's figure alone, as the
goal has it. [How it is measured, and where the time goes](../explanation/performance.md).

![Each figure as a share of what its goal allows](benchmark-goals.svg)

![Hand-over from one pod to the next](benchmark-hand-over.svg)
"""


def _set_style() -> None:
    mpl.rcParams |= {"svg.hashsalt": "podrun", "svg.fonttype": "none", "font.size": 9}


def _read(row: Mapping[str, Any]) -> Comparison:
    goal = Goal(**{**row["goal"], "kind": Kind(row["goal"]["kind"])})
    return Comparison(**{**row, "goal": goal})


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, dict):
        return {key: _rounded(inner) for key, inner in value.items()}
    return [_rounded(inner) for inner in value] if isinstance(value, list) else value


def _plot_goals(found: list[Comparison]) -> None:
    """A bar for each: how much it took of what its goal allows."""
    figure = Figure(figsize=(9, 0.28 * len(found) + 0.8), layout="constrained")
    axes = figure.subplots()
    shares = [max(0.0, min(one.share_of_goal, _MOST_SHARE)) for one in found]
    axes.barh([one.name for one in found], shares, color=[_MET if one.is_met else _MISSED for one in found])
    axes.axvline(1, color="black", linewidth=0.8)
    axes.invert_yaxis()
    axes.set_xlabel("share of what the goal allows: up to 1 it is met")
    figure.savefig(GOALS_PLOT, metadata={"Date": None})


def _plot_hand_over(found: list[Comparison]) -> None:
    """Which share of the hand-overs took at most how long."""
    figure = Figure(figsize=(9, 3.2 * len(found)), layout="constrained")
    for axes, one in zip(figure.subplots(len(found), squeeze=False)[:, 0], found, strict=True):
        for who, samples in one.samples.items():
            ordered = sorted(samples)
            axes.step(ordered, [(place + 1) / len(ordered) for place in range(len(ordered))], where="post", label=who)
        axes.set(
            title=one.name.removesuffix(": p50"), xlabel=one.unit, ylabel="share of hand-overs", ylim=(0, 1), xlim=(0, None)
        )
        axes.legend()
    figure.savefig(HAND_OVER_PLOT, metadata={"Date": None})
