"""Records of local pods are read by several threads, of which a fresh process has none that was there before."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_FIRST_READS = """
import importlib, json, sys, threading
from pathlib import Path
from app.pods.local import records

path = Path(sys.argv[1])
manifest, uid = {"metadata": {"name": "a", "namespace": "default"}}, "00000000-0000-0000-0000-000000000000"
path.write_text(json.dumps({"uid": uid, "manifest": manifest, "grace_seconds": 3}))
sys.setswitchinterval(1e-6)
for _ in range(40):
    records = importlib.reload(records)
    barrier, found = threading.Barrier(8), []

    def read():
        barrier.wait()
        found.append(records.read(path, records.Spec).grace_seconds)

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [3] * 8
"""


def test_read__first_reads_of_several_threads_at_once__do_not_end_the_process(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _FIRST_READS, tmp_path / "spec.json"]
    ended = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr
