"""The evidence against a release, as a curve and in words: E over time, and what decides.

The scale is logarithmic: each line across is ten times the one below. Under 1 the numbers
speak for the release, and how far does not matter to anybody.
"""

import math
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from oleada_server.rollouts.evidence import beside, control, history, judge, shown
from oleada_server.rollouts.evidence.history import Moment, Now
from oleada_server.rollouts.evidence.models import Incident
from oleada_server.rollouts.evidence.slow_start import DOUBTFUL
from oleada_server.rollouts.models import Rollout
from oleada_server.web import chart, status, words
from oleada_server.web.words import gettext

LOWEST: Final = math.log(0.1)
ROWS: Final = 6  # of the table that says the same in numbers


@dataclass(frozen=True, slots=True)
class Stratum:
    """One stratum in the table: what it ran before, its counts, and its E."""

    version: str
    boxes: int
    begun: int
    bad: int
    silent: int
    good: int
    e: str
    is_halted: bool


@dataclass(frozen=True, slots=True)
class Beside:
    """One kind of bad hour in the table: of updated boxes, and of those that wait."""

    what: str
    updated: int
    updated_bad: int
    waiting: int
    waiting_bad: int
    e: str


@dataclass(frozen=True, slots=True)
class EvidenceCurve:
    """What the part of the page shows; heights in percent from the top.

    Attributes:
        wall: E at which it halts; *wall_y* and *doubt_y* are the heights of the two lines.
        lines: (E in words, height) of the lines across.
        rows: Moments for the table that says the same in numbers.
        beside: Hours after the update beside those of boxes that wait; None where nobody watches.
        late: Troubles that were heard of too late for it.
    """

    now: Now
    shape: chart.Curve
    start: datetime
    end: datetime
    e: str
    wall: str
    wall_y: float
    doubt_y: float
    last_y: float
    lines: list[tuple[str, float]]
    rows: list[tuple[Moment, str]]
    strata: list[Stratum]
    beside: list[Beside] | None
    late: int
    incidents: list[Incident]
    next_word: str


def curve(rollout: Rollout, now: datetime) -> EvidenceCurve | None:
    """Return the evidence of *rollout*; None while there is none, or limits alone count."""
    found = history.now(rollout)
    moments = [] if found is None else history.moments(rollout, rollout.ended_at or now)
    if found is None or not moments:
        return None
    wall = found.evidence.wall
    top = max(wall * 1.25, *(min(one.log_e, history.LOG_E_SHOWN_MAX) for one in moments))
    span = top - LOWEST
    values = [max(min(one.log_e, top) - LOWEST, 0.0) for one in moments]
    return EvidenceCurve(
        now=found,
        shape=chart.curve(values, span),
        start=moments[0].at,
        end=moments[-1].at,
        e=spell(found.verdict.log_e),
        wall=spell(wall),
        wall_y=_height(wall, span),
        doubt_y=_height(DOUBTFUL, span),
        last_y=_height(found.verdict.log_e, span),
        lines=[("1", _height(0.0, span))],
        rows=[(one, spell(one.log_e)) for one in moments[:: max(len(moments) // ROWS, 1)]],
        strata=[_stratum(found, index) for index in range(len(found.evidence.strata))],
        beside=_beside(found),
        late=beside.late(rollout.id),
        incidents=list(history.incidents(rollout.id)),
        next_word=next_word(found),
    )


def next_word(found: Now) -> str:
    """Return what the evidence does next, in one sentence."""
    if found.verdict.asks:
        return gettext("Nobody begins until a person has looked at the silent boxes.")
    if max(found.verdict.log_e, found.verdict.log_e_beside) >= DOUBTFUL:
        return gettext("Only a trickle goes on until the numbers decide.")
    missing = found.sample_needed - found.evidence.total.good
    if missing > 0:
        return str(
            words.say_n(
                "%(n)s more good box may open the gate; each lets one more begin.",
                "%(n)s more good boxes may open the gate; each lets one more begin.",
                missing,
            )
        )
    if not found.is_proven:
        return gettext("The gate stays shut until more good boxes outweigh the bad ones.")
    return gettext("The numbers would open the gate.")


def spell(log_e: float) -> str:
    """Return E for people: ``0.3``, ``12``, ``more than 1,000,000``."""
    if log_e > history.LOG_E_SHOWN_MAX:
        return gettext("more than %(n)s", n=words.number(1_000_000))
    value = shown.e_of(log_e)
    return words.number(round(value)) if value >= 10 else f"{value:.2g}"


def _beside(found: Now) -> list[Beside] | None:
    hours = found.evidence.hours
    if hours is None:
        return None
    return [
        Beside(
            status.trouble(one.hour.kind),
            one.hour.updated,
            one.hour.updated_bad,
            one.hour.control,
            one.hour.control_bad,
            spell(one.log_e),
        )
        for one in control.by_kind(hours, judge.TOLERATED)
        if one.hour.updated
    ]


def _stratum(found: Now, index: int) -> Stratum:
    one = found.evidence.strata[index]
    return Stratum(
        one.name or gettext("unknown"),
        one.boxes,
        one.begun,
        one.bad,
        one.silent,
        one.good,
        spell(found.verdict.by_stratum[one.name]),
        one.is_halted,
    )


def _height(log_e: float, span: float) -> float:
    return round(100 - min(max(log_e - LOWEST, 0.0), span) / span * 100, 2)
