"""One process tree as a container: how `main` is started, signalled and cleared away. Standard library only."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from app.pods.local import folders

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_PIPE_BYTES = 256 * 1024

try:
    _LIBC: ctypes.CDLL | None = ctypes.CDLL(None)
except OSError:  # a static interpreter: no prctl, so processes that leave the group are not cleared away
    _LIBC = None


class StartFailed(Exception):
    """`main` could not be started; the message is in the words of Kubernetes' runtime."""


def _prctl(option: int, value: int) -> None:
    if _LIBC is not None:
        _LIBC.prctl(option, value, 0, 0, 0)


class Container:
    """A started `main`. Its session is its own, its output (both streams, in the order of writing) is one pipe."""

    def __init__(self, pid: int, output_fd: int) -> None:
        self.pid = pid
        self.output_fd = output_fd  #: not blocking; the owner closes it

    @classmethod
    def start(cls, launch: Mapping[str, Any]) -> Container:
        """Start what `launch` says: `argv`, `env` (all of it), `cwd`.

        Raises:
            StartFailed: no such folder or program, or one that may not be run.
        """
        _prctl(_PR_SET_CHILD_SUBREAPER, 1)  # whoever leaves the group comes back to us when its parent ends
        program = find_program(launch["argv"][0], launch["env"].get("PATH", ""), launch["cwd"])
        output, output_end = os.pipe()
        trouble, trouble_end = os.pipe()  # closed by a successful exec, else says why not
        with contextlib.suppress(OSError):  # the user's share of pipe memory is used up: the pipe stays small
            fcntl.fcntl(output, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            _become_main(program, launch, output_end, trouble_end, parent)
        os.close(output_end)
        os.close(trouble_end)
        with os.fdopen(trouble, "rb") as pipe:
            message = pipe.read()
        if message:
            os.waitpid(pid, 0)
            os.close(output)
            raise StartFailed(os.fsdecode(message))
        os.set_blocking(output, False)
        return cls(pid, output)

    def poll(self) -> int | None:
        """Reap what has ended; the exit code of main as Kubernetes counts it (128 + signal), None while it runs."""
        code = None
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return code
            if pid == 0:
                return code
            if pid == self.pid:
                code = os.waitstatus_to_exitcode(status)
                code = code if code >= 0 else 128 - code

    def signal(self, number: int) -> None:
        """Send a signal to main and all that is in its process group."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)

    def clear(self) -> None:
        """Kill whatever of the container is left once main has ended, as the end of process 1 does in a real one."""
        self.signal(signal.SIGKILL)
        for _ in range(100):  # each round the children of those killed become ours
            children = folders.child_processes(os.getpid())
            if not children:
                return
            for child in children:
                with contextlib.suppress(ProcessLookupError, PermissionError, ChildProcessError):
                    os.kill(child, signal.SIGKILL)
                    os.waitpid(child, 0)


def _become_main(program: str, launch: Mapping[str, Any], output_end: int, trouble_end: int, parent: int) -> None:
    """In the child, between fork and exec. Never returns."""
    try:
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # a supervisor that is killed takes main with it
        if os.getppid() != parent:
            os._exit(1)
        os.setsid()
        os.chdir(launch["cwd"])
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGCHLD, signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        os.dup2(output_end, 1)
        os.dup2(output_end, 2)
        os.execve(program, launch["argv"], launch["env"])  # noqa: S606 - running the user's command is what this is for
    except OSError as error:
        message = f'exec: "{launch["argv"][0]}": {_go_words(error)}'
        os.write(trouble_end, os.fsencode(message))
    finally:
        os._exit(1)


def find_program(name: str, path: str, cwd: str) -> str:
    """The file that a command names, looked up as the runtime does.

    Raises:
        StartFailed: in the runtime's words. Source: https://pkg.go.dev/os/exec#LookPath
    """
    if not Path(cwd).is_dir():
        raise StartFailed(f'chdir to cwd ("{cwd}") set in config.json failed: no such file or directory')
    if "/" in name:
        try:
            mode = Path(cwd, name).stat().st_mode
        except OSError as error:
            raise StartFailed(f'exec: "{name}": stat {name}: {_go_words(error)}') from None
        if Path(cwd, name).is_dir():
            raise StartFailed(f'exec: "{name}": is a directory')
        if not mode & 0o111:
            raise StartFailed(f'exec: "{name}": permission denied')
        return name
    for folder in path.split(":"):
        candidate = Path(cwd, folder, name)
        if name and candidate.is_file() and os.access(candidate, os.X_OK):
            return str(candidate)
    raise StartFailed(f'exec: "{name}": executable file not found in $PATH')


def _go_words(error: OSError) -> str:
    return _ERRNO_WORDS.get(error.errno or 0, (error.strerror or str(error)).lower())


_ERRNO_WORDS = {
    errno.ENOENT: "no such file or directory",
    errno.ENOEXEC: "exec format error",
    errno.EACCES: "permission denied",
}
