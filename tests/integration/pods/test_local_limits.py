"""What the machine runs short of: open files, disk."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

OPEN_FILES = """
import asyncio, resource, sys
from pathlib import Path
from app.limits import raise_open_files_limit
from app.pods.local.backend import LocalBackend
from tests.contract.bench import enter
async def serve():
    async with enter(lambda i: LocalBackend(Path(sys.argv[1]), i), "instance-1", "default", "x") as bench:
        pod = await bench.run("ulimit -Sn; ulimit -Hn")
        await bench.seen.wait_for_end(pod.uid)
        print(*[line.split()[1].decode() for line in (await bench.read(pod.ref)).splitlines()])
raise_open_files_limit()
print(*resource.getrlimit(resource.RLIMIT_NOFILE))
asyncio.run(serve())
"""

#: A pod's disk is full while its main ends, and has room again a second later.
FULL_DISK = """
import asyncio, subprocess, sys
from pathlib import Path
from app.pods.local.backend import LocalBackend
from tests.contract.bench import enter, split_log
root, script = Path(sys.argv[1]), sys.argv[2]
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", str(root)], check=True)
def fill():
    with open(root / "ballast", "wb", buffering=0) as file:
        try:
            while file.write(b"x" * 4096):
                pass
        except OSError:
            pass
async def serve():
    async with enter(lambda i: LocalBackend(root, i), "instance-1", "default", "x") as bench:
        pod = await bench.run("echo ready; while [ ! -e ../go ]; do sleep 0.02; done; " + script)
        await bench.follow_until(pod.ref, b"ready\\n")
        folder = root / "pods" / "default" / pod.name
        (folder / "no-go").touch()
        fill()
        (folder / "no-go").rename(folder / "go")
        await asyncio.sleep(1)
        during = bench.backend.find_pod("default", pod.name)
        assert during.phase == "Running", during
        (root / "ballast").unlink()
        end = await bench.seen.wait_for_end(pod.uid)
        text = split_log(await bench.read(pod.ref))[1]
        print(end.reason, end.exit_code, len(text), sorted(path.name for path in folder.iterdir()))
asyncio.run(serve())
"""


def run(script: str, *arguments: str, before: tuple[str, ...] = ()) -> list[str]:
    command = [*before, sys.executable, "-c", script, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_open_files__low_soft_limit__raised_for_the_service_and_not_for_main(tmp_path):
    own, mains = run(
        OPEN_FILES, str(tmp_path / "pods"), before=("sh", "-c", 'ulimit -Sn 300 && ulimit -Hn 900 && exec "$@"', "sh")
    )
    assert own == "900 900"
    assert mains == "300 900"


@pytest.fixture
def unshare() -> tuple[str, ...]:
    """Runs a command where it may mount."""
    command = ("unshare", "--user", "--map-root-user", "--mount")
    try:
        subprocess.run([*command, "mount", "-t", "tmpfs", "none", "/mnt"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"this machine gives no mount namespace to fill a disk in: {error}")
    return command


@pytest.mark.parametrize(
    ("script", "size"),
    [("exit 5", 6), ("head -c 1000000 /dev/zero; printf tail; exit 5", 1_000_010)],
    ids=["outcome", "log and outcome"],
)
def test_disk__full_for_a_while__outcome_and_log_are_written_in_the_end(tmp_path: Path, unshare, script, size):
    (outcome,) = run(FULL_DISK, str(tmp_path), script, before=unshare)
    files = ["go", "log", "outputs", "spec.json", "status.json", "supervisor.json", "tmp", "work"]
    assert outcome == f"Error 5 {size} {files}"
