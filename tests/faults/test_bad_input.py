"""Whatever strangers send, made from the API's description and from real documents: never a 500, and no run is stuck."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.faults.fuzzed_api import FuzzedApi, runnable
from tests.service.conftest import MakeService
from tests.support.api import Api, api_of
from tests.support.service import ServiceProcess
from tests.support.workflows import shell, workflow

pytestmark = [pytest.mark.faults]
#: Of each operation, good ones and bad ones.
EXAMPLES = 7
RUN_SECONDS = 60
#: Documents that the fuzzer makes of the examples.
EXECUTIONS = 5000


async def end_all_runs(api: Api) -> list[str]:
    """Stop what makes runs, cancel them all, and wait until each is finished. Returns their ids."""
    async for stored in api.pages("/workflows"):
        await api.http.delete(f"/workflows/{stored['name']}")
    ids = [run["id"] async for run in api.pages("/runs")]
    for run_id in ids:
        answer = await api.cancel(run_id, force=True)
        assert answer.status_code in (200, 202), answer.text
    for run_id in ids:
        await api.finished(run_id, RUN_SECONDS)
    return ids


def assert_sound(service: ServiceProcess) -> None:
    """It lives, says so, and has written of no fault."""
    assert service.is_running
    assert service.is_ready()
    assert not service.faults(), "\n".join(service.faults()[:5])


@pytest.mark.timeout(300)
async def test_api__fuzzed_from_its_openapi_document__answers_as_it_says_and_no_run_is_stuck(
    make_service: MakeService, chance: random.Random
) -> None:
    service = make_service("local")
    async with api_of(service.url) as api:
        done = await api.submit(workflow(shell("a", "echo a"), shell("b", "exit 1", depends_on=["a"])))
        await api.finished(done)
        await api.put_workflow(workflow(shell("a", "true"), name="fuzzed"))
        under_way = await api.submit(runnable(chance))
        fuzzed = FuzzedApi(service.url, chance, {"run_id": [done, under_way], "task": [*"abcdef", "e.0"], "name": ["fuzzed"]})
        wrong = list(fuzzed.run(EXAMPLES))
        assert not wrong, "\n".join(wrong[:5])
        assert_sound(service)
        seen = set.union(*fuzzed.statuses.values())
        assert {200, 201, 202, 404, 422} <= seen, "it came past the checks, and was stopped by them"
        ids = await end_all_runs(api)
        assert len(ids) > EXAMPLES // 4, "some of the workflows have run"
    assert_sound(service)


def test_parser__fuzzed_by_its_coverage__refuses_or_reads_every_document(chance: random.Random, tmp_path: Path) -> None:
    if find_spec("atheris") is None:
        pytest.skip("atheris has no wheel for this Python and platform, only for Linux on x86-64 (see pyproject.toml)")
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    harness = Path(__file__).with_name("fuzz_workflow.py")
    made = subprocess.run(
        [
            sys.executable, str(harness), f"-runs={EXECUTIONS}", f"-seed={chance.getrandbits(31) or 1}", "-max_len=20000",
            "-timeout=20", "-rss_limit_mb=1500", f"-artifact_prefix={tmp_path}/", str(corpus), "examples",
        ],
        capture_output=True, text=True, timeout=200, env={**os.environ, "PYTHONPATH": "."}, check=False,
    )  # fmt: skip
    kept = "\n".join(f"{path.name}: {path.read_bytes()[:2000]!r}" for path in tmp_path.glob("*-*") if path.is_file())
    assert made.returncode == 0, f"{made.stderr[-5000:]}\n{kept}"
    assert f"Done {EXECUTIONS} runs" in made.stderr or "DONE" in made.stderr, made.stderr[-2000:]
