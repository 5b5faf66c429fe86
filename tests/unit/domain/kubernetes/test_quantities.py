"""Kubernetes' quantities."""

from fractions import Fraction

import pytest

from app.domain.kubernetes.quantities import parse_quantity


@pytest.mark.parametrize(
    ("value", "number"),
    [
        ("0", 0),
        ("1", 1),
        (1, 1),
        (0.5, Fraction(1, 2)),
        ("500m", Fraction(1, 2)),
        ("1.5", Fraction(3, 2)),
        (".5", Fraction(1, 2)),
        ("5.", 5),
        ("+1", 1),
        ("-1", -1),
        ("1k", 1000),
        ("1Ki", 1024),
        ("1.5Gi", 3 * 2**29),
        ("1E", 10**18),
        ("1Ei", 2**60),
        ("1e3", 1000),
        ("1E3", 1000),
        ("1e-3", Fraction(1, 1000)),
        ("100n", Fraction(1, 10**7)),
        (1e-7, Fraction(1, 10**7)),
    ],
)
def test_parse_quantity__a_quantity__is_its_number(value, number):
    assert parse_quantity(value) == number


@pytest.mark.parametrize(
    "value",
    [
        "one",
        "",
        " 1",
        "1 Gi",
        "1gi",
        "1K",
        "1mi",
        "1kB",
        "0x10",
        "1e",
        "1e9999",
        "--1",
        ".",
        "1,5",
        "\u0661",
        True,
        None,
        [],
        "9" * 200,
        2**63,
    ],
)
def test_parse_quantity__anything_else__is_none(value):
    assert parse_quantity(value) is None
