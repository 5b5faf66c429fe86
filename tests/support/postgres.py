"""A PostgreSQL server of the tests' own: made in a temporary folder, on a free port, gone afterwards."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.ports import free_port

#: Where Debian puts the programs, which are not on PATH there.
DEBIAN_FOLDERS = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
START_SECONDS = 30.0
STOP_SECONDS = 20.0


def postgres_programs() -> Path | None:
    """The folder with `initdb` and `postgres` in it, or None."""
    on_path = shutil.which("initdb")
    folders = [*DEBIAN_FOLDERS, *([Path(on_path).resolve().parent] if on_path else [])]
    return next((folder for folder in folders if (folder / "initdb").exists() and (folder / "postgres").exists()), None)


def _unprivileged_user() -> str | None:
    """The user to run as, because PostgreSQL refuses root; None: stay who we are."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


@dataclass(frozen=True, kw_only=True)
class PostgresServer:
    """A server that runs."""

    port: int

    def url(self, database: str) -> str:
        """The URL of one of its databases, for SQLAlchemy."""
        return f"postgresql+asyncpg://postgres@127.0.0.1:{self.port}/{database}"

    @classmethod
    @contextmanager
    def started(cls) -> Iterator[PostgresServer]:
        """Start a server, yield it, stop it and delete what it held."""
        programs = postgres_programs()
        assert programs is not None, "PostgreSQL's programs are not on this machine"
        user = _unprivileged_user()
        # Not under pytest's own folder: that one is closed to the unprivileged user.
        folder = Path(tempfile.mkdtemp(prefix="podrun-postgres-"))
        try:
            if user:
                shutil.chown(folder, user)
            _run_initdb(programs, folder / "data", user)
            port = free_port()
            process = _start(programs, folder, port, user)
            try:
                _wait_until_ready(process, port, folder / "log")
                yield cls(port=port)
            finally:
                _stop(process)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _environment() -> dict[str, str]:
    return {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LC_ALL": "C.UTF-8", "TZ": "UTC"}


def _run_initdb(programs: Path, data: Path, user: str | None) -> None:
    subprocess.run(
        [programs / "initdb", "-D", data, "-U", "postgres", "--auth=trust", "--encoding=UTF8", "--no-sync"],
        check=True, capture_output=True, user=user, group=_group(user), extra_groups=_groups(user),
        cwd=data.parent, env=_environment(), timeout=120,
    )  # fmt: skip


def _group(user: str | None) -> int | None:
    return pwd.getpwnam(user).pw_gid if user else None


def _groups(user: str | None) -> list[int] | None:
    return [] if user else None


def _start(programs: Path, folder: Path, port: int, user: str | None) -> subprocess.Popen[bytes]:
    settings = {
        "listen_addresses": "127.0.0.1", "port": port, "unix_socket_directories": "", "max_connections": 200,
        # What it holds need not outlive the tests.
        "fsync": "off", "full_page_writes": "off", "shared_buffers": "64MB",
    }  # fmt: skip
    command = [str(programs / "postgres"), "-D", str(folder / "data")]
    for name, value in settings.items():
        command += ["-c", f"{name}={value}"]
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder, env=_environment(),
            user=user, group=_group(user), extra_groups=_groups(user), start_new_session=True,
        )  # fmt: skip


def _wait_until_ready(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    """Wait until it takes connections: it opens its port only then, and says so in its log a moment later."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        if b"ready to accept connections" in log.read_bytes():
            with socket.create_connection(("127.0.0.1", port), timeout=5):
                return
        time.sleep(0.02)
    raise RuntimeError(f"PostgreSQL did not start:\n{log.read_text(errors='replace')}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGINT)  # fast shutdown: clients are cut
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGQUIT)
        process.wait(STOP_SECONDS)
