"""Gathers the hours of updated boxes and of boxes that wait, hour by hour, as they are over.

An hour is closed a quarter of an hour after its end, in one transaction that also says so
(``evidence_terms.hours_to``): a tick that runs twice finds nothing more to do. Until then what
boxes say late of that hour is counted in it; what comes later is counted as late and left out.

What is read is bounded, however large the rollout is: at most ``WATCHED_MAX`` boxes of each
side, half of the updated ones those that run the release longest, and what those boxes said
in two hours. Who is in the sample does not depend on what became of it.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import Final

from flask import current_app
from sqlalchemy import (
    JSON,
    ColumnElement,
    Integer,
    Select,
    and_,
    case,
    cast,
    func,
    literal,
    or_,
    select,
)
from sqlalchemy.dialects.postgresql import JSONB

from oleada_server.db import db, listed
from oleada_server.devices.models import Device
from oleada_server.rollouts.evidence import hours, judge, looks
from oleada_server.rollouts.evidence.control import Hour
from oleada_server.rollouts.evidence.hours import DARK, BoxHour
from oleada_server.rollouts.evidence.models import EvidenceTerms, HoursBeside, StratumRow
from oleada_server.rollouts.models import BoxInWave, Rollout, Wave
from oleada_server.rollouts.states import BoxState, WaveState
from oleada_server.telemetry import troubles
from oleada_server.telemetry.models import HealthSample, TroubleHour
from oleada_server.telemetry.troubles import FIGURES, Trouble, hour_of

AN_HOUR: Final = timedelta(hours=1)
A_DAY: Final = timedelta(days=1)
LATENESS: Final = timedelta(minutes=15)
"""So long after its end an hour is closed, so that what was on its way is in it."""
HOURS_MAX: Final = 60 * 24
"""No rollout is watched for longer than two months: its hours are read at every look."""
WATCHED_MAX: Final = 2000
DRAWN: Final = 2 * WATCHED_MAX
"""So many waiting boxes are looked at where more wait: some are not heard."""
HABIT_DAYS: Final = 7
HABITS_MAX: Final = 1000
"""More than so many do not fall silent in one hour by habit alone: nobody's is asked then."""
KINDS: Final = (*Trouble, DARK)
FIGURE_OF: Final = {
    one.trouble: one.name for one in FIGURES if one.trouble not in (Trouble.CRASH, Trouble.RESTART)
}
"""What a box has to report, lest its silence about a figure is taken for a good hour."""


@dataclass(frozen=True, slots=True)
class _Side:
    """One box of the sample: what it ran before, and where it stands."""

    stratum: int
    region: str | None
    is_updated: bool


def is_due(terms: EvidenceTerms, rollout: Rollout, now: datetime) -> bool:
    """Return whether :func:`gather` would write something."""
    if rollout.started_at is None or terms.watches_hours is False:
        return False
    return terms.hours_to is None or terms.hours_to + AN_HOUR + LATENESS <= now


def gather(terms: EvidenceTerms, rollout: Rollout, now: datetime) -> None:
    """Close the next hour if it is over; part of the caller's transaction."""
    if not is_due(terms, rollout, now):
        return
    if terms.hours_to is None:
        _begin(terms, rollout, now)
        return
    db.session.flush()
    db.session.refresh(terms, with_for_update=True)
    if not is_due(terms, rollout, now):  # somebody else has closed it meanwhile
        return
    first, hour = rollout.started_at, terms.hours_to
    if first is not None and hour - first > HOURS_MAX * AN_HOUR:
        terms.hours_to = _newest(now)
        return
    sample = _updated(rollout, hour + AN_HOUR)
    if not sample:  # nobody to compare: nor was there in the hours until now
        terms.hours_to = _newest(now)
        return
    sample |= _waiting(rollout, hour)
    boxes = _boxes(sample, hour, since=(first or hour) - A_DAY)
    troubles.record_silence(_missed(boxes), hour, heard_at=hour + AN_HOUR)
    for one in hours.count(boxes.values(), KINDS):
        db.session.add(
            HoursBeside(
                rollout_id=rollout.id,
                at=hour,
                stratum_id=one.stratum,
                kind=one.hour.kind,
                updated=one.hour.updated,
                updated_bad=one.hour.updated_bad,
                control=one.hour.control,
                control_bad=one.hour.control_bad,
                late=one.late,
            )
        )
    terms.hours_to = hour + AN_HOUR
    db.session.flush()


def known(terms: EvidenceTerms) -> tuple[Hour, ...] | None:
    """Return the hours so far, by time; None where nobody watches.

    Each kind has one hour without boxes, so that their number never changes: what decides is
    a mean over kinds. Hours that are closed never change, so a process reads each once.
    """
    if not terms.watches_hours or terms.hours_to is None:
        return None
    held: dict[int, tuple[datetime, tuple[Hour, ...]]] = current_app.extensions.setdefault(
        "oleada_hours", {}
    )
    kept = held.get(terms.rollout_id)
    if kept is None or kept[0] != terms.hours_to:
        kept = held[terms.rollout_id] = terms.hours_to, _read(terms.rollout_id, terms.hours_to)
    return kept[1]


def late(rollout_id: int) -> int:
    """Return how many troubles were heard of too late to count."""
    query = select(func.sum(HoursBeside.late)).where(HoursBeside.rollout_id == rollout_id)
    return int(db.session.scalar(query) or 0)


def _read(rollout_id: int, until: datetime) -> tuple[Hour, ...]:
    query = (
        select(
            HoursBeside.updated, HoursBeside.updated_bad, HoursBeside.control,
            HoursBeside.control_bad, HoursBeside.kind,
        )
        .where(HoursBeside.rollout_id == rollout_id, HoursBeside.at < until)
        .order_by(HoursBeside.at, HoursBeside.stratum_id, HoursBeside.kind)
    )  # fmt: skip
    empty = (Hour(0, 0, 0, 0, str(kind)) for kind in KINDS)
    return (*empty, *(Hour(*row) for row in db.session.execute(query)))


def _begin(terms: EvidenceTerms, rollout: Rollout, now: datetime) -> None:
    """Begin with the hour in which the rollout began; decide whether anybody will wait beside.

    By the number of boxes alone, before any of them has said anything: what is watched shares
    the chance of a false halt, so it must not depend on what was seen.
    """
    if terms.watches_hours is None:
        later = sum(wave.boxes for wave in rollout.waves[1:])
        terms.watches_hours = later >= judge.CONTROL_MIN
    terms.hours_to = hour_of(rollout.started_at or now)


def _newest(now: datetime) -> datetime:
    """Return the end of the newest hour that is over for good."""
    return hour_of(now - LATENESS)


# -- who is compared -------------------------------------------------------------------


def _updated(rollout: Rollout, end: datetime) -> dict[str, _Side]:
    """Return boxes that ran the release before *end*: those that do so longest, and newest."""
    query = select(BoxInWave.id).where(
        BoxInWave.rollout_id == rollout.id,
        BoxInWave.ended_at.is_not(None),
        BoxInWave.state == BoxState.UPDATED,
        func.coalesce(BoxInWave.armed_at, BoxInWave.ended_at) < end,
    )
    ids: dict[int, None] = {}
    for order in (BoxInWave.ended_at.asc(), BoxInWave.ended_at.desc()):
        ids |= dict.fromkeys(db.session.scalars(query.order_by(order).limit(WATCHED_MAX // 2)))
    return _sides(ids, Device.id.is_not(None), is_updated=True)


def _waiting(rollout: Rollout, hour: datetime) -> dict[str, _Side]:
    """Return boxes that were heard since *hour* began and have never been let begin.

    Of waves that have not opened, as long as there are enough: who waits in an open one may
    wait because it is in trouble.
    """
    closed = [wave for wave in rollout.waves if wave.state == WaveState.WAITING]
    opened = [wave for wave in rollout.waves if wave.state not in
              (WaveState.WAITING, WaveState.HALTED)]  # fmt: skip
    was_heard = Device.last_seen_at >= hour - AN_HOUR
    found: dict[str, _Side] = {}
    for waves in (closed, opened):
        if waves and len(found) < judge.CONTROL_MIN:
            found |= _sides(_ids_of_waiting(rollout, waves, hour), was_heard, is_updated=False)
    every = -(-len(found) // WATCHED_MAX) or 1
    return {one: found[one] for one in list(found)[::every]}


def _ids_of_waiting(rollout: Rollout, waves: Sequence[Wave], hour: datetime) -> Sequence[int]:
    """Return the numbers of boxes of *waves* that were never let begin; some of many.

    Drawn by the salt of the rollout and the hour, as anybody can again; at even distances a
    fleet that was enrolled region by region would show one region in five.
    """
    ids = [wave.id for wave in waves]
    query = select(BoxInWave.id).where(
        BoxInWave.wave_id.in_(ids),
        BoxInWave.state.in_((BoxState.QUEUED, BoxState.ASSIGNED)),
        BoxInWave.counted.is_(None),
    )
    if sum(wave.boxes for wave in waves) > DRAWN:
        rows = looks.numbers(ids)
        dice = Random(f"{rollout.salt} {hour.isoformat()}")  # noqa: S311 - a sample, no secret
        query = query.where(BoxInWave.id.in_(_listed(dice.sample(rows, min(DRAWN, len(rows))))))
    return db.session.scalars(query.order_by(BoxInWave.id).limit(DRAWN)).all()


def _listed(numbers: Sequence[int]) -> Select[int]:
    """Return *numbers* as a SELECT for ``in_``, which lets no planner read a whole table."""
    if db.session.get_bind().dialect.name == "postgresql":
        return select(cast(func.jsonb_array_elements_text(literal(list(numbers), JSONB)), Integer))
    return select(func.json_each(literal(list(numbers), JSON)).table_valued("value").c.value)


def _sides(ids: Iterable[int], which: ColumnElement[bool], *, is_updated: bool) -> dict[str, _Side]:
    """Return device, stratum and region of boxes by the numbers of their rows.

    No halted strata.
    """
    query = (
        select(BoxInWave.device_id, StratumRow.id, Device.region)
        .join(Device, Device.id == BoxInWave.device_id)
        .join(
            StratumRow,
            and_(
                StratumRow.rollout_id == BoxInWave.rollout_id,
                StratumRow.version == func.coalesce(BoxInWave.version_before, ""),
            ),
        )
        .where(BoxInWave.id.in_(_listed(list(ids))), StratumRow.halted_at.is_(None), which)
        .order_by(BoxInWave.id)
    )
    return {row[0]: _Side(row[1], row[2], is_updated) for row in db.session.execute(query)}


# -- what became of them ---------------------------------------------------------------


def _boxes(sample: Mapping[str, _Side], hour: datetime, *, since: datetime) -> dict[str, BoxHour]:
    """Return what each box of *sample* was in the hour that began at *hour*.

    Who had a trouble *since* then is not heard of it again.
    """
    spoke = _spoke(sample, hour)
    gone = [one for one in sample if spoke.get(one, (0, 0))[0] >= hours.OFTEN and not spoke[one][1]]
    habits = _usually_dark(gone, hour)
    known = _troubles(sample, hour)
    lately = _lately(sample, since, hour)
    mute = _mute(sample)
    found = {}
    for device_id, side in sample.items():
        before, here = spoke.get(device_id, (0, 0))
        mine = known.get(device_id, _NO_TROUBLES)
        found[device_id] = BoxHour(
            stratum=side.stratum,
            region=side.region,
            is_updated=side.is_updated,
            spoke_before=before,
            spoke=here > 0,
            is_habit=device_id in habits,
            troubles=frozenset(mine.here),
            lately=frozenset(lately.get(device_id, ())),
            mute_of=mute.get(device_id, frozenset(FIGURE_OF)),
            late=tuple(mine.late),
        )
    return found


def _missed(boxes: Mapping[str, BoxHour]) -> list[str]:
    """Return which of *boxes* fell silent; none where nobody at all was heard."""
    if not any(box.spoke for box in boxes.values()):
        return []
    return [one for one, box in boxes.items() if box.is_watched(DARK) and box.is_bad(DARK)]


@dataclass(slots=True)
class _Troubles:
    here: set[str]
    late: list[str]


_NO_TROUBLES: Final = _Troubles(set(), [])


def _spoke(device_ids: Iterable[str], hour: datetime) -> dict[str, tuple[int, int]]:
    """Return how often each box spoke in the hour before, and in this one.

    A sample that it wrote in this hour counts in it also if it came before the hour was closed.
    """
    at, end = HealthSample.received_at, hour + AN_HOUR
    here = or_(
        and_(at >= hour, at < end), and_(HealthSample.box_at >= hour, HealthSample.box_at < end)
    )
    query = (
        select(
            HealthSample.device_id,
            func.sum(case((at < hour, 1), else_=0)),
            func.sum(case((here, 1), else_=0)),
        )
        .where(
            HealthSample.device_id.in_(listed(device_ids)),
            at >= hour - AN_HOUR,
            at < end + LATENESS,
        )
        .group_by(HealthSample.device_id)
    )
    return {row[0]: (int(row[1]), int(row[2])) for row in db.session.execute(query)}


def _usually_dark(device_ids: Sequence[str], hour: datetime) -> set[str]:
    """Return those of *device_ids* that fall silent at this time of the day on most days.

    Of the days of the last week on which a box spoke in the hour before; who has none such
    has no habit. Empty where they are too many to ask.
    """
    if not 0 < len(device_ids) <= HABITS_MAX:
        return set()
    spoke: defaultdict[str, int] = defaultdict(int)
    fell: defaultdict[str, int] = defaultdict(int)
    for days in range(1, HABIT_DAYS + 1):
        for device_id, (before, here) in _spoke(device_ids, hour - days * A_DAY).items():
            spoke[device_id] += before > 0
            fell[device_id] += before > 0 and not here
    return {one for one in device_ids if spoke[one] and 2 * fell[one] >= spoke[one]}


def _troubles(device_ids: Iterable[str], hour: datetime) -> dict[str, _Troubles]:
    """Return what went wrong in the hour, and what was heard too late."""
    at, heard_at = TroubleHour.at, TroubleHour.heard_at
    closed, closes = hour + LATENESS, hour + AN_HOUR + LATENESS
    query = select(TroubleHour.device_id, TroubleHour.kind, at, heard_at).where(
        TroubleHour.device_id.in_(listed(device_ids)),
        or_(at == hour, heard_at >= closed),
        heard_at < closes,
    )
    found: defaultdict[str, _Troubles] = defaultdict(lambda: _Troubles(set(), []))
    for device_id, kind, began, heard in db.session.execute(query):
        mine = found[device_id]
        if began == hour:
            mine.here.add(kind)
        if began < hour and heard >= closed:
            mine.late.append(kind)
    return found


def _lately(
    device_ids: Iterable[str], since: datetime, hour: datetime
) -> Mapping[str, Iterable[str]]:
    """Return what went wrong from *since* until *hour* began, as it was known when that closed."""
    query = select(TroubleHour.device_id, TroubleHour.kind).where(
        TroubleHour.device_id.in_(listed(device_ids)),
        TroubleHour.at >= since,
        TroubleHour.at < hour,
        TroubleHour.heard_at < hour + AN_HOUR + LATENESS,
    )
    found: defaultdict[str, set[str]] = defaultdict(set)
    for device_id, kind in db.session.execute(query.distinct()):
        found[device_id].add(kind)
    return found


def _mute(device_ids: Iterable[str]) -> dict[str, frozenset[str]]:
    """Return the kinds of which each box reports no figure, by its newest health."""
    kinds = list(FIGURE_OF)
    query = select(
        Device.id, *(Device.health[FIGURE_OF[kind]].as_string().is_(None) for kind in kinds)
    ).where(Device.id.in_(listed(device_ids)))
    return {
        row[0]: frozenset(kind for kind, none in zip(kinds, row[1:], strict=True) if none)
        for row in db.session.execute(query)
    }
