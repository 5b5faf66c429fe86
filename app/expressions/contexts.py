"""What of a context an expression needs, as JSON: the rest never crosses the pipe."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final

import msgspec

_encode = msgspec.json.Encoder().encode

_ROOTS: Final = ("params", "run", "tasks")
#: Beyond this the encoding is worth a thread. In a thread it goes by slices, between which the event loop has its turn.
_SMALL_NODES: Final = 2_000
_SMALL_CHARACTERS: Final = 256 * 1024
_SLICE: Final = 1_000

#: Names that lead on; empty where all that is there is used.
_Trie = dict[str, Any]


def narrowed(context: Mapping[str, Any], paths: Iterable[tuple[str, ...]]) -> dict[str, Any]:
    """Only the values that the paths lead to, at the same places. What is not there is left out."""
    whole: _Trie = {}
    # Long ones first: a shorter path takes all of what the longer ones picked from.
    for root, *names in sorted(paths, key=len, reverse=True):
        if root not in _ROOTS:
            continue
        children = whole
        for name in (root, *names[:-1]) if names else ():
            children = children.setdefault(name, {})
        children[names[-1] if names else root] = {}
    return {root: _picked(context.get(root, {}), children) for root, children in whole.items()}


def _picked(value: Any, children: _Trie) -> Any:
    if not children or not isinstance(value, Mapping):
        return value
    return {name: _picked(value[name], deeper) for name, deeper in children.items() if name in value}


def is_small(value: Any) -> bool:
    """Whether encoding takes no time worth speaking of. Looks at a bounded number of values."""
    nodes, characters, stack = 0, 0, [value]
    while stack:
        node = stack.pop()
        nodes += 1
        if isinstance(node, str):
            characters += len(node)
        elif isinstance(node, Mapping | list | tuple):
            if nodes + len(stack) + len(node) > _SMALL_NODES:
                return False
            stack.extend(node.values() if isinstance(node, Mapping) else node)
        if characters > _SMALL_CHARACTERS:
            return False
    return True


@dataclass(frozen=True, slots=True)
class EncodedContext:
    """A context as it crosses the pipe: JSON in parts, never joined, for it may be tens of megabytes."""

    key: str  #: equal contexts have equal keys
    parts: tuple[bytes, ...]

    @property
    def size_bytes(self) -> int:
        """Of all parts."""
        return sum(map(len, self.parts))


def encoded(value: Any) -> EncodedContext:
    """The value as JSON. No step of it takes more than a few milliseconds, so a thread can do it beside the event loop.

    Raises:
        UnicodeEncodeError: a string in it holds half of a surrogate pair.
    """
    parts = tuple(_parts(value))
    digest = blake2b(digest_size=16)
    for part in parts:
        digest.update(part)
    return EncodedContext(digest.hexdigest(), parts)


def _parts(value: Any) -> Iterator[bytes]:
    if isinstance(value, Mapping) and not is_small(value):
        for index, (name, child) in enumerate(value.items()):
            yield (b"," if index else b"{") + _encode(str(name)) + b":"
            yield from _parts(child)
        yield b"}"
    elif isinstance(value, list | tuple) and len(value) > _SLICE:
        for start in range(0, len(value), _SLICE):
            yield (b"," if start else b"[") + _encode(value[start : start + _SLICE])[1:-1]
        yield b"]"
    else:
        yield _encode(value)
