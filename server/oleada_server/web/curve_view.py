"""The curve of a wave: how many of its boxes were updated when, and where that leads."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from oleada_server.rollouts import service
from oleada_server.rollouts.states import WaveState
from oleada_server.web import chart
from oleada_server.web.rollout_view import Figures

STEPS: Final = 60
ROWS: Final = 6  # of the table that says the same in numbers
LINES: Final = 3  # across the chart, at round numbers of boxes
WORDS_APART: Final = 0.24  # of the height, between the gate's word and the next
RECENT_STEPS: Final = 10  # the pace is that of the last sixth of the time
AHEAD: Final = 0.14  # of the width lies in the future while the wave is at work
FORECAST_MAX: Final = timedelta(days=14)  # what lies further away is no forecast


@dataclass(frozen=True, slots=True)
class Forecast:
    """Where the pace of the last *span* leads: the gate's number of boxes at *at*.

    *there* is the height that the curve would reach at the right end of the chart.
    """

    at: datetime
    span: timedelta
    there: float


@dataclass(frozen=True, slots=True)
class WaveCurve:
    """The curve, and what stands beside it; heights in percent from the top.

    Attributes:
        enough: Boxes that the gate wants updated; *limit* is their height.
        lines: (boxes, height) of the lines across.
        now_x: Where the curve ends, percent from the left.
        rows: (moment, boxes updated by then), for the table.
    """

    shape: chart.Curve
    boxes: int
    updated: int
    enough: int
    share_min: float
    limit: float
    last: float
    now_x: float
    lines: list[tuple[int, float]]
    start: datetime
    end: datetime
    is_at_work: bool
    forecast: Forecast | None
    rows: list[tuple[datetime, int]]


def curve(found: Figures, now: datetime) -> WaveCurve | None:
    """Return the curve of the wave at work, None while no box of it is updated."""
    figures = found.at_work
    wave = figures.wave
    if wave.opened_at is None or not figures.updated or not figures.boxes:
        return None
    end = _end(found, now)
    if end - wave.opened_at < timedelta(seconds=STEPS):
        end = wave.opened_at + timedelta(seconds=STEPS)
    values = service.updated_by_time(wave.id, wave.opened_at, end, STEPS)
    is_at_work = not found.is_over and figures.state is not WaveState.PASSED
    every = STEPS // ROWS
    width = (end - wave.opened_at) / STEPS
    enough = math.ceil(wave.success_share_min * figures.boxes)
    return WaveCurve(
        shape=chart.curve(values, figures.boxes),
        boxes=figures.boxes,
        updated=figures.updated,
        enough=enough,
        share_min=wave.success_share_min,
        limit=_height(enough, figures.boxes),
        last=_height(values[-1], figures.boxes),
        now_x=(1 - AHEAD) * 100 if is_at_work else 100,
        lines=lines(figures.boxes, enough),
        start=wave.opened_at,
        end=end,
        is_at_work=is_at_work,
        forecast=forecast(values, figures.boxes, enough, width, end) if is_at_work else None,
        rows=[(wave.opened_at + width * step, values[step]) for step in range(0, STEPS + 1, every)],
    )


def forecast(
    values: Sequence[int], boxes: int, enough: int, step: timedelta, now: datetime
) -> Forecast | None:
    """Return when *enough* of *boxes* are updated if the pace of late holds.

    None if they are already, if nothing moved of late, or if it is too far away to say.
    *values* are counts, one each *step*, the last one at *now*.
    """
    gained, missing = values[-1] - values[-1 - RECENT_STEPS], enough - values[-1]
    if missing <= 0 or gained <= 0:
        return None
    span = step * RECENT_STEPS
    left = span * (missing / gained)
    if left > FORECAST_MAX:
        return None
    ahead_steps = (len(values) - 1) * AHEAD / (1 - AHEAD)
    there = min(values[-1] + gained / RECENT_STEPS * ahead_steps, boxes)
    return Forecast(now + left, span, _height(there, boxes))


def lines(boxes: int, enough: int) -> list[tuple[int, float]]:
    """Return up to three round numbers below *boxes* (above 0), each with its height.

    None is so near the line of the gate, at *enough*, that their words would meet.
    """
    rough = max(boxes / (LINES + 0.5), 1)
    power = 10 ** math.floor(math.log10(rough))
    step = next(power * one for one in (1, 2, 5, 10) if power * one >= rough)
    top = min(boxes * 0.9, enough - boxes * WORDS_APART)
    return [(value, _height(value, boxes)) for value in range(step, int(top) + 1, step)]


def _height(count: float, boxes: int) -> float:
    return 100 - count / boxes * 100


def _end(found: Figures, now: datetime) -> datetime:
    wave = found.at_work.wave
    if found.at_work.state is WaveState.PASSED and wave.passed_at is not None:
        return wave.passed_at
    return found.rollout.ended_at or now
