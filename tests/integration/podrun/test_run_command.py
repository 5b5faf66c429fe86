"""`podrun run` with the real service and local pods: the whole way, in a process of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

HELLO = """
name: hello
tasks:
- name: passing
  image: python:3
  command: [sh, -c, "echo hello; printf '\\\\033[2Jend'"]
- name: failing
  image: debian:12
  command: [no-such-program]
"""
ENDLESS = "name: endless\ntasks:\n- {name: a, image: x, command: [sh, -c, 'echo started; exec sleep 1000']}\n"


@contextlib.contextmanager
def started(tmp_path: Path, workflow: str, *flags: str) -> Iterator[subprocess.Popen[str]]:
    (tmp_path / "file.yaml").write_text(workflow)
    env = {name: value for name, value in os.environ.items() if name != "KUBECONFIG" and not name.startswith("PODRUN_")}
    with subprocess.Popen(
        [sys.executable, "-m", "podrun.cli", "run", str(tmp_path / "file.yaml"), "--pods", "local", *flags],
        env=env | {"TMPDIR": str(tmp_path), "PYTHONPATH": str(Path(__file__).parents[3])},
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def test_run__a_task_fails__its_log_its_reason_and_one(tmp_path: Path) -> None:
    with started(tmp_path, HELLO) as process:
        printed, errors = process.communicate(timeout=60)
    assert process.returncode == 1, errors
    assert printed == "[passing] hello\n[passing] end\n"
    assert "task failing Failed: StartError: " in errors
    assert not list(tmp_path.glob("podrun-*"))


def test_run__ctrl_c__cancels_and_130(tmp_path: Path) -> None:
    with started(tmp_path, ENDLESS) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "[a] started\n"
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "Cancelled" in errors
    assert "Traceback" not in errors
    assert not list(tmp_path.glob("podrun-*"))


def test_run__refused_workflow__two_and_the_fault_and_what_is_kept(tmp_path: Path) -> None:
    with started(tmp_path, "name: X\ntasks:\n- {name: a}\n", "--keep") as process:
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 2, errors
    assert "file.yaml:1: /name: " in errors
    (database,) = tmp_path.glob("podrun-*/podrun.db")
    assert f"kept: {database.parent}" in errors
    assert "Traceback" not in errors
