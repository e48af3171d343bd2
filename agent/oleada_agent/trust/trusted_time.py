"""What time it is, as far as a box can know: its own clock is a guess, an answer is not.

The clock of a box stands at 1970 when its battery is dead, and at any other year when
somebody lies to it. So the box asks the server a question, and the signed answer names
the question: the time in it was read between the two. From then on, in this boot, the
box knows the time by a clock that never jumps, whatever its own clock says.

Before such an answer the box goes by its own clock, but never by less than the floor,
and *nothing has ended on the word of that clock alone*: what seems to have expired is a
reason to ask. Source: powerfail design, 4.4 to 4.6; trust design 8, rows 5 and 6.
"""

from collections.abc import Callable
from typing import Final

ANSWER_MS_MAX: Final = 300_000
"""An answer that took longer says too little about now; the server's own expire then."""
QUESTIONS_MAX: Final = 8
"""Without an answer; the oldest is given up."""
DOUBT_MS: Final = 600_000
"""A proof older than this is asked for again before something is held to have ended."""
NEVER_MS: Final = 1 << 62


class TrustedTime:
    """The time of one boot.

    Args:
        floor_ms: A time that has certainly passed, UTC milliseconds; it may rise.
        now_ms: The wall clock: UTC milliseconds, which may be wrong.
        steady_ms: A clock that never jumps.
    """

    def __init__(
        self,
        *,
        floor_ms: Callable[[], int],
        now_ms: Callable[[], int],
        steady_ms: Callable[[], int],
    ) -> None:
        self._floor_ms = floor_ms
        self._now_ms = now_ms
        self._steady_ms = steady_ms
        self._questions: dict[str, int] = {}
        self._proof: tuple[int, int] | None = None
        self._seen = (floor_ms(), steady_ms())

    @property
    def is_proven(self) -> bool:
        """Whether an answer has told the time in this boot."""
        return self._proof is not None

    @property
    def is_fresh(self) -> bool:
        """Whether it has just been told: what has ended by it has ended."""
        return self._proof is not None and self._steady_ms() - self._proof[1] <= DOUBT_MS

    def now_ms(self) -> int:
        """Return UTC milliseconds: as told, else the wall clock; never before the floor."""
        least_ms = self.least_ms()
        if self._proof is None:
            return max(self._now_ms(), least_ms)
        return max(self._told_ms(*self._proof), least_ms)

    def least_ms(self) -> int:
        """Return UTC milliseconds that have certainly passed; they pass, as time does."""
        floor_ms = self._floor_ms()
        if floor_ms > self._seen[0]:
            self._seen = (floor_ms, self._steady_ms())
        return self._told_ms(*self._seen) if floor_ms else 0

    def is_off(self, most_ms: int) -> bool:
        """Return whether the wall clock is known to differ by more than *most_ms*."""
        return self._proof is not None and abs(self._now_ms() - self.now_ms()) > most_ms

    def asked(self, question_id: str) -> None:
        """Take note that a question with this id is on its way now."""
        if len(self._questions) >= QUESTIONS_MAX:
            del self._questions[next(iter(self._questions))]
        self._questions[question_id] = self._steady_ms()

    def answered(self, question_id: str, at_ms: int) -> bool:
        """Believe that it was *at_ms* between the question and now; both signed.

        Returns:
            False for an answer to what nobody has asked, or has asked too long ago: a
            replay, or one that was held back.
        """
        asked_ms = self._questions.pop(question_id, None)
        if asked_ms is None or self._steady_ms() - asked_ms > ANSWER_MS_MAX:
            return False
        self._proof = (at_ms, asked_ms)
        return True

    def forget(self) -> None:
        """Begin anew: whoever has told the time is nobody any more."""
        self._questions.clear()
        self._proof, self._seen = None, (self._floor_ms(), self._steady_ms())

    def _told_ms(self, at_ms: int, steady_ms: int) -> int:
        return at_ms + self._steady_ms() - steady_ms
