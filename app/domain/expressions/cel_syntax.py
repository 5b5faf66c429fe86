"""Reads which names a compiled expression uses, out of the checked syntax tree that the CEL library serializes.

The tree is a `google.protobuf.Any` with a `cel.expr.CheckedExpr`; only the few fields that matter are read here, so that no
protobuf runtime is needed. Source: https://github.com/google/cel-spec/blob/master/proto/cel/expr/syntax.proto
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

#: Bytes of one message, and where in them it begins and ends: nothing is copied.
_Span = tuple[int, int]

_ANY_VALUE, _CHECKED_EXPR = 2, 4
_CONST, _IDENT, _SELECT, _CALL, _LIST, _STRUCT, _COMPREHENSION = 3, 4, 5, 6, 7, 8, 9
_CONST_STRING: Final = 6
_INDEX: Final = "_[_]"

#: A variable and the literal names behind it: `tasks['a'].outputs.x` is ("tasks", "a", "outputs", "x").
Path = tuple[str, ...]


def paths_of(serialized: bytes) -> set[Path]:
    """Every use of a variable, each with as many literal names behind it as there are; names bound by a loop left out."""
    return _Reader(serialized).paths()


class _Reader:
    def __init__(self, buffer: bytes) -> None:
        self._buffer = buffer
        self._found: set[Path] = set()

    def paths(self) -> set[Path]:
        whole = (0, len(self._buffer))
        if (checked := self._child(whole, _ANY_VALUE)) and (expression := self._child(checked, _CHECKED_EXPR)):
            self._walk(expression, frozenset())
        return self._found

    def _varint(self, position: int) -> tuple[int, int]:
        value, shift = 0, 0
        while True:
            byte = self._buffer[position]
            position += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value, position
            shift += 7

    def _fields(self, span: _Span) -> Iterator[tuple[int, int, int]]:
        """Each field that has a length: its number, where it begins and ends. Numbers are passed over."""
        buffer, (position, end) = self._buffer, span
        while position < end:
            key = buffer[position]
            position += 1
            if key >= 0x80:
                key, position = self._varint(position - 1)
            kind = key & 7
            if kind == 2:
                length = buffer[position]
                position += 1
                if length >= 0x80:
                    length, position = self._varint(position - 1)
                yield key >> 3, position, position + length
                position += length
            elif kind == 0:
                while buffer[position] >= 0x80:
                    position += 1
                position += 1
            else:
                position += 8 if kind == 1 else 4

    def _child(self, span: _Span, number: int) -> _Span | None:
        return next(((start, end) for field, start, end in self._fields(span) if field == number), None)

    def _text(self, span: _Span | None) -> str:
        return self._buffer[span[0] : span[1]].decode() if span else ""

    def _walk(self, expression: _Span, bound: frozenset[str]) -> None:
        if (path := self._chain(expression, bound)) is not None:
            if path:
                self._found.add(path)
            return
        for kind, start, end in self._fields(expression):
            if kind == _COMPREHENSION:
                self._walk_loop((start, end), bound)
            elif kind in (_SELECT, _CALL, _LIST):
                self._walk_parts((start, end), _PARTS[kind], bound)
            elif kind == _STRUCT:
                for field, entry, entry_end in self._fields((start, end)):
                    if field == 2:
                        self._walk_parts((entry, entry_end), (3, 4), bound)

    def _walk_parts(self, span: _Span, numbers: tuple[int, ...], bound: frozenset[str]) -> None:
        for field, start, end in self._fields(span):
            if field in numbers:
                self._walk((start, end), bound)

    def _walk_loop(self, span: _Span, bound: frozenset[str]) -> None:
        """A macro such as `map`: what it goes over and begins with stand outside its variables, all else inside."""
        names = {self._text((start, end)) for field, start, end in self._fields(span) if field in (1, 3, 8)}
        self._walk_parts(span, (2, 4), bound)
        self._walk_parts(span, (5, 6, 7), bound | names)

    def _chain(self, expression: _Span, bound: frozenset[str]) -> Path | None:
        """The path, if the expression is one; () for one from a variable of a loop, None if it is something else."""
        names: list[str] = []
        span: _Span | None = expression
        while span is not None:
            kind, body = 0, (0, 0)
            for field, start, end in self._fields(span):
                if field >= _CONST:
                    kind, body = field, (start, end)
            if kind == _IDENT:
                root = self._text(self._child(body, 1))
                return () if root in bound else (root.removeprefix("."), *reversed(names))
            if kind == _SELECT:
                names.append(self._text(self._child(body, 2)))
                span = self._child(body, 1)
            elif kind == _CALL and (step := self._literal_index(body)):
                names.append(step[1])
                span = step[0]
            else:
                return None
        return None

    def _literal_index(self, call: _Span) -> tuple[_Span, str] | None:
        """`container['name']`: the container and the name."""
        function, arguments = "", []
        for field, start, end in self._fields(call):
            if field == 2:
                function = self._text((start, end))
            elif field == 3:
                arguments.append((start, end))
        if function != _INDEX or len(arguments) != 2 or (constant := self._child(arguments[1], _CONST)) is None:
            return None
        name = self._child(constant, _CONST_STRING)
        return None if name is None else (arguments[0], self._text(name))


#: Which fields of a select, a call and a list are expressions.
_PARTS: Final = {_SELECT: (1,), _CALL: (1, 3), _LIST: (1,)}
