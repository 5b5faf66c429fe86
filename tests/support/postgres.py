"""A PostgreSQL server of the tests' own: made in a temporary folder, on a free port, gone afterwards.

The tests of a session share one; a test that stops it, or holds it up, has one for itself.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from types import MappingProxyType

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


class Shutdown(Enum):
    """How a server is ended. Source: https://www.postgresql.org/docs/current/server-shutdown.html"""

    FAST = signal.SIGINT  #: clients are cut off
    IMMEDIATE = signal.SIGQUIT  #: as a crash: the next start recovers from its log


class PostgresServer:
    """A server; it runs, unless a test has stopped it."""

    def __init__(
        self, folder: Path, port: int, user: str | None, settings: dict[str, object], environment: Mapping[str, str]
    ) -> None:
        """`folder` has been made ready by initdb; nothing runs yet."""
        self.port = port
        self._folder, self._user, self._settings, self._environment = folder, user, settings, environment
        self._process: subprocess.Popen[bytes] | None = None

    def url(self, database: str, user: str = "postgres") -> str:
        """The URL of one of its databases, for SQLAlchemy."""
        return f"postgresql+asyncpg://{user}@127.0.0.1:{self.port}/{database}"

    @classmethod
    @contextmanager
    def started(cls, *, environment: Mapping[str, str] = MappingProxyType({}), **settings: object) -> Iterator[PostgresServer]:
        """Start a server with these settings of postgresql.conf, yield it, stop it and delete what it held.

        `environment`: further variables of its processes.
        """
        programs = _programs()
        user = _unprivileged_user()
        # Not under pytest's own folder: that one is closed to the unprivileged user.
        folder = Path(tempfile.mkdtemp(prefix="podrun-postgres-"))
        try:
            if user:
                shutil.chown(folder, user)
            _run_initdb(programs, folder / "data", user)
            server = cls(folder, free_port(), user, settings, environment)
            try:
                server.start()
                yield server
            finally:
                server.thaw()
                server.stop()
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def start(self) -> None:
        """Start it, until it takes connections."""
        assert self._process is None, "it runs already"
        environment = {**_environment(), **self._environment}
        self._process = _start(_programs(), self._folder, self.port, self._user, self._settings, environment)
        _wait_until_ready(self._process, self.port, self._folder / "log")

    def stop(self, how: Shutdown = Shutdown.FAST) -> None:
        """Stop it, if it runs. It keeps what it holds, and its port."""
        process, self._process = self._process, None
        if process is not None:
            _stop(process, how)

    def freeze(self) -> None:
        """Stop all its processes where they are: it takes connections and requests, and answers none."""
        assert self._process is not None, "it does not run"
        os.kill(self._process.pid, signal.SIGSTOP)  # first: it makes no more of them
        for pid in _children(self._process.pid):
            os.kill(pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let its processes go on, if it runs."""
        if self._process is not None and self._process.poll() is None:
            for pid in (*_children(self._process.pid), self._process.pid):
                os.kill(pid, signal.SIGCONT)


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _programs() -> Path:
    programs = postgres_programs()
    assert programs is not None, "PostgreSQL's programs are not on this machine"
    return programs


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


def _start(
    programs: Path, folder: Path, port: int, user: str | None, given: dict[str, object], environment: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    settings = {
        "listen_addresses": "127.0.0.1", "port": port, "unix_socket_directories": "", "max_connections": 200,
        # What it holds need not outlive the tests.
        "fsync": "off", "full_page_writes": "off", "shared_buffers": "64MB",
        **given,
    }  # fmt: skip
    command = [str(programs / "postgres"), "-D", str(folder / "data")]
    for name, value in settings.items():
        command += ["-c", f"{name}={value}"]
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder, env=environment,
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


def _stop(process: subprocess.Popen[bytes], how: Shutdown) -> None:
    process.send_signal(how.value)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGQUIT)
        process.wait(STOP_SECONDS)
