"""What happened to one box, for its timeline: crashes, starts, firmware, updates, support."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Final

from oleada_wire.actions import Risk

from oleada_server.actions import rules
from oleada_server.actions import service as actions
from oleada_server.diagnosis import rolling
from oleada_server.diagnosis import service as diagnosis
from oleada_server.rollouts.of_device import Place
from oleada_server.telemetry import reading as telemetry
from oleada_server.telemetry import service as events
from oleada_server.telemetry.reading import Begun
from oleada_server.web import chart, device_series, diagnosis_view, status, words
from oleada_server.web.device_lanes import (
    OF_HOURS,
    RANGES,
    TICK_STEPS,
    Axis,
    Happened,
    Lanes,
    lanes,
)
from oleada_server.web.device_series import GAP_MIN, GAP_OF_HOURS, Told
from oleada_server.web.words import gettext

TROUBLES: Final = "trouble"
STARTS: Final = "starts"
FIRMWARE: Final = "firmware"
SUPPORT: Final = "support"
NAMES: Final = (TROUBLES, STARTS, FIRMWARE, SUPPORT)
EACH_MAX: Final = 50
"""Of one kind on one timeline."""


def lane_titles() -> dict[str, str]:
    """Return what the lanes are called."""
    return {
        TROUBLES: gettext("Crashes"),
        STARTS: gettext("Starts"),
        FIRMWARE: gettext("Firmware"),
        SUPPORT: gettext("Support"),
    }


def timeline(
    device_id: str, span: str, places: Sequence[Place], symptom_word: Callable[[str], str],
    now: datetime,
) -> Lanes:  # fmt: skip
    """Return the timeline of a box over *span*, until the minute of *now*."""
    end = now.replace(second=0, microsecond=0) + timedelta(minutes=1)
    start = end - timedelta(hours=RANGES[span])
    told = _told(device_id, span, start)
    happened = [
        *_began(telemetry.boots_of(device_id, start - (end - start))),
        *_crashes(device_id),
        *_updates(places),
        *_support(device_id, start, symptom_word),
    ]
    spell = words.day if span in OF_HOURS else words.tick
    ticks = chart.ticks(start, end, TICK_STEPS[span], spell, words.midnight)
    gap = GAP_OF_HOURS if span in OF_HOURS else usual_gap(told)
    return lanes(told, happened, NAMES, Axis(start, end, ticks), gap)


def usual_gap(told: Sequence[Told]) -> timedelta:
    """Return from when on silence is a gap: a box that looks once an hour is not gone between."""
    steps = sorted(after.at - before.at for before, after in pairwise(told))
    is_hourly = bool(steps) and steps[len(steps) // 2] > GAP_MIN
    return GAP_OF_HOURS if is_hourly else GAP_MIN


def _told(device_id: str, span: str, start: datetime) -> list[Told]:
    """Return what the box told: hours for long times, messages for short and for the newest."""
    found: list[Told] = []
    if span in OF_HOURS:
        hours = rolling.hours_of(device_id, start)
        found = device_series.of_hours((one.at, one.readings) for one in hours)
        if hours:
            start = max(start, hours[-1].at + timedelta(hours=1))
    return found + device_series.of_samples(telemetry.told_by(device_id, start))


def _began(boots: Sequence[Begun]) -> Iterable[Happened]:
    for before, one in pairwise(boots):
        if one.boot != before.boot:
            yield Happened(STARTS, one.at, "", "warn")
        if one.version != before.version:
            yield Happened(FIRMWARE, one.at, one.version)


def _crashes(device_id: str) -> Iterable[Happened]:
    for event in events.events_of(device_id, EACH_MAX):
        if event.kind == "crash":
            process = str(event.body.get("process_name", ""))
            yield Happened(TROUBLES, event.received_at, process, "bad")


def _updates(places: Sequence[Place]) -> Iterable[Happened]:
    for place in places:
        shown = status.box(place.box.state)
        if not place.is_open and shown.kind in {"warn", "bad"}:
            yield Happened(FIRMWARE, place.box.changed_at, shown.word, shown.kind)


def _support(
    device_id: str, start: datetime, symptom_word: Callable[[str], str]
) -> Iterable[Happened]:
    for complaint in diagnosis.complaints_of(device_id, start, EACH_MAX):
        yield Happened(SUPPORT, complaint.at, symptom_word(complaint.symptom), "wait")
    for order in actions.orders_of(device_id, EACH_MAX):
        action = next((one for one in rules.BY_PEOPLE if one.name == order.action), None)
        if action is not None and action.risk is not Risk.READ:
            title = diagnosis_view.action_title(order.action)
            yield Happened(SUPPORT, order.asked_at, title, "live")
