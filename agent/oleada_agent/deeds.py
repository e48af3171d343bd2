"""The agent's way to its actions, which are loaded only while one waits or runs."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from oleada_wire.messages import Cmd

from oleada_agent import clock, memory
from oleada_agent.config import Config
from oleada_agent.errors import AgentError
from oleada_agent.outbox import DiskOutbox
from oleada_agent.ports import Disk
from oleada_agent.said import Said
from oleada_agent.timers import Timers

if TYPE_CHECKING:
    from oleada_agent.acting import Actions

TIMER: Final = "action"
DEED_TIMER: Final = "deed"
DEED_MS: Final = 2_000
"""A restart that was asked for waits so long, for its result to be sent."""
FOLDER: Final = "data/acting"
UNLOADED: Final = (
    "oleada_agent.acting", "oleada_agent.offspring", "oleada_agent.turns",
    "oleada_wire.action_table", "oleada_wire.actions_acting", "oleada_wire.actions_measuring",
    "oleada_wire.actions_reading",
)  # fmt: skip


class Deeds:
    """Hands commands to actions, and does what an action asks for in the end.

    Args:
        post: Brings what a process says to the agent's thread.
        may_restart: Whether nothing goes on that a restart would disturb.
        private: Returns what was watched lately, which no result may say.
        renew: Takes up changed settings; returns whether that needs a start of the agent.
        reboot: Ends the agent with the code for a restart of the box.
    """

    def __init__(
        self,
        box: Path,
        disk: Disk,
        outbox: DiskOutbox,
        config: Config,
        timers: Timers,
        *,
        post: Callable[[Said], None],
        now_ms: Callable[[], int],
        may_restart: Callable[[], bool],
        private: Callable[[], list[str]],
        renew: Callable[[], bool],
        reboot: Callable[[], None],
    ) -> None:
        self._box = box
        self._disk = disk
        self._outbox = outbox
        self._denied = frozenset(config.denied_actions)
        self._post = post
        self._now_ms = now_ms
        self._timers = timers
        self._may_restart = may_restart
        self._private = private
        self._renew = renew
        self._reboot = reboot
        self._actions: Actions | None = None
        self._deed = ""

    @property
    def is_rebooting(self) -> bool:
        """Whether an action has asked for a restart of the box."""
        return self._deed == "reboot"

    def act(self, command: Cmd) -> bool:
        """Take *command* up; return False if it is not one of the table."""
        is_known = self._loaded().begin(command)
        self._after()
        return is_known

    def take(self, said: Said) -> None:
        """Take up what a process has said."""
        if self._actions is not None:
            self._actions.take(said)
            self._after()

    def look(self) -> None:
        """End what has taken too long; called when its timer is due."""
        if self._actions is not None:
            self._actions.look()
            self._after()

    def begin(self) -> None:
        """Tell of what a start of the agent has ended."""
        if os.path.isdir(self._box / FOLDER) and os.listdir(self._box / FOLDER):
            self._loaded().tell_interrupted()
            self._after()

    def stop(self) -> None:
        """End everything; the agent ends."""
        if self._actions is not None:
            self._actions.stop()

    def do_deed(self) -> None:
        """Restart the box, or the agent alone, as an action has asked for.

        Raises:
            AgentError: the agent is to begin anew.
        """
        if self._deed == "reboot":
            self._reboot()
        elif self._deed and self._may_restart():
            raise AgentError("A setting was changed; the agent begins anew.")
        else:
            self._deed = ""  # it counts from the next start on, and what comes after it at once

    def _loaded(self) -> "Actions":
        if self._actions is None:
            from oleada_agent import acting  # noqa: PLC0415 - it costs memory

            self._actions = acting.Actions(
                acting.Around(
                    self._box,
                    self._disk,
                    self._outbox,
                    self._denied,
                    post=self._post,
                    now_ms=self._now_ms,
                    steady_ms=clock.steady_ms,
                    may_restart=self._may_restart,
                    deed=self._take_deed,
                    private=self._private,
                )
            )
        return self._actions

    def _take_deed(self, deed: str) -> None:
        if deed == "anew" and (not self._renew() or self._deed):
            return  # there is no need of a start, or one is on its way
        self._deed = deed
        self._timers.set(DEED_TIMER, DEED_MS)

    def _after(self) -> None:
        assert self._actions is not None  # noqa: S101 - the callers have it
        self._timers.set(TIMER, self._actions.next_due_ms())
        if self._actions.is_idle:
            self._actions = None
            for name in UNLOADED:
                sys.modules.pop(name, None)
            memory.give_back()
