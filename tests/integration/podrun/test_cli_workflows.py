"""The command line for stored workflows, params, retries and approvals, against the fake service."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.integration.podrun.conftest import WORKFLOW, Invoke
from tests.integration.podrun.fake_service import FakeService

PARAMS = {"count": {"type": "integer", "required": True}, "day": ""}
EVIL = "a\x1b[2Jb\x9b"


@pytest.fixture
def typed_file(tmp_path: Path) -> str:
    file = tmp_path / "typed.json"
    file.write_text(json.dumps({"name": "typed", "params": PARAMS, "tasks": [{"name": "a"}]}))
    return str(file)


def sent(fake: FakeService) -> Any:
    return json.loads(fake.bodies[-1])


def test_submit__params_and_labels__typed_by_the_file(fake: FakeService, podrun: Invoke, typed_file: str) -> None:
    result = podrun("submit", typed_file, "-p", "count=3", "--param", "day=3", "-p", "typo=3", "--label", "team=a=b")
    assert result.exit_code == 0, result.output
    assert sent(fake)["params"] == {"count": 3, "day": "3", "typo": "3"}
    assert sent(fake)["labels"] == {"team": "a=b"}


def test_submit__stored_workflow__typed_by_the_service(fake: FakeService, podrun: Invoke) -> None:
    fake.workflows["typed"] = [{"params": {"count": ""}}, {"params": PARAMS}]
    assert podrun("submit", "typed").exit_code == 0
    assert sent(fake) == {"workflow": "typed"}
    assert not fake.asked_for("GET", "/workflows")
    assert podrun("submit", "typed", "-p", "count=3").exit_code == 0
    assert sent(fake) == {"workflow": "typed", "params": {"count": 3}}
    assert podrun("submit", "typed@1", "-p", "count=3", "--wait").exit_code == 0
    assert sent(fake) == {"workflow": "typed@1", "params": {"count": "3"}}


@pytest.mark.parametrize("name", ["there", "x/there"])
def test_submit__name_of_a_file_that_is_there__the_file(
    fake: FakeService, podrun: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text(WORKFLOW)
    assert podrun("submit", name).exit_code == 0
    assert sent(fake)["workflow"]["name"] == "hello"


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (("nowhere.yaml",), "nowhere.yaml: No such file"),
        (("no/where",), "no/where: No such file"),
        (("No_Name",), "No_Name: there is no such file, and no stored workflow can have this name"),
        (("name@0",), "name@0: there is no such file"),
        (("-", "-p", "count"), "-p count: write NAME=VALUE"),
        (("-", "-p", "a=1", "-p", "a=2"), "-p a: it is there twice"),
        (("-", "--label", "a"), "--label a: write NAME=VALUE"),
        (("-", "-p", "count=many"), "-p count: must be an integer as JSON writes it"),
        (("nothing", "-p", "a=1"), "there is no workflow 'nothing'"),
    ],
)
def test_submit__what_can_t_be_sent__two_and_a_sentence(
    fake: FakeService, podrun: Invoke, arguments: tuple[str, ...], part: str
) -> None:
    result = podrun("submit", *arguments, stdin=json.dumps({"name": "x", "params": PARAMS, "tasks": []}))
    assert result.exit_code == 2
    assert part in result.stderr
    assert fake.bodies == []


def test_submit__refused_params__named_by_their_flag(fake: FakeService, podrun: Invoke, typed_file: str) -> None:
    faults = [
        ("/params/a~1b", "there is no such param"),
        ("/params/list/3", "no"),
        ("/params", "too many"),
        ("/labels/team", "no label"),
        ("/workflow/params/count", "unknown type"),
        ("/other", "what"),
    ]
    fake.refusal = {"errors": [{"pointer": pointer, "detail": detail} for pointer, detail in faults]}
    result = podrun("submit", typed_file)
    assert result.exit_code == 2
    assert result.stderr.splitlines() == [
        "-p a/b: there is no such param",
        "-p list: /3: no",
        "-p: too many",
        "--label team: no label",
        f"{typed_file}:1: /params/count: unknown type",
        "/other: what",
    ]


def test_workflows__put_list_get_versions__as_stored(podrun: Invoke, typed_file: str, tmp_path: Path) -> None:
    assert podrun("workflows", "put", typed_file).stdout == "workflow typed is stored: version 1\n"
    assert podrun("workflows", "put", typed_file).stdout == "workflow typed is stored: version 1\n"
    other = tmp_path / "other.yaml"
    other.write_text("name: typed\ntasks: [{name: b}]\n")
    assert json.loads(podrun("workflows", "put", str(other), "-o", "json").stdout)["version"] == 2
    listed = podrun("workflows", "list").stdout.splitlines()
    assert listed[1].split()[:2] == ["typed", "2"]
    assert json.loads(podrun("workflows", "list", "-o", "json").stdout)["items"][0]["name"] == "typed"
    shown = podrun("workflows", "get", "typed@1").stdout
    assert "workflow  typed@1" in shown
    assert "param     count: integer, required" in shown
    assert json.loads(podrun("workflows", "get", "typed", "--document").stdout) == {"name": "typed", "tasks": [{"name": "b"}]}
    assert json.loads(podrun("workflows", "get", "typed", "-o", "json").stdout)["version"] == 2
    assert [line.split()[0] for line in podrun("workflows", "versions", "typed").stdout.splitlines()] == ["VERSION", "2", "1"]


def test_workflows__schedule__shown(fake: FakeService, podrun: Invoke) -> None:
    fake.workflows["nightly"] = [{"name": "nightly", "params": {"evil": {"default": EVIL}}}]
    fake.schedule = {
        "cron": "0 3 * * *",
        "timezone": "Europe/Berlin",
        "next_at": "2026-01-03T02:00:00Z",
        "last_run_id": "r1",
        "last_skipped_at": "T",
        "last_skipped_reason": "Overlap",
    }
    assert "0 3 * * * Europe/Berlin  2026-01-03T02:00:00Z  r1" in podrun("workflows", "list").stdout
    shown = podrun("workflows", "get", "nightly").stdout
    assert "schedule  0 3 * * * Europe/Berlin\n" in shown
    assert "left out  T Overlap" in shown
    assert not {"\x1b", "\x9b"} & set(shown)
    assert podrun("workflows", "pause", "nightly").stdout.startswith("workflow nightly is paused")
    assert " paused " in podrun("workflows", "list").stdout
    assert "(paused)" in podrun("workflows", "get", "nightly").stdout
    assert podrun("workflows", "unpause", "nightly").stdout.startswith("workflow nightly is unpaused, next run 2026")


def test_workflows__put_refused__two_with_lines_and_the_others_are_stored(
    fake: FakeService, podrun: Invoke, typed_file: str, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.json"
    broken.write_text("{")
    result = podrun("workflows", "put", str(broken), typed_file)
    assert result.exit_code == 2
    assert "broken.json:1" in result.stderr
    assert result.stdout == "workflow typed is stored: version 1\n"
    fake.refusal = {"errors": [{"pointer": "/params/count", "detail": "no"}]}
    result = podrun("workflows", "put", typed_file)
    assert result.exit_code == 2
    assert result.stderr == f"{typed_file}:1: /params/count: no\n"


def test_workflows__delete__gone_and_what_is_not_there_is_told(fake: FakeService, podrun: Invoke) -> None:
    fake.workflows |= {"a": [{}], "b": [{}]}
    result = podrun("workflows", "delete", "a", "nope", "b")
    assert result.exit_code == 2
    assert result.stdout == "workflow a deleted\nworkflow b deleted\n"
    assert podrun("workflows", "get", "a").exit_code == 2
    assert podrun("workflows", "get", "A_B").exit_code == 2
    assert podrun("workflows", "pause", "a").exit_code == 2


def test_retry__no_flag__said(fake: FakeService, podrun: Invoke) -> None:
    fake.add_run("r", "Failed")
    assert podrun("retry", "r", "a", "work.3").stdout == "run r is retried\n"
    assert sent(fake) == {"tasks": ["a", "work.3"]}
    result = podrun("retry", "r")
    assert result.exit_code == 2
    assert result.stderr.startswith("409 ")
    assert sent(fake) == {}


def test_retry__unknown_task__its_sentence_alone(fake: FakeService, podrun: Invoke) -> None:
    fake.add_run("r", "Failed")
    fake.refusal = {"errors": [{"pointer": "/tasks/0", "detail": 'the run has no task "x"'}]}
    result = podrun("retry", "r", "x")
    assert result.exit_code == 2
    assert result.stderr == 'the run has no task "x"\n'


@pytest.mark.parametrize("how", ["--wait", "--follow"])
@pytest.mark.parametrize(("phase", "code"), [("Succeeded", 0), ("Failed", 1), ("Cancelled", 3)])
def test_retry__waits__only_what_is_new_and_the_outcome(
    fake: FakeService, podrun: Invoke, how: str, phase: str, code: int
) -> None:
    fake.add_run("r", phase)
    fake.add_lines("r", "old")
    fake.events["r"] = [
        {"cursor": "1", "time": "2026-01-02T03:30:00Z", "type": "TaskPhase", "task": "old-a", "phase": "Failed", "reason": "X"},
        {"cursor": "2", "time": "2026-01-02T04:00:00Z", "type": "TaskPhase", "task": "new-a", "phase": "Failed", "reason": "X"},
    ]
    result = podrun("retry", "r", how)
    assert result.exit_code == code
    assert "new-a" in result.output
    assert "old" not in result.output
    assert not fake.asked_for("WEBSOCKET", "logs") or "cursor=c0" in fake.asked_for("WEBSOCKET", "logs")[0][0]


def test_retry__timeout__four_and_a_hint(fake: FakeService, podrun: Invoke) -> None:
    fake.add_run("r", polls=1000)
    result = podrun("retry", "r", "--wait", "--timeout", "0.3", "-o", "json")
    assert result.exit_code == 4
    assert "podrun cancel r" in result.stderr


def test_suspend_and_resume__runs__asked_for(fake: FakeService, podrun: Invoke) -> None:
    fake.add_run("r", "Running")
    fake.add_run("q", "Running")
    result = podrun("suspend", "r", "nope", "q")
    assert result.exit_code == 2
    assert result.stdout == "run r is suspended (Running)\nrun q is suspended (Running)\n"
    assert fake.runs["r"]["suspended"]
    assert json.loads(podrun("resume", "r", "-o", "json").stdout)["suspended"] is False


def test_approve_and_reject__comment__sent(fake: FakeService, podrun: Invoke) -> None:
    fake.add_run("r")
    assert podrun("approve", "r", "deploy", "--comment", "looks good").stdout == "deploy is approved\n"
    assert fake.asked_for("POST", "/runs/r/tasks/deploy/approve")
    assert sent(fake) == {"comment": "looks good"}
    assert json.loads(podrun("reject", "r", "deploy", "-o", "json").stdout)["id"] == "r"
    fake.refusal = {"detail": "it does not wait"}
    assert podrun("reject", "r", "deploy").exit_code == 2


def fan_out(count: int) -> list[dict[str, Any]]:
    times = {"started_at": "2026-01-02T03:04:05Z", "finished_at": "2026-01-02T03:04:06Z"}
    return [
        {
            "name": f"work.{index}",
            "phase": "Succeeded",
            "foreach": {"task": "work", "index": index, "item": f"i{index}"},
            "outputs": {"n": index},
        }
        | times
        for index in range(count)
    ]


def test_get__fan_out__folded_with_its_failures(fake: FakeService, podrun: Invoke) -> None:
    fake.add_run("r", "Failed", workflow_version=3, params={"a": 1}, scheduled_at="2026-01-02T03:00:00Z")
    fake.tasks["r"] = [{"name": "plan", "phase": "Succeeded", "outputs": {"x": EVIL}}, *fan_out(1000)]
    for index in (7, 9):
        fake.tasks["r"][index + 1] |= {"phase": "Failed", "reason": "OOMKilled"}
    shown = podrun("get", "r").stdout
    assert "workflow  hello@3" in shown
    assert 'params    {"a": 1}' in shown
    assert "scheduled 2026-01-02T03:00:00Z" in shown
    rows = [line.split() for line in shown.splitlines() if line.startswith("work.")]
    assert rows == [
        ["work.0...work.999", "Failed", "1.0s", "998", "Succeeded,", "2", "Failed"],
        ["work.7", "Failed", '"i7"', "1.0s", "OOMKilled"],
        ["work.9", "Failed", '"i9"', "1.0s", "OOMKilled"],
    ]
    assert '  work.0  {"n": 0}\n  ... 998 more of work\n  work.999  {"n": 999}' in shown
    assert not {"\x1b", "\x9b"} & set(shown)
    assert len([line for line in podrun("get", "r", "--all").stdout.splitlines() if line.startswith("work.")]) == 1000
    assert len(json.loads(podrun("get", "r", "-o", "json").stdout)["tasks"]) == 1001


def test_get__few_items__each(fake: FakeService, podrun: Invoke) -> None:
    fake.add_run("r")
    fake.tasks["r"] = fan_out(10)
    assert len([line for line in podrun("get", "r").stdout.splitlines() if line.startswith("work.")]) == 10


def test_get__running_fan_out__running(fake: FakeService, podrun: Invoke) -> None:
    fake.add_run("r", "Running", suspended=True, is_finished=False)
    fake.tasks["r"] = fan_out(20)
    fake.tasks["r"][3] |= {"phase": "Failed"}
    fake.tasks["r"][4] |= {"phase": "Running", "finished_at": None}
    shown = podrun("get", "r").stdout
    assert "phase     Running (suspended)" in shown
    assert "18 Succeeded, 1 Failed, 1 Running" in shown
    assert [line.split()[1] for line in shown.splitlines() if line.startswith("work.0...work.19")] == ["Running"]


def test_get__approval__how_to_answer(fake: FakeService, podrun: Invoke) -> None:
    fake.add_run("r", "Running")
    waiting = {"phase": "Running", "reason": "WaitingForApproval", "message": "deploy to production?"}
    fake.tasks["r"] = [{"name": "ask"} | waiting]
    shown = podrun("get", "r").stdout
    assert "  ask: deploy to production?\n    podrun approve r ask   or   podrun reject r ask\n" in shown


def test_wait__approval__how_to_answer(fake: FakeService, podrun: Invoke) -> None:
    fake.add_run("r")
    waiting = {"phase": "Running", "reason": "WaitingForApproval", "message": "sure?"}
    fake.events["r"] = [{"cursor": "1", "time": "T", "type": "TaskPhase", "task": "ask"} | waiting]
    assert podrun("wait", "r").stdout.splitlines()[:2] == [
        "T  ask  Running  WaitingForApproval: sure?",
        "  podrun approve r ask   or   podrun reject r ask",
    ]


def test_list__scheduled_and_suspended__told(fake: FakeService, podrun: Invoke) -> None:
    fake.add_run("a", workflow_version=2)
    assert "SCHEDULED" not in podrun("list").stdout
    assert "hello@2" in podrun("list").stdout
    fake.add_run("b", "Running", scheduled_at="2026-01-02T03:00:00Z", suspended=True, is_finished=False)
    listed = podrun("list").stdout
    assert "SCHEDULED" in listed
    assert "2026-01-02T03:00:00Z" in listed
    assert "suspended" in listed


def test_lint__several_files__each(podrun: Invoke, typed_file: str, tmp_path: Path) -> None:
    broken = tmp_path / "broken.yaml"
    broken.write_text("a: [")
    result = podrun("lint", typed_file, str(broken), "nowhere.json")
    assert result.exit_code == 2
    assert result.stdout == f"{typed_file}: valid\n"
    assert f"{broken}:" in result.stderr
    assert "nowhere.json: No such file" in result.stderr
    answer = json.loads(podrun("lint", typed_file, "nowhere.json", "-o", "json").stdout)
    assert [(item["valid"], bool(item["errors"])) for item in answer["items"]] == [(True, False), (False, True)]
    assert answer["valid"] is False


def test_lint__pods__asked_of_the_service_and_printed(fake: FakeService, podrun: Invoke, typed_file: str) -> None:
    result = podrun("lint", typed_file, "--pods")
    assert json.loads(result.stdout) == [{"metadata": {"name": "a"}}]
    assert fake.asked_for("POST", "/workflows/validate?pods=true")
    assert json.loads(podrun("lint", typed_file, "--pods", "-o", "json").stdout)["pods"]


def test_logs__all_containers__each_behind_its_name(fake: FakeService, podrun: Invoke) -> None:
    fake.add_run("r")
    fake.add_lines("r", "one")
    fake.add_lines("r", "two", container="db")
    assert podrun("logs", "r", "a", "--container", "*").stdout == "[a] one\n[a/db] two\n"
    assert "container=%2A" in fake.asked_for("GET", "/logs")[0][0]
    assert podrun("logs", "r", "a", "--container", "db").stdout == "one\ntwo\n"
