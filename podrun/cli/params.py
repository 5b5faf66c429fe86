"""`-p NAME=VALUE` and `--label NAME=VALUE`: text in, values of the declared types out.

A param's type comes from the workflow: a FILE's own, or a stored one's, for which the service is asked. What no workflow
declares is sent as text, so that the service refuses it in its own words.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from podrun.errors import InvalidArgument

ParamsOption = Annotated[
    list[str] | None,
    typer.Option(
        "-p",
        "--param",
        metavar="NAME=VALUE",
        help="A value for a param, as text or as the JSON of its type; NAME=@FILE reads it from a file (a leading @ itself is "
        "written @@). May be repeated.",
    ),
]
LabelsOption = Annotated[
    list[str] | None, typer.Option("--label", metavar="NAME=VALUE", help="A label for the run. May be repeated.")
]

#: What a value of a type is in JSON. A bool is an int for Python, and is none here.
_TYPES: Mapping[str, tuple[type, ...]] = {
    "number": (int, float),
    "integer": (int,),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
}
_EXAMPLES = {"number": "0.5", "integer": "3", "boolean": "true", "array": '["a", "b"]', "object": '{"a": 1}'}
_MOST_SHOWN = 60


def read_pairs(flag: str, pairs: Sequence[str] | None) -> dict[str, str]:
    """Split `NAME=VALUE` at the first `=`.

    Raises:
        InvalidArgument: One has no `=` or no name, or a name is there twice.
    """
    found: dict[str, str] = {}
    for pair in pairs or ():
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise InvalidArgument(f"{flag} {pair}: write NAME=VALUE")
        if name in found:
            raise InvalidArgument(f"{flag} {name}: it is there twice")
        found[name] = value
    return found


def read_params(pairs: Mapping[str, str], workflow: object) -> dict[str, Any]:
    """Make values of what was written, by the types that a workflow's document declares.

    Raises:
        InvalidArgument: A file can't be read, or a text is none of its type.
    """
    declared = workflow.get("params") if isinstance(workflow, Mapping) else None
    specs = declared if isinstance(declared, Mapping) else {}
    return {
        name: _value(name, _text(name, text), _type_of(specs[name]) if name in specs else "string")
        for name, text in pairs.items()
    }


def _text(name: str, text: str) -> str:
    if text.startswith("@@") or not text.startswith("@"):
        return text[1:] if text.startswith("@@") else text
    file = text[1:]
    try:
        return Path(file).read_bytes().decode()
    except OSError as exc:
        reason = exc.strerror or str(exc)
        raise InvalidArgument(f"-p {name}: {file}: {reason} (a value that begins with @ is written @@...)") from exc
    except UnicodeDecodeError as exc:
        raise InvalidArgument(f"-p {name}: {file}: not UTF-8: {exc.reason} at byte {exc.start}") from exc


def _type_of(spec: object) -> str:
    """The type that a param's declaration gives it; a bare default has its own."""
    if isinstance(spec, Mapping):
        return str(spec.get("type") or "string")
    names = {bool: "boolean", int: "integer", float: "number", list: "array"}
    return names.get(type(spec), "string")


def _value(name: str, text: str, kind: str) -> Any:
    if kind not in _TYPES:
        return text
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        value = None
    is_bool = isinstance(value, bool)
    if not isinstance(value, _TYPES[kind]) or is_bool != (kind == "boolean"):
        shown = text if len(text) <= _MOST_SHOWN else text[:_MOST_SHOWN] + "..."
        article = "an" if kind[0] in "aeiou" else "a"
        raise InvalidArgument(
            f"-p {name}: must be {article} {kind} as JSON writes it, such as {_EXAMPLES[kind]}, not {shown!r}"
        )
    return value


def _refuse_constant(constant: str) -> None:
    raise ValueError(constant)
