"""Reads a workflow FILE: JSON or YAML 1.2, from a file or standard input.

YAML has its core schema's meaning and no other: `on` and `no` are strings, `2026-01-01` is a string, there are no merge keys. A
key that stands twice in one mapping is refused, in JSON too. A JSON file's bytes are sent as they are.

Source: https://yaml.org/spec/1.2.2/#103-core-schema
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from podrun.cli.yaml12 import Fault, YamlDocument, read_yaml

#: A stored workflow's name, or one version of it.
_STORED = re.compile(r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?(?:@[1-9][0-9]{0,8})?")


class UnreadableDocument(Exception):
    """FILE can't be read as a workflow; `faults` says where, if it is known."""

    def __init__(self, name: str, detail: str, faults: Sequence[Fault] = ()) -> None:
        self.name, self.detail, self.faults = name, detail, tuple(faults)
        super().__init__(f"{name}: {detail}")


@dataclass(frozen=True, slots=True)
class Document:
    """A workflow as it was read."""

    name: str  #: FILE, for messages
    content: bytes  #: its JSON
    text: str  #: what was read

    def value(self) -> dict[str, Any]:
        """The workflow as Python has it."""
        value: dict[str, Any] = json.loads(self.content)
        return value

    def line_of(self, pointer: str) -> int | None:
        """The line, from 1, where the value at a JSON pointer stands, or the nearest that contains it; None: not known."""
        lines = _lines(self.text)
        while pointer not in lines:
            if not pointer:
                return None
            pointer = pointer.rpartition("/")[0]
        return lines[pointer]


def read_document(file: str) -> Document:
    """Read FILE; `-` is standard input.

    Raises:
        UnreadableDocument: It can't be read, or is neither JSON nor YAML, or holds no object.
    """
    name = "standard input" if file == "-" else file
    try:
        raw = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
        text = raw.decode("utf-8-sig")
    except OSError as exc:
        raise UnreadableDocument(name, exc.strerror or str(exc)) from exc
    except UnicodeDecodeError as exc:
        raise UnreadableDocument(name, f"not UTF-8: {exc.reason} at byte {exc.start}") from exc
    if file.endswith(".json") or (not file.endswith((".yaml", ".yml")) and _is_json(text)):
        value = _read_json(name, text)
        content = raw.removeprefix(b"\xef\xbb\xbf")
    else:
        value = _read_yaml(name, text).value
        content = json.dumps(value, ensure_ascii=False).encode()
    if not isinstance(value, dict):
        raise UnreadableDocument(name, "a workflow is an object with name and tasks")
    return Document(name, content, text)


def stored_name(target: str) -> str | None:
    """What names a stored workflow, not a file: it has no `/` and no ending .json, .yaml or .yml, and no file has this name.

    Raises:
        UnreadableDocument: It can be neither.
    """
    if target == "-" or "/" in target or target.endswith((".json", ".yaml", ".yml")) or Path(target).exists():
        return None
    if not _STORED.fullmatch(target):
        raise UnreadableDocument(target, "there is no such file, and no stored workflow can have this name")
    return target


def split_version(name: str) -> tuple[str, int | None]:
    """`name@3` as the name and 3.

    Raises:
        UnreadableDocument: It is no name of a stored workflow.
    """
    if not _STORED.fullmatch(name):
        raise UnreadableDocument(name, "no stored workflow can have this name: write NAME or NAME@VERSION")
    bare, _, version = name.partition("@")
    return bare, int(version) if version else None


@lru_cache(maxsize=1)
def _lines(text: str) -> dict[str, int]:
    """Line by pointer, empty where the text is no YAML either. Only asked for when there are faults to show: it is slow."""
    try:
        return read_yaml(text).lines
    except ValueError:
        return {}


class _DuplicateKey(ValueError):
    pass


def _is_json(text: str) -> bool:
    """Whether text from an unnamed source is JSON: flow mappings of YAML also begin with a brace."""
    if not text.lstrip().startswith(("{", "[")):
        return False
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _read_json(name: str, text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_object, parse_constant=_refuse_constant)
    except _DuplicateKey as exc:
        # JSON's parser does not say where: YAML's, of which JSON is a part, does.
        try:
            read_yaml(text)
        except ValueError as found:
            raise UnreadableDocument(name, str(exc), getattr(found, "faults", ())) from exc
        raise UnreadableDocument(name, str(exc)) from exc
    except json.JSONDecodeError as exc:
        raise UnreadableDocument(name, "not JSON", [Fault("", exc.msg, exc.lineno)]) from exc
    except ValueError as exc:
        raise UnreadableDocument(name, f"not JSON: {exc}") from exc
    except RecursionError as exc:
        raise UnreadableDocument(name, "nested too deeply") from exc


def _read_yaml(name: str, text: str) -> YamlDocument:
    try:
        return read_yaml(text)
    except ValueError as exc:
        raise UnreadableDocument(name, "not a YAML document of a workflow", getattr(exc, "faults", ())) from exc


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document: dict[str, Any] = {}
    for key, value in pairs:
        if key in document:
            raise _DuplicateKey(f"the key {key!r} is there twice")
        document[key] = value
    return document


def _refuse_constant(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON number")
