"""Texts of strangers as databases and JSON take them."""

from __future__ import annotations

import re

#: NUL, which PostgreSQL has no place for, and halves of surrogate pairs, which UTF-8 has no bytes for.
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


def storable(text: str) -> str:
    """The text, with U+FFFD for each character that can't be stored."""
    if text.isascii() and "\0" not in text:
        return text
    return _UNSTORABLE.sub("\ufffd", text)
