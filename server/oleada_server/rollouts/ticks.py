"""The tick of the scheduler: what time alone makes due. May run twice, late, or in two places.

Each step takes at most ``CHUNK_BOXES`` boxes in a transaction of its own, skips rows
that somebody else is at, and leaves the rest to the next round; what is done is seen in
the rows, so a step that runs again finds nothing to do. One round takes ``CHUNKS_A_TICK``
of each step at most: a wave of a million boxes must not keep a halt waiting.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from oleada_wire.words import Reason
from sqlalchemy import ColumnElement, Row, and_, case, literal, or_, select, update

from oleada_server.db import chunks, db, read_only
from oleada_server.devices.models import Device
from oleada_server.devices.sequences import raise_assignment_seqs
from oleada_server.messaging.leader import LeaseLostError
from oleada_server.rollouts import (
    authorise,
    due,
    elsewhere,
    newer,
    permits,
    plan,
    plan_box,
    proofs,
    rows,
    signatures,
)  # fmt: skip
from oleada_server.rollouts.advance import advance, next_decision
from oleada_server.rollouts.authorise import Addressee
from oleada_server.rollouts.evidence import folding, rounds, trials
from oleada_server.rollouts.evidence.models import EvidenceTerms
from oleada_server.rollouts.models import BoxInWave, Rollout, Wave
from oleada_server.rollouts.spec import seconds
from oleada_server.rollouts.states import OPEN_ROLLOUTS, BoxState, RolloutState

CHUNK_BOXES: Final = 250
CHUNKS_A_TICK: Final = 6

Step = Callable[[int, datetime], int]
"""Takes one chunk of a rollout; returns how many boxes it changed."""


def tick(now: datetime) -> None:
    """Do what is due at *now*, rollout by rollout.

    A rollout whose step crashes does not keep the others waiting.

    Raises:
        LeaseLostError: Another process leads now.
        ExceptionGroup: What crashed, after every rollout has had its turn.
    """
    read_only()
    active = list(db.session.scalars(_active()))
    crashed: list[Exception] = []
    for rollout_id in active:
        try:
            if _has_work(rollout_id, now):
                step(rollout_id, now)
        except LeaseLostError:
            raise
        except Exception as error:
            crashed.append(error)
        finally:
            db.session.rollback()
    if crashed:
        raise ExceptionGroup("rollouts that could not be ticked", crashed)


def step(rollout_id: int, now: datetime) -> None:
    """Do what is due of one rollout; ends the session's transaction."""
    folding.fold(rollout_id)
    may_count = rounds.look(rows.loaded(rollout_id), now)
    # Good news counts once all silence of the moment does: a gate must not see half of it.
    if not may_count:
        _drain(ripen_heard, rollout_id, now)
    elif _drain(silence, rollout_id, now):
        _drain(ripen, rollout_id, now)
    db.session.rollback()
    rollout = rows.locked(rollout_id)
    advance(rollout, now)
    rounds.set_room(rollout)
    _renew_waves(rollout, now)
    db.session.commit()
    rounds.settle(rows.loaded(rollout_id), now)
    for part in (assign, renew, clear):
        _drain(part, rollout_id, now)


def silence(rollout_id: int, now: datetime) -> int:
    """Count boxes as silent that have let their deadline pass."""
    ids = _take(due.silent, due.is_silent(now), rollout_id, now)
    trials.record_silence(ids, now)
    for chunk in chunks(ids):
        _set(
            chunk,
            now,
            state=BoxState.SILENT,
            reason=None,
            detail=literal("last state: ") + BoxInWave.state,
            deadline_at=None,
            lease_expires_at=None,
            ended_at=now,
        )
    return _committed(len(ids), rollout_id, now)


def ripen(rollout_id: int, now: datetime) -> int:
    """Count boxes whose trial is old enough: updated ones as proof, dark ones as silent."""
    trials.record_ripe(ids := _take(due.ripe, trials.is_ripe(now), rollout_id, now), now)
    return _committed(len(ids), rollout_id, now)


def ripen_heard(rollout_id: int, now: datetime) -> int:
    """Do the same of those that have said how it ended, while the server can hear nobody."""
    is_heard = and_(trials.is_ripe(now), BoxInWave.state != BoxState.SILENT)
    trials.record_ripe(ids := _take(due.ripe, is_heard, rollout_id, now), now)
    return _committed(len(ids), rollout_id, now)


def assign(rollout_id: int, now: datetime) -> int:
    """Queue assignments for boxes that wait for one in waves that are open."""
    query = select(BoxInWave.id, BoxInWave.device_id, BoxInWave.wave_id, BoxInWave.attempt).where(
        due.is_queued()
    )
    found = _rows(query, due.queued, rollout_id, now)
    if not found:
        return _committed(0, rollout_id, now)
    rollout, taken = rows.loaded(rollout_id), len(found)
    found = newer.leave_out(rollout, found, now)
    proved = _proofs(found)
    addressees = [
        Addressee(
            row.id, row.device_id, row.wave_id, row.attempt + 1, proved.get(row.device_id, ())
        )
        for row in found
    ]
    expires_at = authorise.queue_assignments(rollout, addressees, now)
    for zone, ids in _by_zone(found).items():
        for chunk in chunks(ids):
            _set(
                chunk,
                now,
                state=BoxState.ASSIGNED,
                attempt=BoxInWave.attempt + 1,
                step=0,
                reason=None,
                detail=None,
                done_bytes=0,
                assigned_at=now,
                assignment_expires_at=expires_at,
                leased_at=None,
                lease_expires_at=None,
                deadline_at=deadline(rollout, zone, now),
                ended_at=None,
                counted=None,
                armed_at=None,
                ripe_at=None,
            )
    return _committed(taken, rollout_id, now)


def renew(rollout_id: int, now: datetime) -> int:
    """Issue assignments again that would run out before their box has an outcome."""
    query = select(BoxInWave.id, BoxInWave.device_id, BoxInWave.wave_id, BoxInWave.attempt).where(
        due.is_running_out(now)
    )
    found = _rows(query, due.running_out, rollout_id, now)
    if found:
        queue_again(rollout_id, found, now)
    return _committed(len(found), rollout_id, now)


def queue_again(rollout_id: int, found: Sequence[Any], now: datetime) -> None:
    """Queue the assignments of rows (id, device_id, wave_id, attempt) as they stand.

    Boxes that run something newer by now are left out.
    """
    rollout = rows.loaded(rollout_id)
    found = newer.leave_out(rollout, found, now)
    proved = _proofs(found)
    addressees = [
        Addressee(row.id, row.device_id, row.wave_id, row.attempt, proved.get(row.device_id, ()))
        for row in found
    ]
    expires_at = authorise.queue_assignments(rollout, addressees, now)
    for chunk in chunks(row.id for row in found):
        _set(chunk, now, assignment_expires_at=expires_at)


def clear(rollout_id: int, now: datetime) -> int:
    """Take assignments back from boxes that have their verdict, or whose rollout has ended."""
    query = select(BoxInWave.id, BoxInWave.device_id).where(due.is_over())
    found = _rows(query, due.over, rollout_id, now)
    if not found:
        return _committed(0, rollout_id, now)
    # Raising the numbers locks the devices: from here on no other rollout can assign one
    # unseen, and a box that another rollout has taken over must not lose its assignment.
    raise_assignment_seqs(row.device_id for row in found)
    taken_over = elsewhere.assigned(rollout_id, [row.device_id for row in found])
    authorise.queue_clearings((r.device_id for r in found if r.device_id not in taken_over), now)
    never_began = BoxInWave.state == BoxState.ASSIGNED
    for chunk in chunks(row.id for row in found):
        _set(
            chunk,
            now,
            reason=case((never_began, str(Reason.CANCELLED)), else_=BoxInWave.reason),
            deadline_at=case((never_began, None), else_=BoxInWave.deadline_at),
            state=case((never_began, str(BoxState.QUEUED)), else_=BoxInWave.state),
            assignment_expires_at=None,
        )
    return _committed(len(found), rollout_id, now)


def push_deadlines(rollout: Rollout, now: datetime) -> None:
    """Let silence count from *now* for every box at work, after a pause; never commits.

    Call it before the rollout is locked: whoever holds a box's row may wait for that.
    """
    query = select(BoxInWave.id, BoxInWave.device_id).where(
        BoxInWave.rollout_id == rollout.id, BoxInWave.deadline_at.is_not(None)
    )
    for zone, ids in _by_zone(db.session.execute(query).all()).items():
        for chunk in chunks(ids):
            _set(chunk, now, deadline_at=deadline(rollout, zone, now))
    trials.push_deadlines(rollout, now)


def deadline(rollout: Rollout, zone: str, now: datetime) -> datetime:
    """Return when a box in *zone* that was addressed at *now* counts as silent."""
    return plan_box.deadline(
        now,
        seconds(rollout.silent_after_s),
        seconds(rollout.spread_s),
        None,
        zone_of(zone),
        opens_at=permits.opens_at(rollout, zone_of(zone), now),
    )


def zone_of(name: str) -> ZoneInfo:
    """Return the zone called *name*; UTC when a box's zone is unknown here."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return ZoneInfo("UTC")


def _drain(part: Step, rollout_id: int, now: datetime) -> bool:
    """Take chunk after chunk, as many as one round may; return whether nothing is left."""
    db.session.rollback()
    return any(part(rollout_id, now) < CHUNK_BOXES for _ in range(CHUNKS_A_TICK))


def _committed(boxes: int, rollout_id: int, now: datetime) -> int:
    if boxes:
        rows.touch(rollout_id, now)
        db.session.commit()
    else:
        db.session.rollback()
    return boxes


def _active() -> Any:
    """Select rollouts that are open, and ended ones whose boxes are not all told yet."""
    is_open = Rollout.state.in_(OPEN_ROLLOUTS)
    owes = select(EvidenceTerms).where(
        EvidenceTerms.rollout_id == Rollout.id, EvidenceTerms.owes_denial
    )
    has_ended = and_(Rollout.state != RolloutState.DRAFT, or_(owes.exists(), due.untold()))
    return select(Rollout.id).where(or_(is_open, has_ended)).order_by(Rollout.id)


def _has_work(rollout_id: int, now: datetime) -> bool:
    """Return whether a step would change anything; reads only, so it waits for nobody.

    What is cheap to know is asked first.
    """
    read_only()
    rollout = rows.loaded(rollout_id)
    if _a_wave_runs_out(rollout, now):
        return rollout.state in OPEN_ROLLOUTS
    return (
        due.is_any(rollout, now)
        or folding.is_due(rollout_id)
        or rounds.is_due(rollout, now)
        or not isinstance(next_decision(rollout, now), plan.Wait)
    )


def _renew_waves(rollout: Rollout, now: datetime) -> None:
    if rollout.state in OPEN_ROLLOUTS and _a_wave_runs_out(rollout, now):
        signatures.renew(rollout, now)


def _a_wave_runs_out(rollout: Rollout, now: datetime) -> bool:
    return any(signatures.runs_out(wave, now) for wave in rollout.waves)


def _take(
    ask: due.Ask, condition: ColumnElement[bool], rollout_id: int, now: datetime
) -> list[int]:
    query = select(BoxInWave.id).where(condition)
    return [row.id for row in _rows(query, ask, rollout_id, now)]


def _rows(query: Any, ask: due.Ask, rollout_id: int, now: datetime) -> Sequence[Row[Any]]:
    """Return at most a chunk of the boxes that *ask* finds and *query* still holds of, locked.

    Rows that somebody is at are left out.
    """
    ids = due.found(ask, rows.loaded(rollout_id), now, CHUNK_BOXES)
    if not ids:
        return []
    taken = query.where(BoxInWave.id.in_(ids)).order_by(BoxInWave.id)
    return db.session.execute(taken.with_for_update(skip_locked=True, of=BoxInWave)).all()


def _set(ids: Iterable[int], now: datetime, **values: Any) -> None:
    db.session.execute(
        update(BoxInWave).where(BoxInWave.id.in_(list(ids))).values(changed_at=now, **values),
        execution_options={"synchronize_session": False},
    )


def _by_zone(found: Sequence[Any]) -> dict[str, list[int]]:
    """Return the ids of rows (id, device_id) by the zone of their box.

    No join: a planner that still takes a new fleet for empty would walk it for each box.
    """
    ids = {row.device_id: row.id for row in found}
    zones: defaultdict[str, list[int]] = defaultdict(list)
    for chunk in chunks(ids):
        query = select(Device.id, Device.zone).where(Device.id.in_(chunk))
        for device_id, zone in db.session.execute(query):
            zones[zone].append(ids[device_id])
    return zones


def _proofs(found: Sequence[Any]) -> dict[str, tuple[str, ...]]:
    """Return the proofs of rows (device_id, wave_id) that are in a list, by device id."""
    by_wave: defaultdict[int, list[str]] = defaultdict(list)
    for row in found:
        by_wave[row.wave_id].append(row.device_id)
    query = select(Wave.id, Wave.merkle_root).where(
        Wave.id.in_(list(by_wave)), Wave.merkle_root.is_not(None)
    )
    proved: dict[str, tuple[str, ...]] = {}
    for wave_id, root in db.session.execute(query).all():
        assert root is not None, "asked for"  # noqa: S101
        proved.update(proofs.of(root, wave_id, by_wave[wave_id]))
    return proved
