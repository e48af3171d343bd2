"""One supervised child process: started, watched, restarted with patience, stopped.

A child is in a session of its own, so that Ctrl-C reaches the supervisor alone, and the
kernel ends it when the supervisor dies, however that dies (prctl(2), PR_SET_PDEATHSIG).
"""

import ctypes
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Final

from oleada_server import clock
from oleada_server.alive import NOTIFY_SOCKET, Ear
from oleada_server.copies import Copy

BACKOFF_S: Final = (0.5, 1.0, 2.0, 5.0, 10.0)
HEALTHY_S: Final = 30.0
STOP_S: Final = 10.0
LOG_BYTES_MAX: Final = 10 * 1024 * 1024
TAIL_BYTES: Final = 2000
_PR_SET_PDEATHSIG: Final = 1


class Child:
    """A process that should run for as long as we do.

    Args:
        name: For people and for the log file.
        command: Program and arguments.
        environ: Its whole environment.
        log_path: Where its output goes, after what is there.
        ear: Hears its signs of life; a process that gives none any more is killed and
            started again. None for one that gives none.
        is_copy: Whether *command*, a ``python -m …``, is run in a copy of this process.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        environ: dict[str, str],
        log_path: Path,
        ear: Ear | None = None,
        *,
        is_copy: bool = False,
    ) -> None:
        self.name = name
        self._is_copy = is_copy
        self._command = list(command)
        self._environ = {k: v for k, v in environ.items() if k != NOTIFY_SOCKET}
        self._ear = ear
        if ear:
            self._environ[NOTIFY_SOCKET] = ear.address
        self._log_path = log_path
        self._process: subprocess.Popen[bytes] | Copy | None = None
        self._started_s = 0.0
        self._failures = 0
        self._restart_s = 0.0
        self._said_from = 0

    @property
    def pid(self) -> int | None:
        """The process id; None when it does not run."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def start(self) -> None:
        """Start it."""
        with _open_log(self._log_path) as log:
            self._said_from = log.tell()
            self._process = self._copied(log) if self._is_copy else self._launched(log)
        self._started_s = clock.monotonic_s()
        if self._ear:
            self._ear.begin()

    def watch(self, now_s: float) -> str | None:
        """Restart it when it has ended and its time has come; return a sentence if it ended.

        One that hangs is killed; that it ended is said by the next look.
        """
        if self._process is None:
            if now_s >= self._restart_s:
                self.start()
            return None
        _keep_small(self._log_path)
        code = self._process.poll()
        if code is None:
            if self._ear is None or not self._ear.hangs(now_s):
                return None
            return _bite(self.name, self._process)
        self._failures = 0 if now_s - self._started_s > HEALTHY_S else self._failures + 1
        wait_s = BACKOFF_S[min(self._failures, len(BACKOFF_S) - 1)]
        self._restart_s = now_s + wait_s
        self._process = None
        return f"{self.name} ended ({_how(code)}); it starts again in {wait_s} s."

    def ended(self) -> int | None:
        """Return the exit code if it has ended, None while it runs."""
        return None if self._process is None else self._process.poll()

    def reload(self) -> None:
        """Tell it to read its settings again, if it runs."""
        if self.pid is not None:
            os.kill(self.pid, signal.SIGHUP)

    def stop(self) -> None:
        """Ask it to end; after ten seconds end it, and whatever it has started, by force."""
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_S)
        with suppress(ProcessLookupError):  # normally nothing of its session is left
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._process = None

    def log_tail(self) -> str:
        """Return the last lines of its output."""
        return self._log_from(0)

    def said(self) -> str:
        """Return the last lines of its output since it was started."""
        return self._log_from(self._said_from)

    def _launched(self, log: IO[bytes]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            self._command,
            env=self._environ,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=_die_with(os.getpid()),  # noqa: PLW1509 - there are no threads here
        )

    def _copied(self, log: IO[bytes]) -> Copy:
        return Copy(self._command, self._environ, log.fileno(), self.name, _die_with(os.getpid()))

    def _log_from(self, start: int) -> str:
        with self._log_path.open("rb") as log:
            log.seek(max(start, self._log_path.stat().st_size - TAIL_BYTES))
            return log.read().decode(errors="replace")


def _bite(name: str, process: subprocess.Popen[bytes] | Copy) -> str:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return f"{name} runs but shows no sign of life any more; it is ended by force."


def _open_log(path: Path) -> IO[bytes]:
    path.parent.mkdir(parents=True, exist_ok=True)
    _keep_small(path)
    return path.open("ab")


def _keep_small(path: Path) -> None:
    """Copy a log that has grown aside and begin it anew; who writes at its end goes on there.

    Renamed, it would grow under its new name until its process ends, which may be months.
    """
    with suppress(OSError):  # a full disk, or a log that a person has removed
        if path.stat().st_size > LOG_BYTES_MAX:
            shutil.copyfile(path, path.with_suffix(".log.1"))
            os.truncate(path, 0)


def _die_with(parent: int) -> Callable[[], None]:
    """Return what a child does before it becomes its program."""
    libc = ctypes.CDLL(None, use_errno=True)

    def prepare() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            os._exit(1)  # the supervisor died in between: nobody would ever tell us

    return prepare


def _how(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
