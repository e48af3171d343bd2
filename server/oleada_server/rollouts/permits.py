"""What the rules of a plan say to a box that asks for a lease, beside the planner's own limits.

Reads rows and calls the pure rules. Rules that can not be read permit nothing: boxes wait,
and the tick halts the rollout and names what is wrong.
"""

from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from oleada_wire.words import LeasePhase, Reason
from sqlalchemy import func, select

from oleada_server.db import db
from oleada_server.devices.models import Device
from oleada_server.rollouts import pace, rules, schedule
from oleada_server.rollouts.authorise import window_of
from oleada_server.rollouts.models import BoxInWave, Rollout
from oleada_server.rollouts.pace import Rate, Traffic
from oleada_server.rollouts.plan import ImpossibleFactsError
from oleada_server.rollouts.plan_box import RETRY_AFTER_S_MAX, RETRY_AFTER_S_MIN, NotNow
from oleada_server.rollouts.rules import Rules
from oleada_server.rollouts.schedule import Schedule
from oleada_server.rollouts.states import IN_FLIGHT, BoxState

MINUTE: Final = timedelta(minutes=1)
LOADING: Final = (BoxState.LEASED, BoxState.DOWNLOADING)
RATE_RETRY_S: Final = 30
NO_TRAFFIC: Final = Traffic()


def times_of(rollout: Rollout) -> Schedule:
    """Return when boxes of *rollout* may begin: its windows, the daily one, its blackouts.

    Raises:
        ImpossibleFactsError: The rules can not be read.
    """
    return schedule.with_daily(rules.read(rollout.rules).schedule, window_of(rollout))


def is_readable(rollout: Rollout) -> bool:
    """Return whether it is known when boxes of *rollout* may begin; else none may."""
    try:
        times_of(rollout)
    except ImpossibleFactsError:
        return False
    return True


def opens_at(rollout: Rollout, zone: ZoneInfo, now: datetime) -> datetime:
    """Return when a box in *zone* may begin from *now* on; far ahead if never."""
    far = now + timedelta(days=schedule.HORIZON_DAYS)
    try:
        return schedule.next_opening(times_of(rollout), zone, now) or far
    except ImpossibleFactsError:
        return far


def retry_for(rollout: Rollout) -> frozenset[Reason]:
    """Return the reasons after which a box is assigned again by itself; none if unreadable."""
    try:
        return rules.read(rollout.rules).retry_for
    except ImpossibleFactsError:
        return frozenset()


def back_from(rollout: Rollout) -> str | None:
    """Return the newer version whose boxes the plan takes back; None if unreadable."""
    try:
        return rules.read(rollout.rules).back_from
    except ImpossibleFactsError:
        return None


def refusal(
    rollout: Rollout, box: BoxInWave, phase: LeasePhase, zone: ZoneInfo, now: datetime
) -> NotNow | None:
    """Return why the rules keep *box* from beginning or arming at *now*; None if they do not.

    A box that is at work already and asks again is not counted a second time.
    """
    try:
        found, times = rules.read(rollout.rules), times_of(rollout)
    except ImpossibleFactsError:
        return NotNow("paused", RETRY_AFTER_S_MAX)
    if not schedule.is_open(times, zone, now):
        wait_s = int((opens_at(rollout, zone, now) - now).total_seconds())
        return NotNow("window", max(RETRY_AFTER_S_MIN, min(wait_s, RETRY_AFTER_S_MAX)))
    if phase is not LeasePhase.START or box.state in IN_FLIGHT:
        return None
    if pace.met(found.rate, found.caps, traffic(rollout.id, box, found, now)):
        return NotNow("full", RATE_RETRY_S)
    return None


def traffic(rollout_id: int, box: BoxInWave, found: Rules, now: datetime) -> Traffic:
    """Return what the other boxes do, as far as *found* limits it."""
    begun = notified = succeeded = 0
    if found.rate is not None:
        begun, notified, succeeded = _progress(rollout_id, found.rate, now)
    at_work = _at_work(rollout_id, box, now) if found.caps != pace.NO_CAPS else {}
    return Traffic(
        begun=begun,
        notified=notified,
        succeeded=succeeded,
        in_flight_region=sum(n for (_, here), n in at_work.items() if here),
        loading=sum(n for (loads, _), n in at_work.items() if loads),
        loading_region=sum(n for (loads, here), n in at_work.items() if loads and here),
    )


def _progress(rollout_id: int, rate: Rate, now: datetime) -> tuple[int, int, int]:
    """Return how many began in the last minute, were ever assigned, and are updated."""
    mine = BoxInWave.rollout_id == rollout_id
    begun = _count(mine, BoxInWave.leased_at > now - MINUTE)
    if isinstance(rate, pace.Constant):
        return begun, 0, 0
    if rate.on is pace.GrowsOn.NOTIFIED:
        return begun, _count(mine, BoxInWave.attempt >= 1), 0
    return begun, 0, _count(mine, BoxInWave.state == BoxState.UPDATED)


def _count(*conditions: object) -> int:
    query = select(func.count()).select_from(BoxInWave).where(*conditions)  # type: ignore[arg-type] # columns
    return db.session.scalar(query) or 0


def _at_work(rollout_id: int, box: BoxInWave, now: datetime) -> dict[tuple[bool, bool], int]:
    """Return how many other boxes at work there are by (still loads, is in the box's region)."""
    region = db.session.scalar(select(Device.region).where(Device.id == box.device_id))
    query = (
        select(BoxInWave.state, Device.region, func.count())
        .join(Device, Device.id == BoxInWave.device_id)
        .where(
            BoxInWave.rollout_id == rollout_id,
            BoxInWave.id != box.id,
            BoxInWave.state.in_(IN_FLIGHT),
            BoxInWave.lease_expires_at > now,
        )
        .group_by(BoxInWave.state, Device.region)
    )
    found: dict[tuple[bool, bool], int] = {}
    for state, where, boxes in db.session.execute(query):
        key = (BoxState(state) in LOADING, where == region)
        found[key] = found.get(key, 0) + boxes
    return found
