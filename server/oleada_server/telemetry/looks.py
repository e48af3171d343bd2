"""A message of several looks at a box, as the health messages that it stands for."""

from dataclasses import dataclass
from typing import Final

from oleada_wire.errors import MalformedMessageError
from oleada_wire.looks import WORD, whole
from oleada_wire.messages import Header, Health, Samples

READS: Final = (WORD,)
"""What a box is told that this server understands, with the acknowledgement of its hello."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A message of looks that was read; *healths* are what it says, oldest first."""

    header: Header
    audit_head: str | None
    healths: tuple[Health, ...]


def healths_of(samples: Samples) -> tuple[Health, ...]:
    """Return what *samples* says as health messages, oldest first.

    Each has the sequence number of its look, so that one which comes twice counts once.

    Raises:
        MalformedMessageError: a look has too many readings, or its number is not the message's.
    """
    header = samples.header
    if samples.looks[-1].seq != header.seq:
        raise MalformedMessageError("samples.seq is not that of the last look.")
    return tuple(
        Health(
            Header(header.id, look.at_ms, header.boot, look.seq),
            samples.version,
            samples.running_slot,
            samples.slots,
            parameters,
            samples.dropped,
        )
        for look, parameters in zip(samples.looks, whole(samples.looks), strict=True)
    )
