"""The service's side of the launcher: started on first use, started again when it is gone."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import app
from app.limits import OPEN_FILES_AT_START

_CODE = "import sys; sys.path.append(sys.argv[2]); from app.pods.local.launcher import main; main()"
_END_SECONDS = 5
_LOADER_VARIABLES = ("LD_LIBRARY_PATH",)  #: an interpreter with a shared library of its own may need it to start


class Launcher:
    """Owns the launcher process. Blocks for moments: call it in threads, from as many as you like."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def launch(self, folder: Path) -> None:
        """Have a supervisor forked for the pod in that folder. Raises OSError where no launcher can be started."""
        line = os.fsencode(folder) + b"\n"
        with self._lock:
            try:
                os.write(self._stdin(), line)  # shorter than PIPE_BUF: as a whole or not at all
            except BrokenPipeError:
                self._forget()
                os.write(self._stdin(), line)

    def _stdin(self) -> int:
        if self._process is None or self._process.poll() is not None:
            self._forget()
            # Isolated and without site-packages: it starts in a third of the time, and takes nothing from the environment.
            code = [sys.executable, "-I", "-S", "-c", _CODE]
            arguments = [*code, str(self._root), str(Path(app.__file__).parent.parent), str(OPEN_FILES_AT_START)]
            self._process = subprocess.Popen(  # noqa: S603 - our own launcher, by its path
                arguments,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                bufsize=0,
                cwd="/",
                env={name: os.environ[name] for name in _LOADER_VARIABLES if name in os.environ},
                start_new_session=True,  # Ctrl-C in the service's terminal is not meant for pods
            )
        assert self._process.stdin is not None  # noqa: S101 - for the type checker: it is a pipe
        return self._process.stdin.fileno()

    def _forget(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()
        try:
            process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def close(self) -> None:
        """End the launcher; supervisors go on."""
        with self._lock:
            self._forget()
