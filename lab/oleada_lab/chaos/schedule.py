"""Who is killed when: drawn from a seed before anything runs. Pure.

A kill waits for a moment in the life of a rollout (so many of its boxes have come so
far), then for a short time more, so that it falls before, into and after each commit.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import Final

from oleada_lab.errors import LabError

DELAY_MS_MAX: Final = 1_200
DOWN_MS_MAX: Final = 2_000
FORGETS_SHARE: Final = 0.5


class Victim(StrEnum):
    """What is killed.

    *agent* is the process alone, which the boot program starts again; *box* is the power of
    the whole box. *door* serves what boxes download.
    """

    WEB = "web"
    DOOR = "door"
    WORKER = "worker"
    SCHEDULER = "scheduler"
    BROKER = "broker"
    POSTGRESQL = "postgresql"
    AGENT = "agent"
    BOX = "box"


class Moment(StrEnum):
    """How far a rollout, or one box in it, has come; in order."""

    PLAN = "plan"
    ASSIGN = "assign"
    DOWNLOAD = "download"
    INSTALL = "install"
    REBOOT = "reboot"
    TRIAL = "trial"
    COMMIT = "commit"
    REPORT = "report"


ORDER: Final = tuple(Moment)
OF_A_BOX: Final = frozenset({Victim.AGENT, Victim.BOX})
"""Victims of which there is one for each box."""


@dataclass(frozen=True, slots=True)
class Kill:
    """One kill.

    Attributes:
        number: From 1 over the whole run.
        share: 0 to 1; the moment has come when so many of the boxes have reached it, at
            least one. Before any box is at work (``plan``) it says nothing.
        delay_ms: From the moment to the kill.
        down_ms: From the kill to the start again, where the lab is the supervisor.
        forgets: A broker loses its store as well: sessions and retained messages.
        draw: 0 to 1; which box, and whether the children of a process go with it.
    """

    number: int
    victim: Victim
    moment: Moment
    share: float
    delay_ms: int
    down_ms: int
    forgets: bool
    draw: float


def victims_of(database: str, only: Sequence[str] = ()) -> list[Victim]:
    """Return what can be killed with *database*; *only* names a selection, in any order.

    Raises:
        LabError: *only* names something else, or nothing is left.
    """
    found = [one for one in Victim if one is not Victim.POSTGRESQL or database == "postgresql"]
    if strange := sorted(set(only) - {str(one) for one in found}):
        raise LabError(
            f"{strange[0]!r} can not be killed with {database}; name some of "
            f"{', '.join(found)}, separated by commas."
        )
    return [one for one in found if not only or one in only]


def draw(seed: int, kills: int, victims: Sequence[Victim]) -> list[Kill]:
    """Return *kills* kills: each of *victims* as often as the others, in a drawn order."""
    dice = Random(seed)
    who: list[Victim] = []
    while len(who) < kills:
        who += dice.sample(victims, len(victims))
    return [_one(dice, number, victim) for number, victim in enumerate(who[:kills], start=1)]


def by_rollout(kills: Sequence[Kill], per_rollout: int) -> list[list[Kill]]:
    """Return *kills* in groups of *per_rollout*, of which each meets one rollout."""
    return [list(kills[at : at + per_rollout]) for at in range(0, len(kills), per_rollout)]


def has_come(kill: Kill, reached: Mapping[Moment, int], boxes: int) -> bool:
    """Return whether the moment of *kill* has come.

    Args:
        reached: How many boxes have come to each moment or beyond it.
        boxes: In the rollout.
    """
    if kill.moment is Moment.PLAN:
        return True
    return reached.get(kill.moment, 0) >= max(1, math.floor(kill.share * boxes))


def _one(dice: Random, number: int, victim: Victim) -> Kill:
    moments = ORDER[1:] if victim in OF_A_BOX else ORDER
    forgets = dice.random() < FORGETS_SHARE
    return Kill(
        number=number,
        victim=victim,
        moment=dice.choice(moments),
        share=round(dice.random(), 3),
        delay_ms=dice.randrange(DELAY_MS_MAX + 1),
        down_ms=dice.randrange(DOWN_MS_MAX + 1),
        forgets=forgets and victim is Victim.BROKER,
        draw=round(dice.random(), 6),
    )
