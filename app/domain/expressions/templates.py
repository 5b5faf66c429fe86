"""Finds `${{ … }}` in the strings of a document, and puts the values in.

Where an expression ends is CEL's own matter: `}}` inside one of its strings, comments or nested maps does not end it. Whether
the expression means anything is told by `analysis`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, NamedTuple

from app.domain.errors import Fault, InvalidTemplate
from app.domain.pointers import pointer

OPENING: Final = "${{"
MAX_SOURCE_BYTES: Final = 4096
MAX_IN_TEXT: Final = 1000  #: expressions
_SHORT_TEXT: Final = 2048  #: characters
_EXACT_DOUBLES: Final = 2**53  #: below it a double is a whole number exactly

#: What of CEL's grammar may hold a brace, or is one. Source: https://github.com/google/cel-spec/blob/master/doc/langdef.md#syntax
_TOKEN = re.compile(
    r"""
      (?<!\w)(?:[rR][bB]?|[bB][rR])(?:\"{3}[\s\S]*?\"{3}|'{3}[\s\S]*?'{3}|"[^"\n\r]*"|'[^'\n\r]*')
    | \"{3}(?:[^\\]|\\[\s\S])*?\"{3}
    | '{3}(?:[^\\]|\\[\s\S])*?'{3}
    | "(?:[^"\\\n\r]|\\.)*"
    | '(?:[^'\\\n\r]|\\.)*'
    | //[^\n\r]*
    | [{}]
    | (?P<open>["'])
    """,
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Expression:
    """An expression in a text: what stands between `${{` and `}}`, without the white space around it."""

    source: str


class Found(NamedTuple):
    """An expression in a document."""

    pointer: str  #: of the string that it stands in
    source: str
    alone: bool  #: the string is nothing else, so the value keeps its type


def has_expression(value: object) -> bool:
    """Whether any string in the value holds an expression, well-formed or not."""
    return any(OPENING in text for _, text in _strings(value, ""))


def parse(text: str) -> tuple[str | Expression, ...]:
    """The parts of a text, in order: literal text (never empty) and expressions.

    Raises:
        InvalidTemplate: an expression does not end, or there are too many.
    """
    # Each item of a fan-out has the same texts again; long ones would cost more memory than time.
    return _parse_short(text) if len(text) <= _SHORT_TEXT else _parse(text)


@lru_cache(maxsize=4096)
def _parse_short(text: str) -> tuple[str | Expression, ...]:
    return _parse(text)


def _parse(text: str) -> tuple[str | Expression, ...]:
    parts: list[str | Expression] = []
    position = 0
    while (start := text.find(OPENING, position)) >= 0:
        if start > position:
            parts.append(text[position:start])
        inside = start + len(OPENING)
        end = _end_of_expression(text, inside)
        parts.append(Expression(text[inside:end].strip()))
        if len(parts) > 2 * MAX_IN_TEXT:
            raise InvalidTemplate(f"a text may hold at most {MAX_IN_TEXT:,} expressions")
        position = end + 2
    if position < len(text):
        parts.append(text[position:])
    return tuple(parts)


def _end_of_expression(text: str, start: int) -> int:
    """Where the `}}` of the expression stands that begins at `start`."""
    # A longer one is refused anyhow; without this bound a text full of quotes would be searched again from each of them.
    limit = start + MAX_SOURCE_BYTES + 256
    depth, position, open_quote = 0, start, False
    while token := _TOKEN.search(text, position, limit):
        position = token.end()
        open_quote = open_quote or token["open"] is not None
        if token[0] == "{":
            depth += 1
        elif token[0] == "}" and depth:
            depth -= 1
        elif token[0] == "}" and text.startswith("}", position):
            return token.start()
    if limit < len(text):
        raise InvalidTemplate(f"the expression that begins at character {start - 2} is longer than {MAX_SOURCE_BYTES} bytes")
    hint = ": a string in it is not closed" if open_quote else ": `}}` is missing, or it stands in a comment or in a map"
    raise InvalidTemplate(f"the expression that begins at character {start - 2} does not end{hint}")


def source_alone(text: str) -> str | None:
    """The source of the expression that is all of the text; None where there is none, or more than that.

    Raises:
        InvalidTemplate: an expression does not end.
    """
    if not text.startswith(OPENING):
        return None
    parts = parse(text)
    return parts[0].source if len(parts) == 1 and isinstance(parts[0], Expression) else None


def _strings(value: object, prefix: str) -> Iterator[tuple[str, str]]:
    """Every string of a JSON value that holds `${{`, with its pointer, in document order; keys are not looked at."""
    stack: list[tuple[object, str]] = [(value, prefix)]
    while stack:
        node, place = stack.pop()
        if isinstance(node, str):
            if OPENING in node:
                yield place, node
        elif isinstance(node, Mapping):
            stack.extend((child, place + pointer(key)) for key, child in reversed([*node.items()]) if _may_hold(child))
        elif isinstance(node, list | tuple):
            stack.extend((child, f"{place}/{index}") for index, child in reversed([*enumerate(node)]) if _may_hold(child))


def _may_hold(value: object) -> bool:
    # Most strings hold nothing: a pointer is made only for those that do.
    return OPENING in value if isinstance(value, str) else isinstance(value, Mapping | list | tuple)


def sources_in(value: object, prefix: str = "") -> Iterator[Found]:
    """Every expression in a JSON value, in document order; pointers begin with `prefix`.

    Strings in which an expression does not end are left out: `template_faults` has them.
    """
    for place, text in _strings(value, prefix):
        try:
            parts = parse(text)
        except InvalidTemplate:
            continue
        for part in parts:
            if isinstance(part, Expression):
                yield Found(place, part.source, len(parts) == 1)


def template_faults(value: object, prefix: str = "") -> Iterator[Fault]:
    """Every string of a JSON value in which an expression does not end."""
    for place, text in _strings(value, prefix):
        try:
            parse(text)
        except InvalidTemplate as error:
            yield Fault(place, str(error))


def added_characters(value: Any, values: Mapping[str, Any]) -> int:
    """How many characters the values have that `render` puts in, each as often as its expression stands there."""
    sizes: dict[str, int] = {}
    total = 0
    for found in sources_in(value):
        if found.source not in sizes:
            sizes[found.source] = len(as_text(values[found.source]))
        total += sizes[found.source]
    return total


def render(value: Any, values: Mapping[str, Any]) -> Any:
    """The JSON value with its expressions replaced by their values (by source). Keys stay as they are.

    Raises:
        InvalidTemplate: an expression does not end.
        KeyError: there is no value for an expression.
    """
    if isinstance(value, str):
        return _render_text(value, values) if OPENING in value else value
    if isinstance(value, Mapping):
        return {key: render(child, values) for key, child in value.items()}
    if isinstance(value, list | tuple):
        return [render(child, values) for child in value]
    return value


def _render_text(text: str, values: Mapping[str, Any]) -> Any:
    parts = parse(text)
    if len(parts) == 1 and isinstance(parts[0], Expression):
        return values[parts[0].source]
    return "".join(as_text(values[part.source]) if isinstance(part, Expression) else part for part in parts)


def as_text(value: Any) -> str:
    """A value where text is wanted: a string as it is, anything else as compact JSON (a double 5.0 is `5`)."""
    if isinstance(value, str):
        return value
    return json.dumps(_short_doubles(value), ensure_ascii=False, separators=(",", ":"))


def _short_doubles(value: Any) -> Any:
    # As CEL's own string(5.0), and JavaScript's JSON, write it: who gives a param of type number the value 5 wants to see 5.
    if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT_DOUBLES:
        return int(value)
    if isinstance(value, Mapping):
        return {key: _short_doubles(child) for key, child in value.items()}
    if isinstance(value, list | tuple):
        return [_short_doubles(child) for child in value]
    return value
