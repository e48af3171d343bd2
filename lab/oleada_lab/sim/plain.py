"""What server and box say to each other where nothing is signed: values instead of bytes.

Signatures cost a hundred times what they protect; where they are not what is looked at,
a payload is the value that its bytes would be read into.
"""

from dataclasses import dataclass
from typing import Final
from zoneinfo import ZoneInfo

from oleada_wire import topics
from oleada_wire.messages import Ack, Assignment, Hello, Lease, LeaseRequest

UTC: Final = ZoneInfo("UTC")
PLAIN_BYTES: Final = 600
"""What such a payload counts as on the line, its signature included."""


@dataclass(frozen=True, slots=True)
class Assigned:
    """The newest assignment of a box; None when it has none."""

    number: int
    assignment: Assignment | None


@dataclass(frozen=True, slots=True)
class Covered:
    """The open waves: number and the place below which a box is covered."""

    salt: str
    waves: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Denied:
    """Digests that must not be installed."""

    digests: tuple[str, ...]


ToBox = Assigned | Covered | Denied | Lease | Ack
ToServer = Hello | LeaseRequest
UP_FILTER: Final = f"{topics.PREFIX}/d/+/up/+"
