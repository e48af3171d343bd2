"""A longer queue for whoever knocks at the broker.

Mosquitto asks the kernel to keep 100 connections that it has not accepted yet (2.0.x:
``listen(sock, 100)``, no setting). When a region gets its power back, ten thousand boxes
knock in one second; those beyond the hundred are not refused but left hanging, and a
minute later the kernel hangs up on them. ``listen(2)`` on a socket that listens already
only changes the length of its queue, and pidfd_getfd(2) lends a parent its child's socket.
"""

import ctypes
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Final

LENGTH: Final = 65_535
"""What we ask for; the kernel grants at most ``net.core.somaxconn``."""
_SYS_PIDFD_GETFD: Final = 438
"""The same on every architecture (linux/include/uapi/asm-generic/unistd.h)."""


def lengthen(pid: int, length: int = LENGTH) -> list[int]:
    """Let every listening TCP socket of process *pid* keep *length* connections waiting.

    Returns:
        Their ports, sorted; empty when it does not listen yet.

    Raises:
        OSError: There is no such process, or the kernel does not lend us its sockets.
    """
    process = os.pidfd_open(pid)
    try:
        ports = [_lengthen_one(process, number, length) for number in _sockets(pid)]
        return sorted(port for port in ports if port)
    finally:
        os.close(process)


class LongQueue:
    """Sees to it that a process, which may be started again at any time, has a long queue.

    Args:
        say: Is told, once a process, that its queue stays as short as it is.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._done: int | None = None

    def turn(self, pid: int | None) -> None:
        """See to process *pid*, once it listens; None while it does not run."""
        if pid is None or pid == self._done:
            return
        try:
            listens = bool(lengthen(pid))
        except (ProcessLookupError, FileNotFoundError):
            return  # it has ended just now
        except OSError as error:
            self._say(
                f"The broker keeps 100 new connections waiting, no more ({error.strerror}); "
                "after a blackout some boxes have to knock more than once."
            )
            listens = True
        self._done = pid if listens else None


def listens(pid: int, port: int) -> bool:
    """Return whether process *pid* itself listens on TCP *port*, and not another program."""
    try:
        ours = set(_sockets(pid).values())
        tables = [Path(f"/proc/{pid}/net/{name}") for name in ("tcp", "tcp6")]
        lines = [line for one in tables if one.exists() for line in one.read_text().splitlines()]
    except FileNotFoundError:  # it has ended
        return False
    return any(_listening_inode(line.split(), port) in ours for line in lines)


def _listening_inode(fields: list[str], port: int) -> str:
    """Return the inode in a line of ``/proc/net/tcp`` (proc(5)) if it listens on *port*."""
    if fields[3] != "0A" or int(fields[1].rpartition(":")[2], 16) != port:
        return ""
    return fields[9]


def _sockets(pid: int) -> dict[int, str]:
    """Return the inode of each open file of *pid* that is a socket, by its number."""
    found = {}
    for path in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = os.readlink(path)
        except FileNotFoundError:  # closed since
            continue
        if target.startswith("socket:["):
            found[int(path.name)] = target[len("socket:[") : -1]
    return found


def _lengthen_one(process: int, number: int, length: int) -> int:
    """Return the port of file *number* of *process* if it listens for TCP; 0 if it does not."""
    libc = ctypes.CDLL(None, use_errno=True)
    lent = libc.syscall(_SYS_PIDFD_GETFD, process, number, 0)
    if lent < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    with socket.socket(fileno=lent) as sock:
        if sock.family not in {socket.AF_INET, socket.AF_INET6}:
            return 0
        if not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            return 0
        sock.listen(length)
        port: int = sock.getsockname()[1]
        return port
