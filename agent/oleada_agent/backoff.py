"""How long to wait before something is tried again that has failed; pure.

Each failure in a row doubles the ceiling, and the pause is drawn from nothing to all of
it (full jitter): ten thousand boxes that failed in the same second do not try again in
the same second, and a server that is down is asked ever more rarely.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

DOUBLINGS_MAX: Final = 20

Below = Callable[[int], int]
"""Returns a number from 0 to its argument - 1, each as likely as the next."""


class Backoff(NamedTuple):
    """The pauses of one thing that is tried.

    Attributes:
        first_ms: Ceiling after the first failure.
        max_ms: No ceiling is higher.
    """

    first_ms: int
    max_ms: int

    def ceiling_ms(self, failures: int) -> int:
        """Return the longest pause after *failures* in a row, of at least 1."""
        return min(self.max_ms, self.first_ms << min(failures - 1, DOUBLINGS_MAX))

    def pause_ms(self, failures: int, below: Below) -> int:
        """Return a pause after *failures* in a row."""
        return below(self.ceiling_ms(failures) + 1)
