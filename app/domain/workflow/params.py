"""A workflow's params: what it says of them, and the values that a run gives them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from itertools import chain, groupby, islice
from typing import Any, cast

from pydantic import ValidationError

from app.domain.errors import Fault
from app.domain.expressions.templates import sources_in, template_faults
from app.domain.faults import MOST_FAULTS, first_faults
from app.domain.json_values import first_json_faults
from app.domain.pointers import pointer, shown, under
from app.domain.suggestions import CloseNames
from app.domain.workflow.document import ParamSpec
from app.domain.workflow.document_faults import Loc, model_faults
from app.domain.workflow.nodes import Param, ParamType
from app.domain.workflow.task_checks import name_fault, whole_numbers_faults

_WANTED = {
    ParamType.STRING: "a string",
    ParamType.NUMBER: "a number",
    ParamType.INTEGER: "a whole number",
    ParamType.BOOLEAN: "true or false",
    ParamType.ARRAY: "a list",
    ParamType.OBJECT: "an object",
}
_PYTHON: Mapping[ParamType, tuple[type, ...]] = {
    ParamType.STRING: (str,),
    ParamType.NUMBER: (int, float),
    ParamType.INTEGER: (int,),
    ParamType.BOOLEAN: (bool,),
    ParamType.ARRAY: (list,),
    ParamType.OBJECT: (dict,),
}
_KEYS = tuple(ParamSpec.model_fields)
_SHOWN_ENUM = 10  #: values of an enum that a message repeats


def parse_params(written: object) -> tuple[dict[str, Param], list[Fault]]:
    """The params that a document declares, and what is wrong with them; pointers from the value of `params`.

    A param with a fault is among them, as far as it can be read: what names it is not wrong for that.
    """
    if written is None:
        return {}, []
    if not isinstance(written, dict):
        return {}, [Fault("", f"must be an object of names and params, not {shown(written)}")]
    params: dict[str, Param] = {}
    faults: list[Fault] = []
    for name, value in written.items():
        if not isinstance(name, str):
            continue
        if fault := name_fault(name):
            faults.append(Fault(pointer(name), fault))
        params[name], found = _parse_param(value)
        faults.extend(under(pointer(name), found))
        if len(faults) > MOST_FAULTS:
            break  # nothing behind these is told
    return params, faults


def _parse_param(value: object) -> tuple[Param, list[Fault]]:
    if isinstance(value, dict):
        return _parse_described(value)
    unknown = Param(type=ParamType.STRING, is_required=True)
    if value is None:
        return unknown, [
            Fault("", "must be a default, or an object that describes the param, not null: write {} for one that is required")
        ]
    kind = _type_of(value)
    if kind is None:
        return unknown, [Fault("", f"must be a default, or an object that describes the param, not {shown(value)}")]
    default, faults = _checked(kind, value)
    return Param(type=kind, is_required=False, default=default), [*faults, *_expression_faults(value)]


def _parse_described(value: dict[str, Any]) -> tuple[Param, list[Fault]]:
    faults: list[Fault] = []
    try:
        ParamSpec.model_validate(value)
    except ValidationError as error:
        faults.extend(model_faults(error, _known_keys))
    written_type = value.get("type", "string")
    kind = ParamType(written_type) if isinstance(written_type, str) and written_type in [*ParamType] else None
    if written_type is None:
        kind = ParamType.STRING
    default, enum = value.get("default"), value.get("enum")
    for key in ("default", "enum"):
        faults.extend(under(pointer(key), _expression_faults(value.get(key))))
    if kind is not None:
        if default is not None:
            default, found = _checked(kind, default)
            hint = _type_hint(default) if "type" not in value else ""
            faults.extend(Fault(pointer("default") + fault.pointer, fault.detail + hint) for fault in found)
        if isinstance(enum, list):
            enum, found = _checked_enum(kind, enum)
            faults.extend(under(pointer("enum"), found))
            if default is not None and not found and not _is_among(default, enum):
                faults.append(Fault(pointer("default"), _not_among(default, enum)))
    description = value.get("description")
    param = Param(
        type=kind or ParamType.STRING,
        is_required=default is None,
        default=default,
        enum=tuple(enum) if isinstance(enum, list) else None,
        description=description if isinstance(description, str) else "",
    )
    return param, faults


def _known_keys(_: Loc) -> tuple[str, ...]:
    return _KEYS


def _type_hint(value: object) -> str:
    kind = _type_of(value)
    return f'; or give "type": "{kind}"' if kind else ""


def _type_of(value: object) -> ParamType | None:
    """The type of a bare default."""
    if isinstance(value, bool):
        return ParamType.BOOLEAN
    for kind in (ParamType.STRING, ParamType.INTEGER, ParamType.NUMBER, ParamType.ARRAY, ParamType.OBJECT):
        if isinstance(value, _PYTHON[kind]):
            return kind
    return None


def _checked(kind: ParamType, value: Any) -> tuple[Any, list[Fault]]:
    """A value as its type has it, and what is wrong with it."""
    if not isinstance(value, _PYTHON[kind]) or (isinstance(value, bool) and kind is not ParamType.BOOLEAN):
        return value, [Fault("", f"must be {_WANTED[kind]}, not {shown(value)}{_write_hint(kind, value)}")]
    if kind is ParamType.NUMBER:
        try:
            return float(cast("float", value)), []
        except OverflowError:
            return value, [Fault("", f"must be a number that fits a double, not {shown(value)}")]
    return value, first_faults(whole_numbers_faults(value))


def _write_hint(kind: ParamType, value: object) -> str:
    if kind is ParamType.STRING and isinstance(value, bool | int | float):
        return f": write {json.dumps(shown(value))}"
    if kind is ParamType.INTEGER and isinstance(value, float) and math.isfinite(value) and value.is_integer():
        return f": write {int(value)}"
    if kind is ParamType.ARRAY and isinstance(value, str | int | float):
        return f": write [{shown(value)}]"
    return ""


def _checked_enum(kind: ParamType, enum: list[Any]) -> tuple[list[Any], list[Fault]]:
    values: list[Any] = []
    faults: list[Fault] = []
    seen: dict[str, int] = {}
    for index, item in enumerate(enum):
        value, found = _checked(kind, item)
        values.append(value)
        faults.extend(under(pointer(index), found))
        if len(faults) > MOST_FAULTS:
            break
        if not found and (first := seen.setdefault(_canonical(value), index)) != index:
            faults.append(Fault(pointer(index), f"{shown(item)} is given twice, at enum/{first} too: once is enough"))
    return values, faults


def _canonical(value: object) -> str:
    return json.dumps(value, sort_keys=True, default=str)


def _is_among(value: object, enum: list[Any] | tuple[Any, ...]) -> bool:
    wanted = _canonical(value)
    return any(_canonical(one) == wanted for one in enum)


def _not_among(value: object, enum: list[Any] | tuple[Any, ...]) -> str:
    some = [shown(one) if not isinstance(one, dict | list) else _canonical(one)[:80] for one in enum[:_SHOWN_ENUM]]
    listed = ", ".join(some[:-1]) + f" or {some[-1]}" if len(some) > 1 and len(enum) <= _SHOWN_ENUM else ", ".join(some)
    more = f" or one of {len(enum) - _SHOWN_ENUM} more" if len(enum) > _SHOWN_ENUM else ""
    return f"must be {listed}{more}, not {shown(value)}"


def _expression_faults(value: object) -> Iterator[Fault]:
    written = (found.pointer for found in sources_in(value))
    places = chain((place for place, _ in groupby(written)), (fault.pointer for fault in template_faults(value)))
    for place in islice(places, MOST_FAULTS + 1):
        yield Fault(place, "no expression may stand in what a param is by default: a run's values are not expressions")


def resolve_params(params: Mapping[str, Param], given: object) -> tuple[dict[str, Any], list[Fault]]:
    """The values of a run's params, in the workflow's order, with defaults where it gives none; and what is wrong with them.

    Args:
        params: as the workflow declares them.
        given: the value of `params` as posted: an object, or null for none. A null in it leaves a param to its default.

    Returns:
        The values, and faults with pointers from `given`; without faults the values are complete.
    """
    if given is not None and not isinstance(given, dict):
        return {}, [Fault("", f"must be an object of names and values, not {shown(given)}")]
    given = given or {}
    faults, is_readable = first_json_faults(given)
    if not is_readable:
        return {}, faults
    faults.extend(_unknown_faults(params, given))
    values: dict[str, Any] = {}
    for name, param in params.items():
        value = given.get(name)
        if value is None:
            if param.is_required:
                detail = f"the param {shown(name)} ({_WANTED[param.type]}) is required: it has no default"
                faults.append(Fault(pointer(name) if name in given else "", detail))
            values[name] = param.default
            continue
        values[name], found = _checked(param.type, value)
        faults.extend(under(pointer(name), found))
        if not found and param.enum is not None and not _is_among(values[name], param.enum):
            faults.append(Fault(pointer(name), _not_among(value, param.enum)))
    return values, faults


def _unknown_faults(params: Mapping[str, Param], given: dict[str, Any]) -> Iterator[Fault]:
    close = CloseNames(params)
    for name in given:
        if isinstance(name, str) and name not in params:
            meant = close.find(name)
            known = f": it has {', '.join(params)}" if 0 < len(params) <= _SHOWN_ENUM else ""
            hint = f": did you mean {shown(meant)}?" if meant else known
            yield Fault(pointer(name), f"the workflow has no param {shown(name)}{hint}")
