"""The hands of chaos: kills with SIGKILL, and starts again what only the lab can start.

``oleada up`` starts the processes of the server again and the boot program the agent, as
they do everywhere; the lab is the supervisor of PostgreSQL and the one who plugs a box in.
"""

import os
import signal
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import psutil

from oleada_lab.boxes import Box
from oleada_lab.chaos.schedule import Kill, Victim
from oleada_lab.operator import Operator
from oleada_lab.postgres import Cluster

WORDS: Final = {
    Victim.WEB: "web",
    Victim.DOOR: "door",
    Victim.WORKER: "worker",
    Victim.SCHEDULER: "scheduler",
}
"""A word of the command line of each of our own processes; the broker has a program of its own."""
MASTER_ALONE, MASTER_AND_CHILDREN = 1 / 3, 2 / 3
"""Below the first draw gunicorn's master dies alone, below the second with its children,
above it one child does."""


@dataclass(slots=True)
class Lab:
    """Everything that can be killed.

    Attributes:
        cluster: None when the server uses SQLite.
    """

    operator: Operator
    boxes: Sequence[Box]
    cluster: Cluster | None = None

    def kill(self, kill: Kill, box: Box | None) -> bool:
        """Kill the victim of *kill*, on *box* if it has one; return whether it was there."""
        match kill.victim:
            case Victim.POSTGRESQL:
                return self._kill_postgresql()
            case Victim.BOX:
                return box is not None and _cut(box)
            case Victim.AGENT:
                return box is not None and _kill_agent(box)
            case Victim.BROKER:
                return self._kill_broker(forgets=kill.forgets)
            case Victim.WEB | Victim.DOOR:
                return self._kill_gunicorn(kill)
            case _:
                process = self.process_of(kill.victim)
                return process is not None and _killed(process)

    def revive(self) -> None:
        """Start again whatever the lab is the supervisor of.

        Raises:
            LabError: PostgreSQL does not start.
        """
        if self.cluster is not None and not self.cluster.is_running:
            self.cluster.start()
        for box in self.boxes:
            box.power_on()

    def process_of(self, victim: Victim) -> psutil.Process | None:
        """Return the process of the server that *victim* names; None while it is down."""
        for process in psutil.Process(self.operator.server.pid).children():
            with suppress(psutil.Error):
                words = process.cmdline()
                is_broker = bool(words) and os.path.basename(words[0]) == "mosquitto"
                if is_broker if victim is Victim.BROKER else WORDS[victim] in words:
                    return process
        return None

    def _kill_postgresql(self) -> bool:
        if self.cluster is None or not self.cluster.is_running:
            return False
        self.cluster.kill()
        return True

    def _kill_broker(self, *, forgets: bool) -> bool:
        process = self.process_of(Victim.BROKER)
        if process is None or not _killed(process):
            return False
        if forgets:
            store = self.operator.server.config.broker_dir / "mosquitto.db"
            for path in (store, store.with_name("mosquitto.db.new")):
                path.unlink(missing_ok=True)
        return True

    def _kill_gunicorn(self, kill: Kill) -> bool:
        master = self.process_of(kill.victim)
        if master is None:
            return False
        with suppress(psutil.Error):
            children = master.children()
            if kill.draw < MASTER_ALONE or not children:
                return _killed(master)
            if kill.draw < MASTER_AND_CHILDREN:
                os.killpg(master.pid, signal.SIGKILL)
                return True
            return _killed(children[0])
        return False


def _killed(process: psutil.Process) -> bool:
    try:
        process.kill()
    except psutil.NoSuchProcess:
        return False
    return True


def _cut(box: Box) -> bool:
    if not box.is_on:
        return False
    box.power_cut()
    return True


def _kill_agent(box: Box) -> bool:
    """Kill what the boot program runs out of the slot; it may be between two of them."""
    if not box.is_on:
        return False
    with suppress(psutil.Error):
        for process in psutil.Process(box.pid).children():
            if any(word.endswith("agent.pyz") for word in process.cmdline()):
                return _killed(process)
    return False
