"""What a task hands on: as large as it may be and no larger, the same on local pods and on Kubernetes."""

from __future__ import annotations

import json

import pytest

from tests.support.api import Api
from tests.support.workflows import Json, python, shell, workflow

pytestmark = pytest.mark.usefixtures("service")
MOST = 4096
WRITE = "import os; open(os.environ['PODRUN_OUTPUTS'], 'w', encoding='utf-8').write("


def sized(size: int, letter: str = "x") -> str:
    """A script of Python whose outputs have so many bytes as they are written."""
    rest = size - len('{"a": ""}')
    count, more = divmod(rest, len(letter.encode()))
    return f"{WRITE}'{{\"a\": \"' + {letter!r} * {count} + 'y' * {more} + '\"}}')"


async def ended(api: Api, *tasks: Json) -> dict[str, Json]:
    run = await api.finished(await api.submit(workflow(*tasks)))
    return {task["name"]: task for task in run["tasks"]}


async def test_outputs__of_every_size__up_to_4096_bytes_and_no_more(api: Api) -> None:
    use = {"env": {"A": "${{ tasks.fits.outputs.a }}"}, "depends_on": ["fits"]}
    tasks = await ended(
        api,
        python("fits", sized(MOST)),
        python("wide", sized(MOST, "☃")),
        python("over", sized(MOST + 1)),
        python("wide-over", sized(MOST + 1, "☃")),
        python("far-over", sized(10 * MOST)),
        shell("uses", 'printf %s "$A" | wc -c', **use),
    )
    assert {name: (task["phase"], task["reason"]) for name, task in tasks.items()} == {
        "fits": ("Succeeded", None), "wide": ("Succeeded", None), "uses": ("Succeeded", None),
        "over": ("Failed", "OutputsTooLarge"), "wide-over": ("Failed", "OutputsTooLarge"),
        "far-over": ("Failed", "OutputsTooLarge"),
    }  # fmt: skip
    assert len(json.dumps(tasks["fits"]["outputs"])) == MOST
    assert len(json.dumps(tasks["wide"]["outputs"], ensure_ascii=False).encode()) == MOST
    assert "4,096" in tasks["over"]["message"]


async def test_outputs__that_are_not_what_they_must_be__fail_the_task_with_a_clear_reason(api: Api) -> None:
    retries = {"limit": 1, "delay_seconds": 0}
    tasks = await ended(
        api,
        shell("no-json", "echo '{\"a\": ' > $PODRUN_OUTPUTS", retries=retries),
        shell("no-object", "echo '[1]' > $PODRUN_OUTPUTS"),
        shell("no-text", "printf '\\377\\376' > $PODRUN_OUTPUTS"),
        shell("missing", "echo '{\"a\": 1}' > $PODRUN_OUTPUTS", outputs={"a": {}, "b": {}, "c": {"required": False}}),
        shell("nothing", "true", outputs={"a": {"required": False}}),
        shell("ended-badly", "echo '{\"a\": 1}' > $PODRUN_OUTPUTS; exit 3", outputs={"a": {}}),
        shell("words", 'echo \'{"a": "Grüße 世界 \\u2603", "n": -9223372036854775808}\' > $PODRUN_OUTPUTS'),
    )
    assert {name: (task["phase"], task["reason"], task["outputs"]) for name, task in tasks.items()} == {
        "no-json": ("Failed", "InvalidOutputs", None), "no-object": ("Failed", "InvalidOutputs", None),
        "no-text": ("Failed", "InvalidOutputs", None), "missing": ("Failed", "MissingOutputs", None),
        "nothing": ("Succeeded", None, None), "ended-badly": ("Failed", "Error", None),
        "words": ("Succeeded", None, {"a": "Grüße 世界 ☃", "n": -(2**63)}),
    }  # fmt: skip
    assert len(tasks["no-json"]["attempts"]) == 1, "invalid outputs are not retried"
    assert "'b'" in tasks["missing"]["message"] or '"b"' in tasks["missing"]["message"]
