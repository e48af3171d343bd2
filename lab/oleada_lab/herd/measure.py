"""How many boxes a second the real broker lets in, over TLS with certificates of their own.

The crowd shares this machine's processors with the broker, so the broker alone would do
better: what is measured is a lower bound, and the limit that follows from it is strict.
"""

import tempfile
from pathlib import Path
from typing import Final

from oleada_lab.clock import monotonic_s
from oleada_lab.storm import fleet
from oleada_lab.storm.crowd import Crowd, Member
from oleada_lab.storm.ground import Ground, ground

BOXES: Final = 600
LIMIT_S: Final = 300.0


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
    """Return how many of *boxes* new boxes the broker of *place* accepted in a second.

    Raises:
        LabError: Not every box got in.
    """
    members = [Member(one) for one in fleet.enrolled(place, "HERD", boxes)]
    crowd = Crowd(place.config.broker_host, place.config.broker_port, place.ca_file)
    try:
        began_s = monotonic_s()
        crowd.come(members)
        crowd.run_until(
            lambda: all(member.is_ready for member in members), LIMIT_S, "all boxes are in"
        )
        return max(1, int(boxes / (monotonic_s() - began_s)))
    finally:
        crowd.close()
