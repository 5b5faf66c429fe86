from __future__ import annotations

import pytest

from app.domain.errors import ExpressionFailed
from app.domain.expressions.analysis import Scope, check_expression, references

SCOPE = Scope(
    params=("bucket", "shards"), upstream=("build", "build-all"), tasks=("build", "build-all", "later"), has_item=True
)


@pytest.mark.parametrize(
    "source",
    [
        "params.bucket",
        "params['bucket'] + '/x'",
        "params",
        "params[item.name]",
        "tasks['build-all'].outputs.image",
        "tasks.build.phase == 'Succeeded' || tasks.build.exit_code in [1, 2]",
        "run.id + run.workflow + run.created_at + run.phase",
        "lists.range(params.shards).map(i, {'shard': i, 'of': params.shards})",
        "[1, 2].sum() + max([1, 2]) + [1].min() + ['a'].indexOf('a')",
        "has(tasks.build.outputs.x) ? tasks.build.outputs.x : ['a', 'b'].join('-')",
        "item.os.split(',')[0].replace('a', 'b') // a comment",
        "params.shards.map(run, run.anything)",  # `run` is the loop's here
    ],
)
def test_check_expression__right__nothing_to_say(source):
    assert check_expression(source, SCOPE) == []


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("", "the expression is empty"),
        ("1 +", "column 4: the expression ends too early"),
        ("params.bucket params.shards", "column 15: unexpected 'params'"),
        ("'abc", "column 1: a string is not closed: 'abc"),
        ("params.bucket | upper", "column 15: | is not part of the language"),
        ("params.bukcet", 'there is no param "bukcet": did you mean "bucket"?'),
        ("params.other", 'there is no param "other" (there is bucket, shards)'),
        ("param.bucket", "column 1: there is nothing named param: did you mean params?"),
        ("true && inputs.x == 1", "column 9: there is nothing named inputs: did you mean params?"),
        ("1 == 1 &&\n  foo", "line 2, column 3: there is nothing named foo (there are params, run, tasks, item)"),
        ("item == None", "column 9: there is nothing named None: did you mean null?"),
        ("sizee('a')", "column 6: there is no function sizee: did you mean size?"),
        ("lists.rnge(5)", "column 11: there is no function lists.rnge"),
        ("params.bucket.upcase()", "column 21: there is no function upcase"),
        ("'a' == 1", "column 5: == can't take string and int"),
        ("tasks", "`tasks` must be followed by the literal name of a task: tasks.build, or tasks['build-all']"),
        (
            "tasks[params.bucket].phase",
            "`tasks` must be followed by the literal name of a task: tasks.build, or tasks['build-all']",
        ),
        (
            "tasks.later.phase",
            'task "later" is not upstream: what comes of a task is known only where depends_on leads to it',
        ),
        ("tasks.biuld.phase", 'there is no upstream task "biuld": did you mean "build"?'),
        ("tasks.build.output", '`tasks["build"]` has no "output": did you mean "outputs"?'),
        ("run", "`run` must be followed by a literal name, one of id, workflow, created_at, phase"),
        ("run.name", '`run` has no "name" (there is id, workflow, created_at, phase)'),
        ("'" + "x" * 4096 + "'", "the expression is too long: 4098 bytes, at most 4096 are allowed"),
        (
            "1" + "+1" * 40,
            "the expression is nested too deeply, or a chain of operators or calls in it is too long: at most 32 levels",
        ),
        ("tasks.in.outputs.x", "column 7: in is a word of the language: write tasks['in']"),
        ("1 + tasks.a.outputs.null", "column 21: null is a word of the language: write tasks.a.outputs['null']"),
        ("tasks.my-task.phase", "column 7: a name with a hyphen stands in brackets: write tasks['my-task']"),
        (
            "tasks.a.outputs.my-long-name + 'x'",
            "column 17: a name with a hyphen stands in brackets: write tasks.a.outputs['my-long-name']",
        ),
        ("'\ud800'", "the expression must be Unicode text: it holds half of a surrogate pair"),
    ],
)
def test_check_expression__wrong__says_what_and_where(source, message):
    assert check_expression(source, SCOPE)[0] == message


def test_check_expression__outside_its_scope__is_refused():
    nothing = Scope(params=("a",), run=False)
    assert check_expression("params.a", nothing) == []
    assert check_expression("item", nothing) == ["`item` is there only in a task with foreach"]
    assert check_expression("run.id", nothing) == ["`run` can't be used here: only params can"]
    assert check_expression("tasks.a.phase", nothing) == ["`tasks` can't be used here: only params can"]


def test_check_expression__many_mistakes__all_are_told():
    assert len(check_expression("params.x + params.y + tasks.z.phase", SCOPE)) == 3


@pytest.mark.parametrize(
    ("source", "paths"),
    [
        ("params.a", {("params", "a")}),
        ("params['a'].b['c']", {("params", "a", "b", "c")}),
        ("params.a[0].b", {("params", "a")}),
        ("params[item]", {("params",), ("item",)}),
        ("tasks.a.outputs.l.map(x, x + params.p)", {("tasks", "a", "outputs", "l"), ("params", "p")}),
        ("[1].map(tasks, tasks + 1)", set()),
        ("[1].map(run, run + 1) == [run.id]", {("run", "id")}),
        ("[1].exists(x, [2].all(y, x + y == params.n))", {("params", "n")}),
        ("{'k': params.v, params.k: 1}", {("params", "v"), ("params", "k")}),
        ("has(params.a.b)", {("params", "a", "b")}),
        (".params.a", {("params", "a")}),
        ("(params.a).b", {("params", "a", "b")}),
        ("params.a.size() + size(params.b)", {("params", "a"), ("params", "b")}),
        ("params['é'] + params['']", {("params", "é"), ("params", "")}),
        ("'params.a'", set()),
        ("params.a ? run.id : item.x", {("params", "a"), ("run", "id"), ("item", "x")}),
        ("params." + "a" * 200, {("params", "a" * 200)}),
    ],
)
def test_references__source__paths(source, paths):
    assert references(source).paths == paths


def test_references__all_kinds__names():
    found = references("params.a + tasks['b-c'].outputs.x + run.id + item")
    assert (found.params, found.tasks, found.run) == ({"a"}, {"b-c"}, {"id"})
    assert found.uses_item
    assert not found.all_params
    assert references("size(params)").all_params


def test_references__wrong_source__raises():
    with pytest.raises(ExpressionFailed, match="ends too early"):
        references("1 +")
