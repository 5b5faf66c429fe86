"""What can go wrong with the log store."""

from __future__ import annotations

from app.domain.errors import PodrunError


class LogStoreUnavailable(PodrunError):
    """The folder or bucket with the logs can't be reached or written just now; trying again later may help."""

    def __init__(self, message: str) -> None:
        self.message = message
        super().__init__(f"the log store is not available: {message}")


class LogObjectDamaged(PodrunError):
    """An object of the log store is not what was put there: cut off, changed, or of a format that this podrun does not know."""

    def __init__(self, name: str, problem: str) -> None:
        self.name, self.problem = name, problem
        super().__init__(f"log object {name!r} is damaged: {problem}")
