"""The JSON Schema of a workflow document, made of the models."""

from __future__ import annotations

from typing import Any

from app.domain.workflow.document import STATIC_KEYS, WorkflowDocument

_EXPRESSION = {"$ref": "#/$defs/Expression"}
_ABOUT_EXPRESSION = {
    "type": "string",
    "pattern": r"\$\{\{",
    "title": "Expression",
    "description": "Text with expressions, `${{ … }}`, in CEL. Alone in the text an expression keeps the type of its value.",
}
#: Models whose values are a task's.
_OF_TASKS = frozenset({"Task", "TaskDefaults", "Retries", "SecretRef", "Approval"})
_ABOUT = ("title", "description", "default")


def workflow_json_schema() -> dict[str, Any]:
    """The JSON Schema of a workflow document (draft 2020-12), each key described. Graph and Kubernetes' rules go further."""
    schema = WorkflowDocument.model_json_schema(mode="validation")
    for name, model in (("", schema), *schema["$defs"].items()):
        for key, shape in model.get("properties", {}).items():
            made = _or_expression(shape) if name in _OF_TASKS and key not in STATIC_KEYS else shape
            model["properties"][key] = made if key in model.get("required", ()) else _nullable(made)
    schema["$defs"]["Expression"] = _ABOUT_EXPRESSION
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "Workflow"}


def _or_expression(shape: dict[str, Any]) -> dict[str, Any]:
    """The shape, or text with an expression; so for what is in it."""
    about, rest = _split(shape)
    if not rest:
        return shape
    choices = [_inner(choice) for choice in (rest["anyOf"] if set(rest) == {"anyOf"} else [rest])]
    if not any(choice in ({"type": "string"}, _EXPRESSION) for choice in choices):
        choices.append(_EXPRESSION)
    return {"anyOf": choices, **about} if len(choices) > 1 else {**choices[0], **about}


def _inner(shape: dict[str, Any]) -> dict[str, Any]:
    return {
        key: _or_expression(value) if key in ("items", "additionalProperties") and isinstance(value, dict) else value
        for key, value in shape.items()
    }


def _nullable(shape: dict[str, Any]) -> dict[str, Any]:
    if {"type": "null"} in shape.get("anyOf", ()):
        return shape
    about, rest = _split(shape)
    choices = rest["anyOf"] if set(rest) == {"anyOf"} else [rest]
    return {"anyOf": [*choices, {"type": "null"}], **about}


def _split(shape: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a schema says of itself, and what it asks for."""
    return (
        {key: shape[key] for key in _ABOUT if key in shape},
        {key: value for key, value in shape.items() if key not in _ABOUT},
    )
