"""The command line against the fake service: exit codes, what is printed where, what is never printed."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.podrun.conftest import WORKFLOW, Invoke
from tests.integration.podrun.fake_service import FakeService

EVIL = "a\x1b]0;owned\x07b\x1b[2Jc\x9b31md\re[bold]"
SAFE = "a^[]0;owned^Gbc\\x9b31md^Me[bold]"


@pytest.mark.parametrize("how", ["--wait", "--follow"])
@pytest.mark.parametrize(("phase", "code"), [("Succeeded", 0), ("Failed", 1), ("Error", 1), ("Cancelled", 3)])
def test_submit__waits__exits_with_the_outcome(
    fake: FakeService, podrun: Invoke, workflow_file: str, how: str, phase: str, code: int
) -> None:
    fake.add_run("run-1", phase)
    result = podrun("submit", workflow_file, how)
    assert result.exit_code == code, result.output
    assert f"run run-1 {phase}" in result.output


@pytest.mark.parametrize("command", [("wait", "r"), ("logs", "r", "-f"), ("logs", "r", "a", "-f"), ("events", "r", "-f")])
@pytest.mark.parametrize(("phase", "code"), [("Succeeded", 0), ("Failed", 1), ("Cancelled", 3)])
def test_follow__end__exits_with_the_outcome(
    fake: FakeService, podrun: Invoke, command: tuple[str, ...], phase: str, code: int
) -> None:
    fake.add_run("r", phase)
    assert podrun(*command).exit_code == code


@pytest.mark.parametrize("command", [("submit", "FILE"), ("get", "r"), ("logs", "r"), ("events", "r"), ("list",)])
def test_command__does_not_wait__zero_for_a_failed_run(
    fake: FakeService, podrun: Invoke, workflow_file: str, command: tuple[str, ...]
) -> None:
    fake.add_run("r", "Failed")
    assert podrun(*(workflow_file if part == "FILE" else part for part in command)).exit_code == 0


@pytest.mark.parametrize(("phases", "code"), [("S", 0), ("SCS", 3), ("CFS", 1), ("FC", 1)])
@pytest.mark.parametrize("output", ["text", "json"])
def test_wait__several_runs__the_worst(fake: FakeService, podrun: Invoke, phases: str, code: int, output: str) -> None:
    names = {"S": "Succeeded", "F": "Failed", "C": "Cancelled"}
    for number, letter in enumerate(phases):
        fake.add_run(f"r{number}", names[letter])
    runs = list(fake.runs)
    result = podrun("wait", *runs, "-o", output)
    assert result.exit_code == code
    if output == "json" and len(runs) > 1:
        assert [run["id"] for run in json.loads(result.stdout)["items"]] == runs


@pytest.mark.parametrize("status", [401, 403, 421])
def test_command__server_refuses_us__five(fake: FakeService, podrun: Invoke, workflow_file: str, status: int) -> None:
    fake.troubles = [status]
    assert podrun("submit", workflow_file).exit_code == 5


@pytest.mark.parametrize(
    "command", [("list",), ("wait", "r"), ("submit", "-", "--wait"), ("logs", "r", "-f"), ("submit", "-", "--timeout", "0.4")]
)
def test_command__nothing_listens__five(podrun: Invoke, command: tuple[str, ...]) -> None:
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unheard.getsockname()[1]}"
        result = podrun(*command, "--server", url, stdin=WORKFLOW, PODRUN_PATIENCE_SECONDS="0.5")
    assert result.exit_code == 5
    assert url in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize(
    "command",
    [
        ("get",),
        ("get", "nowhere"),
        ("list", "--server", "podrun"),
        ("list", "-o", "xml"),
        ("nonsense",),
        ("submit", "missing.json"),
        ("logs", "r", "--raw", "-o", "json"),
        ("submit", "-", "--idempotency-key", ""),
    ],
)
def test_command__bad_usage__two(fake: FakeService, podrun: Invoke, command: tuple[str, ...]) -> None:
    fake.add_run("r")
    result = podrun(*command, stdin=WORKFLOW)
    assert result.exit_code == 2
    assert result.stderr


@pytest.mark.parametrize("command", [("submit", "FILE", "--wait"), ("lint", "FILE")])
def test_workflow__refused__two_and_each_fault_with_its_line(
    fake: FakeService, podrun: Invoke, workflow_file: str, command: tuple[str, ...]
) -> None:
    root = "/workflow" if command[0] == "submit" else ""
    faults = [("/tasks/0/image", "not an image"), ("/nonsense", "unknown key"), ("", EVIL)]
    fake.refusal = {"errors": [{"pointer": root + pointer, "detail": detail} for pointer, detail in faults]}
    result = podrun(*(workflow_file if part == "FILE" else part for part in command), "--server", fake.url)
    assert result.exit_code == 2
    lines = result.stderr.splitlines()
    assert f"{workflow_file}:2: /tasks/0/image: not an image" in lines
    assert f"{workflow_file}:1: /nonsense: unknown key" in lines
    assert f"{workflow_file}:1: {SAFE}" in lines
    assert "submitted" not in result.stderr


def test_submit__waits__says_where_the_page_is(fake: FakeService, podrun: Invoke, workflow_file: str) -> None:
    fake.add_run("run-1", links={"page": "/runs/run-1"})
    result = podrun("submit", workflow_file, "--wait")
    assert result.exit_code == 0
    assert f"run run-1 submitted: {fake.url}/runs/run-1" in result.stderr.splitlines()


def test_lint__valid__zero(podrun: Invoke, fake: FakeService, workflow_file: str) -> None:
    result = podrun("lint", workflow_file, "-o", "json")
    assert result.exit_code == 0
    assert json.loads(result.stdout) == {"valid": True, "errors": []}
    assert fake.asked_for("POST", "/workflows/validate")


def test_lint__no_server_named__checked_here(podrun: Invoke, fake: FakeService) -> None:
    result = podrun("lint", "-", stdin="name: Hello\ntasks: [{name: a}]\n", PODRUN_SERVER="")
    assert result.exit_code == 2
    assert "standard input:1: /name: " in result.stderr
    assert fake.asked == []


@pytest.mark.parametrize("command", [("submit", "FILE", "--wait"), ("wait", "r")])
def test_timeout__run_goes_on__four_and_a_hint(
    fake: FakeService, podrun: Invoke, workflow_file: str, command: tuple[str, ...]
) -> None:
    fake.add_run("run-1", polls=1000)
    fake.add_run("r", polls=1000)
    result = podrun(*(workflow_file if part == "FILE" else part for part in command), "--timeout", "0.3", "-o", "json")
    assert result.exit_code == 4
    assert "podrun logs -f" in result.stderr
    assert "podrun cancel" in result.stderr
    assert result.stdout == ""


def test_ctrl_c__waiting__130_and_a_hint(fake: FakeService, workflow_file: str) -> None:
    fake.add_run("run-1", polls=1000)
    # As on a terminal: what a shell starts in the background is started with SIGINT ignored, and hands that on.
    on_a_terminal = ("env", "--default-signal=INT")
    with subprocess.Popen(
        [*on_a_terminal, sys.executable, "-m", "podrun.cli", "submit", workflow_file, "--wait"],
        env={**os.environ, "PODRUN_SERVER": fake.url},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert fake.polled.wait(20)
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=20)
        finally:
            process.kill()
    assert process.returncode == 130
    assert "podrun logs -f run-1" in errors
    assert "podrun cancel run-1" in errors
    assert "Traceback" not in errors


def test_wait__on_a_terminal__a_live_table_without_anything_evil(fake: FakeService) -> None:
    fake.add_run("r", "Failed", polls=2, task_phases={"Failed": 1, "Succeeded": 1}, message=EVIL)
    fake.tasks["r"] = [
        {"name": "a", "phase": "Succeeded", "started_at": "2026-01-02T03:04:05Z", "finished_at": "2026-01-02T03:05:06Z"},
        {"name": EVIL, "phase": "Failed", "reason": "OOMKilled", "message": EVIL, "attempts": [{"attempt": 2}]},
    ]
    shown, code = in_terminal("wait", "r", server=fake.url)
    assert code == 1
    last = [line.rstrip() for line in re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown).splitlines()]
    assert any(line.startswith(f"r  Failed  2.0s  1 Failed, 1 Succeeded  {SAFE}") for line in last)
    assert any(re.match(r"a +Succeeded +1m01s", line) for line in last)
    assert any(re.match(re.escape(SAFE) + r" +Failed +2 +OOMKilled: ", line) for line in last)
    assert not {"\x07", "\x9b"} & set(shown)
    assert "\x1b]" not in shown
    assert "\x1b[2Jc" not in shown


def test_wait__many_tasks_on_a_terminal__only_those_that_matter(fake: FakeService) -> None:
    fake.add_run("r", polls=1, task_phases={"Pending": 998, "Running": 1, "Failed": 1})
    fake.tasks["r"] = [{"name": f"waits-{number}", "phase": "Pending"} for number in range(998)]
    fake.tasks["r"] += [{"name": "runs", "phase": "Running"}, {"name": "broken", "phase": "Failed"}]
    shown, code = in_terminal("wait", "r", server=fake.url)
    assert code == 0
    assert "998 Pending, 1 Running, 1 Failed" in shown
    assert "runs" in shown
    assert "broken" in shown
    assert "waits-" not in shown


def in_terminal(*arguments: str, server: str) -> tuple[str, int]:
    """What a command shows on a terminal of 150 columns, and its exit code."""
    ours, theirs = pty.openpty()
    env = {**os.environ, "PODRUN_SERVER": server, "TERM": "xterm-256color", "COLUMNS": "150", "LINES": "30"}
    process = subprocess.Popen(
        [sys.executable, "-m", "podrun.cli", *arguments], env=env, stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    shown = b""
    # Reading from a terminal whose other end is closed is an error on Linux.
    with contextlib.suppress(OSError):
        while piece := os.read(ours, 65536):
            shown += piece
    os.close(ours)
    return shown.decode(), process.wait(30)


def test_output__reader_gone__ends_quietly(fake: FakeService) -> None:
    fake.add_run("r")
    fake.add_lines("r", *("x" * 1000 for _ in range(500)))
    command = f"{sys.executable} -m podrun.cli logs r a | head -c 10; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", command],
        env={**os.environ, "PODRUN_SERVER": fake.url},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout == "x" * 10 + "141\n"
    assert done.stderr == ""


def test_submit__no_flag__the_id_alone(fake: FakeService, podrun: Invoke, workflow_file: str) -> None:
    assert podrun("submit", workflow_file).stdout == "run-1\n"
    assert podrun("submit", workflow_file).stdout == "run-2\n"
    assert podrun("submit", workflow_file, "--idempotency-key", "k").stdout == "run-3\n"
    assert podrun("submit", workflow_file, "--idempotency-key", "k").stdout == "run-3\n"
    assert fake.bodies[-1] == b'{"workflow": ' + WORKFLOW.encode() + b"}"


def test_submit__yaml_on_standard_input__json_is_sent(fake: FakeService, podrun: Invoke) -> None:
    result = podrun("submit", "-", "-o", "json", stdin="name: no\ntasks:\n- {name: on}\n")
    assert json.loads(result.stdout)["id"] == "run-1"
    assert json.loads(fake.bodies[0]) == {"workflow": {"name": "no", "tasks": [{"name": "on"}]}}


def test_submit_follow__lines_of_tasks__behind_their_name_and_the_rest_on_stderr(
    fake: FakeService, podrun: Invoke, workflow_file: str
) -> None:
    fake.add_run("run-1", "Failed", reason="TaskFailed", message="b failed")
    fake.add_lines("run-1", "one", EVIL, "\x1b[31mred")
    fake.add_lines("run-1", "two", task="b")
    fake.lines["run-1"].insert(3, {"type": "gap", "cursor": "c2", "task": "a", "reason": "rotated"})
    fake.events["run-1"] = [
        {"cursor": "1", "type": "TaskPhase", "task": "b", "phase": "Pending", "reason": "Unschedulable", "message": EVIL}
    ]
    fake.tasks["run-1"] = [{"name": "b", "phase": "Failed", "reason": "StartError", "attempts": [{"exit_code": 128}]}]
    result = podrun("submit", workflow_file, "--follow")
    assert result.stdout == f"[a] one\n[a] {SAFE}\n[a] \x1b[31mred\x1b[0m\n[b] two\n"
    assert "lines of the log of a may be missing here: rotated" in result.stderr
    assert f"b  Pending  Unschedulable: {SAFE}" in result.stderr
    assert "task b Failed: StartError (exit code 128)" in result.stderr
    assert "run run-1 Failed: TaskFailed: b failed (2.0s)" in result.stderr


def test_submit_follow__json__a_line_for_each_and_the_run(fake: FakeService, podrun: Invoke, workflow_file: str) -> None:
    fake.add_run("run-1", "Failed")
    fake.add_lines("run-1", EVIL)
    result = podrun("submit", workflow_file, "--follow", "-o", "json")
    items = [json.loads(line) for line in result.stdout.splitlines()]
    assert [item["type"] for item in items] == ["line", "run"]
    assert items[0]["text"] == EVIL
    assert result.stdout.isascii()
    assert "\x1b" not in result.stdout


def test_wait__not_a_terminal__a_line_for_each_transition_and_the_end_of_failed_logs(fake: FakeService, podrun: Invoke) -> None:
    fake.add_run("r", "Failed")
    fake.events["r"] = [
        {"cursor": "1", "time": "T", "type": "TaskPhase", "task": "a", "attempt": 1, "phase": "Running"},
        {"cursor": "2", "time": "T", "type": "PodEvent", "task": "a", "reason": "Pulled"},
        {"cursor": "3", "time": "T", "type": "RunPhase", "phase": "Failed", "reason": EVIL},
    ]
    fake.tasks["r"] = [{"name": "a", "phase": "Failed", "reason": EVIL, "attempts": [{"attempt": 1, "exit_code": 3}]}]
    fake.add_lines("r", *(f"line {number}" for number in range(15)), EVIL)
    result = podrun("wait", "r")
    assert result.stdout.splitlines()[:3] == [
        "T  a#1  Running",
        f"T  run  Failed  {SAFE}",
        f"task a Failed: {SAFE} (exit code 3)",
    ]
    assert [line.strip() for line in result.stdout.splitlines()[3:-1]] == [
        *(f"| line {number}" for number in range(6, 15)),
        f"| {SAFE}",
    ]


def test_logs__task__text_alone_and_pieces_of_one_line_together(fake: FakeService, podrun: Invoke) -> None:
    fake.add_run("r")
    fake.add_lines("r", "long \x1b[3", partial=True)
    fake.add_lines("r", "1mred\x1b", partial=True)
    fake.add_lines("r", "[0m end\r")
    assert podrun("logs", "r", "a").stdout == "long \x1b[31mred\x1b[0m end\n"
    assert podrun("logs", "r", "a", "--timestamps", "--tail", "1").stdout == "2026-01-02T03:04:05Z [0m end\n"


def test_logs__pieces_of_two_tasks_mixed__each_behind_its_name(fake: FakeService, podrun: Invoke) -> None:
    fake.add_run("r")
    fake.add_lines("r", "a1", partial=True)
    fake.add_lines("r", "b1", task="b")
    fake.add_lines("r", "a2")
    assert podrun("logs", "r").stdout == "[a] a1\n[b] b1\n[a] a2\n"


def test_logs_raw__escape_sequences__the_bytes(fake: FakeService, podrun: Invoke) -> None:
    fake.add_run("r", "Failed")
    fake.add_lines("r", EVIL)
    result = podrun("logs", "r", "a", "--raw")
    assert result.stdout_bytes == EVIL.encode() + b"\n"
    assert podrun("logs", "r", "--raw", "-f").exit_code == 1


def test_get__evil_names__nothing_of_them_reaches_the_terminal(fake: FakeService, podrun: Invoke) -> None:
    fake.add_run("r", "Failed", message=EVIL)
    fake.tasks["r"] = [{"name": EVIL, "phase": "Failed", "message": EVIL, "attempts": [{"attempt": 1, "pod": EVIL}]}]
    for command in (("get", "r"), ("list",)):
        printed = podrun(*command).stdout
        assert SAFE in printed
        assert not set("\x1b\x07\r\x9b") & set(printed)
    document = json.loads(podrun("get", "r", "-o", "json").stdout)
    assert document["tasks"][0]["name"] == EVIL


def test_cancel_and_delete__runs__done(fake: FakeService, podrun: Invoke) -> None:
    fake.add_run("r", polls=5)
    assert podrun("cancel", "r", "--reason", "enough", "--force").stdout == "run r Cancelled\n"
    assert json.loads(fake.bodies[-1]) == {"reason": "enough", "force": True}
    assert podrun("delete", "r").stdout == "run r deleted\n"
    assert podrun("delete", "r").exit_code == 2


@pytest.mark.parametrize("command", ["cancel", "delete"])
def test_cancel_and_delete__one_of_several_is_refused__the_others_are_done(
    fake: FakeService, podrun: Invoke, command: str
) -> None:
    fake.add_run("a")
    fake.add_run("b")
    result = podrun(command, "a", "nope", "b")
    assert result.exit_code == 2
    assert [line.split()[1] for line in result.stdout.splitlines()] == ["a", "b"]
    assert result.stderr.startswith("404 ")


def test_command__impossible_port__two_and_a_sentence(podrun: Invoke) -> None:
    result = podrun("list", "--server", "http://127.0.0.1:99999")
    assert result.exit_code == 2
    assert "the server's address must be like" in result.stderr
    assert "Traceback" not in result.stderr


def test_events__json__a_line_for_each(fake: FakeService, podrun: Invoke) -> None:
    fake.add_run("r")
    fake.events["r"] = [{"cursor": "1", "type": "Note", "message": "hi"}]
    assert json.loads(podrun("events", "r", "-o", "json").stdout) == {"cursor": "1", "type": "Note", "message": "hi"}
    assert podrun("events", "r").stdout == "run  Note  hi\n"
    fake.events["r"].append({"cursor": "2", "type": "Note", "message": "there"})
    assert podrun("events", "r", "--tail", "1").stdout == "run  Note  there\n"


def test_serve__bad_settings__two_and_a_sentence(podrun: Invoke) -> None:
    pytest.importorskip("app.main")
    result = podrun("serve", "--host", "0.0.0.0", "--port", "99999")
    assert result.exit_code == 2
    assert "PODRUN_PORT: " in result.stderr
    result = podrun("serve", "--host", "0.0.0.0")
    assert result.exit_code == 2
    assert "PODRUN_TOKEN" in result.stderr


def test_db_upgrade__new_database__made(podrun: Invoke, tmp_path: Path) -> None:
    file = tmp_path / "podrun.db"
    result = podrun("db", "upgrade", "--database-url", f"sqlite+aiosqlite:///{file}")
    assert result.exit_code == 0, result.output
    assert file.exists()
