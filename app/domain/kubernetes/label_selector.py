"""Label selectors in Kubernetes' grammar: `app=web,tier!=cache,zone in (a,b),env notin (dev),gpu,!spot`.

Source: https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from app.domain.errors import InvalidParameter
from app.domain.kubernetes.labels import label_key_fault, label_value_fault
from app.domain.pointers import shown

_TOKEN = re.compile(r"\s*(?:(?P<sign>==|!=|[=!,()])|(?P<word>[^\s,()!=]+))\s*")
_ANY_OPERATOR = "'=', '!=', 'in (…)', 'notin (…)' or a comma"


class Operator(StrEnum):
    """How a requirement compares."""

    IN = "in"  #: the label is there and has one of the values
    NOT_IN = "notin"  #: the label is not there, or has another value
    EXISTS = "exists"  #: the label is there
    NOT_EXISTS = "!"  #: the label is not there


@dataclass(frozen=True, slots=True)
class Requirement:
    """One condition on one label."""

    key: str
    operator: Operator
    values: frozenset[str] = frozenset()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether labels fulfil the condition."""
        if self.operator is Operator.IN:
            return labels.get(self.key) in self.values
        if self.operator is Operator.NOT_IN:
            return labels.get(self.key) not in self.values
        return (self.key in labels) == (self.operator is Operator.EXISTS)


@dataclass(frozen=True, slots=True)
class LabelSelector:
    """All of its requirements must be fulfilled; with none, everything matches."""

    requirements: tuple[Requirement, ...]

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether labels fulfil all requirements."""
        return all(requirement.matches(labels) for requirement in self.requirements)


def parse_label_selector(text: str, parameter: str = "label_selector") -> LabelSelector:
    """The selector that a text means.

    Raises:
        InvalidParameter: it is none; named by `parameter`.
    """
    try:
        tokens = _Tokens(text)
        return LabelSelector(tuple(_requirements(tokens)))
    except ValueError as error:
        raise InvalidParameter(parameter, f"{shown(text)} is not a label selector: {error}") from error


class _Tokens:
    """The words and signs of a selector, read from left to right."""

    def __init__(self, text: str) -> None:
        self._found: list[tuple[str, bool]] = []  # text, whether it is a sign
        position = 0
        while match := _TOKEN.match(text, position):
            self._found.append((match["sign"] or match["word"], match["sign"] is not None))
            position = match.end()
        self._found.reverse()

    @property
    def is_empty(self) -> bool:
        return not self._found

    def take_sign(self, *signs: str) -> str | None:
        """The next token, if it is one of these signs."""
        if self._found and self._found[-1][1] and self._found[-1][0] in signs:
            return self._found.pop()[0]
        return None

    def take_word(self) -> str | None:
        """The next token, if it is a word."""
        if self._found and not self._found[-1][1]:
            return self._found.pop()[0]
        return None

    def next(self) -> str:
        """The next token as a message shows it; it stays."""
        return shown(self._found[-1][0]) if self._found else "the end"


def _requirements(tokens: _Tokens) -> Iterator[Requirement]:
    while not tokens.is_empty:
        yield _requirement(tokens)
        if tokens.is_empty:
            return
        if not tokens.take_sign(","):
            raise ValueError(f"{_ANY_OPERATOR} is expected, not {tokens.next()}")
        if tokens.is_empty:
            raise ValueError("a requirement is expected behind the last comma")


def _requirement(tokens: _Tokens) -> Requirement:
    negated = tokens.take_sign("!") is not None
    key = tokens.take_word()
    if key is None:
        raise ValueError(f"a label's key is expected, not {tokens.next()}")
    if fault := label_key_fault(key):
        raise ValueError(fault)
    if negated:
        return Requirement(key, Operator.NOT_EXISTS)
    if sign := tokens.take_sign("=", "==", "!="):
        value = _value(tokens.take_word() or "")
        return Requirement(key, Operator.NOT_IN if sign == "!=" else Operator.IN, frozenset({value}))
    if word := tokens.take_word():
        if word not in (Operator.IN, Operator.NOT_IN):
            raise ValueError(f"{_ANY_OPERATOR} is expected behind {shown(key)}, not {shown(word)}")
        return Requirement(key, Operator(word), _value_set(tokens))
    return Requirement(key, Operator.EXISTS)


def _value_set(tokens: _Tokens) -> frozenset[str]:
    if not tokens.take_sign("("):
        raise ValueError(f"'(' is expected, not {tokens.next()}")
    if tokens.take_sign(")"):
        raise ValueError("there must be a value between the parentheses")
    values: set[str] = set()
    while True:
        values.add(_value(tokens.take_word() or ""))
        if tokens.take_sign(")"):
            return frozenset(values)
        if not tokens.take_sign(","):
            raise ValueError(f"',' or ')' is expected, not {tokens.next()}")


def _value(text: str) -> str:
    if fault := label_value_fault(text):
        raise ValueError(fault)
    return text
