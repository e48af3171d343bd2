"""A fleet in whole numbers: what becomes of the boxes that begin in one minute.

Boxes report 12 minutes after they began, give or take four (a normal spread, cut at three
minutes). Delays are spread evenly, not drawn: chance lies in who is bad, silent or dark.
"""

import math
import random
from dataclasses import dataclass
from typing import Final

from oleada_server.rollouts.evidence.control import Hour

DELAY_MEAN_MIN: Final = 12
DELAY_SPREAD_MIN: Final = 4
DELAY_MIN: Final = 3
DELAY_MAX: Final = 26


NIGHT: Final = range(1, 6)
"""Hours in which most people sleep, and many have pulled the plug."""


USUAL: Final = {
    "crash": (0.0005, 0.0005),
    "restart": (0.0005, 0.0005),
    "dark": (0.001, 0.02),
    "slow": (0.002, 0.002),
}
"""Of the hours of any box, by day and by night: somebody pulls the plug at night."""


@dataclass(frozen=True, slots=True)
class Later:
    """How many more device-hours are bad once boxes are updated; shares, 0 to 1.

    Attributes:
        kind: Of ``USUAL``.
        day: Beside what is usual, by day.
        night: By night.
    """

    kind: str = "crash"
    day: float = 0.0
    night: float = 0.0


@dataclass(frozen=True, slots=True)
class Fate:
    """What the release does to boxes, and what would befall them anyway; shares, 0 to 1.

    Attributes:
        failed: Report that they failed, or rolled back.
        killed: Never say anything again.
        dark: Go dark in the age of one trial for ordinary reasons, updated or not.
        later: What befalls boxes hour by hour, long after their trial.
    """

    failed: float = 0.0
    killed: float = 0.0
    dark: float = 0.02
    later: Later = Later()


@dataclass(frozen=True, slots=True)
class Batch:
    """Boxes that began in one minute, by the minutes after which they report.

    *mute* never report; *killed* of them because of the release.
    """

    good: tuple[tuple[int, int], ...]
    failed: tuple[tuple[int, int], ...]
    mute: int
    killed: int

    @property
    def harmed(self) -> int:
        """Return how many the release harmed."""
        return self.killed + sum(boxes for _, boxes in self.failed)


def delays() -> tuple[tuple[int, float], ...]:
    """Return (minutes, share of boxes) of the reports, in order; the shares make 1."""

    def below(minutes: float) -> float:
        return 0.5 * (1 + math.erf((minutes - DELAY_MEAN_MIN) / DELAY_SPREAD_MIN / math.sqrt(2)))

    found, before = [], 0.0
    for minutes in range(DELAY_MIN, DELAY_MAX + 1):
        upto = 1.0 if minutes == DELAY_MAX else below(minutes + 0.5)
        found.append((minutes, upto - before))
        before = upto
    return tuple(found)


DELAYS: Final = delays()


class _Stream:
    """Which of a long row of boxes are hit, each with one chance: drawn from hit to hit."""

    def __init__(self, share: float, dice: random.Random) -> None:
        self._share, self._dice = share, dice
        self._until = self._next() if share > 0 else None

    def hits(self, boxes: int) -> int:
        """Return how many of the next *boxes* are hit."""
        if self._until is None:
            return 0
        found, left = 0, boxes
        while self._until < left:
            found, left = found + 1, left - self._until - 1
            self._until = self._next()
        self._until -= left
        return found

    def _next(self) -> int:
        if self._share >= 1:
            return 0
        return int(math.log(1.0 - self._dice.random()) / math.log1p(-self._share))


class _Spread:
    """Deals boxes over the delays so that what is left over is dealt next time."""

    def __init__(self) -> None:
        self._owed = [0.0] * len(DELAYS)

    def deal(self, boxes: int) -> tuple[tuple[int, int], ...]:
        """Return (minutes, boxes) that make *boxes* together."""
        if not boxes:
            return ()
        for index, (_, share) in enumerate(DELAYS):
            self._owed[index] += share * boxes
        dealt = [max(math.floor(owed), 0) for owed in self._owed]
        while (missing := boxes - sum(dealt)) != 0:
            step = 1 if missing > 0 else -1
            left = [(owed - n) * step for owed, n in zip(self._owed, dealt, strict=True)]
            index = max(
                (i for i in range(len(dealt)) if step > 0 or dealt[i] > 0), key=left.__getitem__
            )
            dealt[index] += step
        for index, boxes_here in enumerate(dealt):
            self._owed[index] -= boxes_here
        return tuple((DELAYS[i][0], n) for i, n in enumerate(dealt) if n)


class Fleet:
    """Boxes with one *fate*; *seed* names the run."""

    def __init__(self, boxes: int, fate: Fate, seed: int) -> None:
        self.boxes = boxes
        dice = random.Random(seed)
        self._killed = _Stream(fate.killed, random.Random(dice.random()))
        self._failed = _Stream(fate.failed, random.Random(dice.random()))
        self._dark = _Stream(fate.dark, random.Random(dice.random()))
        self._watched = _Stream(fate.dark, random.Random(dice.random()))
        self._good_spread, self._failed_spread = _Spread(), _Spread()
        self._usual, self._beside = (
            {kind: _streams(shares, dice) for kind, shares in USUAL.items()} for _ in range(2)
        )
        self._more = _streams((fate.later.day, fate.later.night), dice)
        self._kind = fate.later.kind

    def begin(self, boxes: int) -> Batch:
        """Return what becomes of the next *boxes* that begin, all in one minute."""
        killed = self._killed.hits(boxes)
        failed = self._failed.hits(boxes - killed)
        dark = self._dark.hits(boxes - killed - failed)
        good = boxes - killed - failed - dark
        return Batch(
            self._good_spread.deal(good), self._failed_spread.deal(failed), killed + dark, killed
        )

    def dark_of(self, boxes: int) -> int:
        """Return how many of *boxes* that are not updated go dark in the age of one trial."""
        return self._watched.hits(boxes)

    def hour(self, updated: int, waiting: int, hour: int) -> tuple[list[Hour], int]:
        """Return an *hour* of the day (0 to 23) of updated boxes and of those that wait, by kind.

        And how many of the bad hours there are because of the release.
        """
        is_night = hour in NIGHT
        caused = self._more[is_night].hits(updated)
        found = []
        for kind, usual in self._usual.items():
            more = caused if kind == self._kind else 0
            bad = min(usual[is_night].hits(updated) + more, updated)
            beside = self._beside[kind][is_night].hits(waiting)
            found.append(Hour(updated, bad, waiting, beside, kind))
        return found, caused


def _streams(shares: tuple[float, float], dice: random.Random) -> tuple[_Stream, _Stream]:
    day, night = (_Stream(share, random.Random(dice.random())) for share in shares)
    return day, night
