"""The types of a workflow document's fields: what pydantic checks of one value, and what we say in its place."""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, Any

from pydantic import AfterValidator, Field, PlainValidator

from app.domain.containers import (
    env_faults,
    env_from_faults,
    env_name_fault,
    image_pull_secrets_faults,
    resources_faults,
    secret_items_faults,
    security_context_faults,
)
from app.domain.document_faults import Check, faults_of, refuse
from app.domain.errors import Fault
from app.domain.images import image_fault
from app.domain.labels import (
    annotations_faults,
    config_key_fault,
    label_name_fault,
    labels_faults,
    node_selector_faults,
    subdomain_fault,
    task_labels_faults,
)
from app.domain.object_checks import TextCheck, choice
from app.domain.pointers import shown
from app.domain.scheduling import affinity_faults, tolerations_faults

MAX_SECONDS = 10 * 365 * 86_400  #: ten years: longer is a mistake of units
MAX_TASKS = 10_000
MAX_RETRIES = 1000
PULL_POLICIES = ("Always", "IfNotPresent", "Never")


def _text(check: TextCheck) -> AfterValidator:
    """A validator for a string of which `check` says why it is wrong."""

    def validate(value: str) -> str:
        if fault := check(value):
            refuse([Fault("", fault)])
        return value

    return AfterValidator(validate)


def _value(check: Check, shape: Any) -> PlainValidator:
    """A validator for a value that is kept verbatim; `shape` is what its JSON Schema shows.

    A null among the values of an object takes a default away: once checked, it says nothing any more.
    """

    def validate(value: Any) -> Any:
        refuse(faults_of(check, value))
        if isinstance(value, dict) and None in value.values():
            return {key: item for key, item in value.items() if item is not None}
        return value

    return PlainValidator(validate, json_schema_input_type=shape)


def _absolute_path_fault(text: str) -> str | None:
    if "\n" in text or ":" in text[2:]:
        return f"{shown(text)} must be a path without ':' and line breaks"
    is_absolute = text.startswith("/") or text[1:3] in (":/", ":\\")
    return None if is_absolute else f"must be an absolute path, not {shown(text)}"


def _working_dir_fault(text: str) -> str | None:
    is_absolute = text.startswith("/") or text[1:3] in (":/", ":\\")
    return None if is_absolute else f"must be an absolute path, not {shown(text)}"


Object = dict[str, Any]

LabelName = Annotated[str, _text(label_name_fault)]
ObjectName = Annotated[str, _text(subdomain_fault)]
ConfigKey = Annotated[str, _text(config_key_fault)]
EnvName = Annotated[str, _text(env_name_fault)]
Image = Annotated[str, _text(lru_cache(maxsize=1024)(image_fault))]
PullPolicy = Annotated[str, _text(choice(*PULL_POLICIES)), Field(json_schema_extra={"enum": [*PULL_POLICIES]})]
WorkingDir = Annotated[str, _text(_working_dir_fault)]
MountPath = Annotated[str, _text(_absolute_path_fault)]
Strings = Annotated[tuple[str, ...], Field(strict=False)]
Seconds = Annotated[float, Field(gt=0, le=MAX_SECONDS, allow_inf_nan=False)]
DelaySeconds = Annotated[float, Field(ge=0, le=MAX_SECONDS, allow_inf_nan=False)]

RunLabels = Annotated[dict[str, str], _value(labels_faults, dict[str, str])]
TaskLabels = Annotated[dict[str, str], _value(task_labels_faults, dict[str, str | None])]
Annotations = Annotated[dict[str, str], _value(annotations_faults, dict[str, str | None])]
NodeSelector = Annotated[dict[str, str], _value(node_selector_faults, dict[str, str | None])]
Env = Annotated[dict[str, str] | list[Object], _value(env_faults, dict[str, str | None] | list[Object])]
EnvFrom = Annotated[list[Object], _value(env_from_faults, list[Object])]
Resources = Annotated[Object, _value(resources_faults, Object)]
Tolerations = Annotated[list[Object], _value(tolerations_faults, list[Object])]
Affinity = Annotated[Object, _value(affinity_faults, Object)]
SecurityContext = Annotated[Object, _value(security_context_faults, Object)]
ImagePullSecrets = Annotated[list[Object], _value(image_pull_secrets_faults, list[Object])]
SecretItems = Annotated[list[Object], _value(secret_items_faults, list[Object])]
