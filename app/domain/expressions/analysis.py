"""What can be told of an expression without evaluating it: whether it is CEL, and which names it uses.

Pure, but for the CEL library, which is loaded at the first expression. Evaluation is the business of `app.expressions`: in a
process of its own, because an expression of a stranger may take all the time and memory there is.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Final

from app.domain.errors import ExpressionFailed
from app.domain.expressions.cel_errors import compile_faults
from app.domain.expressions.cel_functions import new_environment
from app.domain.expressions.cel_syntax import Path, paths_of
from app.domain.expressions.templates import MAX_SOURCE_BYTES
from app.domain.pointers import shown
from app.domain.suggestions import CloseNames

if TYPE_CHECKING:
    from cel_expr_python import cel

RUN_NAMES: Final = ("id", "workflow", "created_at", "phase")
TASK_NAMES: Final = ("phase", "exit_code", "outputs")
DYNAMIC: Final = "DYN"  #: CEL's type of what only values tell
_MOST_LISTED: Final = 10  #: known names that a message repeats


@dataclass(frozen=True, slots=True)
class References:
    """The names that an expression uses."""

    params: frozenset[str]
    tasks: frozenset[str]
    run: frozenset[str]  #: of `RUN_NAMES`
    uses_item: bool
    all_params: bool  #: `params` itself is used: each of them counts
    paths: frozenset[Path]  #: every use, as deep as it is literal: ("tasks", "a", "outputs", "x")
    returns: str = DYNAMIC  #: CEL's name of the type that it gives, without what is in it: INT, LIST, ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What an expression may use where it stands."""

    params: Collection[str] = ()
    upstream: Collection[str] = ()  #: names of the tasks that are over when it is evaluated
    tasks: Collection[str] = ()  #: names of all tasks, to tell "not upstream" from "no such task"; may be left out
    has_item: bool = False
    run: bool = True  #: False where only params are known: run labels, a concurrency group


@dataclass(frozen=True, slots=True)
class _Analysis:
    faults: tuple[str, ...]
    references: References | None


@cache
def _environment() -> cel.Env:
    return new_environment()


# A document with as many expressions as it can have tasks, each asked for a few times over, must not be compiled anew.
@lru_cache(maxsize=16_384)
def _analyse(source: str) -> _Analysis:
    if not source:
        return _Analysis(("the expression is empty",), None)
    try:
        size = len(source.encode())
        if size > MAX_SOURCE_BYTES:
            return _Analysis((f"the expression is too long: {size} bytes, at most {MAX_SOURCE_BYTES} are allowed",), None)
        compiled = _environment().compile(source)
        serialized, returns = compiled.serialize(), compiled.return_type().name().partition("<")[0]
    except UnicodeEncodeError:
        return _Analysis(("the expression must be Unicode text: it holds half of a surrogate pair",), None)
    except RuntimeError as error:
        return _Analysis(tuple(compile_faults(source, str(error))), None)
    return _Analysis((), _references(frozenset(paths_of(serialized)), returns))


def _references(paths: frozenset[Path], returns: str) -> References:
    second: dict[str, set[str]] = {"params": set(), "tasks": set(), "run": set()}
    for path in paths:
        if path[0] in second and len(path) > 1:
            second[path[0]].add(path[1])
    return References(
        params=frozenset(second["params"]),
        tasks=frozenset(second["tasks"]),
        run=frozenset(second["run"]),
        uses_item=any(path[0] == "item" for path in paths),
        all_params=("params",) in paths,
        paths=paths,
        returns=returns,
    )


def references(source: str) -> References:
    """The names that an expression uses.

    Raises:
        ExpressionFailed: it does not compile; `check_expression` says more.
    """
    analysis = _analyse(source)
    if analysis.references is None:
        raise ExpressionFailed(f"the expression {shown(source)} is wrong: {'; '.join(analysis.faults)}")
    return analysis.references


def check_expression(source: str, scope: Scope) -> list[str]:
    """All that is wrong with an expression at its place, as sentences for a person; [] if it may be run."""
    analysis = _analyse(source)
    if analysis.references is None:
        return list(analysis.faults)
    return [fault for path in sorted(analysis.references.paths) if (fault := _path_fault(path, scope))]


def _path_fault(path: Path, scope: Scope) -> str | None:
    root, *names = path
    if root == "params":
        return _unknown("there is no param", names[0], scope.params) if names and names[0] not in scope.params else None
    if root == "item":
        return None if scope.has_item else "`item` is there only in a task with foreach"
    if root in ("run", "tasks") and not scope.run:
        return f"`{root}` can't be used here: only params can"
    if root == "run":
        return _run_fault(names)
    return _task_fault(names, scope) if root == "tasks" else None


def _run_fault(names: list[str]) -> str | None:
    if not names:
        return f"`run` must be followed by a literal name, one of {', '.join(RUN_NAMES)}"
    return None if names[0] in RUN_NAMES else _unknown("`run` has no", names[0], RUN_NAMES)


def _task_fault(names: list[str], scope: Scope) -> str | None:
    if not names:
        return "`tasks` must be followed by the literal name of a task: tasks.build, or tasks['build-all']"
    name = names[0]
    if name not in scope.upstream:
        if name in scope.tasks:
            return f"task {shown(name)} is not upstream: what comes of a task is known only where depends_on leads to it"
        return _unknown("there is no upstream task", name, scope.upstream)
    if len(names) > 1 and names[1] not in TASK_NAMES:
        return _unknown(f"`tasks[{shown(name)}]` has no", names[1], TASK_NAMES)
    return None


def _unknown(sentence: str, name: str, known: Collection[str]) -> str:
    if close := _close_names(tuple(known)).find(name):
        return f"{sentence} {shown(name)}: did you mean {shown(close)}?"
    hint = f" (there is {', '.join(known)})" if known and len(known) <= _MOST_LISTED else ""
    return f"{sentence} {shown(name)}{hint}"


@lru_cache(maxsize=16)
def _close_names(known: tuple[str, ...]) -> CloseNames:
    return CloseNames(known)
