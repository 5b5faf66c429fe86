"""Carries a run's questions to the evaluator, and makes messages for its actor of the answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import structlog

from app.domain.errors import EvaluatorUnavailable, ExpressionFailed
from app.domain.plan.decisions import Decisions
from app.domain.plan.evaluation import Evaluation, Prepared, prepare, runs_not
from app.domain.plan.expression_flow import lists_evaluated, tasks_evaluated
from app.domain.plan.run_state import RunState
from app.domain.workflow.nodes import Node
from app.expressions.evaluator import Evaluator

#: Of so many tasks at most what their expressions make is put together on the spot: each takes some 100 µs.
FEW_TASKS = 20
#: The evaluator is asked again after so long, where podrun is at fault that it gave no answer.
AGAIN_SECONDS = 5.0

log = structlog.get_logger(__name__)

_Values = Mapping[str, Any] | ExpressionFailed


async def find_answer(evaluator: Evaluator, state: RunState, asked: Evaluation) -> Callable[[RunState, Decisions], None]:
    """Have expressions evaluated; what came of them, as a call of the plan."""
    values = await _evaluate(evaluator, state.run_id, asked)
    if not asked.tasks:
        return lambda state, out: lists_evaluated(state, asked.node, values[0], out)
    shared = await _evaluate_shared(evaluator, state.run_id, asked, values)
    make = partial(_prepare_all, asked.node, values, state.namespaces, shared)
    prepared = await asyncio.to_thread(make) if len(values) > FEW_TASKS else make()
    return lambda state, out: tasks_evaluated(state, asked, prepared, out)


async def _evaluate_shared(evaluator: Evaluator, run_id: str, asked: Evaluation, values: Sequence[_Values]) -> _Values | None:
    """What is the same for all items, once; None where no item asks for it."""
    is_needed = any(not isinstance(one, ExpressionFailed) and not runs_not(asked.node, one) for one in values)
    if not asked.shared or not is_needed:
        return None
    once = replace(asked, sources=asked.shared, condition=None, items=None)
    return (await _evaluate(evaluator, run_id, once))[0]


async def _evaluate(evaluator: Evaluator, run_id: str, asked: Evaluation) -> Sequence[_Values]:
    if not asked.sources and asked.condition is None:
        return [{} for _ in asked.tasks]
    while True:
        try:
            return await evaluator.evaluate(asked.sources, asked.context, asked.items, asked.condition, owner=run_id)
        except EvaluatorUnavailable as error:
            log.warning("expressions wait for the evaluator", run=run_id, reason=str(error))
            await asyncio.sleep(AGAIN_SECONDS)


def _prepare_all(node: Node, values: Sequence[_Values], namespaces: Sequence[str], shared: _Values | None) -> list[Prepared]:
    return [prepare(node, of_task, namespaces, shared) for of_task in values]
