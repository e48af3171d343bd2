"""Health messages that go out together, each saying only what has changed since the last.

On the disk each of them is a message of its own; only on their way are they one. So none
is lost when the server, the agent or the connection is another one before they arrive.
Source: docs/adr/0035-looks-say-what-has-changed.md.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Final

from oleada_wire import messages, packing
from oleada_wire.looks import LOOKS_MAX, WORD, Samples, told
from oleada_wire.messages import Health
from oleada_wire.topics import Up

REMEMBERED_MAX: Final = 64
"""Bundles that went out and were not acknowledged."""
Out = tuple[Up, bytes]


class Bundles:
    """Makes bundles of what is due, and knows what was in each.

    Args:
        new_id: Returns 32 random hex digits.

    Attributes:
        is_read: Whether the server has said that it reads them.
    """

    def __init__(self, new_id: Callable[[], str]) -> None:
        self._new_id = new_id
        self._inside: dict[str, tuple[str, ...]] = {}
        self.is_read = False

    def greet(self, reads: Iterable[str]) -> None:
        """Take note of what the server has said that it understands."""
        self.is_read = WORD in reads

    def take(self, message_id: str) -> tuple[str, ...]:
        """Return the ids of what went out in *message_id*, and forget it; empty if no bundle."""
        return self._inside.pop(message_id, ())

    def tied(self, looks: list[bytes]) -> list[Out]:
        """Return health messages *looks*, oldest first, as few messages, each small enough."""
        runs: list[list[Health]] = []
        for data in looks:
            health = messages.decode(Health, data)
            if not runs or len(runs[-1]) == LOOKS_MAX or not _follows(runs[-1][-1], health):
                runs.append([])
            runs[-1].append(health)
        return [out for run in runs for out in self._tie(run)]

    def _tie(self, healths: list[Health]) -> list[Out]:
        last = healths[-1]
        message_id = self._new_id()
        heads = [one.audit_head for one in healths if one.audit_head is not None]
        looks = told([(one.header.seq, one.header.at_ms, one.parameters) for one in healths])
        header = replace(last.header, id=message_id)
        data = messages.encode(
            Samples(
                header, last.version, last.running_slot, last.slots, looks, last.dropped,
                heads[-1] if heads else None,
            )
        )  # fmt: skip
        if len(data) > messages.UP_BYTES_MAX and len(healths) > 1:
            middle = len(healths) // 2
            return self._tie(healths[:middle]) + self._tie(healths[middle:])
        while len(self._inside) >= REMEMBERED_MAX:
            del self._inside[next(iter(self._inside))]  # what is in it goes out again
        self._inside[message_id] = tuple(one.header.id for one in healths)
        return [(Up.SAMPLES, packing.pack(data))]


def _follows(one: Health, other: Health) -> bool:
    """Return whether *other* can be told after *one*: later in the same boot.

    A counter that the flash has lost begins anew, and numbers then come twice.
    """
    is_same = one.header.boot == other.header.boot and one.version == other.version
    is_same = is_same and one.running_slot == other.running_slot
    return is_same and one.header.seq < other.header.seq
