"""`python -m benchmarks.api.listing`: what `GET /runs` takes with a million runs in the database, on SQLite.

The limit for each list is served by the bare service: a query by an index that reads as many rows, all of their columns, in a
thread as podrun does, and answers with as many of them as JSON. How many rows a list has to look at follows from the data: one
more than a page where an index has all that is asked for; where labels are judged, all that come between, and 5,000 at most.
The runs alone are written: lists look at nothing else.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

from benchmarks.api.filling import COMMON, ERROR_OF, RARE_OF, WORKFLOWS, fill_runs, id_of, phase_of, time_of, workflow_of
from benchmarks.api.processes import PREFIX, Rest, bare_service, podrun_service, print_comparisons, temporary_folder
from benchmarks.comparison import Comparison, at_most

PAGE, SCAN_LIMIT = 100, 5000
TIMES = 20
_BY_ID, _BY_PHASE, _BY_WORKFLOW = "sqlite_autoindex_runs_1", "ix_runs_phase_id", "ix_runs_workflow_id"


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A list, and the query that reads as much as it has to."""

    name: str
    query: tuple[tuple[str, str], ...]
    sql: str
    items: int = PAGE  #: on the page


def _sql(where: str, rows: int, index: str) -> str:
    return f"SELECT * FROM runs INDEXED BY {index} WHERE {where} ORDER BY id DESC LIMIT {rows}"


def lists(runs: int) -> list[Listed]:
    """What is asked for, of so many runs."""
    end, middle = id_of(runs), id_of(runs // 2)
    return [*_by_phase(end, middle), *_by_workflow(runs), _by_time(runs), *_by_label(end, middle)]


def _by_phase(end: str, middle: str) -> list[Listed]:
    from_middle = ("cursor", middle)
    failed, errors = (_sql(f"phase = '{phase}' AND id < '{middle}'", PAGE + 1, _BY_PHASE) for phase in ("Failed", "Error"))
    return [
        Listed(name="the newest", query=(), sql=_sql(f"id < '{end}'", PAGE + 1, _BY_ID)),
        Listed(name="from the middle on", query=(from_middle,), sql=_sql(f"id < '{middle}'", PAGE + 1, _BY_ID)),
        Listed(name="a phase, from the middle on", query=(("phase", "Failed"), from_middle), sql=failed),
        Listed(
            name="two phases, from the middle on",
            query=(("phase", "Failed"), ("phase", "Error"), from_middle),
            sql=f"SELECT * FROM (SELECT * FROM ({failed}) UNION ALL SELECT * FROM ({errors})) ORDER BY id DESC",
        ),
    ]


def _by_workflow(runs: int) -> list[Listed]:
    name = workflow_of(7)
    failed = sum(phase_of(number) == "Failed" for number in range(7, runs, WORKFLOWS))
    both = f"workflow = '{name}' AND phase = 'Failed'"
    return [
        Listed(name="a workflow", query=(("workflow", name),), sql=_sql(f"workflow = '{name}'", PAGE + 1, _BY_WORKFLOW)),
        Listed(
            name="a workflow and a phase",
            query=(("workflow", name), ("phase", "Failed")),
            sql=_sql(both, PAGE + 1, _BY_WORKFLOW),
            items=min(failed, PAGE),
        ),
    ]


def _by_time(runs: int) -> Listed:
    after, before = runs // 4, runs // 4 + runs // 100
    return Listed(
        name="between two times",
        query=(("created_after", time_of(after).isoformat()), ("created_before", time_of(before).isoformat())),
        sql=_sql(f"id > '{id_of(after)}' AND id < '{id_of(before)}'", PAGE + 1, _BY_ID),
    )


def _by_label(end: str, middle: str) -> list[Listed]:
    return [
        Listed(
            name=f"a label that one of {RARE_OF} has, from the middle on",
            query=(("label_selector", "team=team-3"), ("cursor", middle)),
            sql=_sql(f"id < '{middle}'", PAGE * RARE_OF + 1, _BY_ID),
        ),
        Listed(
            name="a label that none has",
            query=(("label_selector", f"kind!={COMMON}"),),
            sql=_sql(f"id < '{end}'", SCAN_LIMIT + 1, _BY_ID),
            items=0,
        ),
    ]


def measure_listing(*, pairs: int = 5, runs: int = 1_000_000) -> list[Comparison]:
    """Milliseconds for an answer, each the median of several requests in a row."""
    assert runs >= 2 * PAGE * ERROR_OF, "with fewer runs there would be no full pages"
    with temporary_folder() as folder:
        fill_runs(folder / "podrun.db", runs)
        with podrun_service(folder) as podrun, bare_service() as bare:
            limit, reached = bare.rest(), podrun.rest()
            database = folder / "podrun.db"
            return [_measure_list(listed, database, limit, reached, pairs) for listed in lists(runs)]


def _measure_list(listed: Listed, database: Path, limit: Rest, reached: Rest, pairs: int) -> Comparison:
    comparison = Comparison(name=f"GET /runs: {listed.name}", unit="ms", goal=at_most(3))
    here = f"{PREFIX}/runs?{urlencode(listed.query)}"
    there = f"/rows?{urlencode({'database': str(database), 'sql': listed.sql})}"
    items = reached.ask("GET", here)["items"]
    if len(items) != listed.items:
        raise RuntimeError(f"{listed.name}: {len(items)} runs were listed, and not {listed.items}")
    limit.ask("GET", there)
    for _ in range(pairs):
        comparison.add(_milliseconds(limit, there), _milliseconds(reached, here))
    return comparison


def _milliseconds(rest: Rest, path: str) -> float:
    took = []
    for _ in range(TIMES):
        began = time.perf_counter()
        rest.ask_bytes("GET", path)
        took.append(time.perf_counter() - began)
    return statistics.median(took) * 1000


if __name__ == "__main__":
    print_comparisons("Listing", measure_listing())
