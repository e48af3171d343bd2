"""How many boxes a second the real broker lets in, over TLS with certificates of their own.

Mosquitto is one thread, so what counts is how much of a processor each connection costs
it. The crowd that knocks, and whoever else works on this machine, only make it wait; its
own processor time is measured, and a whole second of it is taken for the limit.
"""

import os
import tempfile
from pathlib import Path
from typing import Final

from oleada_lab.errors import LabError
from oleada_lab.storm import fleet
from oleada_lab.storm.crowd import Crowd, Member
from oleada_lab.storm.ground import Ground, ground

BOXES: Final = 600
LIMIT_S: Final = 300.0
BROKER: Final = "mosquitto"
TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")


def broker_per_s(boxes: int = BOXES) -> int:
    """Return how many connections a second Mosquitto accepted here, on a server of its own.

    Raises:
        LabError: The server did not start, or not every box got in.
    """
    with (
        tempfile.TemporaryDirectory(prefix="oleada-herd-") as home,
        ground(Path(home), "sqlite", {}) as place,
    ):
        return broker_per_s_of(place, boxes)


def broker_per_s_of(place: Ground, boxes: int) -> int:
    """Return how many of *boxes* new boxes a second of the broker's processor let in.

    Raises:
        LabError: Not every box got in, or the broker is not found.
    """
    members = [Member(one) for one in fleet.enrolled(place, "HERD", boxes)]
    crowd = Crowd(place.config.broker_host, place.config.broker_port, place.ca_file)
    try:
        began_s = _broker_cpu_s(place.home)
        crowd.come(members)
        crowd.run_until(
            lambda: all(member.is_ready for member in members), LIMIT_S, "all boxes are in"
        )
        used_s = _broker_cpu_s(place.home) - began_s
        return int(boxes / max(used_s, 1 / TICKS_PER_S))
    finally:
        crowd.close()


def _broker_cpu_s(home: Path) -> float:
    """Return the processor seconds of the broker whose configuration lies under *home*."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
            if Path(words[0]).name == BROKER and any(str(home) in word for word in words):
                fields = (process / "stat").read_text().rpartition(")")[2].split()
                return (int(fields[11]) + int(fields[12])) / TICKS_PER_S
        except OSError:  # it has ended meanwhile
            continue
    raise LabError(f"No {BROKER} runs for {home}.")
