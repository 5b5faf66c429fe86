"""Expressions for the workflow builder: what stands between `${{` and `}}`, written in Python.

`str()` of one, and an f-string with one in it, give the text for the document: `f"--day={w.params['day']}"` is
`--day=${{ params.day }}`. Alone as a value it keeps its type in the run. The language is CEL; the service checks it.
"""

from __future__ import annotations

import json
import re
from typing import NoReturn

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
#: CEL's own words, which can't stand behind a dot.
_RESERVED = frozenset({
    "as", "break", "const", "continue", "else", "false", "for", "function", "if", "import", "in", "let", "loop", "namespace",
    "null", "package", "return", "true", "var", "void", "while",
})  # fmt: skip


class Expression:
    """A CEL expression. Indexing goes into its value, comparing makes a further expression; both happen in the run.

    >>> str(Expression("params.count * 2"))
    '${{ params.count * 2 }}'
    >>> str(Expression("item")["size"] > 3)
    '${{ item.size > 3 }}'
    """

    __slots__ = ("_is_operand", "source")

    def __init__(self, source: str) -> None:
        """Take CEL as it is.

        Args:
            source: CEL, without `${{` and `}}`; another expression's is its `source`.

        Raises:
            ValueError: It is empty, or holds `${{`.
        """
        if not source.strip():
            raise ValueError("an expression must not be empty")
        if "${{" in source:
            raise ValueError(f"an expression stands without its ${{{{ }}}}; use `.source` of one inside another: {source!r}")
        self.source = source
        self._is_operand = False

    def __str__(self) -> str:
        return f"${{{{ {self.source} }}}}"

    def __repr__(self) -> str:
        return f"Expression({self.source!r})"

    def __getitem__(self, key: str | int) -> Expression:
        return _operand(self._as_operand() + step(key))

    def __eq__(self, other: object) -> Expression:  # type: ignore[override]  # gives no bool, but CEL
        return self._compared("==", other)

    def __ne__(self, other: object) -> Expression:  # type: ignore[override]  # gives no bool, but CEL
        return self._compared("!=", other)

    def __lt__(self, other: object) -> Expression:
        return self._compared("<", other)

    def __le__(self, other: object) -> Expression:
        return self._compared("<=", other)

    def __gt__(self, other: object) -> Expression:
        return self._compared(">", other)

    def __ge__(self, other: object) -> Expression:
        return self._compared(">=", other)

    __hash__ = object.__hash__

    def __bool__(self) -> NoReturn:
        raise TypeError(f"{self} has no value before the run: give it to when=, and write CEL's && || ! for and, or, not")

    def __iter__(self) -> NoReturn:
        raise TypeError(f"{self} has no items before the run: give it to `foreach=`")

    def _as_operand(self) -> str:
        return self.source if self._is_operand else f"({self.source})"

    def _compared(self, operator: str, other: object) -> Expression:
        right = other._as_operand() if isinstance(other, Expression) else literal(other)
        return Expression(f"{self._as_operand()} {operator} {right}")


class Members:
    """Named values, reached by index: `w.params["day"]` is `${{ params.day }}`."""

    __slots__ = ("_source",)

    def __init__(self, source: str) -> None:
        self._source = source

    def __getitem__(self, name: str) -> Expression:
        if not isinstance(name, str):
            raise TypeError(f"a name in {self._source} is text, not {name!r}")
        return _operand(self._source + step(name))


def step(key: str | int) -> str:
    """How CEL goes to a member: `.name`, or `['a-b']`, or `[0]`."""
    if isinstance(key, int):
        return f"[{key}]"
    if _IDENTIFIER.match(key) and key not in _RESERVED:
        return f".{key}"
    quoted = literal(key)
    return f"['{key}']" if re.fullmatch(r"[-./ \w]+", key, re.ASCII) else f"[{quoted}]"


def literal(value: object) -> str:
    """A value as CEL writes it, which is as JSON does.

    Raises:
        TypeError: It is no value of JSON.
    """
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as exc:
        raise TypeError(f"only JSON's values can stand in an expression, not {value!r}") from exc


def reference(source: str) -> Expression:
    """An expression that is one name, with members: nothing has to be put around it."""
    return _operand(source)


def _operand(source: str) -> Expression:
    made = Expression(source)
    made._is_operand = True
    return made


#: The item of a `foreach` task.
item = reference("item")
