"""What the use cases need of other rooms, as small as they need it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from app.domain.errors import ExpressionFailed, Fault


class Admission(Protocol):
    """The executor of this process, as far as submitting goes: a run that it takes at once needs no claim."""

    @property
    def owner(self) -> str | None:
        """The executor's id; None while it takes nothing (it starts, stops, or its lease is lost)."""

    def admit(self, run_id: str, epoch: int) -> None:
        """The run is committed under `owner` and this epoch: move it. Returns at once; the executor loads the run itself."""


class Pods(Protocol):
    """Where pods run, as far as a workflow can be judged by it."""

    @property
    def kind(self) -> str:
        """`kubernetes` or `local`."""

    @property
    def namespaces(self) -> Sequence[str]:
        """Where pods may run; the first is the default. Never empty."""

    def refuse(self, document: Mapping[str, Any]) -> list[Fault]:
        """What can't be run here of a workflow document, whatever else is wrong with it; pointers are into the document."""


class Evaluator(Protocol):
    """Who evaluates expressions (`app.expressions.evaluator`), as far as submitting needs it."""

    async def evaluate(
        self, sources: Sequence[str], context: Mapping[str, Any]
    ) -> Sequence[Mapping[str, Any] | ExpressionFailed]:
        """One outcome: the value of each source, or why one of them has none. Raises EvaluatorUnavailable."""


class LogObjects(Protocol):
    """The log store, as far as deleting goes."""

    async def delete_run(self, run_id: str) -> None:
        """Delete every object of a run; none there is no error. Raises LogStoreUnavailable."""
