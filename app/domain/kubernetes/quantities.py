"""Kubernetes' quantities: `500m`, `1.5`, `2Gi`, `1e3`.

Source: https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any

from app.domain.errors import Fault
from app.domain.pointers import pointer, shown

_QUANTITY = re.compile(
    r"(?P<number>[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+))"
    r"(?:(?P<binary>[KMGTPE]i)|(?P<decimal>[numkMGTPE])|[eE](?P<exponent>[+-]?[0-9]{1,3}))?"
)
_BINARY = {suffix: Fraction(1024) ** power for power, suffix in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi", "Ei"), start=1)}
_DECIMAL = {
    "n": Fraction(1, 10**9),
    "u": Fraction(1, 10**6),
    "m": Fraction(1, 1000),
    "k": Fraction(10**3),
    "M": Fraction(10**6),
    "G": Fraction(10**9),
    "T": Fraction(10**12),
    "P": Fraction(10**15),
    "E": Fraction(10**18),
}
_LONGEST = 100  #: characters
_INT64 = range(-(2**63), 2**63)


def parse_quantity(value: object) -> Fraction | None:
    """The number that a quantity stands for, None where it is no quantity. JSON numbers are quantities too."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    if isinstance(value, int) and value not in _INT64:  # no JSON that we write holds it
        return None
    text = str(value)
    match = _QUANTITY.fullmatch(text) if len(text) <= _LONGEST else None
    if match is None:
        return None
    number = Fraction(match["number"].rstrip(".") if match["number"].endswith(".") else match["number"])
    if match["binary"]:
        return number * _BINARY[match["binary"]]
    if match["decimal"]:
        return number * _DECIMAL[match["decimal"]]
    return number * Fraction(10) ** int(match["exponent"] or 0)


def not_a_quantity(value: object) -> str:
    """What to say of a value that is no quantity."""
    return f"{shown(value)} is not a quantity: a number, with a suffix if need be, such as 0.5, 500m, 128Mi, 2Gi"


def quantity_faults(owner: Mapping[str, Any], key: str) -> Iterator[Fault]:
    """The fault of an amount under a key: no quantity, or a negative one. What is no number or text, the schema tells of."""
    value = owner.get(key)
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return
    amount = parse_quantity(value)
    if amount is None:
        yield Fault(pointer(key), not_a_quantity(value))
    elif amount < 0:
        yield Fault(pointer(key), f"must not be negative: {shown(value)}")
