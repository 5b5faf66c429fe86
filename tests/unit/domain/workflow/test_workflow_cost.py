"""What documents cost that were made to be dear: no more than good ones of their size, give or take a factor."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import cache

import pytest

from app.domain.errors import Fault, InvalidWorkflow
from app.domain.faults import MOST_CHARACTERS, MOST_FAULTS
from app.domain.json_text import parse_json
from app.domain.workflow.parsing import parse_workflow

#: Of a document, about.
BYTES = 128 * 1024
#: What a hostile document may cost, as a multiple of what a good one of this size costs. Most of it goes into the sentences, of
#: which there are as many for a small document as for a large one; without bounds it was hundreds, or all the memory there is.
FACTOR = 60


def document(*, tasks: str = '[{"name": "a", "image": "x"}]', **keys: str) -> bytes:
    """A workflow out of JSON texts."""
    return f'{{"name": "w", "tasks": {tasks}{"".join(f", {quoted(key)}: {text}" for key, text in keys.items())}}}'.encode()


def quoted(text: str) -> str:
    return f'"{text}"'


def task(**keys: str) -> bytes:
    return document(tasks=f'[{{"name": "a", "image": "x"{"".join(f", {quoted(key)}: {text}" for key, text in keys.items())}}}]')


def many(item: str | Callable[[int], str], size: int | None = None) -> str:
    """A list of such items, as long as a document is large."""
    size = size or BYTES // (len(item if isinstance(item, str) else item(10_000)) + 1)
    return f"[{','.join(item if isinstance(item, str) else item(index) for index in range(size))}]"


def keys(value: str, size: int | None = None) -> str:
    """An object of many keys with this value."""
    return "{" + many(lambda index: f'"k{index}":{value}', size)[1:-1] + "}"


def tasks(item: Callable[[int], str], size: int = 10_000) -> str:
    return many(item, size)


def below(path: Sequence[str], value: str) -> str:
    return "".join(f'{{"{key}":' for key in path) + value + "}" * len(path)


def param(default: str) -> str:
    return f'{{"x": {{"type": "object", "default": {default}}}}}'


LONG, NUL = "k" * (BYTES // 2), r'"\u0000"'
REFUSED: dict[str, Callable[[], bytes]] = {
    "NUL characters": lambda: task(args=many(NUL)),
    "NUL characters below a long key": lambda: document(params=param(below([LONG], many(NUL, 20_000)))),
    "NUL characters below many keys": lambda: document(params=param(below(["k" * 4000] * 60, many(NUL, 9000)))),
    "numbers for texts": lambda: task(args=many("0")),
    "numbers for dependencies": lambda: task(depends_on=many("0")),
    "unknown dependencies": lambda: task(depends_on=many(lambda index: f'"k{index}"')),
    "unknown keys": lambda: document(**{f"k{index}": "0" for index in range(BYTES // 12)}),
    "unknown keys of a task": lambda: task(**{f"k{index}": "0" for index in range(BYTES // 12)}),
    "unknown keys of the defaults": lambda: document(task_defaults=keys("0")),
    "unknown keys of all tasks": lambda: document(tasks=tasks(lambda index: f'{{"name":"t{index}","a":0,"b":0,"c":0}}')),
    "numbers for labels": lambda: document(labels=keys("0")),
    "numbers for variables": lambda: task(env=keys("0")),
    "variables without name": lambda: task(env=many("{}")),
    "volumes without name": lambda: task(volumes=many("{}")),
    "tolerations of unknown keys": lambda: task(tolerations=many('{"a":0}')),
    "affinity of nonsense": lambda: task(
        affinity=f'{{"nodeAffinity":{{"requiredDuringSchedulingIgnoredDuringExecution":{{"nodeSelectorTerms":{many("0")}}}}}}}'
    ),
    "a pod of unknown keys": lambda: task(pod=keys("0")),
    "a pod of wrong volumes": lambda: task(pod=f'{{"volumes": {many("0")}}}'),
    "sidecars without name": lambda: task(sidecars=many("{}")),
    "empty secrets": lambda: task(secrets=many("{}")),
    "numbers for secrets": lambda: task(secrets=many("0")),
    "numbers for outputs": lambda: task(outputs=keys("0")),
    "wrong outputs": lambda: task(outputs=keys('{"a":0}')),
    "numbers for exit codes": lambda: task(retries=f'{{"limit": 1, "exit_codes": {many("0")}}}'),
    "texts for exit codes": lambda: task(retries=f'{{"limit": 1, "exit_codes": {many(quoted("x"))}}}'),
    "numbers for tasks": lambda: document(tasks=many("0")),
    "empty tasks": lambda: document(tasks=many("{}")),
    "params that are null": lambda: document(params=keys("null")),
    "params of unknown keys": lambda: document(params=f'{{"x": {keys("0")}}}'),
    "wrong values of an enum": lambda: document(params=f'{{"x": {{"enum": {many("0")}}}}}'),
    "the same value in an enum": lambda: document(params=f'{{"x": {{"type": "integer", "enum": {many("0")}}}}}'),
    "whole numbers of no 64 bits": lambda: document(params=f'{{"x": {many("9" * 20)}}}'),
    "numbers that are infinite": lambda: document(params=f'{{"x": {many("1e999")}}}'),
    "numbers of 4,000 digits": lambda: document(params=f'{{"x": {many("9" * 4000)}}}'),
    "expressions in a param": lambda: document(params=f'{{"x": {many(quoted("${{1}}"))}}}'),
    "expressions that do not end": lambda: task(args=many('"${{"')),
    "unknown names in expressions": lambda: task(args=many(lambda index: f'"${{{{x{index}}}}}"')),
    "unknown params in expressions": lambda: task(args=many(lambda index: f'"${{{{params.x{index}}}}}"')),
    "expressions in keys": lambda: task(env="{" + many(lambda index: f'"${{{{{index}}}}}":"x"')[1:-1] + "}"),
    "expressions in dependencies": lambda: task(depends_on=many('"${{1}}"')),
    "cycles of all with all": lambda: document(
        tasks=tasks(lambda index: f'{{"name":"t{index}","depends_on":{many(lambda other: quoted(f"t{other}"), 250)}}}', 250)
    ),
    "one name for all": lambda: document(tasks=tasks(lambda _: '{"name":"a"}')),
    "names that are misspelt": lambda: document(
        tasks=tasks(lambda index: f'{{"name":"task{index}","depends_on":["tsak{index}"]}}')
    ),
    "every combination of too many lists": lambda: task(foreach=keys("[1,2,3,4,5,6,7,8,9,0]", 5000)),
    "items that are multiplied": lambda: task(
        foreach=f'{{"a":{many(quoted("x" * 4000), 100)},"b":{many("0", 100)}}}'
    ),
    "defaults that are multiplied": lambda: document(
        task_defaults=f'{{"image":"x","args":{many(quoted("v"), 50_000)}}}',
        tasks=tasks(lambda index: f'{{"name":"t{index}"}}'),
    ),
    "defaults that are multiplied and wrong": lambda: document(
        task_defaults=f'{{"image":"x","args":{many("0", 50_000)}}}',
        tasks=tasks(lambda index: f'{{"name":"t{index}"}}'),
    ),
    "labels that are multiplied": lambda: document(
        task_defaults=f'{{"image":"x","labels":{keys(quoted(""), 20_000)}}}',
        tasks=tasks(lambda index: f'{{"name":"t{index}","labels":{{"a":"{index}"}}}}'),
    ),
    "expressions that are multiplied": lambda: document(
        task_defaults=f'{{"image":"x","args":{many(lambda index: quoted(f"${{{{{index}}}}}"), 10_000)}}}',
        tasks=tasks(lambda index: f'{{"name":"t{index}"}}'),
    ),
    "a long name": lambda: document(tasks=f'[{{"name": "{"a" * BYTES}"}}]'),
    "a long image": lambda: document(tasks=f"""[{{"name": "a", "image": "{"a/" * (BYTES // 2)}"}}]"""),
    "a long cron": lambda: document(schedule=f'{{"cron": "{"1," * (BYTES // 2)}1 * * * *"}}'),
    "a long time zone": lambda: document(schedule=f'{{"cron": "* * * * *", "timezone": "{"../" * (BYTES // 3)}"}}'),
    "a long quantity": lambda: task(resources=f'{{"limits": {{"cpu": "{"1" * BYTES}"}}}}'),
    "a quantity of a thousand million digits": lambda: task(resources='{"limits": {"cpu": "1e999999999"}}'),
    "a long label": lambda: document(labels=f'{{"{"a" * BYTES}": "x"}}'),
    "a text of expressions": lambda: task(args=f'["{"${{1}}" * (BYTES // 6)}${{{{"]'),
    "a text of open quotes": lambda: task(args='["' + "${{'" * (BYTES // 4) + '"]'),
    "expressions as deep as they get": lambda: task(
        args=many(lambda index: f'"${{{{{"(" * 2000}{index}{")" * 2000}}}}}"')
    ),
    "expressions of loops in loops": lambda: task(
        args=many(lambda index: f'"${{{{{index}<0||{"[1].exists(x," * 250}true{")" * 250}}}}}"')
    ),
}  # fmt: skip


def faults_of(body: bytes) -> Sequence[Fault]:
    value = parse_json(body)
    try:
        parse_workflow(value)
    except InvalidWorkflow as error:
        return error.faults
    return ()


def measured(body: bytes) -> tuple[Sequence[Fault], float]:
    """What is wrong with it, and the seconds of CPU that this took."""
    begun = time.process_time()
    found = faults_of(body)
    return found, time.process_time() - begun


@cache
def good_seconds() -> float:
    """What a good document of this size costs: one of many small tasks, as people have them."""
    item = '{{"name":"t{0}","image":"python:3","command":["sh","-c","echo {0}"],"env":{{"A":"{0}"}},"labels":{{"n":"{0}"}}}}'
    body = document(tasks=many(item.format))
    assert not faults_of(body)  # it also loads what is loaded once
    return min(measured(body)[1] for _ in range(3))


@pytest.mark.parametrize("name", REFUSED)
def test_parse_workflow__made_to_be_dear__is_refused_for_the_price_of_a_good_one(name: str) -> None:
    body = REFUSED[name]()
    assert len(body) < 5 * BYTES
    allowed = FACTOR * good_seconds()
    faults, spent = measured(body)
    assert faults, "it is refused"
    assert len(faults) <= MOST_FAULTS + 1
    assert sum(len(fault.pointer) + len(fault.detail) for fault in faults) <= 2 * MOST_CHARACTERS
    assert spent <= allowed, f"{spent:.2f} s of CPU, and {allowed / FACTOR:.3f} s for a good one"
