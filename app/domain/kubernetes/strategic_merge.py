"""Strategic merge, as Kubernetes merges a patch into an object: objects key by key, lists by the merge keys of their schema.

`pod` of a task is merged so over the pod that podrun makes. Pure; works on any JSON: where the two do not fit together, the
patch's value stands. The schemas say which lists merge and by which key; nothing here knows a key of a pod.

Source: https://github.com/kubernetes/community/blob/main/contributors/devel/sig-api-machinery/strategic-merge-patch.md
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from app.domain.errors import Fault
from app.domain.kubernetes.schema import merge_rule
from app.domain.pointers import either, pointer, shown

DIRECTIVE = "$patch"
RETAIN_KEYS = "$retainKeys"
_SET_ORDER = "$setElementOrder/"
_DELETE_FROM = "$deleteFromPrimitiveList/"
_MAP_DIRECTIVES = ("replace", "delete")


def strategic_merge(base: Any, patch: Any, definition: str) -> Any:
    """The object that the patch makes of `base`; neither is changed, parts of both stand in the result.

    Args:
        base: an object of the kind that `definition` names.
        patch: with Kubernetes' directives, if any (`$patch`, `$retainKeys`, `$setElementOrder/…`); null takes a key away.
        definition: `PodSpec`, ..., or a full name as `merge_rule` has it.
    """
    if not isinstance(base, dict) or not isinstance(patch, dict):
        return without_directives(patch)
    directive = patch.get(DIRECTIVE)
    if directive == "delete":
        return {}
    if directive == "replace":
        return without_directives(patch)
    retained = patch.get(RETAIN_KEYS)
    merged = {key: item for key, item in base.items() if key in retained} if isinstance(retained, list) else dict(base)
    for key, value in patch.items():
        if key.startswith("$"):
            _apply_list_directive(merged, patch, key, value, definition)
        elif value is None:
            merged.pop(key, None)
        elif key not in merged:
            merged[key] = without_directives(value)
        else:
            merged[key] = _merged_value(merged[key], value, patch.get(_SET_ORDER + key), *merge_rule(definition, key))
    return merged


def _apply_list_directive(merged: dict[str, Any], patch: dict[str, Any], directive: str, value: Any, definition: str) -> None:
    """What a directive does to a list that the patch itself leaves alone: order it, or take plain values out of it."""
    kind, slash, key = directive.partition("/")
    items = merged.get(key)
    if not slash or not isinstance(items, list) or not isinstance(value, list):
        return
    if kind + slash == _DELETE_FROM:
        merged[key] = [item for item in items if item not in value]
    elif kind + slash == _SET_ORDER and key not in patch:
        merged[key] = _in_order(items, items, value, merge_rule(definition, key).merge_key)


def _merged_value(base: Any, patch: Any, order: Any, definition: str, merge_key: str) -> Any:
    if isinstance(base, dict) and isinstance(patch, dict):
        return strategic_merge(base, patch, definition)
    if isinstance(base, list) and isinstance(patch, list) and merge_key:
        return _merged_list(base, patch, order if isinstance(order, list) else patch, definition, merge_key)
    return without_directives(patch)


def _merged_list(base: list[Any], patch: list[Any], order: list[Any], definition: str, merge_key: str) -> list[Any]:
    directives = [item.get(DIRECTIVE) for item in patch if isinstance(item, dict)]
    additions = [item for item in patch if not (isinstance(item, dict) and item.get(DIRECTIVE))]
    if "replace" in directives:
        return without_directives(additions)  # type: ignore[no-any-return]  # of a list it makes a list
    deleted = [item.get(merge_key) for item in patch if isinstance(item, dict) and item.get(DIRECTIVE) == "delete"]
    merged = [item for item in base if _key_of(item, merge_key) not in deleted]
    for item in additions:
        name = _key_of(item, merge_key)
        place = next((i for i, there in enumerate(merged) if _key_of(there, merge_key) == name), None)
        if place is None or name is None:
            merged.append(without_directives(item))
        else:
            merged[place] = strategic_merge(merged[place], item, definition)
    return _in_order(merged, base, order, merge_key)


def _key_of(item: Any, merge_key: str) -> Any:
    return item.get(merge_key) if isinstance(item, dict) and merge_key else item


def _in_order(items: list[Any], base: list[Any], order: list[Any], merge_key: str) -> list[Any]:
    """Kubernetes' order: items that `order` names as it has them, the others as the base has them.

    An item of the others comes before the first that follows it in the base; so what only the patch has comes before what only
    the base has.
    """
    wanted, before = [_key_of(item, merge_key) for item in order], [_key_of(item, merge_key) for item in base]
    named = sorted(
        (item for item in items if _key_of(item, merge_key) in wanted), key=lambda item: wanted.index(_key_of(item, merge_key))
    )
    others = [item for item in items if _key_of(item, merge_key) not in wanted]
    placed: list[Any] = []
    while named and others:
        other, item = _key_of(others[0], merge_key), _key_of(named[0], merge_key)
        is_first = other in before and item in before and before.index(other) < before.index(item)
        placed.append(others.pop(0) if is_first else named.pop(0))
    return [*placed, *named, *others]


def without_directives(patch: Any) -> Any:
    """The values of a patch alone: no directives, no items that only delete others, no keys that are taken away."""
    if isinstance(patch, list):
        return [without_directives(item) for item in patch if not (isinstance(item, dict) and item.get(DIRECTIVE))]
    if isinstance(patch, dict):
        return {key: without_directives(item) for key, item in patch.items() if not key.startswith("$") and item is not None}
    return patch


def directive_faults(patch: Any, definition: str) -> Iterator[Fault]:
    """What a patch says to the merge itself that Kubernetes would not take, with pointers into the patch."""
    if not isinstance(patch, dict):
        return
    for key, value in patch.items():
        if key.startswith("$"):
            yield from _directive_faults(key, value)
            continue
        child, merge_key = merge_rule(definition, key)
        if isinstance(value, dict):
            yield from _under(key, directive_faults(value, child))
        elif isinstance(value, list) and merge_key:
            for index, item in enumerate(value):
                yield from _item_faults(item, merge_key, child, f"{pointer(key)}/{index}")
    retained = patch.get(RETAIN_KEYS)
    if isinstance(retained, list):
        for key in patch:
            if not key.startswith("$") and key not in retained:
                yield Fault(pointer(key), f'must be in "{RETAIN_KEYS}" too, which names all keys that stay')


def _item_faults(item: Any, merge_key: str, definition: str, place: str) -> Iterator[Fault]:
    if not isinstance(item, dict):
        return
    if item.get(merge_key) is None and item.get(DIRECTIVE) != "replace":
        yield Fault(place, f"the key {shown(merge_key)} is required: the list is merged by it")
    yield from (Fault(place + fault.pointer, fault.detail) for fault in directive_faults(item, definition))


def _under(key: str, faults: Iterator[Fault]) -> Iterator[Fault]:
    return (Fault(pointer(key) + fault.pointer, fault.detail) for fault in faults)


def _directive_faults(key: str, value: Any) -> Iterator[Fault]:
    if key == DIRECTIVE:
        if value not in _MAP_DIRECTIVES:
            yield Fault(pointer(key), f"must be {either(_MAP_DIRECTIVES)}, not {shown(value)}")
    elif key == RETAIN_KEYS or key.startswith((_SET_ORDER, _DELETE_FROM)):
        if not isinstance(value, list):
            yield Fault(pointer(key), f"must be a list, not {shown(value)}")
    else:
        known = (DIRECTIVE, RETAIN_KEYS, _SET_ORDER + "KEY", _DELETE_FROM + "KEY")
        yield Fault(pointer(key), f"unknown directive {shown(key)}: there are {', '.join(known)}")
