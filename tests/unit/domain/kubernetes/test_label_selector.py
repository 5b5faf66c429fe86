"""Label selectors, as kubectl would read them."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.errors import InvalidParameter
from app.domain.kubernetes.label_selector import parse_label_selector

LABELS = {"app": "web", "tier": "", "example.com/team": "a.b"}


@pytest.mark.parametrize(
    ("selector", "is_match"),
    [
        ("", True),
        ("app=web", True),
        ("app==web", True),
        ("app=db", False),
        ("app!=db", True),
        ("app!=web", False),
        ("zone!=x", True),
        ("app in (db, web)", True),
        ("app in (db)", False),
        ("app notin (db)", True),
        ("zone notin (x)", True),
        ("app notin (web,db)", False),
        ("app", True),
        ("zone", False),
        ("!zone", True),
        ("!app", False),
        ("tier=", True),
        ("tier in (,x)", True),
        ("example.com/team = a.b , app", True),
        ("app=web,zone", False),
        (" app ", True),
        ("in=x", False),
        ("notin", False),
        ("!in", True),
    ],
)
def test_label_selector__kubernetes_grammar__matches(selector: str, is_match: bool) -> None:
    assert parse_label_selector(selector).matches(LABELS) is is_match


@pytest.mark.parametrize(
    "selector",
    [
        ",",
        "app,",
        ",app",
        "app=web db",
        "app in ()",
        "app in web",
        "app in (web",
        "app in (web db)",
        "!app=web",
        "=web",
        "-app",
        "app=-x",
        "app=" + "x" * 64,
        "app near (x)",
        "a/b/c",
        "app>1",
        "(app)",
        "app!",
        "app=!x",
        "!",
        "app=web,,x",
    ],
)
def test_label_selector__not_one__is_refused_with_the_parameter(selector: str) -> None:
    with pytest.raises(InvalidParameter) as refused:
        parse_label_selector(selector, "which")
    assert refused.value.parameter == "which"


@given(st.text(alphabet="ab=!,() \n\tin", max_size=30))
def test_label_selector__any_text__is_read_or_refused(text: str) -> None:
    with suppress(InvalidParameter):
        parse_label_selector(text).matches(LABELS)
