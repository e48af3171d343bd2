"""When to seek a connection, and when to say hello again; pure.

After a blackout ten thousand boxes boot in the same second. What keeps them from
knocking in the same second is a pause before the *first* connection; jitter on retries
alone comes too late. A box that restarts by itself is alone, and hardly waits.
``oleada-lab herd`` plays this very code with ten thousand boxes.
"""

from dataclasses import dataclass
from typing import Final

from oleada_wire.words import BootReason

from oleada_agent.backoff import Backoff, Below

CONNECT_SPREAD_S: Final = 60
"""By default: 10 000 boxes are then 170 in a second, and a person who waits for one is patient."""
WARM_SPREAD_MS: Final = 5_000
"""The most that a box waits which has not just been given power."""
BACKOFF_MS: Final = 1_000
BACKOFF_MAX_MS: Final = 120_000
HELD_MS: Final = 60_000
"""A connection that ends sooner was none: two boxes with one identity would take the
broker's attention for ever by turning each other out."""
HELLO_AGAIN_MS: Final = 2_000
HELLO_AGAIN_MAX_MS: Final = 60_000
DOUBLINGS_MAX: Final = 10


def first_spread_ms(connect_spread_s: int, reason: BootReason) -> int:
    """Return how long the first connection of a boot waits at most."""
    spread_ms = connect_spread_s * 1000
    has_company = reason in (BootReason.POWER_ON, BootReason.UNKNOWN)
    return spread_ms if has_company else min(spread_ms, WARM_SPREAD_MS)


def hello_pause_ms(hellos: int, below: Below) -> int:
    """Return when to say hello again if nobody has answered *hellos* of them."""
    pause_ms = min(HELLO_AGAIN_MAX_MS, HELLO_AGAIN_MS << min(hellos, DOUBLINGS_MAX))
    return pause_ms + below(pause_ms)


@dataclass(slots=True)
class Reconnect:
    """Pauses with full jitter, doubled with each failure in a row.

    Attributes:
        below: Chance.
        failures: Connections in a row that did not hold.
    """

    below: Below
    backoff_ms: int = BACKOFF_MS
    failures: int = 0

    def first_ms(self, spread_ms: int) -> int:
        """Return the pause before the first connection."""
        return self.below(spread_ms + 1)

    def next_ms(self, *, was_accepted: bool, lasted_ms: int) -> int:
        """Return the pause after a connection, or an attempt at one, has ended."""
        held = was_accepted and lasted_ms >= HELD_MS
        self.failures = 0 if held else self.failures + 1
        return Backoff(self.backoff_ms, BACKOFF_MAX_MS).pause_ms(self.failures + 1, self.below)
