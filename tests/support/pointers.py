"""JSON pointers in tests' hands."""

from __future__ import annotations

from app.domain.pointers import tokens


def leads_somewhere(document: object, place: str) -> bool:
    """Whether a pointer leads to a value of the document."""
    node = document
    for token in tokens(place):
        if isinstance(node, dict) and token in node:
            node = node[token]
        elif isinstance(node, list) and token.isdecimal() and int(token) < len(node):
            node = node[int(token)]
        else:
            return False
    return True
