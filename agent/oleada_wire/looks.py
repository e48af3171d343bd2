"""Several looks at a box in one message, each saying only what has changed since the last.

A box sends them instead of ``health`` when the server has said that it reads them
(``WORD`` in ``reads`` of an acknowledgement). The first look of a message is whole, and
each other builds on the one before it, so a message that is lost takes no other with it.
Source: docs/adr/0035-looks-say-what-has-changed.md.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from oleada_wire.errors import MalformedMessageError
from oleada_wire.parts import Header, SlotInfo

WORD: Final = "samples"
"""In ``reads`` of an ``ack``: this server takes such messages."""
LOOKS_MAX: Final = 64
READINGS_MAX: Final = 500
"""Of one look, all that was seen."""
Parameters = dict[str, bool | int | str]


@dataclass(frozen=True, slots=True)
class Look:
    """How a box was at one moment.

    Attributes:
        seq: Of the look; rises within a boot, and tells duplicates.
        at_ms: When it was taken, by the box's clock; UTC milliseconds.
        changed: What is new or has another value than in the look before; everything in
            the first one.
        gone: Names of what is said no more.
    """

    seq: int
    at_ms: int
    changed: Parameters = field(default_factory=dict)
    gone: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Samples:
    """Box to server: looks at one boot, oldest first.

    Attributes:
        header: Its ``boot`` is that of every look.
        looks: At least one, at most ``LOOKS_MAX``, by rising ``seq``.
        version, running_slot, slots, dropped, audit_head: As in ``health``, at the last look.
    """

    header: Header
    version: str
    running_slot: str
    slots: tuple[SlotInfo, ...]
    looks: tuple[Look, ...]
    dropped: int = 0
    audit_head: str | None = None

    def __post_init__(self) -> None:
        if not 1 <= len(self.looks) <= LOOKS_MAX:
            raise ValueError(f"there are 1 to {LOOKS_MAX} looks in a message")
        numbers = [look.seq for look in self.looks]
        if numbers[0] < 1 or sorted(set(numbers)) != numbers:
            raise ValueError("looks stand in the order of their seq, from 1")


def told(looks: Sequence[tuple[int, int, Parameters]]) -> tuple[Look, ...]:
    """Return looks, each (seq, at_ms, everything that was seen), as a message says them."""
    found, before = [], Parameters()
    for seq, at_ms, now in looks:
        changed = {name: value for name, value in now.items() if _is_new(before.get(name), value)}
        gone = sorted(name for name in before if name not in now)
        found.append(Look(seq, at_ms, changed, tuple(gone)))
        before = now
    return tuple(found)


def whole(looks: Iterable[Look]) -> Iterator[Parameters]:
    """Yield everything that was seen at each of *looks*, oldest first.

    Raises:
        MalformedMessageError: one of them has more than ``READINGS_MAX`` readings.
    """
    found: Parameters = {}
    for look in looks:
        gone = set(look.gone)
        found = {name: value for name, value in found.items() if name not in gone} | look.changed
        if len(found) > READINGS_MAX:
            raise MalformedMessageError(f"A look has more than {READINGS_MAX} readings.")
        yield found


def _is_new(before: object, now: object) -> bool:
    return type(before) is not type(now) or before != now  # True equals 1, and is another value
