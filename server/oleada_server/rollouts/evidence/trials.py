"""One box's way through the evidence: it begins, is armed, ends, and grows ripe.

Takes part in the caller's transaction, and does nothing for rollouts without terms.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from oleada_wire.words import LeasePhase, Reason
from sqlalchemy import ColumnElement, and_, func, or_, select, update

from oleada_server.db import db
from oleada_server.rollouts.evidence import ledger, looks
from oleada_server.rollouts.evidence.counts import Counted
from oleada_server.rollouts.models import BoxInWave, Rollout
from oleada_server.rollouts.plan import Outcome
from oleada_server.rollouts.plan_box import Moved, outcome
from oleada_server.rollouts.spec import seconds
from oleada_server.rollouts.states import IN_FLIGHT, PENDING, BoxState


def record_grant(box: BoxInWave, phase: LeasePhase, now: datetime) -> None:
    """Count a box that was let begin, and date its trial when it was let arm."""
    terms = ledger.terms_of(box.rollout_id)
    if terms is None:
        return
    ledger.record(box, Counted.OPEN, now)
    if phase is LeasePhase.ARM:
        box.armed_at, box.ripe_at = now, now + seconds(terms.ripe_after_s)


def record_move(box: BoxInWave, moved: Moved, now: datetime) -> None:
    """Count what a report has made of *box*; its row is moved already."""
    if box.counted is None:
        return
    if (stands_for := standing(moved, Counted(box.counted))) is not None:
        ledger.record(box, stands_for, now)
    if ripens_as(moved.state, moved.reason) is not None and box.ripe_at is None:
        box.ripe_at = now
    elif box.state != BoxState.UPDATED and box.counted in (Counted.BAD, Counted.VOID):
        box.ripe_at = None


def standing(moved: Moved, counted: Counted) -> Counted | None:
    """Return what a box stands for after *moved*; None if that stays *counted*.

    Good news counts when its trial is old enough, which the tick sees: never here. So does
    going back because nobody was reached, which is darkness (:func:`ripens_as`): counted at
    once, it would be compared with the few whose trials are old enough already.
    """
    if moved.assign_again:
        return Counted.VOID
    match outcome(moved.state, moved.reason):
        case Outcome.BAD if ripens_as(moved.state, moved.reason) is None:
            return Counted.BAD
        case Outcome.LEFT_OUT | Outcome.EXCUSED:
            return Counted.VOID
        case Outcome.PENDING if counted is Counted.SILENT:
            return Counted.OPEN
        case _:
            return None


def ripens_as(state: BoxState, reason: str | None) -> Counted | None:
    """Return what a box in *state* counts as once its trial is old enough; None if that is open.

    One that went back because it reached nobody was dark in its trial, and is judged as
    silence is, beside those that went dark without the release: a region may have lost its
    lines.
    """
    match state:
        case BoxState.UPDATED:
            return Counted.GOOD
        case BoxState.SILENT:
            return Counted.SILENT
        case BoxState.ROLLED_BACK if reason == Reason.NO_SERVER_CONTACT:
            return Counted.SILENT
        case _:
            return None


def ripe(
    state: BoxState, reason: str | None, ripe_at: datetime | None, now: datetime
) -> Counted | None:
    """Return what a box that is open, or silent, counts as at *now*; None while that is open.

    Silence counts :data:`looks.QUIET` after its trial is old enough, never before, however
    short the patience of the plan: the share of silent ones is one of trials of one age.
    """
    since = looks.QUIET if state is BoxState.SILENT else timedelta(0)
    if ripe_at is None or ripe_at + since > now:
        return None
    return ripens_as(state, reason)


def of_silence(
    armed_at: datetime | None, ripe_at: datetime | None, now: datetime
) -> Counted | None:
    """Return what a box counts as that let its deadline pass; None until its trial is ripe.

    Silence speaks against the release only in a trial.
    """
    if armed_at is None:
        return Counted.VOID
    is_young = ripe_at is not None and ripe_at + looks.QUIET > now
    return None if is_young else Counted.SILENT


def record_silence(box_ids: Iterable[int], now: datetime) -> None:
    """Count boxes that said nothing, as far as :func:`of_silence` can tell by now."""
    query = select(BoxInWave.id, BoxInWave.armed_at, BoxInWave.ripe_at).where(
        BoxInWave.id.in_(list(box_ids))
    )
    found: dict[Counted | None, list[int]] = {}
    for box_id, armed_at, ripe_at in db.session.execute(query):
        found.setdefault(of_silence(armed_at, ripe_at, now), []).append(box_id)
    for counted in (Counted.SILENT, Counted.VOID):
        ledger.record_many(found.get(counted, ()), counted, now)


def is_ripe(now: datetime) -> ColumnElement[bool]:
    """Return :func:`ripe` in SQL: select boxes whose trial counts now, and is not counted yet."""
    state = BoxInWave.state
    may_change = BoxInWave.counted.in_((Counted.OPEN, Counted.SILENT))
    is_open = BoxInWave.counted == Counted.OPEN
    reached_nobody = BoxInWave.reason == Reason.NO_SERVER_CONTACT
    return and_(
        BoxInWave.ripe_at <= now,
        or_(
            and_(state == BoxState.UPDATED, may_change),
            and_(state == BoxState.ROLLED_BACK, reached_nobody, is_open),
            and_(state == BoxState.SILENT, is_open, BoxInWave.ripe_at <= now - looks.QUIET),
        ),
    )


def record_ripe(box_ids: Sequence[int], now: datetime) -> None:
    """Count boxes whose trial is old enough: as good if they are updated, else as silent."""
    ids = list(box_ids)
    query = select(BoxInWave.id).where(BoxInWave.id.in_(ids), BoxInWave.state == BoxState.UPDATED)
    good = set(db.session.scalars(query))
    ledger.record_many([one for one in ids if one not in good], Counted.SILENT, now)
    ledger.record_many([one for one in ids if one in good], Counted.GOOD, now)
    db.session.execute(
        update(BoxInWave).where(BoxInWave.id.in_(ids)).values(ripe_at=None),
        execution_options={"synchronize_session": False},
    )


def record_given_up(which: Sequence[ColumnElement[bool]], now: datetime) -> None:
    """Count boxes as silent whose attempt a person ends before their trial is old enough.

    *which* selects boxes that are to be assigned anew; what their attempt was stays counted.
    """
    was_dark = or_(
        BoxInWave.state == BoxState.SILENT,
        and_(
            BoxInWave.state == BoxState.ROLLED_BACK,
            BoxInWave.reason == Reason.NO_SERVER_CONTACT,
        ),
    )
    query = select(BoxInWave.id).where(BoxInWave.counted == Counted.OPEN, was_dark, *which)
    locked = query.order_by(BoxInWave.id).with_for_update(of=BoxInWave)
    ledger.record_many(db.session.scalars(locked).all(), Counted.SILENT, now)


def patience(box: BoxInWave, rollout: Rollout) -> timedelta:
    """Return how long *box* may say nothing: in its trial as long as trials take to count.

    And so much longer that whoever went dark with it beside is known to be dark.
    """
    usual = seconds(rollout.silent_after_s)
    terms = ledger.terms_of(rollout.id)
    if terms is None or box.armed_at is None:
        return usual
    return min(usual, seconds(terms.ripe_after_s) + looks.QUIET)


def push_deadlines(rollout: Rollout, now: datetime) -> None:
    """Let the silence of those in their trial count as soon after *now* as in any trial.

    However long the plan's patience with those that have not begun is.
    """
    terms = ledger.terms_of(rollout.id)
    if terms is None:
        return
    until = now + min(seconds(rollout.silent_after_s), seconds(terms.ripe_after_s) + looks.QUIET)
    in_trial = and_(BoxInWave.rollout_id == rollout.id, BoxInWave.armed_at.is_not(None))
    db.session.execute(
        update(BoxInWave)
        .where(in_trial, BoxInWave.state.in_(PENDING), BoxInWave.deadline_at > until)
        .values(deadline_at=until),
        execution_options={"synchronize_session": False},
    )


def has_place(box: BoxInWave, now: datetime) -> bool:
    """Return whether *box* was given a place and still has it; such a box may arm.

    :func:`in_flight` counts those too that have lost theirs and are at work all the same.
    """
    until = box.lease_expires_at
    is_given = box.leased_at is not None and box.state in IN_FLIGHT
    holds = is_given and until is not None and until > now
    return holds or (box.counted == Counted.OPEN and box.ripe_at is not None)


def in_flight(rollout_id: int, box_id: int, now: datetime) -> int:
    """Return how many other boxes hold a lease, or are in a trial that is not counted yet.

    Silence counts later than its trial is old enough: until it does, its place is not given
    away, however short leases are. Else a silent killer would get as many boxes again.
    """
    holds = and_(BoxInWave.state.in_(IN_FLIGHT), BoxInWave.lease_expires_at > now)
    on_trial = and_(BoxInWave.counted == Counted.OPEN, BoxInWave.ripe_at.is_not(None))
    query = select(func.count()).where(
        BoxInWave.rollout_id == rollout_id, BoxInWave.id != box_id, or_(holds, on_trial)
    )
    return db.session.scalar(query) or 0
