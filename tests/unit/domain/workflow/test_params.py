"""Params: what a document may say of them, and what a run may give them."""

from typing import Any

import pytest

from app.domain.errors import Fault
from app.domain.workflow.nodes import Param, ParamType
from app.domain.workflow.params import parse_params, resolve_params


def declared(**written: Any) -> dict[str, Param]:
    params, faults = parse_params(written)
    assert faults == []
    return params


def fault_of(value: Any) -> tuple[str, str]:
    """The one fault of a param `p` that is written like this; its pointer from the param."""
    _, faults = parse_params({"p": value})
    assert len(faults) == 1, faults
    return faults[0].pointer.removeprefix("/p"), faults[0].detail


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("x", "string"),
        ("", "string"),
        (5, "integer"),
        (5.0, "number"),
        (True, "boolean"),
        ([1, "a"], "array"),
    ],
)
def test_parse_params__a_bare_default__has_its_own_type(value, kind):
    param = declared(p=value)["p"]
    assert (param.type.value, param.default, param.is_required) == (kind, value, False)


def test_parse_params__an_object__describes_a_param():
    params = declared(
        a={},
        b={"type": "number", "default": 5, "enum": [5, 6.5], "description": "how many"},
        c={"type": "object", "default": {"x": None}},
        d={"default": None, "type": "integer"},
    )
    assert params["a"] == Param(type=ParamType.STRING, is_required=True)
    assert (params["b"].default, params["b"].enum, params["b"].description) == (5.0, (5.0, 6.5), "how many")
    assert isinstance(params["b"].default, float)
    assert params["c"].default == {"x": None}
    assert params["d"].is_required


@pytest.mark.parametrize(
    ("value", "pointer", "detail"),
    [
        (None, "", "must be a default, or an object that describes the param, not null"),
        ({"default": 5}, "/default", 'must be a string, not 5: write "5"; or give "type": "integer"'),
        ({"type": "integer", "default": 5.0}, "/default", "must be a whole number, not 5.0: write 5"),
        ({"type": "integer", "default": True}, "/default", "must be a whole number, not true"),
        ({"type": "integer", "default": 2**63}, "/default", "must be between -2^63 and 2^63-1"),
        ({"type": "array", "default": [{"a": -(2**63) - 1}]}, "/default/0/a", "must be between -2^63 and 2^63-1"),
        ({"type": "number", "default": "5"}, "/default", 'must be a number, not "5"'),
        ({"type": "boolean", "default": "true"}, "/default", 'must be true or false, not "true"'),
        ({"type": "array", "default": "a"}, "/default", 'must be a list, not "a": write ["a"]'),
        ({"type": "object", "default": []}, "/default", "must be an object, not a list"),
        ({"type": "int"}, "/type", 'must be "string", "number", "integer", "boolean", "array" or "object", not "int"'),
        ({"enum": []}, "/enum", "must have at least 1 item, not 0"),
        ({"enum": "a"}, "/enum", 'must be a list, not "a": write ["a"]'),
        ({"enum": ["a", 5]}, "/enum/1", 'must be a string, not 5: write "5"'),
        ({"enum": ["a", "a"]}, "/enum/1", '"a" is given twice'),
        ({"enum": ["a", "b"], "default": "c"}, "/default", 'must be "a" or "b", not "c"'),
        ({"defualt": 1}, "/defualt", 'unknown key "defualt": did you mean "default"?'),
        ({"description": 5}, "/description", "must be a string, not 5"),
        ("${{ run.id }}", "", "no expression may stand in what a param is by default"),
        ({"type": "array", "default": ["${{ run.id }}"]}, "/default/0", "no expression may stand"),
        ({"enum": ["${{ 1"]}, "/enum/0", "no expression may stand"),
    ],
)
def test_parse_params__wrong_param__says_what_would_be_right(value, pointer, detail):
    found = fault_of(value)
    assert found[0] == pointer
    assert detail in found[1]


@pytest.mark.parametrize("name", ["", "1a", "a-b", "a.b", "a" * 64, "ä", "a\n", "${{ x }}"])
def test_parse_params__a_name_that_no_expression_can_use__is_refused(name):
    _, faults = parse_params({name: 1})
    assert ["is no name for an expression" in fault.detail for fault in faults] == [True]


def test_parse_params__no_object__is_refused():
    assert parse_params([])[1] == [Fault("", "must be an object of names and params, not a list")]


def test_resolve_params__what_is_not_given__has_its_default():
    params = declared(a="x", b={"type": "number"}, c={"type": "array", "default": []})
    assert resolve_params(params, {"b": 5}) == ({"a": "x", "b": 5.0, "c": []}, [])
    values, _ = resolve_params(params, {"b": 5, "a": None})
    assert isinstance(values["b"], float)
    assert values["a"] == "x"


def test_resolve_params__everything_that_is_wrong__is_told_at_once():
    params = declared(name={}, count=1, size={"enum": ["s", "m"], "default": "s"}, big={"type": "integer", "default": 0})
    _, faults = resolve_params(params, {"count": "2", "nmae": "x", "size": "l", "big": 2**63})
    assert [(fault.pointer, fault.detail) for fault in faults] == [
        ("/nmae", 'the workflow has no param "nmae": did you mean "name"?'),
        ("", 'the param "name" (a string) is required: it has no default'),
        ("/count", 'must be a whole number, not "2"'),
        ("/size", 'must be "s" or "m", not "l"'),
        ("/big", "must be between -2^63 and 2^63-1, not 9223372036854775808"),
    ]


def test_resolve_params__null_for_a_required_one__is_told_at_its_place():
    assert resolve_params(declared(a={}), {"a": None})[1][0].pointer == "/a"


@pytest.mark.parametrize("given", [[], "x", 5, False])
def test_resolve_params__no_object__is_refused(given):
    values, faults = resolve_params({}, given)
    assert values == {}
    assert [fault.pointer for fault in faults] == [""]


@pytest.mark.parametrize("given", [None, {}])
def test_resolve_params__nothing_given_and_nothing_required__is_right(given):
    assert resolve_params(declared(a=1), given) == ({"a": 1}, [])


def test_resolve_params__numbers_of_an_enum__compare_as_numbers():
    params = declared(n={"type": "number", "enum": [1, 2.5]})
    assert resolve_params(params, {"n": 1})[1] == []
    assert resolve_params(params, {"n": 3})[1][0].detail == "must be 1.0 or 2.5, not 3"
