"""A message of several looks at a box, as the health messages that it stands for."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from oleada_wire.errors import MalformedMessageError
from oleada_wire.looks import WORD, Parameters, whole
from oleada_wire.messages import UP_BYTES_MAX, Header, Health, Samples

WHOLE_CHARS_MAX: Final = 8 * UP_BYTES_MAX
"""Of everything that the looks of one message say; 64 looks of a real box say half of it."""
WHOLE_RATIO_MAX: Final = 200
"""So much more than what came over the line may they say; a real box's say 50 times as much."""
NUMBER_CHARS: Final = 8
"""A number or a truth value counts as so much text."""
READS: Final = (WORD,)
"""What a box is told that this server understands, with the acknowledgement of its hello."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A message of looks that was read; *healths* are what it says, oldest first."""

    header: Header
    audit_head: str | None
    healths: tuple[Health, ...]


def healths_of(samples: Samples, came_bytes: int) -> tuple[Health, ...]:
    """Return what *samples*, which came in *came_bytes*, says as health messages, oldest first.

    Each has the sequence number of its look, so that one which comes twice counts once.

    Raises:
        MalformedMessageError: a look has too many readings, its number is not the message's, or
            all looks together say too much: each becomes a row with everything that was seen.
    """
    header = samples.header
    if samples.looks[-1].seq != header.seq:
        raise MalformedMessageError("samples.seq is not that of the last look.")
    seen = tuple(_modest(samples, min(WHOLE_CHARS_MAX, _room(came_bytes))))
    return tuple(
        Health(
            Header(header.id, look.at_ms, header.boot, look.seq),
            samples.version,
            samples.running_slot,
            samples.slots,
            parameters,
            samples.dropped,
        )
        for look, parameters in zip(samples.looks, seen, strict=True)
    )


def _room(came_bytes: int) -> int:
    """Return how much may be said: as much as one plain message could in any case."""
    return max(UP_BYTES_MAX, WHOLE_RATIO_MAX * came_bytes)


def _modest(samples: Samples, room_chars: int) -> Iterator[Parameters]:
    for parameters in whole(samples.looks):
        room_chars -= sum(map(len, parameters))
        room_chars -= sum(
            len(value) if type(value) is str else NUMBER_CHARS for value in parameters.values()
        )
        if room_chars < 0:
            raise MalformedMessageError("All looks together say too much; send them one by one.")
        yield parameters
