"""A process of ours as a copy of this one, which has imported everything already.

Console, device door, worker and scheduler import the same modules: once a process that is
1.5 s of processor and 70 MB each. ``oleada up`` imports them once and forks; what none of
them writes to stays shared (docs/adr/0028-the-supervisor-forks-its-processes.md).

A copy begins like a program of its own: its environment, its signals, a log in place of
the terminal, and no open file of ours, above all not the lock that says who is up. Only a
process without threads may be copied (fork(2)).
"""

import ctypes
import fcntl
import gc
import os
import runpy
import select
import signal
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from subprocess import TimeoutExpired
from typing import Final, NoReturn

PRELOADED: Final = (
    "gunicorn.app.wsgiapp",
    "oleada_server.patient_worker",
    "oleada_server.scheduler",
    "oleada_server.web.wiring",
    "oleada_server.worker",
)
"""What the processes of a server import, beside what ``oleada up`` needs itself."""
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
_MODULE: Final = 2
"""Where in a ``python -m …`` its module stands."""
_STANDARD_FILES: Final = 3
_ARG_START, _ARG_END = 48, 49
"""Fields of ``/proc/self/stat``, counted from 1: where the command line lies (proc(5))."""


def preload() -> None:
    """Import what copies need, and leave what is imported to no collector of garbage.

    A collector writes into each object that it looks at, and so parts what was shared.
    """
    for name in PRELOADED:
        import_module(name)
    gc.collect()
    gc.freeze()


class Copy:
    """A copy of this process that does what *command* would; see subprocess.Popen.

    Args:
        command: Python, ``-m``, a module and its arguments.
        environ: The copy's whole environment.
        log: A file that is open for writing: its standard output and error.
        name: What ``ps`` shows, after ``oleada``.
        prepare: Called first in the copy, which is in a session of its own.
    """

    def __init__(
        self,
        command: Sequence[str],
        environ: Mapping[str, str],
        log: int,
        name: str,
        prepare: Callable[[], None],
    ) -> None:
        _flush()
        if signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN:
            # Inherited from whoever started us: nobody could be told how a copy has ended.
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        gc.collect()  # garbage with an open file would close that of a copy, of the same number
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        try:
            self.pid = os.fork()
            if not self.pid:
                _live(command, environ, log, name, prepare)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Return how it ended, a signal as its negative number; None while it runs."""
        if self.returncode is None:
            found, status = os.waitpid(self.pid, os.WNOHANG)
            if found:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Return how it ended, once it has.

        Raises:
            subprocess.TimeoutExpired: It has not after *timeout* seconds.
        """
        if (code := self.poll()) is not None:
            return code
        ended = os.pidfd_open(self.pid)
        try:
            if not select.select([ended], [], [], timeout)[0]:
                raise TimeoutExpired(str(self.pid), timeout or 0.0)
        finally:
            os.close(ended)
        code = self.poll()
        assert code is not None, "the kernel has said that it ended"  # noqa: S101
        return code

    def terminate(self) -> None:
        """Ask it to end."""
        if self.poll() is None:
            os.kill(self.pid, signal.SIGTERM)


def _live(
    command: Sequence[str],
    environ: Mapping[str, str],
    log: int,
    name: str,
    prepare: Callable[[], None],
) -> NoReturn:
    """Be the copy, to its end: never return into the life of the process before."""
    code = 1
    try:
        os.setsid()
        prepare()
        _take_files(log)
        os.environ.clear()
        os.environ.update(environ)
        _call_yourself("oleada", name)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        sys.argv = list(command[_MODULE:])
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as error:
        code = _code(error)
    except BaseException:  # of the copy alone: the supervisor reads it in the log
        traceback.print_exc()
    finally:
        _flush()
        os._exit(code)


def _take_files(log: int) -> None:
    """Read nothing and write to *log*, of our own files have none open.

    The process before may have been started without standard files: then *log* may lie
    where one of them belongs, and Python has nothing to print to.
    """
    log = fcntl.fcntl(log, fcntl.F_DUPFD, _STANDARD_FILES)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for target, source in enumerate((nothing, log, log)):
        os.dup2(source, target)
    os.closerange(_STANDARD_FILES, os.sysconf("SC_OPEN_MAX"))
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", buffering=1, closefd=False)


def _call_yourself(*title: str) -> None:
    """Let ``ps`` show *title*, as far as it fits where our own command line lies."""
    with suppress(OSError, ValueError):
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        start, end = (int(fields[number - 3]) for number in (_ARG_START, _ARG_END))
        text = b"\0".join(os.fsencode(word) for word in title)
        ctypes.memmove(start, text[: end - start - 1].ljust(end - start, b"\0"), end - start)


def _code(error: SystemExit) -> int:
    """Return what Python would end with."""
    if error.code is None or isinstance(error.code, int):
        return error.code or 0
    sys.stderr.write(f"{error.code}\n")
    return 1


def _flush() -> None:
    for file in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):  # a full disk, or no file at all
            file.flush()
