"""What expressions may take."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits of the evaluator; those of one expression's source and result are part of the language, and not here."""

    cpu_seconds: float = 1.0  #: for the expressions of one task, in the worker
    quick_cpu_seconds: float = 0.2  #: the same at the first try
    memory_bytes: int = 384 << 20  #: of a worker, on top of what an idle one has
    answer_seconds: float = 30.0  #: by the clock, without any progress; then it is podrun's fault
    jobs: int = 1_000  #: calls at a time; more wait to be let in
    restart_seconds: float = 0.5  #: before the second try to start a worker; twice as long before each further one
    most_restart_seconds: float = 30.0
