"""JSON pointers (RFC 6901): how to write them, and how to bring faults into a document's own order."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from app.domain.errors import Fault
from app.domain.faults import told

_SHOWN = 80  #: characters of a value that a message repeats


def pointer(*tokens: str | int) -> str:
    """The pointer to the place that the keys and indices lead to.

    Source: https://www.rfc-editor.org/rfc/rfc6901#section-3
    """
    return "".join(f"/{str(token).replace('~', '~0').replace('/', '~1')}" for token in tokens)


def tokens(text: str) -> list[str]:
    """The keys and indices of a pointer; [] for the document itself."""
    return [token.replace("~1", "/").replace("~0", "~") for token in text.split("/")[1:]]


def under(prefix: str, faults: Iterable[Fault]) -> Iterator[Fault]:
    """The same faults, their pointers taken as relative to `prefix`."""
    return (Fault(prefix + fault.pointer, fault.detail) for fault in faults)


def in_document_order(document: object, faults: Iterable[Fault]) -> list[Fault]:
    """Each fault once, sorted by where its pointer leads in the document: what is written first comes first.

    Of more than anybody reads the first ones, and a last one that says so.
    """
    ranks: dict[int, dict[Any, int]] = {}

    def place(fault: Fault) -> list[int]:
        node, path = document, []
        for token in tokens(fault.pointer):
            if isinstance(node, dict):
                if id(node) not in ranks:
                    ranks[id(node)] = {key: index for index, key in enumerate(node)}
                path.append(ranks[id(node)].get(token, -1))
                node = node.get(token)
            elif isinstance(node, list | tuple) and token.isdecimal() and int(token) < len(node):
                path.append(int(token))
                node = node[int(token)]
            else:
                break
        return path

    return told(sorted(dict.fromkeys(faults), key=place))


def shown(value: object) -> str:
    """A value as a message repeats it: JSON, cut short; containers by their kind."""
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list | tuple):
        return "a list"
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):
        return f"a {type(value).__name__}"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def either(values: Sequence[str]) -> str:
    """`"a"`, `"a" or "b"`, `"a", "b" or "c"`."""
    quoted = [f'"{value}"' for value in values]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} or {quoted[-1]}"
