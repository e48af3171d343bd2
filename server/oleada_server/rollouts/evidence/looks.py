"""Looks at the boxes beside: who of those that still wait goes dark for ordinary reasons?

A look lasts as long as a trial takes to count, and the next begins when it ends. It takes
boxes of the rollout that were heard lately and whose wave has not opened, and sees how many
say nothing any more, at its end or at any moment before. Boxes that speak too seldom for
that are not looked at. While the server itself was away, or heard nobody, no look counts,
and the silence of that time is nobody's.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import ScalarSelect, exists, func, or_, select, update
from sqlalchemy.orm import aliased

from oleada_server.db import chunks, db
from oleada_server.devices.models import Device
from oleada_server.rollouts.evidence import counts, judge
from oleada_server.rollouts.evidence.counts import Counted, Look
from oleada_server.rollouts.evidence.models import ControlLook, EvidenceTerms
from oleada_server.rollouts.models import BoxInWave, Wave
from oleada_server.rollouts.states import PENDING, BoxState, WaveState
from oleada_server.system.models import ProcessBeat
from oleada_server.telemetry.models import HealthSample

WATCHED_MAX: Final = 2500
POINTS: Final = 4 * WATCHED_MAX
"""So many rows are looked at where more wait: some are at work, and some are not heard."""
AWAY: Final = timedelta(minutes=2)
"""Nobody looked for so long: the server was away, and what it missed is nobody's silence."""
HEARD_WITHIN: Final = timedelta(minutes=1)
QUIET: Final = timedelta(minutes=7)
"""Boxes say how they are every five minutes, give or take a tenth (``health_s``): who says
nothing for so long is dark. Silence in a trial counts so much later, lest a region that goes
dark is seen in trials before it is seen beside them."""
SPOKEN_FOR: Final = timedelta(minutes=30)
SAMPLED_BOXES: Final = 40
"""So many of the boxes beside tell whether they speak often enough to be missed."""
NOTE_EVERY: Final = timedelta(seconds=30)
WORKER: Final = "worker"


def hears(now: datetime) -> bool:
    """Return whether some worker can hear boxes; also if none has ever said how it is."""
    query = select(ProcessBeat).where(ProcessBeat.role == WORKER)
    workers = db.session.scalars(query).all()
    return not workers or any(
        beat.facts.get("broker") is not False and now - beat.heard_at <= HEARD_WITHIN
        for beat in workers
    )


def is_due(terms: EvidenceTerms, now: datetime) -> bool:
    """Return whether :func:`look` would write something."""
    current_look = _open(terms.rollout_id)
    if terms.looked_at is not None and now - terms.looked_at <= NOTE_EVERY:
        return current_look is not None and current_look.ends_at <= now
    return current_look is not None or _is_at_work(terms.rollout_id)


def look(terms: EvidenceTerms, now: datetime) -> bool:
    """Close the look that ends and begin the next; return whether silence may be counted now.

    A look goes on to its end though nobody is at work any more: those that were are compared
    with it. Part of the caller's transaction.
    """
    current_look, is_needed = _open(terms.rollout_id), _is_at_work(terms.rollout_id)
    if current_look is None and not is_needed:
        return True
    if not hears(now):
        return False
    was_away = terms.looked_at is not None and now - terms.looked_at > AWAY
    if was_away:
        _forgive(terms, now)
    if current_look is not None and not was_away and now < current_look.ends_at:
        if terms.looked_at is not None and now - terms.looked_at <= NOTE_EVERY:
            return True
        _count_dark(current_look, now)
    else:
        if current_look is not None:
            _close(current_look, now, is_void=was_away)
        if is_needed:
            _begin(terms, now)
    terms.looked_at = now
    db.session.flush()
    return True


def current() -> ScalarSelect[int]:
    """Select for a box the look that goes on, if boxes were watched ever since its trial began.

    A look begins with boxes that are heard: of a region that was dark before there is none
    among them. So a trial that is older than the looks before, one after the other without a
    gap, has nothing to be compared with. A trial and the silence after it last less than two.
    """
    before, first = aliased(ControlLook), aliased(ControlLook)
    armed_at = BoxInWave.armed_at
    began_first = exists().where(
        first.rollout_id == before.rollout_id, first.closed_at == before.began_at,
        first.dark.is_not(None), first.began_at <= armed_at,
    )  # fmt: skip
    began_before = exists().where(
        before.rollout_id == ControlLook.rollout_id, before.closed_at == ControlLook.began_at,
        before.dark.is_not(None), or_(before.began_at <= armed_at, began_first),
    )  # fmt: skip
    watched = or_(armed_at.is_(None), ControlLook.began_at <= armed_at, began_before)
    return (
        select(func.max(ControlLook.id))
        .where(ControlLook.rollout_id == BoxInWave.rollout_id, ControlLook.closed_at.is_(None))
        .where(watched)
        .correlate(BoxInWave)
        .scalar_subquery()
    )


def darkness(rollout_id: int, accepted_share: float) -> Mapping[int, tuple[float, float]]:
    """Return the most and the least that goes dark anyway, by look; void ones are left out."""
    query = select(ControlLook).where(ControlLook.rollout_id == rollout_id)
    return counts.darkness(
        (
            Look(one.id, one.boxes, one.dark, one.closed_at is not None)
            for one in db.session.scalars(query.order_by(ControlLook.id))
        ),
        accepted_share,
    )


def _open(rollout_id: int) -> ControlLook | None:
    query = select(ControlLook).where(
        ControlLook.rollout_id == rollout_id, ControlLook.closed_at.is_(None)
    )
    return db.session.scalars(query.order_by(ControlLook.id.desc()).limit(1)).one_or_none()


def _is_at_work(rollout_id: int) -> bool:
    query = select(BoxInWave.id).where(
        BoxInWave.rollout_id == rollout_id, BoxInWave.counted == Counted.OPEN
    )
    return db.session.scalar(query.limit(1)) is not None


def _begin(terms: EvidenceTerms, now: datetime) -> None:
    watched = _waiting(terms.rollout_id, now)
    if len(watched) < judge.CONTROL_MIN or not _speak_often(watched[:SAMPLED_BOXES], now):
        return
    db.session.add(
        ControlLook(
            rollout_id=terms.rollout_id,
            began_at=now,
            ends_at=now + timedelta(seconds=terms.ripe_after_s),
            boxes=len(watched),
            dark=0,
            watched=list(watched),
        )
    )


def _close(current: ControlLook, now: datetime, *, is_void: bool) -> None:
    if is_void:
        current.dark = None
    else:
        _count_dark(current, now)
    current.closed_at, current.watched = now, None


def _count_dark(current: ControlLook, now: datetime) -> None:
    """Note how many are dark; whoever was for a while, and is heard again, was dark in the look.

    A trial that a region spent without its lines is over when they are back.
    """
    still, dark = _still_waiting(current.rollout_id, current.watched or (), now)
    most = min(max(dark, current.dark or 0), still)
    current.boxes, current.dark = still, most if still >= judge.CONTROL_MIN else None


def _waiting(rollout_id: int, now: datetime) -> Sequence[str]:
    """Return boxes that were heard lately and whose wave has not opened; at most a sample."""
    query = select(Wave.id, Wave.boxes).where(
        Wave.rollout_id == rollout_id, Wave.state == WaveState.WAITING
    )
    waves = {row[0]: row[1] for row in db.session.execute(query)}
    heard = (
        select(BoxInWave.device_id)
        .join(Device, Device.id == BoxInWave.device_id)
        .where(
            BoxInWave.wave_id.in_(waves),
            BoxInWave.counted.is_(None),
            Device.last_seen_at >= now - QUIET,
        )
        .order_by(BoxInWave.id)
    )
    found: Sequence[str] = ()
    if sum(waves.values()) > POINTS:
        found = db.session.scalars(heard.where(BoxInWave.id.in_(spread(list(waves))))).all()
    if len(found) < judge.CONTROL_MIN:
        found = db.session.scalars(heard.limit(POINTS)).all()
    return found[:: -(-len(found) // WATCHED_MAX) or 1]


def spread(wave_ids: Sequence[int]) -> list[int]:
    """Return numbers of rows, evenly apart, among which those of large waves surely are.

    To count a million boxes, only to take each four hundredth, would take a tick its second.
    """
    rows = numbers(wave_ids)
    return list(rows[:: max(len(rows) // POINTS, 1)])


def numbers(wave_ids: Sequence[int]) -> range:
    """Return the numbers from the first to the last row of waves that are queued; maybe none."""
    ends: list[int] = []
    for wave_id in wave_ids:
        query = select(func.min(BoxInWave.id), func.max(BoxInWave.id)).where(
            BoxInWave.wave_id == wave_id, BoxInWave.state == BoxState.QUEUED
        )
        ends += [one for one in db.session.execute(query).one() if one is not None]
    return range(min(ends), max(ends) + 1) if ends else range(0)


def _speak_often(device_ids: Sequence[str], now: datetime) -> bool:
    """Return whether boxes said so often lately how they are that silence would be noticed."""
    query = select(func.count()).select_from(HealthSample)
    lately = HealthSample.received_at.between(now - SPOKEN_FOR, now)
    said = db.session.scalar(query.where(HealthSample.device_id.in_(device_ids), lately)) or 0
    return said * QUIET >= len(device_ids) * SPOKEN_FOR


def _still_waiting(rollout_id: int, watched: Sequence[str], now: datetime) -> tuple[int, int]:
    """Return how many of *watched* have not begun, and how many of those say nothing any more."""
    is_heard = Device.last_seen_at >= now - QUIET
    still = dark = 0
    for chunk in chunks(watched):
        query = (
            select(is_heard, func.count())
            .join(BoxInWave, BoxInWave.device_id == Device.id)
            .where(BoxInWave.rollout_id == rollout_id, BoxInWave.counted.is_(None))
            .where(Device.id.in_(chunk))
            .group_by(is_heard)
        )
        for heard, boxes in db.session.execute(query):
            still += boxes
            dark += 0 if heard else boxes
    return still, dark


def _forgive(terms: EvidenceTerms, now: datetime) -> None:
    """Let the silence of every trial count from *now*.

    Also of those whom the plan's patience has given up before their trial was old enough.
    """
    ripe_after = timedelta(seconds=terms.ripe_after_s)
    mine = update(BoxInWave).where(
        BoxInWave.rollout_id == terms.rollout_id, BoxInWave.armed_at.is_not(None)
    )
    waits = mine.where(BoxInWave.state.in_(PENDING)).values(deadline_at=now + ripe_after + QUIET)
    given_up = mine.where(
        BoxInWave.state == BoxState.SILENT, BoxInWave.counted == Counted.OPEN
    ).values(ripe_at=now + ripe_after)
    for statement in (waits, given_up):
        db.session.execute(statement, execution_options={"synchronize_session": False})
