"""Asks every sense, in a thread of its own, so that one which hangs holds nobody up.

A sense that fails is named in ``X_OLEADA_SensesFailed`` and its readings are absent; one
that hangs makes the next health message say so (``X_OLEADA_SensesHung``), without the
readings that are not there. While it hangs no other thread is started.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from oleada_agent import boots, telemetry
from oleada_agent.booted import BootFacts
from oleada_agent.senses import air, machine, network, player

FAILED: Final = "X_OLEADA_SensesFailed"
HUNG: Final = "X_OLEADA_SensesHung"
PATIENCE_MS: Final = 5_000
READINGS_MAX: Final = 400
Parameters = dict[str, bool | int | str]


@dataclass(frozen=True, slots=True)
class Gathered:
    """Everything that the senses could say."""

    parameters: Parameters


class Senses:
    """Asks all senses of one box.

    Args:
        post: Brings what they say to the agent's thread; called from another one.
        known: What is remembered of this box's starts.
        root: Of the file system with ``proc`` and ``sys``.

    Attributes:
        watched: What no log may say.
    """

    def __init__(
        self,
        box: Path,
        facts: BootFacts,
        post: Callable[[Gathered], None],
        root: Path = Path("/"),
        known: boots.Boots | None = None,
    ) -> None:
        self._post = post
        self.watched = player.Watched()
        processor, memory, again = machine.Processor(), machine.Memory(), network.Air()
        self._senses: dict[str, Callable[[], Parameters]] = {
            "box": lambda: telemetry.read(box, root),
            "boots": lambda: boots.parameters(known or boots.Boots(), facts),
            "memory": lambda: memory.read(root),
            "processor": lambda: processor.read(root),
            "cable": lambda: network.cable(root),
            "radio": lambda: network.radio(root),
            "air": lambda: air.link(root),
            "retries": lambda: again.read(root),
            "storage": lambda: network.storage(root),
            "player": lambda: player.status(box, self.watched),
        }
        self._thread: threading.Thread | None = None

    def begin(self) -> bool:
        """Ask them all; return False while one of them still hangs."""
        if self._thread is not None and self._thread.is_alive():
            return False
        self._thread = threading.Thread(target=self._gather, name="senses", daemon=True)
        self._thread.start()
        return True

    def ask(self) -> Parameters:
        """Return what all of them say; never raises."""
        found: Parameters = {}
        failed = []
        for name, sense in self._senses.items():
            try:
                found |= sense()
            except FileNotFoundError:
                continue  # this model has no such thing
            except Exception:  # a sense may do what it likes, and the box tells of the others
                failed.append(name)
        if failed:
            found[FAILED] = ", ".join(failed)
        return dict(list(found.items())[:READINGS_MAX])

    def _gather(self) -> None:
        self._post(Gathered(self.ask()))
