"""The shape of Kubernetes' objects, offline: keys, types and required keys, by the API's own published schemas.

The schemas come with the package kubernetes-validate; the newest one is taken, because a key that only newer clusters know must
not be refused here. They are read once, when the first object is checked; one definition compiles in well under a millisecond.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from jsonschema_rs import Draft202012Validator, ValidationError

from app.domain.errors import Fault
from app.domain.pointers import pointer, shown
from app.domain.suggestions import suggest_key

_CORE = "io.k8s.api.core.v1."
_QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"
_INT_OR_STRING = "io.k8s.apimachinery.pkg.util.intstr.IntOrString"

#: Ours: both security contexts in one object; each key goes where Kubernetes has it.
SECURITY_CONTEXT = "PodAndContainerSecurityContext"

_NOT_NULL = {"not": {"type": "null"}}
_WHOLE = {"int32": (-(2**31), 2**31 - 1), "int64": (-(2**63), 2**63 - 1)}
_TYPES = {
    "string": "a string",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "object": "an object",
    "array": "a list",
}
_FEW = 8  #: known keys that a message lists
#: Of one object. The library finds all that are wrong before it tells of the first, each in 20 µs and 3 kB; etcd would hardly
#: take a pod of so many.
MAX_VALUES = 20_000


def _newest_definitions() -> dict[str, Any]:
    spec = find_spec("kubernetes_validate")
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeError("the package kubernetes-validate is missing: install podrun[server]")
    folders = Path(spec.submodule_search_locations[0], "kubernetes-json-schema").glob("v*-local-strict")
    newest = max(folders, key=lambda folder: tuple(int(part) for part in folder.name[1:].split("-")[0].split(".")))
    definitions: dict[str, Any] = json.loads((newest / "_definitions.json").read_bytes())["$defs"]
    return definitions


def _tightened(node: Any) -> Any:
    """A schema without its texts, that takes no null in lists and maps, and no 5.0 for a whole number.

    The published schemas let null stand for any optional value, as the API server does for keys; but a null list item is an
    empty object to it, which nobody means.
    """
    if isinstance(node, list):
        return [_tightened(item) for item in node]
    if not isinstance(node, dict):
        return node
    made: dict[str, Any] = {
        key: {name: _tightened(schema) for name, schema in item.items()} if key == "properties" else _tightened(item)
        for key, item in node.items()
        if key != "description" and not key.startswith("x-kubernetes")
    }
    for key in ("items", "additionalProperties"):
        if isinstance(made.get(key), dict):
            made[key] = made[key] | _NOT_NULL
    if isinstance(made.get("format"), str):
        minimum, maximum = _WHOLE.get(made.pop("format"), (None, None))
        if minimum is not None:
            made |= {"minimum": minimum, "maximum": maximum, "wholeNumber": True}
    return made


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"].rpartition("/")[2]
        node = list(node.values())
    if isinstance(node, list):
        for item in node:
            yield from _references(item)


class MergeRule(NamedTuple):
    """How a strategic merge treats one key of an object."""

    definition: str  #: of the value, or of each item of a list; "" where there is none
    merge_key: str  #: lists are merged by it; "" for lists that are replaced, and for everything else


_NO_RULE = MergeRule("", "")


def _merge_rules(definition: Mapping[str, Any]) -> dict[str, MergeRule]:
    rules = {}
    for key, schema in definition.get("properties", {}).items():
        reference = next(_references(schema), "")
        strategies = schema.get("x-kubernetes-patch-strategy", "").split(",")
        merge_key = schema.get("x-kubernetes-patch-merge-key", "") if "merge" in strategies else ""
        rule = MergeRule(reference, merge_key)
        if rule != _NO_RULE:
            rules[key] = rule
    return rules


class _Schemas(NamedTuple):
    definitions: Mapping[str, Any]  #: tightened
    merge_rules: Mapping[str, Mapping[str, MergeRule]]  #: by the full name of the definition


@lru_cache(maxsize=1)
def _schemas() -> _Schemas:
    """What a pod needs of the published definitions; the other hundreds are let go."""
    published = _newest_definitions()
    published[_QUANTITY] = {"type": ["string", "number", "null"]}
    published[_INT_OR_STRING] = {"type": ["integer", "string"]}  # wherever a pod has one it is required
    needed: dict[str, Any] = {}
    waiting = [_CORE + "PodSpec"]
    while waiting:
        name = waiting.pop()
        if name not in needed:
            needed[name] = _tightened(published[name])
            waiting.extend(_references(needed[name]))
    rules = {name: found for name in needed if (found := _merge_rules(published[name]))}
    pod, container = needed[_CORE + "PodSecurityContext"], needed[_CORE + "SecurityContext"]
    needed[_CORE + SECURITY_CONTEXT] = {**pod, "properties": {**container["properties"], **pod["properties"]}}
    return _Schemas(needed, rules)


def _definitions() -> Mapping[str, Any]:
    return _schemas().definitions


def merge_rule(definition: str, key: str) -> MergeRule:
    """How a strategic merge treats a key of an object of this kind (`PodSpec`, or a full name as a rule has it).

    Source: https://kubernetes.io/docs/tasks/manage-kubernetes-objects/update-api-object-kubectl-patch/#notes-on-the-strategic-merge-patch
    """
    full = definition if "." in definition else _CORE + definition
    return _schemas().merge_rules.get(full, {}).get(key, _NO_RULE)


def keys_of(definition: str) -> frozenset[str]:
    """The keys that an object of this kind may have (`PodSecurityContext`, ...)."""
    return frozenset(_definitions()[_CORE + definition]["properties"])


class _WholeNumber:
    """JSON Schema takes 5.0 for an integer; the API server does not."""

    def __init__(self, parent: Any, value: Any, path: Any) -> None:
        pass

    def validate(self, instance: object) -> None:
        if isinstance(instance, float) and instance.is_integer():
            raise ValueError


@lru_cache(maxsize=64)
def _validator(definition: str) -> Draft202012Validator:
    definitions = _definitions()
    root, needed = _CORE + definition, {}
    waiting = [root]
    while waiting:
        name = waiting.pop()
        if name not in needed:
            needed[name] = definitions[name]
            waiting.extend(_references(definitions[name]))
    schema = {
        "$defs": {name: _local(node) for name, node in needed.items()},
        "$ref": f"#/$defs/{root}",
        **_NOT_NULL,
    }
    return Draft202012Validator(schema, keywords={"wholeNumber": _WholeNumber})


def _local(node: Any) -> Any:
    """The same schema with every reference into this document's own `$defs`."""
    if isinstance(node, list):
        return [_local(item) for item in node]
    if not isinstance(node, dict):
        return node
    made = {key: _local(item) for key, item in node.items()}
    if isinstance(made.get("$ref"), str):
        made["$ref"] = f"#/$defs/{made['$ref'].rpartition('/')[2]}"
    return made


def schema_faults(definition: str, value: object, *, is_part: bool = False) -> Iterator[Fault]:
    """What is wrong with the shape of a Kubernetes object (`EnvVar`, `Toleration`, ...), unknown keys included.

    `is_part`: of a part of one, which need not have the keys that are required of the whole.
    """
    if _holds_more_than(MAX_VALUES, value):
        yield Fault("", f"holds more than {MAX_VALUES:,} values: Kubernetes takes no object of that size")
        return
    try:
        errors = _validator(definition).iter_errors(value)
    except (ValueError, TypeError, OverflowError):
        yield Fault("", "holds a value that is not JSON")
        return
    for error in errors:
        if not (is_part and error.kind.name == "required"):
            yield from _faults_of(error, value)


def required_faults(definition: str, value: object) -> Iterator[Fault]:
    """The keys that a Kubernetes object lacks."""
    if _holds_more_than(MAX_VALUES, value):
        return  # its shape's check tells
    with suppress(ValueError, TypeError, OverflowError):
        for error in _validator(definition).iter_errors(value):
            if error.kind.name == "required":
                yield from _faults_of(error, value)


def _holds_more_than(count: int, value: object) -> bool:
    """Whether there are more values than that in a value, itself not counted."""
    waiting = [value]
    while waiting:
        node = waiting.pop()
        children = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
        count -= len(children)
        if count < 0:
            return True
        waiting.extend(child for child in children if isinstance(child, dict | list))
    return False


def _faults_of(error: ValidationError, value: object) -> Iterator[Fault]:
    place, kind = pointer(*_path_in(value, error.instance_path)), error.kind
    told = kind.as_dict()
    if kind.name == "additionalProperties":
        known = _known_keys(error)
        yield from (Fault(place + pointer(key), unknown_key(key, known)) for key in told["unexpected"])
    elif kind.name == "required":
        yield Fault(place, f"the key {shown(told['property'])} is required")
    elif kind.name == "type":
        wanted = " or ".join(_TYPES[name] for name in told["types"] if name != "null")
        yield Fault(place, f"must be {wanted}, not {shown(error.instance)}")
    elif kind.name == "not":
        yield Fault(place, "must not be null")
    elif kind.name == "wholeNumber":
        yield Fault(place, f"must be a whole number, not {shown(error.instance)}: write {str(error.instance)[:-2]}")
    elif kind.name in ("minimum", "maximum"):
        yield Fault(place, f"must be at {'least' if kind.name == 'minimum' else 'most'} {told['limit']}, not {error.instance}")
    else:
        yield Fault(place, error.message)


def _path_in(value: object, path: Sequence[str | int]) -> Iterator[str | int]:
    """The path as it is in the value: the library takes a key of digits for an index, and "007" for 7."""
    for step in path:
        if isinstance(value, dict):
            key = _key_in(value, step) if isinstance(step, int) else step
            yield key
            value = value.get(key)
        else:
            yield step
            value = value[step] if isinstance(value, list) and isinstance(step, int) and step < len(value) else None


def _key_in(owner: Mapping[str, Any], number: int) -> str:
    if str(number) in owner:
        return str(number)
    return next((key for key in owner if key.removeprefix("+").isdecimal() and int(key) == number), str(number))


def _known_keys(error: ValidationError) -> tuple[str, ...]:
    path = [str(step) for step in error.schema_path]
    name = path[len(path) - 1 - path[::-1].index("$defs") + 1] if "$defs" in path else ""
    return tuple(sorted(_definitions().get(name, {}).get("properties", ())))


def unknown_key(key: str, known: tuple[str, ...]) -> str:
    """What to say of a key that is not known: the one that was meant, or the few that there are."""
    if meant := suggest_key(key, known):
        return f"unknown key {shown(key)}: did you mean {shown(meant)}?"
    if 0 < len(known) <= _FEW:
        return f"unknown key {shown(key)}: the keys here are {', '.join(known)}"
    return f"unknown key {shown(key)}"
