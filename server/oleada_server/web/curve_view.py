"""The curve of a wave: how many of its boxes were updated when."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from oleada_server.rollouts import service
from oleada_server.rollouts.states import WaveState
from oleada_server.web import chart
from oleada_server.web.rollout_view import Figures

STEPS: Final = 60
ROWS: Final = 6  # of the table that says the same in numbers


@dataclass(frozen=True, slots=True)
class WaveCurve:
    """The curve, and what stands beside it; *limit* and *last* in percent from the top.

    Attributes:
        rows: (moment, boxes updated by then), for the table.
        enough: Boxes that the gate wants updated.
    """

    shape: chart.Curve
    boxes: int
    updated: int
    enough: int
    limit: str
    last: str
    start: datetime
    end: datetime
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
    every = STEPS // ROWS
    width = (end - wave.opened_at) / STEPS
    limit = chart.bullet(1 - wave.success_share_min, 1, 1, "").value
    return WaveCurve(
        shape=chart.curve(values, figures.boxes),
        boxes=figures.boxes,
        updated=figures.updated,
        enough=round(wave.success_share_min * figures.boxes),
        limit=limit,
        last=chart.bullet(1 - values[-1] / figures.boxes, 1, 1, "").value,
        start=wave.opened_at,
        end=end,
        rows=[(wave.opened_at + width * step, values[step]) for step in range(0, STEPS + 1, every)],
    )


def _end(found: Figures, now: datetime) -> datetime:
    wave = found.at_work.wave
    if found.at_work.state is WaveState.PASSED and wave.passed_at is not None:
        return wave.passed_at
    return found.rollout.ended_at or now
