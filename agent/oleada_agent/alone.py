"""One agent at a time on a box: two would write one journal and one slot."""

import fcntl
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final

from oleada_agent.errors import AgentError

LOCK: Final = "run/agent.lock"


@contextmanager
def alone(box: Path) -> Iterator[None]:
    """Hold the box in directory *box*; a disk that takes no lock keeps no agent from it.

    Raises:
        AgentError: another agent runs on it.
    """
    with ExitStack() as stack:
        lock = None
        with suppress(OSError):
            (box / LOCK).parent.mkdir(exist_ok=True)
            lock = stack.enter_context((box / LOCK).open("w"))
        if lock is not None:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise AgentError(
                    f"An agent runs on {box} already; stop that one first, or ask it by "
                    "'oleada-agent status'."
                ) from error
        yield
