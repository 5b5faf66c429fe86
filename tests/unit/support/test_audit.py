"""The reader of the audit log, on files made by hand as the API server makes and rotates them."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.support.audit import oldest_entry, read_audit
from tests.support.cluster import creations

START = datetime(2026, 11, 30, 12, tzinfo=UTC)
ROTATED = "audit-2026-11-30T12-00-00.000.log"


def _line(number: int, namespace: str = "ours", *, verb: str = "create", code: int = 201, **about: Any) -> bytes:
    came = START + timedelta(milliseconds=number)
    entry = {
        "kind": "Event",
        "level": "Metadata",
        "verb": verb,
        "userAgent": "podrun/1",
        "objectRef": {"resource": "pods", "namespace": namespace, "name": f"pod-{number}", "apiVersion": "v1"} | about,
        "responseStatus": {"metadata": {}, "code": code},
        "requestReceivedTimestamp": came.isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "stageTimestamp": (came + timedelta(milliseconds=7)).isoformat(timespec="microseconds").replace("+00:00", "Z"),
    }
    return json.dumps(entry, separators=(",", ":")).encode() + b"\n"


def _names(folder: Path, namespace: str = "ours") -> list[str]:
    return [entry.name for entry in read_audit(folder, [namespace])]


def test_read_audit__rotated__entries_of_both_files_in_their_order(tmp_path: Path) -> None:
    (tmp_path / "audit.log").write_bytes(_line(3) + _line(4))
    (tmp_path / ROTATED).write_bytes(_line(1) + _line(2))
    assert _names(tmp_path) == ["pod-1", "pod-2", "pod-3", "pod-4"]
    assert oldest_entry(tmp_path) == START + timedelta(milliseconds=1)


def test_read_audit__one_file__what_an_entry_says(tmp_path: Path) -> None:
    (tmp_path / "audit.log").write_bytes(_line(5, verb="delete", code=200, subresource="eviction"))
    (entry,) = read_audit(tmp_path, ["ours"])
    assert (entry.user_agent, entry.verb, entry.name, entry.subresource, entry.code) == (
        "podrun/1", "delete", "pod-5", "eviction", 200,
    )  # fmt: skip
    assert entry.answered - entry.time == timedelta(milliseconds=7)


def test_read_audit__other_namespaces_and_reads__are_left_out(tmp_path: Path) -> None:
    foreign = _line(2, "theirs") + _line(3, "ours-too") + _line(4, "theirs", name='"namespace":"ours"')
    (tmp_path / "audit.log").write_bytes(_line(1, verb="list") + foreign + _line(5) + _line(6, "third"))
    assert _names(tmp_path) == ["pod-5"]
    assert [entry.name for entry in read_audit(tmp_path, ["third", "ours"])] == ["pod-5", "pod-6"]


def test_read_audit__larger_than_what_is_read_at_once__no_line_is_cut(tmp_path: Path) -> None:
    foreign = _line(0, "theirs", name="x" * 100_003)
    (tmp_path / "audit.log").write_bytes(b"".join(foreign + _line(number) for number in range(200)))
    assert _names(tmp_path) == [f"pod-{number}" for number in range(200)]


def test_read_audit__the_last_line_is_being_written__it_is_waited_for(tmp_path: Path) -> None:
    path, line = tmp_path / "audit.log", _line(2)
    path.write_bytes(_line(1) + line[:50])

    def finish() -> None:
        time.sleep(0.1)
        with path.open("ab") as file:
            file.write(line[50:])

    writer = threading.Thread(target=finish)
    writer.start()
    assert _names(tmp_path) == ["pod-1", "pod-2"]
    writer.join()


class _Rotating(type(Path())):  # type: ignore[misc]
    """A folder whose log is rotated just after the rotated files were looked for, once."""

    def glob(self, pattern: str) -> Any:
        found = list(Path(self).glob(pattern))
        rotated = Path(self) / ROTATED
        if not rotated.exists():
            (Path(self) / "audit.log").rename(rotated)
            (Path(self) / "audit.log").write_bytes(_line(2))
        return iter(found)


def test_read_audit__rotated_between_look_and_open__all_that_was_written_before_is_there(tmp_path: Path) -> None:
    (tmp_path / "audit.log").write_bytes(_line(1))
    assert _names(_Rotating(tmp_path)) == ["pod-1", "pod-2"]


def test_read_audit__rotated_again_and_again__nothing_is_lost_or_there_twice(tmp_path: Path) -> None:
    live, written = tmp_path / "audit.log", 0
    live.touch()
    stop = threading.Event()

    def write() -> None:
        nonlocal written
        while not stop.is_set():
            with live.open("ab", buffering=0) as file:
                file.write(_line(written))
            written += 1
            if written % 20 == 0:
                live.rename(tmp_path / f"audit-2026-11-30T12-{written:06d}.log")
                live.touch()
            time.sleep(0.001)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(50):
            before = written
            names = _names(tmp_path)
            assert names == [f"pod-{number}" for number in range(len(names))]
            assert len(names) >= before
    finally:
        stop.set()
        writer.join()


def test_creations__rotated_in_the_middle_of_a_test__both_files_count(tmp_path: Path) -> None:
    (tmp_path / ROTATED).write_bytes(_line(1) + _line(2))
    refused = _line(3, code=409) + _line(4, subresource="eviction") + _line(5, resource="configmaps")
    (tmp_path / "audit.log").write_bytes(_line(6) + _line(2) + refused)
    assert creations(tmp_path / "kubeconfig", "ours") == Counter({"pod-2": 2, "pod-1": 1, "pod-6": 1})


def test_creations__of_a_client_that_was_killed__are_known_by_their_bindings(tmp_path: Path) -> None:
    cut = _line(1, code=504) + _line(2, code=504) + _line(3, code=504)
    bound = b"".join(_line(number, subresource="binding") for number in (1, 3, 4))
    (tmp_path / "audit.log").write_bytes(cut + bound + _line(3) + _line(4) + _line(3, subresource="binding"))
    assert creations(tmp_path / "kubeconfig", "ours") == Counter({"pod-1": 1, "pod-3": 2, "pod-4": 1})
