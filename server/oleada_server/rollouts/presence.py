"""When boxes of a model were on lately, from a sample of them; and the plan replayed on it."""

from collections import defaultdict
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import func, select

from oleada_server.db import db
from oleada_server.devices.models import Device
from oleada_server.rollouts import dryrun, schedule
from oleada_server.rollouts.dryrun import Habit, Plan, Run
from oleada_server.rollouts.preview import Preview
from oleada_server.rollouts.spec import RolloutSpec, seconds
from oleada_server.rollouts.ticks import zone_of
from oleada_server.telemetry.models import HealthSample

SAMPLE_BOXES: Final = 40
DAYS: Final = 7
FAILING: Final = (0.01, 0.05, 1.0)
"""Shares of boxes that break, for which the damage is replayed."""


@dataclass(frozen=True, slots=True)
class Replay:
    """A plan replayed: as hoped, with boxes that break, and with other limits in flight.

    Attributes:
        days: How many days of presence were replayed; 0 where none are known.
        boxes: Of how many boxes.
        damage: By the share of boxes that break.
        widths: By the limit in flight: when it would end.
    """

    days: int
    boxes: int
    good: Run
    damage: dict[float, Run]
    widths: dict[int, datetime | None]


def replayed(spec: RolloutSpec, found: Preview, now: datetime) -> Replay | None:
    """Return how *spec* would go from *now* on, or from its start; None for no boxes."""
    if not found.boxes or not all(wave.boxes for wave in found.waves):
        return None
    habits, days = habits_of(found.hardware_model, now)
    plan, begins_at = plan_of(spec, found), max(now, spec.start_at or now)
    widths = sorted({max(plan.in_flight_max // 2, 1), plan.in_flight_max, plan.in_flight_max * 2})
    return Replay(
        days,
        sum(habit.weight for habit in habits),
        dryrun.replay(plan, habits, begins_at),
        {share: dryrun.replay(plan, habits, begins_at, share) for share in FAILING},
        {width: dryrun.replay(replace(plan, in_flight_max=width), habits, begins_at).ends_at
         for width in widths},
    )  # fmt: skip


def plan_of(spec: RolloutSpec, found: Preview) -> Plan:
    """Return what of *spec* a replay takes."""
    evidence = spec.evidence
    return Plan(
        waves=tuple(
            dryrun.Wave(
                boxes=shown.boxes,
                success_share_min=wave.success_share_min,
                failed_share_max=wave.failed_share_max,
                silent_share_max=wave.silent_share_max,
                sample_min=wave.sample_min,
                soak=seconds(wave.soak_s),
            )
            for wave, shown in zip(spec.waves, found.waves, strict=True)
        ),
        size_bytes=found.size_bytes,
        times=schedule.with_daily(spec.rules.schedule, spec.window),
        in_flight_max=spec.in_flight_max,
        start_boxes=None if evidence is None else evidence.start_boxes,
        rate=spec.rules.rate,
        caps=spec.rules.caps,
        spread_s=spec.spread_s,
        silent_after_s=spec.silent_after_s,
        accepted_share=0.005 if evidence is None else evidence.accepted_share or 0.005,
        alpha=0.01 if evidence is None else evidence.alpha,
        ripe_s=900 if evidence is None else evidence.ripe_after_s or 900,
    )


def habits_of(hardware_model: str, now: datetime) -> tuple[list[Habit], int]:
    """Return when sampled boxes of a model were on in the last days, and how many days those are.

    A box was on in an hour in which it sent its health. One of which nothing was kept is
    taken to be on all day if it was heard on the last day, else never.
    """
    sample = _sample(hardware_model)
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    on: defaultdict[str, set[tuple[int, int]]] = defaultdict(set)
    for device_id, text in db.session.execute(_hours(list(sample), today)):
        day, _, hour = text.partition(" ")
        on[device_id].add((datetime.fromisoformat(day).toordinal(), int(hour)))
    days = sorted({day for hours in on.values() for day, _ in hours})
    lately = now - timedelta(days=1)
    habits = []
    for device_id, (zone, seen_at) in sample.items():
        if device_id in on:
            hours = _as_replayed(on[device_id], days)
        else:
            hours = (seen_at is not None and seen_at >= lately,) * 24
        habits.append(Habit(zone_of(zone), hours))
    return habits, len(days)


def _as_replayed(hours: set[tuple[int, int]], days: list[int]) -> tuple[bool, ...]:
    """Return *hours* in the order in which a replay takes them: by day modulo their number."""
    order = sorted(days, key=lambda day: day % len(days))
    return tuple((day, hour) in hours for day in order for hour in range(24))


def _sample(hardware_model: str) -> dict[str, tuple[str, datetime | None]]:
    """Return some boxes of a model, evenly over their ids: zone, and when last heard."""
    heard = (Device.hardware_model == hardware_model, Device.last_seen_at.is_not(None))
    boxes = db.session.scalar(select(func.count()).select_from(Device).where(*heard)) or 0
    place = (func.row_number().over(order_by=Device.id) - 1).label("place")
    each = select(Device.id, place).where(*heard).subquery()
    is_chosen = each.c.place % max(boxes // SAMPLE_BOXES, 1) == 0
    query = select(each.c.id).where(is_chosen).order_by(each.c.place)
    chosen = db.session.scalars(query.limit(SAMPLE_BOXES)).all()
    rows = db.session.execute(
        select(Device.id, Device.zone, Device.last_seen_at).where(Device.id.in_(chosen))
    )
    found = {row[0]: (row[1], row[2]) for row in rows}
    return found or {"": ("UTC", None)}


def _hours(device_ids: list[str], today: datetime) -> Any:
    """Select (box, ``YYYY-MM-DD HH`` in UTC) of the whole days before *today*."""
    at = HealthSample.received_at
    if db.session.get_bind().dialect.name == "postgresql":
        hour = func.to_char(func.timezone("UTC", at), "YYYY-MM-DD HH24")
    else:
        hour = func.strftime("%Y-%m-%d %H", at)
    return (
        select(HealthSample.device_id, hour)
        .where(
            HealthSample.device_id.in_(device_ids),
            at >= today - timedelta(days=DAYS),
            at < today,
        )
        .distinct()
    )
