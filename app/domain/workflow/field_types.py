"""The types of a workflow document's fields: what pydantic checks of one value, and what we say in its place."""

from __future__ import annotations

from functools import lru_cache
from itertools import islice
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator

from app.domain.errors import Fault
from app.domain.faults import MOST_FAULTS
from app.domain.kubernetes.containers import (
    env_faults,
    env_from_faults,
    env_name_fault,
    image_pull_secrets_faults,
    resources_faults,
    secret_items_faults,
    security_context_faults,
)
from app.domain.kubernetes.images import image_fault
from app.domain.kubernetes.labels import (
    annotations_faults,
    config_key_fault,
    label_name_fault,
    labels_faults,
    node_selector_faults,
    subdomain_fault,
    task_labels_faults,
)
from app.domain.kubernetes.object_checks import TextCheck, choice
from app.domain.kubernetes.pod_containers import init_containers_faults, sidecars_faults
from app.domain.kubernetes.pod_overlay import pod_overlay_faults
from app.domain.kubernetes.scheduling import affinity_faults, tolerations_faults
from app.domain.kubernetes.volumes import volume_mounts_faults, volumes_faults
from app.domain.memo import Check, faults_of
from app.domain.pointers import pointer, shown
from app.domain.workflow.document_faults import refuse
from app.domain.workflow.schedule_checks import cron_fault, timezone_fault
from app.domain.workflow.task_checks import TRIGGER_RULES, foreach_faults, trigger_rule_fault, when_faults

MAX_SECONDS = 10 * 365 * 86_400  #: ten years: longer is a mistake of units
MAX_RETRIES = 1000
PULL_POLICIES = ("Always", "IfNotPresent", "Never")


def _text(check: TextCheck) -> AfterValidator:
    """A validator for a string of which `check` says why it is wrong."""

    def validate(value: str) -> str:
        if fault := check(value):
            refuse([Fault("", fault)])
        return value

    return AfterValidator(validate)


def _value(check: Check, shape: Any, *, keeps_nulls: bool = False) -> PlainValidator:
    """A validator for a value that is kept verbatim; `shape` is what its JSON Schema shows.

    A null among the values of an object takes a default away: once checked, it says nothing any more, but where a merge
    comes later (`keeps_nulls`).
    """

    def validate(value: Any) -> Any:
        refuse(faults_of(check, value))
        if not keeps_nulls and isinstance(value, dict) and None in value.values():
            return {key: item for key, item in value.items() if item is not None}
        return value

    return PlainValidator(validate, json_schema_input_type=shape)


def at_most(count: int) -> BeforeValidator:
    """A validator that refuses a list or an object for its length before anything in it is looked at."""

    def validate(value: Any) -> Any:
        if isinstance(value, list | dict) and len(value) > count:
            refuse([Fault("", f"must have at most {count:,} items, not {len(value):,}")])
        return value

    return BeforeValidator(validate)


def _with_few_wrong(value: Any) -> Any:
    """Refuse a list of more items that are no text than are told: pydantic would tell of each of them."""
    if isinstance(value, list):
        wrong = [*islice((index for index, item in enumerate(value) if not isinstance(item, str)), MOST_FAULTS + 1)]
        if len(wrong) > MOST_FAULTS:
            refuse(Fault(pointer(index), f"must be a string, not {shown(value[index])}") for index in wrong)
    return value


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
TriggerRuleName = Annotated[str, _text(trigger_rule_fault), Field(json_schema_extra={"enum": [*TRIGGER_RULES]})]
When = Annotated[bool | str, _value(when_faults, bool | str)]
ForeachValue = Annotated[
    list[Any] | dict[str, list[Any] | str] | str, _value(foreach_faults, list[Any] | dict[str, list[Any] | str] | str)
]
BareDefault = str | bool | float | list[Any]
Cron = Annotated[str, _text(cron_fault)]
TimeZone = Annotated[str, _text(timezone_fault)]
WorkingDir = Annotated[str, _text(_working_dir_fault)]
MountPath = Annotated[str, _text(_absolute_path_fault)]
Strings = Annotated[tuple[str, ...], Field(strict=False), BeforeValidator(_with_few_wrong)]
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
Volumes = Annotated[list[Object], _value(volumes_faults, list[Object])]
VolumeMounts = Annotated[list[Object], _value(volume_mounts_faults, list[Object])]
InitContainers = Annotated[list[Object], _value(init_containers_faults, list[Object])]
Sidecars = Annotated[list[Object], _value(sidecars_faults, list[Object])]
PodOverlay = Annotated[Object, _value(pod_overlay_faults, Object, keeps_nulls=True)]
SecretItems = Annotated[list[Object], _value(secret_items_faults, list[Object])]
