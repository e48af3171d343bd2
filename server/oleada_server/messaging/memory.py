"""Has the broker lost its memory, or is its answer only late? Decided here, from facts.

A broker that lets in ten thousand boxes takes seconds to answer anybody. So no clock tells
late from lost, but order does: whoever connects subscribes to the *canary*, a number that
the broker retains for us, and to an *echo*, and then publishes the echo. The broker has
queued the canary, if it holds one, before it has even read the echo; when the echo has
come back, nothing is on its way any more (MQTT 5.0, 4.6: one topic's order is kept;
Mosquitto keeps the order of one client's queue, which the tests hold).
"""

from enum import Enum


class Memory(Enum):
    """What is known of the broker's memory."""

    UNKNOWN = "ask again later"
    WHOLE = "it holds everything"
    LOST = "something is missing"


def judge(wanted: int, canary: int | None, *, is_echoed: bool) -> Memory:
    """Return what is known of a broker's memory.

    Args:
        wanted: The canary by the database; 0 if none was ever set.
        canary: What the broker has sent so far; None for nothing, or nothing readable.
        is_echoed: Whether the echo has come back.
    """
    if (canary or 0) == wanted:
        return Memory.WHOLE
    return Memory.LOST if is_echoed else Memory.UNKNOWN
