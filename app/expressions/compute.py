"""Evaluates one request: the part of the worker that has nothing to do with processes.

MemoryError is not caught in here: it ends the worker, as too much CPU does.

Many items are evaluated together, as `__items.map(item, […])`: what a big context costs to hand over to CEL is then paid once,
not for each item. One item that fails makes all of them fail, and so do loops that take too many steps together: then half as
many are tried, down to one alone, and after that more again.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import msgspec

from app.domain.expressions.cel_errors import compile_faults, evaluation_fault
from app.domain.expressions.cel_functions import new_environment
from app.expressions.protocol import Outcome, Reply, Request, shortened
from app.expressions.results import BadResult, encode_result, refuse_big_integers

if TYPE_CHECKING:
    from cel_expr_python import cel

_ITEMS: Final = "__items"
_TOGETHER: Final = 64  #: items in one evaluation: CEL's `map` copies its list at each step
_ENOUGH_SECONDS: Final = 0.1  #: after that much work the worker answers what it has, for others to have their turn
_ENOUGH_BYTES: Final = 1 << 20
_encode = msgspec.json.Encoder().encode


class _Failed(Exception):
    """What went wrong with an item, as a sentence for a person."""


class Computer:
    """Holds CEL's environments and the programs compiled last."""

    def __init__(self) -> None:
        self._environment = new_environment(_ITEMS)
        self._compile = lru_cache(maxsize=1024)(self._environment.compile)
        self._together_last: tuple[object, int] = (None, 0)  #: how many items of which expressions went together last

    def answer(self, request: Request, context: dict[str, Any], *, is_suspect: bool = False) -> Reply:
        """Evaluate the request's first items, at least one.

        `is_suspect`: the items, or the context, may hold integers that CEL can't take.
        """
        replies: list[msgspec.Raw] = []
        size, began = 0, time.monotonic()
        for outcomes in self._portions(request, context, 1 if is_suspect else _TOGETHER):
            for outcome in outcomes:
                replies.append(msgspec.Raw(encoded := _encode(outcome)))
                size += len(encoded)
                if size > _ENOUGH_BYTES:
                    return Reply(replies)
            if time.monotonic() - began > _ENOUGH_SECONDS:
                break
        return Reply(replies)

    def _portions(self, request: Request, context: dict[str, Any], most: int) -> Iterator[list[Outcome]]:
        """The outcomes of the items in order, those that were evaluated together at once."""
        if request.items is None:
            yield [self._one(request, context, is_suspect=most == 1)]
            return
        items, first = request.items, 0
        expressions = (*request.sources, request.condition)
        size = min(most, self._together_last[1]) if self._together_last[0] == expressions else most
        while first < len(items):
            part = items[first : first + size]
            if len(part) == 1:
                outcome = self._one(request, {**context, "item": part[0]}, is_suspect=most == 1)
                yield [outcome]
                size = 1 if outcome.failure is not None else min(2, most)
            elif (outcomes := self._together(request, context, part)) is not None:
                self._together_last = (expressions, len(part))
                yield outcomes
                size = min(2 * len(part), most)
            else:
                size = len(part) // 2
                continue
            first += len(part)

    def _one(self, request: Request, data: dict[str, Any], *, is_suspect: bool) -> Outcome:
        """The expressions of one item, or those that stand without any."""
        try:
            for name, value in data.items() if is_suspect else ():
                refuse_big_integers(name, value)
            with _cpu_limit(request.cpu_seconds):
                activation = self._environment.Activation(data)
                if request.condition is None:
                    return Outcome(values=[self._value(source, activation) for source in request.sources])
                if not self._condition(request.condition, activation):
                    return Outcome(condition=False)
                return Outcome(condition=True, values=[self._value(source, activation) for source in request.sources])
        except (_Failed, BadResult) as error:
            return Outcome(failure=str(error))

    def _value(self, source: str, activation: cel.Activation) -> msgspec.Raw:
        try:
            return msgspec.Raw(encode_result(self._evaluate(source, activation)))
        except BadResult as error:
            raise _Failed(f"the expression `{shortened(source)}` {error}") from None

    def _condition(self, source: str, activation: cel.Activation) -> bool:
        value = self._evaluate(source, activation)
        if isinstance(value, bool):
            return value
        raise _Failed(f"the condition `{shortened(source)}` must give true or false, not {_encode_shown(value)}")

    def _evaluate(self, source: str, activation: cel.Activation) -> Any:
        try:
            program = self._compile(source)
        except (RuntimeError, UnicodeEncodeError) as error:  # checked at submit; only another version of podrun gets here
            faults = "; ".join(compile_faults(source, str(error)))
            raise _Failed(f"the expression `{shortened(source)}` is wrong: {faults}") from None
        try:
            result = program.eval(activation)
            value = result.plain_value()
        except (RuntimeError, UnicodeError, ValueError, OverflowError) as error:
            raise _Failed(f"the expression `{shortened(source)}` failed: {evaluation_fault(str(error))}") from None
        if _is_error(result, value):
            raise _Failed(f"the expression `{shortened(source)}` failed: {evaluation_fault(str(value))}")
        return value

    def _together(self, request: Request, context: dict[str, Any], items: Sequence[Any]) -> list[Outcome] | None:
        """The outcomes of many items at once; None if anything in it went wrong."""
        try:
            program = self._compile(_joined(tuple(request.sources), request.condition))
            with _cpu_limit(request.cpu_seconds):
                result = program.eval(self._environment.Activation({**context, _ITEMS: items}))
                rows = result.plain_value()
                if _is_error(result, rows) or not isinstance(rows, list):
                    return None
                return [_row(request, row) for row in rows]
        except (RuntimeError, ValueError, OverflowError, BadResult):
            return None


def _is_error(result: cel.Value, value: Any) -> bool:
    """Whether an evaluation gave an error: CEL's errors are values."""
    if result.type().name() not in ("ERROR", "UNKNOWN"):
        return False
    if str(value).startswith("RESOURCE_EXHAUSTED"):  # what the library makes of a MemoryError in a function of ours
        raise MemoryError
    return True


def _joined(sources: tuple[str, ...], condition: str | None) -> str:
    # Each source ends with a line feed: it may end with a comment.
    values = "[" + ", ".join(f"dyn({source}\n)" for source in sources) + "]"
    if condition is not None:
        values = f"(({condition}\n) ? {values} : [])" if sources else f"[dyn({condition}\n)]"
    return f"{_ITEMS}.map(item, {values})"


def _row(request: Request, row: list[Any]) -> Outcome:
    """One item's outcome. Raises BadResult where it must be looked at alone."""
    if request.condition is None:
        return Outcome(values=[msgspec.Raw(encode_result(value)) for value in row])
    if not request.sources:
        if not isinstance(row[0], bool):
            raise BadResult("is no condition")
        return Outcome(condition=row[0], values=[] if row[0] else None)
    if not row:
        return Outcome(condition=False)
    return Outcome(condition=True, values=[msgspec.Raw(encode_result(value)) for value in row])


def _encode_shown(value: Any) -> str:
    if isinstance(value, str):
        return "a string"
    if isinstance(value, list | dict):
        return "a list" if isinstance(value, list) else "a map"
    return "null" if value is None else str(value)


class _cpu_limit:  # noqa: N801  # reads as a statement
    """Ends this process when what is inside takes more CPU: by a signal's default action, so that C++ can't delay it."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def __enter__(self) -> None:
        signal.setitimer(signal.ITIMER_PROF, self._seconds)

    def __exit__(self, *exc_info: object) -> None:
        signal.setitimer(signal.ITIMER_PROF, 0)
