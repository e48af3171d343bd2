"""Starts a process for an action, hears what it says, and ends it.

The agent's thread starts and ends it; a thread of its own only reads, and puts what it
reads into the agent's queue. The process leads a group, so that ending it ends whatever
it has started.
"""

import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final

from oleada_agent.said import Said

LINE_BYTES_MAX: Final = 48 * 1024
TOTAL_BYTES_MAX: Final = 1024 * 1024
"""Of everything that a process may say; it bounds itself well below that."""
STACK_BYTES: Final = 256 * 1024
MODULE: Final = "oleada_agent.actions"


class Child:
    """One process of an action.

    Args:
        order: What it is told, as JSON.
        post: Brings what it says to the agent's thread; called from another one.
    """

    def __init__(self, cmd_id: str, order: Mapping[str, Any], post: Callable[[Said], None]) -> None:
        self.cmd_id = cmd_id
        self._post = post
        self.is_gone = False
        self._lock = threading.Lock()
        ours, theirs = os.pipe2(os.O_CLOEXEC)
        told, telling = os.pipe2(os.O_CLOEXEC)
        nowhere = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
        self._pid = os.posix_spawn(
            sys.executable,
            [sys.executable, "-S", "-P", "-m", MODULE],
            {"PYTHONPATH": os.pathsep.join(_homes()), "PATH": os.environ.get("PATH", os.defpath),
             "LANG": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1"},
            file_actions=[
                (os.POSIX_SPAWN_DUP2, told, 0),
                (os.POSIX_SPAWN_DUP2, theirs, 1),
                (os.POSIX_SPAWN_DUP2, nowhere, 2),
            ],
            setpgroup=0,
        )  # fmt: skip
        for one in (told, theirs, nowhere):
            os.close(one)
        with suppress(BrokenPipeError):
            os.write(telling, json.dumps({**order, "parent": os.getpid()}).encode())
        os.close(telling)
        self._reading = ours
        before = threading.stack_size(STACK_BYTES)
        threading.Thread(target=self._read, name=f"action {cmd_id}", daemon=True).start()
        threading.stack_size(before)

    def kill(self) -> None:
        """End the process and whatever it has started."""
        with self._lock, suppress(ProcessLookupError, PermissionError):
            if not self.is_gone:  # its number may be somebody else's by now
                os.killpg(self._pid, signal.SIGKILL)

    def _read(self) -> None:
        is_flood = False
        try:
            with open(self._reading, "rb") as stream:
                total_bytes = 0
                while line := stream.readline(LINE_BYTES_MAX + 1):
                    total_bytes += len(line)
                    if len(line) > LINE_BYTES_MAX or total_bytes > TOTAL_BYTES_MAX:
                        is_flood = True
                        break
                    self._post(Said(self.cmd_id, line))
        finally:
            self.kill()
            os.waitid(os.P_PID, self._pid, os.WEXITED | os.WNOWAIT)
            with self._lock:
                os.waitpid(self._pid, 0)
                self.is_gone = True
            self._post(Said(self.cmd_id, None, is_flood))


def _homes() -> list[str]:
    """Return where this agent and what it needs are found: a zip inside an image, first of all."""
    return [os.path.abspath(one) for one in sys.path if one]
