"""The worker's own part, without the process: in here nothing may take long."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from app.domain.expressions.cel_errors import ADVICE
from app.expressions.compute import Computer
from app.expressions.protocol import Outcome, Request

CONTEXT: dict[str, Any] = {
    "params": {"n": 3, "d": 2.5, "s": "x", "none": None, "deep": {"a": [1, {"b": True}]}, "xs": [3, 1, 2], "mixed": [1, 2.5]},
    "tasks": {"a-b": {"phase": "Succeeded", "exit_code": 0, "outputs": {"l": [1, 2, 3]}}},
    "run": {"id": "r"},
}


@pytest.fixture(scope="module")
def computer():
    return Computer()


@pytest.fixture
def outcomes(computer):
    def ask(sources, *, items=None, condition=None, context=CONTEXT, is_suspect=False):
        request = Request(list(sources), condition, "key", False, items, 5.0)
        reply = computer.answer(request, context, is_suspect=is_suspect)
        return [msgspec.json.decode(raw, type=Outcome) for raw in reply.outcomes]

    return ask


@pytest.fixture
def value(outcomes):
    def ask(source, **more):
        (outcome,) = outcomes([source], **more)
        assert outcome.failure is None, outcome.failure
        return outcome.values[0]

    return ask


@pytest.fixture
def failure(outcomes):
    def ask(source, **more):
        (outcome,) = outcomes([source], **more)
        return outcome.failure

    return ask


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("params.n + 1", 4),
        ("params.d * 2.0", 5.0),
        ("double(params.n) * 2.5", 7.5),
        ("params.none", None),
        ("params.deep", {"a": [1, {"b": True}]}),
        ("params.deep.a[1].b", True),
        ("tasks['a-b'].outputs.l.map(x, x * 2)", [2, 4, 6]),
        ("tasks['a-b'].phase == 'Succeeded' && run.id == 'r'", True),
        ("lists.range(3)", [0, 1, 2]),
        ("lists.range(0)", []),
        ("lists.range(10000).size()", 10_000),
        ("params.xs.sum()", 6),
        ("sum(params.xs)", 6),
        ("[].sum()", 0),
        ("[0.5, 0.25].sum()", 0.75),
        ("params.xs.min() + max(params.xs)", 4),
        ("params.mixed.max()", 2.5),
        ("['b', 'a'].min()", "a"),
        ("[false, true].max()", True),
        ("params.xs.indexOf(2)", 2),
        ("params.xs.indexOf(9)", -1),
        ("[1.0].indexOf(1)", 0),
        ("[true].indexOf(1)", -1),
        ("[1].indexOf(true)", -1),
        ("[[1], {'a': 1}].indexOf({'a': 1.0})", 1),
        ("'hello'.indexOf('l')", 2),
        ("'a,b'.split(',').join('-').replace('a', 'z')", "z-b"),
        ("string(2.0) + string(params.n)", "23"),
        ("7u", 7),
        ("'é' // comment", "é"),
    ],
)
def test_answer__expression__value(value, source, expected):
    found = value(source)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("params.nope", 'failed: there is no key "nope"'),
        ("[params.nope]", 'failed: there is no key "nope"'),
        ("{'a': [{'b': 1 / 0}]}", "failed: divide by zero"),
        ("params.xs.map(x, 1 / (x - 1))", "failed: divide by zero"),
        ("params.n + params.d", "failed: + can't take int and double"),
        ("-params.s", "failed: - can't take string"),
        ("9223372036854775807 + params.n", "failed: integer overflow"),
        ("lists.range(-1)", "failed: lists.range takes a number from 0, not -1"),
        ("lists.range(100001)", "failed: lists.range(100001) is too long: at most 100000"),
        ("[].min()", "failed: min: the list is empty"),
        ("[1, 'a'].max()", "failed: max: the values must all be numbers, or strings, or booleans, not int and string"),
        (
            "params.mixed.sum()",
            "failed: sum: the list holds int and double: make them one kind, as in xs.map(x, double(x)).sum()",
        ),
        ("['a'].sum()", "failed: sum: the list must hold numbers, not string"),
        ("[9223372036854775807, 1].sum()", "failed: sum: the result does not fit into 64 bits"),
        (
            "lists.range(200).map(x, lists.range(200).all(y, y >= 0)).size()",
            f"failed: its loops (map, filter, all, exists) take 10,000 steps or more in all, which is not allowed: {ADVICE}",
        ),
        ("timestamp('2026-01-01T00:00:00Z')", "gives a timestamp: string(…) makes it a string"),
        ("[duration('1s')]", "gives a duration: string(…) makes it a string"),
        ("b'abc'", "gives bytes: string(…) makes them a string"),
        ("[type(1)]", "gives a type: string(…) can't show it, compare it instead"),
        ("{1: 2}", "gives a map whose keys are not all strings"),
        ("{'a': [0.0 / 0.0]}", "gives nan, which is no number of JSON"),
        ("1.0 / 0.0", "gives inf, which is no number of JSON"),
        ("18446744073709551615u", "gives 18446744073709551615, which does not fit into 64 bits with a sign"),
        (r"{'a': ['\u0000']}", "gives text with a NUL character: no process and no database takes it"),
        ("1 +", "is wrong: column 4: the expression ends too early"),
    ],
)
def test_answer__expression_without_a_value__says_why(failure, source, message):
    assert failure(source) == f"the expression `{source}` {message}"


def test_answer__backslash_before_u0000__is_no_nul(value):
    assert value(r"'\\u0000'") == "\\u0000"


def test_answer__result_at_its_limit__is_taken(value, failure):
    context = {"params": {"s": "x" * (64 * 1024 - 2)}}
    assert len(value("params.s", context=context)) == 64 * 1024 - 2
    assert "65537 bytes of JSON: at most 65536 are allowed" in failure("params.s + 'y'", context=context)


def test_answer__list__may_be_larger(value, failure):
    context = {"params": {"l": ["x" * 1021] * 1023}}  # with quotes and comma 1,024 bytes each
    assert len(value("params.l", context=context)) == 1023
    assert "at most 1048576 are allowed" in failure("params.l + params.l", context=context)


def test_answer__long_source__is_shown_short(failure):
    assert failure("1 / 0 + " + "1" + " + 1" * 30 + " + 3000000000" * 0 + " + size('" + "y" * 200 + "')").count("y") < 100


@pytest.mark.parametrize("number", [2**63, 2**64 - 1, 2**70, -(2**63) - 1])
def test_answer__integer_beyond_64_bits__is_refused(outcomes, number):
    (outcome,) = outcomes(["params.n"], context={"params": {"n": 1, "big": [number]}}, is_suspect=True)
    assert outcome.failure == f"`params.big[0]` is {number}, which does not fit into 64 bits: expressions can't use it"


def test_answer__items__one_outcome_each_in_order(outcomes):
    found = outcomes(["item.n + params.n", "params.s // c"], items=[{"n": index} for index in range(200)])
    assert [outcome.values for outcome in found] == [[index + 3, "x"] for index in range(200)]


def test_answer__some_items_fail__the_others_do_not(outcomes):
    items: list[Any] = list(range(150))
    items[7] = "seven"
    items[149] = None
    found = outcomes(["item + 1"], items=items)
    assert [index for index, outcome in enumerate(found) if outcome.failure] == [7, 149]
    assert found[7].failure == "the expression `item + 1` failed: + can't take string and int"
    assert found[8].values == [9]


def test_answer__many_items_with_loops__are_asked_in_smaller_portions(outcomes):
    found = outcomes(["lists.range(1000).exists(x, x == item)"], items=list(range(990, 1010)))
    assert [outcome.values for outcome in found] == [[True]] * 10 + [[False]] * 10


def test_answer__condition_false__the_others_are_not_evaluated(outcomes):
    for items in ([1, 2, 3], [1]):
        found = outcomes(["10 / (item - 1)"], condition="item > 1", items=items)
        assert (found[0].condition, found[0].values, found[0].failure) == (False, None, None)
        assert [outcome.values for outcome in found[1:]] == [[10], [5]][: len(items) - 1]


def test_answer__condition_alone__needs_no_sources(outcomes):
    assert [outcome.condition for outcome in outcomes([], condition="item > 1", items=[1, 2])] == [False, True]
    assert outcomes([], condition="params.n == 3")[0].condition is True


def test_answer__condition_is_no_boolean__fails(outcomes):
    found = outcomes(["1"], condition="item", items=[True, "yes", 1, None, [1]])
    assert [outcome.failure for outcome in found] == [
        None,
        *(f"the condition `item` must give true or false, not {what}" for what in ("a string", "1", "null", "a list")),
    ]


def test_answer__large_values__are_answered_in_portions(computer):
    request = Request(["params.s"], None, "key", False, list(range(100)), 5.0)
    reply = computer.answer(request, {"params": {"s": "x" * 60_000}})
    assert 1 <= len(reply.outcomes) < 100


def test_answer__items_whose_loops_take_too_many_steps_together__come_in_smaller_portions(outcomes):
    source = "lists.range(1000).map(x, x + item).sum() == 499500 + 1000 * item"
    first = outcomes([source], items=list(range(64)))
    assert 8 <= len(first) < 64
    assert all(outcome.values == [True] for outcome in first)
