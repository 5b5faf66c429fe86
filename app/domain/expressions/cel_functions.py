"""CEL as podrun speaks it: its variables, its strings extension, and functions over lists that CEL itself does not have.

The functions follow Kubernetes' list library where it has them.
Source: https://kubernetes.io/docs/reference/using-api/cel/#kubernetes-list-library

This module is also all that the evaluator's worker process knows of podrun: it imports nothing else of it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from cel_expr_python import cel

VARIABLES: Final = ("params", "run", "tasks", "item")
LONGEST_RANGE: Final = 100_000
INT64_MIN: Final = -(2**63)
INT64_MAX: Final = 2**63 - 1
#: What the library allows in one evaluation, over all loops in it; it can't be set.
MAX_ITERATIONS: Final = 10_000

#: For suggestions: what can be called.
FUNCTION_NAMES: Final = (
    "all", "bool", "charAt", "contains", "double", "dyn", "duration", "endsWith", "exists", "exists_one", "filter", "format",
    "has", "indexOf", "int", "join", "lastIndexOf", "lists.range", "lowerAscii", "map", "matches", "max", "min", "replace",
    "reverse", "size", "split", "startsWith", "string", "strings.quote", "substring", "sum", "timestamp", "trim", "type",
    "upperAscii",
)  # fmt: skip


def new_environment(*more_variables: str) -> cel.Env:
    """An environment with podrun's variables and functions; `more_variables` can hold anything. Takes 1.5 ms.

    The library is loaded here and not before: a service whose workflows have no expressions never pays for it.
    """
    from cel_expr_python import cel  # noqa: PLC0415  # 45 ms and 14 MB
    from cel_expr_python.ext import ext_strings  # noqa: PLC0415  # is part of it

    kinds = cel.Type
    any_list, named = kinds.List(kinds.DYN), kinds.Map(kinds.STRING, kinds.DYN)

    def over_list(name: str, returns: cel.Type, implementation: Any) -> cel.FunctionDecl:
        """`[…].name()`, and `name([…])` as other dialects of CEL write it."""
        return cel.FunctionDecl(
            name,
            [
                cel.Overload(f"list_{name}", returns, [any_list], is_member=True, impl=implementation),
                cel.Overload(f"{name}_list", returns, [any_list], is_member=False, impl=implementation),
            ],
        )

    index = cel.Overload("list_indexOf", kinds.INT, [any_list, kinds.DYN], is_member=True, impl=index_of)
    functions = [
        cel.FunctionDecl("lists.range", [cel.Overload("lists_range", kinds.List(kinds.INT), [kinds.INT], impl=range_of)]),
        over_list("sum", kinds.DYN, sum_of),
        over_list("min", kinds.DYN, min_of),
        over_list("max", kinds.DYN, max_of),
        cel.FunctionDecl("indexOf", [index]),
    ]
    variables = dict.fromkeys(("params", "run", "tasks"), named)
    variables |= dict.fromkeys(("item", *more_variables), kinds.DYN)
    return cel.NewEnv(variables=variables, extensions=[ext_strings.ExtStrings(), cel.CelExtension("podrun.lists", functions)])


# The library makes a CEL error of a ValueError, with its text.


def range_of(length: int) -> list[int]:
    """0, 1, …, `length` - 1."""
    if length < 0:
        raise ValueError(f"lists.range takes a number from 0, not {length}")
    if length > LONGEST_RANGE:
        raise ValueError(f"lists.range({length}) is too long: at most {LONGEST_RANGE}")
    return list(range(length))


def sum_of(values: Sequence[Any]) -> Any:
    """The sum of numbers of one kind; of nothing 0."""
    if not values:
        return 0
    kinds = {type(value) for value in values}
    if kinds == {int}:
        total = sum(values)
        if not INT64_MIN <= total <= INT64_MAX:
            raise ValueError("sum: the result does not fit into 64 bits")
        return total
    if kinds == {float}:
        return math.fsum(values) if all(map(math.isfinite, values)) else sum(values)
    if kinds == {int, float}:
        raise ValueError("sum: the list holds int and double: make them one kind, as in xs.map(x, double(x)).sum()")
    raise ValueError(f"sum: the list must hold numbers, not {_names(kinds)}")


def min_of(values: Sequence[Any]) -> Any:
    """The least value."""
    _check_order("min", values)
    return min(values)


def max_of(values: Sequence[Any]) -> Any:
    """The greatest value."""
    _check_order("max", values)
    return max(values)


def index_of(values: Sequence[Any], wanted: Any) -> int:
    """The first place of a value, -1 if it is not there."""
    return next((index for index, value in enumerate(values) if _equal(value, wanted)), -1)


def _check_order(name: str, values: Sequence[Any]) -> None:
    if not values:
        raise ValueError(f"{name}: the list is empty")
    kinds = {type(value) for value in values}
    if kinds not in ({int}, {float}, {int, float}, {str}, {bool}):
        raise ValueError(f"{name}: the values must all be numbers, or strings, or booleans, not {_names(kinds)}")
    if any(value != value for value in values):
        raise ValueError(f"{name}: the list holds NaN, which has no order")


_KINDS: Final = {int: "int", float: "double", str: "string", bool: "bool", type(None): "null", dict: "map", list: "list"}


def _names(kinds: set[type]) -> str:
    return " and ".join(sorted(_KINDS.get(kind, kind.__name__) for kind in kinds))


def _equal(left: Any, right: Any) -> bool:
    """CEL's equality: numbers of any kind by value, else like with like. Python alone would say that true equals 1."""
    if isinstance(left, bool) is not isinstance(right, bool):
        return False
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(_equal, left, right))
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(_equal(value, right[key]) for key, value in left.items())
    return bool(left == right)
