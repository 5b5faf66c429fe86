"""One YAML 1.2 document with the core schema's meaning, as JSON values, with the line of each.

The values are built from the parser's events, because the loaders have YAML 1.1's types on top (timestamps, `1_000`, merge
keys) that the core schema does not.

Source: https://yaml.org/spec/1.2.2/#1032-tag-resolution
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

#: The service takes no more.
MAX_DEPTH = 100
#: Values with every alias written out: small text must not become a huge document.
MAX_VALUES = 2_000_000

_TAG = "tag:yaml.org,2002:"
_NULL = re.compile(r"(?:null|Null|NULL|~|)\Z")
_BOOL = re.compile(r"(?:true|True|TRUE|false|False|FALSE)\Z")
_INT = re.compile(r"[-+]?[0-9]+\Z")
_OCTAL = re.compile(r"0o[0-7]+\Z")
_HEX = re.compile(r"0x[0-9a-fA-F]+\Z")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z")
_NOT_FINITE = re.compile(r"(?:[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))\Z")


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong with a document."""

    pointer: str  #: RFC 6901
    detail: str
    line: int | None = None  #: from 1; None: not known


class InvalidYaml(ValueError):
    """The text is no such document."""

    def __init__(self, faults: list[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("; ".join(f"{fault.pointer}: {fault.detail}" for fault in faults))


@dataclass(frozen=True, slots=True)
class YamlDocument:
    """A document's value, and the line (from 1) of each value in it by JSON pointer."""

    value: Any
    lines: dict[str, int]


def read_yaml(text: str) -> YamlDocument:
    """Read the one document in `text`.

    Raises:
        InvalidYaml: With all the keys that are there twice, or the first other fault.
    """
    builder = _Builder()
    try:
        events: Iterator[Event] = YAML(typ="safe", pure=True).parse(text)
        for event in events:
            builder.take(event)
    except MarkedYAMLError as exc:
        mark = exc.problem_mark or exc.context_mark
        detail = ", ".join(part for part in (exc.context, exc.problem) if part) or "not YAML"
        raise InvalidYaml([Fault("", detail, mark.line + 1 if mark else None)]) from exc
    except YAMLError as exc:
        raise InvalidYaml([Fault("", str(exc).splitlines()[0])]) from exc
    except RecursionError as exc:
        raise InvalidYaml([Fault("", f"nested deeper than {MAX_DEPTH}")]) from exc
    if builder.faults:
        raise InvalidYaml(builder.faults)
    return YamlDocument(builder.root, builder.lines)


@dataclass(slots=True)
class _Open:
    """A mapping or sequence whose end has not come yet."""

    value: Any
    pointer: str
    anchor: str | None
    line: int
    key: str | None = None  #: a mapping's key whose value comes next
    size: int = 1


@dataclass(slots=True)
class _Anchored:
    value: Any
    size: int


@dataclass(slots=True)
class _Builder:
    """Builds values from events. Duplicate keys are gathered, any other fault is raised."""

    root: Any = None
    lines: dict[str, int] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    stack: list[_Open] = field(default_factory=list)
    anchors: dict[str, _Anchored] = field(default_factory=dict)
    documents: int = 0
    size: int = 0

    def take(self, event: Event) -> None:
        if isinstance(event, DocumentStartEvent):
            self.documents += 1
            if self.documents > 1:
                raise _invalid("", "more than one YAML document", event)
        elif isinstance(event, ScalarEvent):
            parent = self.stack[-1] if self.stack else None
            if parent is not None and isinstance(parent.value, dict) and parent.key is None:
                self._take_key(parent, event)
            else:
                pointer = self._next_pointer()
                self._add(_scalar(event, pointer), pointer, event, anchor=event.anchor, size=1 + len(event.value) // 64)
        elif isinstance(event, AliasEvent):
            self._take_alias(event)
        elif isinstance(event, MappingStartEvent | SequenceStartEvent):
            self._open(event)
        elif isinstance(event, MappingEndEvent | SequenceEndEvent):
            self._close()

    def _open(self, event: MappingStartEvent | SequenceStartEvent) -> None:
        pointer = self._next_pointer(event)
        if len(self.stack) >= MAX_DEPTH:
            raise _invalid("", f"nested deeper than {MAX_DEPTH}", event)
        tag = _tag(event)
        value: Any = {} if isinstance(event, MappingStartEvent) else []
        if tag not in {None, "!", _TAG + ("map" if isinstance(value, dict) else "seq")}:
            raise _invalid(pointer, f"the tag {tag} has no meaning here", event)
        # A key's own line is what a reader looks for; the value may begin on the next.
        line = self.lines.setdefault(pointer, event.start_mark.line + 1)
        if event.anchor:
            self.anchors.pop(event.anchor, None)
        self.stack.append(_Open(value, pointer, event.anchor, line))

    def _close(self) -> None:
        done = self.stack.pop()
        if done.anchor:
            self.anchors[done.anchor] = _Anchored(done.value, done.size)
        self._put(done.value, done.size)

    def _take_key(self, parent: _Open, event: ScalarEvent) -> None:
        # Kubernetes' and GitHub's readers take `8080: x` for the key "8080" too: JSON has text keys only.
        key = _text(event, parent.pointer)
        pointer = f"{parent.pointer}/{key.replace('~', '~0').replace('/', '~1')}"
        line = event.start_mark.line + 1
        if key in parent.value:
            first = self.lines.get(pointer)
            self.faults.append(Fault(pointer, f"the key {key!r} is there twice (first in line {first})", line))
        else:
            self.lines[pointer] = line
        if event.anchor:
            self.anchors[event.anchor] = _Anchored(key, 1)
        parent.key = key

    def _take_alias(self, event: AliasEvent) -> None:
        pointer = self._next_pointer(event)
        found = self.anchors.get(event.anchor)
        if found is None:
            raise _invalid(pointer, f"*{event.anchor} stands for nothing that has ended before it", event)
        self._add(found.value, pointer, event, anchor=None, size=found.size)

    def _add(self, value: Any, pointer: str, event: Event, *, anchor: str | None, size: int) -> None:
        self.lines.setdefault(pointer, event.start_mark.line + 1)
        if anchor:
            self.anchors[anchor] = _Anchored(value, size)
        self._put(value, size)

    def _put(self, value: Any, size: int) -> None:
        if not self.stack:
            self.root = value
            return
        parent = self.stack[-1]
        parent.size += size
        if parent.size > MAX_VALUES:
            raise InvalidYaml([Fault(parent.pointer, f"more than {MAX_VALUES} values", parent.line)])
        if isinstance(parent.value, dict):
            parent.value[parent.key] = value
            parent.key = None
        else:
            parent.value.append(value)

    def _next_pointer(self, event: Event | None = None) -> str:
        if not self.stack:
            return ""
        parent = self.stack[-1]
        if isinstance(parent.value, list):
            return f"{parent.pointer}/{len(parent.value)}"
        if parent.key is None:
            raise _invalid(parent.pointer, "a key must be text", event)
        return f"{parent.pointer}/{parent.key.replace('~', '~0').replace('/', '~1')}"


def _scalar(event: ScalarEvent, pointer: str) -> Any:
    text, tag = _text(event, pointer), _tag(event)
    if tag in {_TAG + "str", "!"} or (tag is None and event.style is not None):
        return text
    if tag is not None and tag not in {_TAG + kind for kind in ("null", "bool", "int", "float")}:
        raise _invalid(pointer, f"the tag {tag} has no meaning here", event)
    if _NOT_FINITE.match(text):
        raise _invalid(pointer, f"{text} is no JSON number; in quotes it is text", event)
    value = _resolved(text)
    if tag is None:
        return value
    if tag == _TAG + "float" and type(value) is int:
        return float(value)
    if tag != _TAG + {"NoneType": "null"}.get(type(value).__name__, type(value).__name__):
        raise _invalid(pointer, f"{text!r} is no {tag.removeprefix(_TAG)}", event)
    return value


def _text(event: ScalarEvent, pointer: str) -> str:
    """A scalar's text: two escapes of JSON that stand for one character become it."""
    text = str(event.value)
    try:
        return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError as exc:
        raise _invalid(pointer, "half a character: an escaped surrogate without its other half", event) from exc


def _resolved(text: str) -> Any:
    """What plain text means in the core schema."""
    if _NULL.match(text):
        return None
    if _BOOL.match(text):
        return text[0] in "tT"
    if _INT.match(text) and len(text) < 1000:
        return int(text)
    if _OCTAL.match(text):
        return int(text, 0)
    if _HEX.match(text):
        return int(text, 0)
    if _FLOAT.match(text) and (number := float(text)) not in {float("inf"), float("-inf")}:
        return number
    return text


def _tag(event: Event) -> str | None:
    tag = getattr(event, "tag", None)
    return None if tag is None else str(tag)


def _invalid(pointer: str, detail: str, event: Event | None) -> InvalidYaml:
    return InvalidYaml([Fault(pointer, detail, event.start_mark.line + 1 if event else None)])
