"""Documents of strangers: whatever they hold, they are read or refused, and what is refused is told at places that exist."""

from contextlib import suppress
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.domain.errors import ExpressionFailed, InvalidWorkflow
from app.domain.workflow.document import Task, WorkflowDocument
from app.domain.workflow.nodes import Workflow
from app.domain.workflow.parsing import expand_foreach, max_parallel_of, parse_workflow, render_task
from tests.support.pointers import leads_somewhere

TEXTS = [
    "", "a", "b", "x", "A", "5", "500m", "name", "main", "..", "/d", "\ud800", "\0", "all_done", "Exists", "*/5 * * * *",
    "1/1/1 * L#5 * 5L", "Europe/Berlin", "${{ params.x }}", "${{", "a${{ tasks.a.phase }}", "${{ item }}", "${{ ( }}",
    "${{ tasks.b.outputs.x }}",
]  # fmt: skip
scalars = st.one_of(
    st.none(), st.booleans(), st.integers(-2, 3), st.sampled_from([2**63, 10**400, -1.5, 1e308, float("nan"), float("inf")]),
    st.sampled_from(TEXTS), st.text(max_size=5),
)  # fmt: skip
KEYS = [
    *Task.model_fields, *WorkflowDocument.model_fields, "name", "value", "limit", "secret", "key", "items", "default", "type",
    "enum", "group", "cron", "timezone", "message", "mountPath", "emptyDir", "containers", "$patch", "valueFrom", "x",
    "limits", "requests", "cpu", "operator", "effect", "${{ 1 }}", "a/b~c",
]  # fmt: skip
keys = st.sampled_from(KEYS) | st.text(max_size=3)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4), max_leaves=12
)
tasks = st.fixed_dictionaries(
    {"name": st.sampled_from(["a", "b", "c"])},
    optional={"image": st.just("x"), "depends_on": st.lists(st.sampled_from(["a", "b", "c", "z"]), max_size=2)},
)


@st.composite
def documents(draw: st.DrawFn) -> Any:
    """A document that would be right, with some values of it replaced by whatever there is."""
    document: dict[str, Any] = {"name": "w", "tasks": draw(st.lists(tasks, max_size=3))}
    if draw(st.booleans()):
        document |= draw(st.dictionaries(st.sampled_from([*WorkflowDocument.model_fields]), values, max_size=3))
    for section in ("tasks", "on_exit"):
        written = document.get(section)
        for task in written if isinstance(written, list) else ():
            if isinstance(task, dict):
                task.update(draw(st.dictionaries(keys, values, max_size=3)))
    return document


def parsed(document: Any) -> Workflow | None:
    before, found = repr(document), None
    try:
        found = parse_workflow(document)
    except InvalidWorkflow as error:
        faults = error.faults
    else:
        faults = ()
    assert (found is None) == bool(faults)
    assert all(fault.detail and leads_somewhere(document, fault.pointer) for fault in faults), faults
    assert repr(document) == before, "it is left as it was"
    return found


@settings(max_examples=300, deadline=None)
@given(documents(), values)
@example({"name": "w", "tasks": [{"name": "a", "image": "x", "env": "${{ params.x }}"}], "params": {"x": {}}}, {"A": None})
def test_parse_workflow__any_document__is_read_or_refused(document, value):
    workflow = parsed(document)
    for node in workflow.nodes if workflow else ():
        with suppress(ExpressionFailed):
            render_task(node, dict.fromkeys(node.expressions, value), ["default"])
        with suppress(ExpressionFailed):
            max_parallel_of(node, dict.fromkeys(node.list_expressions, value))
        if node.foreach:
            with suppress(ExpressionFailed):
                expand_foreach(node.foreach, dict.fromkeys(node.foreach.expressions, value))


@settings(max_examples=100, deadline=None)
@given(values)
def test_parse_workflow__any_value__is_read_or_refused(value):
    parsed(value)


def test_parse_workflow__wrong_everywhere__is_refused_at_once():
    value: Any = {"x": [1, {"${{ 1": None}]}
    for task_key in Task.model_fields:
        document = dict.fromkeys(WorkflowDocument.model_fields, value) | {"tasks": [{task_key: value}] * 50}
        assert parsed(document) is None
