"""Names, labels and annotations as Kubernetes takes them.

Every check gives the faults of one value, with pointers relative to it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from app.domain.errors import Fault
from app.domain.pointers import pointer, shown

OUR_PREFIX = "podrun.dev/"  #: labels under it are podrun's own
MANAGED_BY = "app.kubernetes.io/managed-by"

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_QUALIFIED = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")
_CONFIG_KEY = re.compile(r"[-._a-zA-Z0-9]+")

_ANNOTATIONS_BYTES = 256 * 1024
MAX_LABELS = 1000  #: of a run: each of its pods has them, and each answer that shows it


def label_name_fault(text: str) -> str | None:
    """Why a text is no DNS-1123 label, None if it is one.

    Source: https://kubernetes.io/docs/concepts/overview/working-with-objects/names/#dns-label-names
    """
    if 0 < len(text) <= 63 and _LABEL.fullmatch(text):
        return None
    return (
        f"{shown(text)} is not a DNS-1123 label: at most 63 lower-case letters, digits and hyphens, "
        "with a letter or digit first and last"
    )


def subdomain_fault(text: str) -> str | None:
    """Why a text is no DNS-1123 subdomain (what most Kubernetes objects are named by), None if it is one."""
    if 0 < len(text) <= 253 and _SUBDOMAIN.fullmatch(text):
        return None
    return (
        f"{shown(text)} is not the name of a Kubernetes object (DNS-1123 subdomain): at most 253 lower-case letters, digits, "
        "hyphens and dots, with a letter or digit at both ends of each part"
    )


def config_key_fault(text: str) -> str | None:
    """Why a text is no key of a Secret or ConfigMap, None if it is one."""
    if 0 < len(text) <= 253 and _CONFIG_KEY.fullmatch(text) and text not in (".", "..") and not text.startswith(".."):
        return None
    return f"{shown(text)} is not a key of a Secret or ConfigMap: at most 253 letters, digits, '-', '_' and '.'"


def label_key_fault(text: str) -> str | None:
    """Why a text is no label key (`[prefix/]name`), None if it is one.

    Source: https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#syntax-and-character-set
    """
    prefix, slash, name = text.rpartition("/")
    if "/" in prefix:
        return f"{shown(text)} is not a label key: it has more than one '/'"
    if slash and subdomain_fault(prefix):
        return f"{shown(text)} is not a label key: its prefix {shown(prefix)} must be a DNS subdomain, such as example.com"
    if 0 < len(name) <= 63 and _QUALIFIED.fullmatch(name):
        return None
    return (
        f"{shown(text)} is not a label key: its name must be 1 to 63 letters, digits, '-', '_' and '.', with a letter or "
        "digit first and last"
    )


def label_value_fault(text: str) -> str | None:
    """Why a text is no label value, None if it is one ("" is)."""
    if not text or (len(text) <= 63 and _QUALIFIED.fullmatch(text)):
        return None
    return (
        f"{shown(text)} is not a label value: at most 63 letters, digits, '-', '_' and '.', with a letter or digit first and "
        "last"
    )


def _text_values(value: object, what: str, *, nullable: bool) -> Iterator[Fault]:
    """Faults of a mapping whose values must be text; `nullable`: null takes a default away."""
    if not isinstance(value, dict):
        yield Fault("", f"must be an object of {what}, not {shown(value)}")
        return
    for key, text in value.items():
        if not isinstance(text, str) and not (nullable and text is None):
            hint = f': write "{shown(text)}"' if isinstance(text, bool | int | float) else ""
            yield Fault(pointer(key), f"must be a string, not {shown(text)}{hint}")


def string_map_faults(value: object, *, what: str) -> Iterator[Fault]:
    """Faults of an object of names and texts, where null takes a default away."""
    return _text_values(value, what, nullable=True)


def selector_labels_faults(value: object, *, nullable: bool = True) -> Iterator[Fault]:
    """Faults of an object of label keys and label values: a node selector, `matchLabels`."""
    yield from _text_values(value, "label keys and values", nullable=nullable)
    if isinstance(value, dict):
        for key, text in value.items():
            if isinstance(key, str) and (fault := label_key_fault(key)):
                yield Fault(pointer(key), fault)
            if isinstance(text, str) and (fault := label_value_fault(text)):
                yield Fault(pointer(key), fault)


def node_selector_faults(value: object) -> Iterator[Fault]:
    """Faults of a `node_selector`, where null takes a default away."""
    return selector_labels_faults(value)


def _own_labels(value: object) -> Iterator[Fault]:
    if isinstance(value, dict):
        for key in value:
            if isinstance(key, str) and (key.startswith(OUR_PREFIX) or key == MANAGED_BY):
                yield Fault(pointer(key), f"{shown(key)} is podrun's own label: it sets it on every pod; choose another key")


def labels_faults(value: object) -> Iterator[Fault]:
    """Faults of a run's labels, also those that are podrun's own."""
    if isinstance(value, dict) and len(value) > MAX_LABELS:
        yield Fault("", f"a run may have at most {MAX_LABELS:,} labels, not {len(value):,}")
        return
    yield from selector_labels_faults(value, nullable=False)
    yield from _own_labels(value)


def task_labels_faults(value: object) -> Iterator[Fault]:
    """Faults of a task's labels, where null takes a default away."""
    yield from selector_labels_faults(value)
    yield from _own_labels(value)


def annotations_faults(value: object) -> Iterator[Fault]:
    """Faults of a task's annotations, where null takes a default away.

    Source: https://kubernetes.io/docs/concepts/overview/working-with-objects/annotations/#syntax-and-character-set
    """
    yield from _text_values(value, "annotations", nullable=True)
    if not isinstance(value, dict):
        return
    for key in value:
        # Kubernetes takes upper case in the prefix of an annotation, not in that of a label.
        if isinstance(key, str) and label_key_fault(key.lower()):
            yield Fault(pointer(key), (label_key_fault(key) or "").replace("a label key", "an annotation key"))
    size = sum(len(str(part).encode(errors="replace")) for item in value.items() for part in item)
    if size > _ANNOTATIONS_BYTES:
        yield Fault("", f"annotations may have {_ANNOTATIONS_BYTES} bytes in all, not {size}")
