"""Documents that are nearly right: real ones with some of their values taken away, doubled, moved or replaced."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

EXAMPLES = sorted(Path("examples").glob("*.json"))
JUNK: Sequence[Any] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, -(2**63) - 1, 10**30, 1.5, -0.0, 1e308, "", " ", "a", "a" * 64, "A", "../..",
    "\0", "\ud800", "é", "*", "-", ".", "0", "007", "1e9", "5m", "${{", "${{ 1 }}", "${{ item }}", "${{ params.x }}",
    "${{ run.id }}x", "${{ tasks.a.outputs }}", "${{ [1].map(x, x) }}", "${{ 1/0 }}", "* * * * *", "Failed", "all_done", [], {},
    [None], [[]], {"": None}, {"x": []}, {"default": 1}, {"limit": 2}, {"$patch": "replace"}, {"name": "a"},
    {"a": "${{ item.a }}"}, ["a", "a"], [1, "x"],
)  # fmt: skip
KEYS = (
    "name", "image", "command", "args", "env", "when", "foreach", "depends_on", "retries", "approval", "pod", "labels",
    "params", "tasks", "on_exit", "task_defaults", "outputs", "schedule", "concurrency", "timeout_seconds", "trigger_rule",
    "", "x", "a/b", "~", "007",
)  # fmt: skip


def examples() -> list[Any]:
    """The documents of `examples/`."""
    return [json.loads(path.read_bytes()) for path in EXAMPLES]


def mutated(document: Any, chance: random.Random, *, changes: int = 3) -> Any:
    """A copy with so many changes at places that chance chooses."""
    changed = copy.deepcopy(document)
    for _ in range(changes):
        places = [*_containers(changed)]
        if not places:
            return chance.choice(JUNK)
        _change(chance.choice(places), [value for place in places for value in _values(place)], chance)
    return changed


def _containers(value: Any) -> list[Any]:
    found, waiting = [], [value]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict | list):
            found.append(node)
            waiting.extend(_values(node))
    return found


def _values(container: Any) -> list[Any]:
    return list(container.values()) if isinstance(container, dict) else list(container)


def _change(container: Any, values: list[Any], chance: random.Random) -> None:
    new = copy.deepcopy(chance.choice(JUNK) if chance.random() < 0.6 or not values else chance.choice(values))
    if isinstance(container, dict):
        key = chance.choice([*container, *KEYS]) if chance.random() < 0.3 or not container else chance.choice([*container])
        if chance.random() < 0.2:
            container.pop(key, None)
        else:
            container[key] = new
    elif not container or chance.random() < 0.3:
        container.insert(chance.randint(0, len(container)), new)
    elif chance.random() < 0.3:
        container.pop(chance.randrange(len(container)))
    else:
        container[chance.randrange(len(container))] = new
