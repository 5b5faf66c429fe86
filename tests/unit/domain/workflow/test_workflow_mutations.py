"""Real documents with some of their values taken away, doubled, moved or replaced: read or refused, at places that exist."""

from __future__ import annotations

import random
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.domain.errors import ExpressionFailed, InvalidWorkflow
from app.domain.workflow.parsing import expand_foreach, max_parallel_of, parse_workflow, render_task
from tests.support.mutation import JUNK, examples, mutated
from tests.support.pointers import leads_somewhere

DOCUMENTS = examples()
#: What CEL is made of, put together at random.
WORDS = [
    "params", "run", "tasks", "item", "a", "x", ".", ".x", ".a", "[0]", "['a']", "(", ")", "[", "]", "{", "}", "{'a': 1}",
    ",", "+", "-", "*", "/", "%", "==", "!=", "<", ">=", "in", "&&", "||", "!", "?", ":", "1", "-9223372036854775808", "1u",
    "1.5", "1e999", "'x'", '"}}"', "b'x'", "r'\\'", "'''", "true", "null", "size(", "has(", ".map(x, x)", ".exists(x, ",
    "lists.range(9)", "sum(", "timestamp('x')", "duration(", "string(", "type(", "//", "\n", "\\u0041", "é", "\U0001f600",
    "__x__", "@", "#", "$", "`",
]  # fmt: skip


def check(document: Any) -> None:
    """That it is read, and what comes of it rendered, or refused with faults at places that exist."""
    try:
        workflow = parse_workflow(document)
    except InvalidWorkflow as error:
        missing = [fault for fault in error.faults if not leads_somewhere(document, fault.pointer)]
    else:
        missing = []
        for node in workflow.nodes:
            for value in JUNK:
                with suppress(ExpressionFailed):
                    render_task(node, dict.fromkeys(node.expressions, value), ["default"])
                with suppress(ExpressionFailed):
                    max_parallel_of(node, dict.fromkeys(node.list_expressions, value))
                if node.foreach:
                    with suppress(ExpressionFailed):
                        expand_foreach(node.foreach, dict.fromkeys(node.foreach.expressions, value))
    assert not missing


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(DOCUMENTS), st.integers(0, 2**32), st.integers(1, 6))
def test_parse_workflow__a_real_document_with_changes__is_read_or_refused(document, number, changes):
    check(mutated(document, random.Random(number), changes=changes))


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.sampled_from(WORDS), min_size=1, max_size=12),
    st.sampled_from(["args", "when", "foreach", "env", "max_parallel"]),
)
@example(["tasks", ".a", ".x"], "when")
def test_parse_workflow__an_expression_of_words_at_random__is_read_or_refused(words, key):
    text = f"${{{{ {' '.join(words)} }}}}"
    value = {"args": [text], "env": {"A": text}}.get(key, text)
    task = {"name": "b", "image": "x", "depends_on": ["a"], "foreach": [{"x": 1}], key: value}
    check({"name": "w", "params": {"x": 1}, "tasks": [{"name": "a", "image": "x", "outputs": {"x": {}}}, task]})


@pytest.mark.parametrize(
    "task",
    [
        {"image": "x", "env": {"": "x"}, "pod": {"terminationGracePeriodSeconds": "x"}},
        {
            "image": "x",
            "env": {"A": 5, "=": "x"},
            "pod": {"containers": [{"name": "main", "env": [{"name": "B", "value": "b"}]}]},
        },
        {"image": "x", "secrets": [{"secret": "!", "mount_path": "/x"}], "pod": {"volumes": [{"name": "a", "emptyDir": {}}]}},
        {"image": "x", "secrets": [{"secret": "!", "mount_path": "x"}], "pod": {"hostNetwork": True}},
        {"image": "x", "resources": {"requests": {"007": []}}},
        {"image": "x", "node_selector": {"007": "!"}, "pod": {"nodeSelector": {"007": "!"}}},
        {"image": "x", "pod": {"nodeSelector": {"007": 5}}},
    ],
)
def test_parse_workflow__wrong_in_the_task_and_in_its_overlay__is_told_at_places_that_exist(task):
    with pytest.raises(InvalidWorkflow):
        parse_workflow({"name": "w", "tasks": [{"name": "a", **task}]})
    check({"name": "w", "tasks": [{"name": "a", **task}]})
