from __future__ import annotations

import json
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.errors import InvalidTemplate
from app.domain.expressions.templates import (
    OPENING,
    Expression,
    Found,
    as_text,
    has_expression,
    parse,
    render,
    source_alone,
    sources_in,
    template_faults,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
#: How CEL can write a string; each with what must not stand in it.
QUOTES = [("'", "'"), ('"', '"'), ("'''", "'''"), ('"""', '"""'), ("r'", "'"), ('R"', '"'), ("b'", "'"), ("rb'''", "'''")]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("plain", ("plain",)),
        ("", ()),
        ("${{ params.x }}", (Expression("params.x"),)),
        ("${{params.x}}", (Expression("params.x"),)),
        ("a${{ x }}b${{ y }}", ("a", Expression("x"), "b", Expression("y"))),
        (" ${{ x }}", (" ", Expression("x"))),
        ("${{ {'a': {'b': 1}} }}", (Expression("{'a': {'b': 1}}"),)),
        ("${{ {'a': {'b': 1}}}}", (Expression("{'a': {'b': 1}}"),)),
        ("${{ {'a': {'b': 1}}.a }}}}", (Expression("{'a': {'b': 1}}.a"), "}}")),
        ("${{ '}}' + \"}}\" }}", (Expression("'}}' + \"}}\""),)),
        (r"${{ 'it\'s }}' }}", (Expression(r"'it\'s }}'"),)),
        (r"${{ r'\' }}", (Expression(r"r'\'"),)),
        ("${{ '''a\n}}' }}''' }}", (Expression("'''a\n}}' }}'''"),)),
        ("${{ x // }} not yet\n}}", (Expression("x // }} not yet"),)),
        ("${{ 'a' // it's }}\n + 'b' }}", (Expression("'a' // it's }}\n + 'b'"),)),
        ("${{ }}", (Expression(""),)),
        ("${{ '${{' }} and $ {{ }}", (Expression("'${{'"), " and $ {{ }}")),
        ("${{ 'open }} tail", (Expression("'open"), " tail")),  # CEL says what is wrong with it
        ("${{ xr'}}' }}", (Expression("xr'}}'"),)),
        ("$${{ x }}", ("$", Expression("x"))),
    ],
)
def test_parse__text__parts(text, parts):
    assert parse(text) == parts


@pytest.mark.parametrize("text", ["${{", "a ${{ x", "${{ x }", "${{ { }}", "${{ x // }}", "${{" + "'" * 50_000])
def test_parse__does_not_end__is_refused(text):
    with pytest.raises(InvalidTemplate, match=r"does not end|is longer"):
        parse(text)


def test_parse__more_expressions_than_a_text_may_hold__are_refused():
    assert len(parse("${{1}}" * 1000)) == 1000
    with pytest.raises(InvalidTemplate, match="at most 1,000 expressions"):
        parse("${{1}}" * 1_000_000)


def test_parse__too_long_to_look_at__says_so():
    with pytest.raises(InvalidTemplate, match="at character 5 is longer than 4096 bytes"):
        parse("abcd${{ " + "x" * 10_000 + " }}")


@given(st.sampled_from(QUOTES), st.text(alphabet=string.printable.replace("\\", "").replace("'", "").replace('"', "")))
def test_parse__braces_in_a_string_of_cel__do_not_end_it(quotes, inside):
    opening, closing = quotes
    if len(closing) == 1:
        inside = inside.replace("\n", "").replace("\r", "")
    source = f"{opening}{inside}{closing}"
    assert parse("<${{ " + source + " }}>") == ("<", Expression(source), ">")


@given(st.lists(st.text().filter(lambda text: "$" not in text and text), max_size=3).map(list))
def test_parse__texts_between_expressions__come_back(texts):
    parts = parse("${{ x }}".join(texts))
    assert "".join(part for part in parts if isinstance(part, str)) == "".join(texts)
    assert sum(isinstance(part, Expression) for part in parts) == max(0, len(texts) - 1)


@given(JSON.filter(lambda value: OPENING not in json.dumps(value)))
def test_render__no_expression__is_identity(value):
    assert render(value, {}) == value
    assert list(sources_in(value)) == []
    assert not has_expression(value)


@given(JSON)
def test_render__alone__keeps_the_value(value):
    assert render(["${{ x }}"], {"x": value}) == [value]


@given(st.text(), st.text())
def test_render__inside_text__string_as_it_is(before, value):
    before = before.replace("$", "")
    assert render(before + "${{ x }}!", {"x": value}) == before + value + "!"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (5, "5"),
        (5.0, "5"),
        (-0.5, "-0.5"),
        (1e300, "1e+300"),
        (True, "true"),
        (None, "null"),
        (["a", 1.0, {"b": None}], '["a",1,{"b":null}]'),
        ("é", "é"),
        (["é"], '["é"]'),
    ],
)
def test_as_text__value__compact_json(value, text):
    assert as_text(value) == text
    assert render("<${{ x }}>", {"x": value}) == f"<{text}>"


def test_render__keys__are_left_alone():
    assert render({"${{ x }}": "${{ x }}"}, {"x": 1}) == {"${{ x }}": 1}


def test_sources_in__nested__in_document_order_with_pointers():
    document = {"env": {"A/B": "${{ one }}", "C": "x ${{ two }}${{ one }}"}, "args": ["n", "${{ three }}", 4], "bad": "${{ "}
    assert list(sources_in(document, "/tasks/0")) == [
        Found("/tasks/0/env/A~1B", "one", True),
        Found("/tasks/0/env/C", "two", False),
        Found("/tasks/0/env/C", "one", False),
        Found("/tasks/0/args/1", "three", True),
    ]


def test_template_faults__does_not_end__pointer_and_place():
    (fault,) = template_faults({"command": ["echo", "a ${{ params.x }"]})
    assert fault.pointer == "/command/1"
    assert fault.detail.startswith("the expression that begins at character 3 does not end")


@pytest.mark.parametrize(
    ("text", "source"), [("${{ x }}", "x"), (" ${{ x }}", None), ("${{ x }}y", None), ("${{ x }}${{ y }}", None), ("x", None)]
)
def test_source_alone__text__source_or_none(text, source):
    assert source_alone(text) == source
