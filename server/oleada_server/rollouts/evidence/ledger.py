"""The log of outcomes: written in the caller's transaction, read as whole numbers.

What a box stands for changes at most a few times; each change is one row. A count is how
many rows lead to a state less how many lead away from it.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, case, func, insert, literal, null, select, update

from oleada_server.db import chunks, db
from oleada_server.rollouts.evidence import beside, folding, looks, slow_start
from oleada_server.rollouts.evidence.counts import Counted, Counts, Part
from oleada_server.rollouts.evidence.judge import Evidence, Stratum, Terms
from oleada_server.rollouts.evidence.models import (
    BoxOutcome,
    EvidenceTerms,
    StratumRow,
)
from oleada_server.rollouts.evidence.spec import EvidenceSpec
from oleada_server.rollouts.models import BoxInWave, Wave
from oleada_server.rollouts.states import BoxState


def terms_of(rollout_id: int) -> EvidenceTerms | None:
    """Return what the plan says of evidence; None where it has limits alone."""
    return db.session.get(EvidenceTerms, rollout_id)


def spec_of(rollout_id: int) -> EvidenceSpec | None:
    """Return what the plan says, with what it had left open as it was learned."""
    terms = terms_of(rollout_id)
    if terms is None:
        return None
    return EvidenceSpec(
        accepted_share=terms.accepted_share,
        alpha=terms.alpha,
        bad_share_max=terms.bad_share_max,
        doubt=terms.doubt,
        start_boxes=terms.start_boxes,
        ripe_after_s=terms.ripe_after_s,
        rolls_back_trials=terms.rolls_back_trials,
        watches_hours=terms.watches_hours,
    )


def begin(rollout_id: int) -> None:
    """Write down the strata of a rollout whose boxes were just fixed, if it has terms."""
    if terms_of(rollout_id) is None:
        return
    version = func.coalesce(BoxInWave.version_before, "")
    boxes = select(literal(rollout_id), version, func.count()).where(
        BoxInWave.rollout_id == rollout_id
    )
    db.session.execute(
        insert(StratumRow).from_select(
            ["rollout_id", "version", "boxes"], boxes.group_by(version).order_by(version)
        )
    )


def record(box: BoxInWave, now_is: Counted, now: datetime) -> None:
    """Note that the newest attempt of *box* stands for *now_is*; twice is as good as once.

    Nothing is noted of a rollout without terms, nor of an attempt that was never begun.
    """
    if box.counted == now_is or (box.counted is None and now_is is not Counted.OPEN):
        return
    db.session.flush()
    _note([box.id], now_is, now)
    db.session.refresh(box, ["counted"])


def record_many(box_ids: Iterable[int], now_is: Counted, now: datetime) -> None:
    """Note it of many boxes at once; those that were never begun are left out."""
    for chunk in chunks(box_ids):
        _note(chunk, now_is, now)


def halt_strata(rollout_id: int, versions: Iterable[str], reason: str, now: datetime) -> None:
    """Let no box that ran one of *versions* begin any more."""
    db.session.execute(
        update(StratumRow)
        .where(StratumRow.rollout_id == rollout_id, StratumRow.version.in_(list(versions)))
        .where(StratumRow.halted_at.is_(None))
        .values(halted_at=now, reason=reason)
    )


def halted_versions(rollout_id: int) -> list[str]:
    """Return the versions before of the strata that are halted."""
    query = select(StratumRow.version).where(
        StratumRow.rollout_id == rollout_id, StratumRow.halted_at.is_not(None)
    )
    return list(db.session.scalars(query))


def evidence(rollout_id: int, in_flight_max: int) -> Evidence | None:
    """Return what the judge decides on; None of a rollout without terms or not begun.

    Raises:
        NoSuchCountError: The rows contradict each other.
    """
    terms = terms_of(rollout_id)
    if terms is None:
        return None
    strata = _strata(rollout_id)
    if not strata:
        return None
    accepted = select(func.sum(func.coalesce(Wave.silent_accepted, 0))).where(
        Wave.rollout_id == rollout_id
    )
    return Evidence(
        terms=Terms(
            terms.accepted_share,
            terms.alpha,
            terms.bad_share_max,
            terms.doubt,
            terms.start_boxes,
            in_flight_max,
        ),
        strata=strata,
        kept_by_bad=_kept_by_bad(rollout_id),
        silent_accepted=int(db.session.scalar(accepted) or 0),
        hours=beside.known(terms),
    )


def halts(box: BoxInWave) -> bool:
    """Return whether the stratum of *box* is halted."""
    query = select(BoxInWave.id).where(BoxInWave.id == box.id, is_halted())
    return db.session.scalar(query) is not None


def room(rollout_id: int, most: int) -> int:
    """Return how many boxes may be at work: as decided, less what bad ends keep since."""
    terms = terms_of(rollout_id)
    return most if terms is None else slow_start.left(terms.room, _kept_by_bad(rollout_id))


def is_halted() -> ColumnElement[bool]:
    """Select boxes whose stratum is halted."""
    stratum = select(StratumRow.id).where(
        StratumRow.rollout_id == BoxInWave.rollout_id,
        StratumRow.version == func.coalesce(BoxInWave.version_before, ""),
        StratumRow.halted_at.is_not(None),
    )
    return stratum.correlate(BoxInWave).exists()


def unripe(rollout_id: int) -> dict[int, int]:
    """Return how many updated boxes of each wave are not old enough to count, by wave id."""
    return _updated(rollout_id, Counted.OPEN)


def soaked(rollout_id: int) -> dict[int, int]:
    """Return how many updated boxes of each wave have proved good, by wave id."""
    return _updated(rollout_id, Counted.GOOD)


def _updated(rollout_id: int, counted: Counted) -> dict[int, int]:
    query = (
        select(BoxInWave.wave_id, func.count())
        .where(BoxInWave.rollout_id == rollout_id, BoxInWave.counted == counted)
        .where(BoxInWave.state == BoxState.UPDATED)
        .group_by(BoxInWave.wave_id)
    )
    return {row[0]: row[1] for row in db.session.execute(query)}


def parts(rollout_id: int) -> tuple[Part, ...]:
    """Return the strata of a rollout without their counts, by version."""
    query = select(StratumRow).where(StratumRow.rollout_id == rollout_id)
    return tuple(
        Part(row.id, row.version, row.boxes, row.halted_at is not None)
        for row in db.session.scalars(query.order_by(StratumRow.version))
    )


def known_darkness(rollout_id: int) -> Mapping[int, tuple[float, float]]:
    """Return by look what goes dark anyway, as far as it is known now."""
    terms = terms_of(rollout_id)
    return {} if terms is None else looks.darkness(rollout_id, terms.accepted_share)


def _strata(rollout_id: int) -> tuple[Stratum, ...]:
    counted = Counts(known_darkness(rollout_id))
    for change in folding.changes(rollout_id):
        counted.add(*change)
    return counted.strata(parts(rollout_id))


def _kept_by_bad(rollout_id: int) -> int:
    """Return how many bad ends came since the newest good one."""
    good = select(func.coalesce(func.max(BoxOutcome.id), 0)).where(
        BoxOutcome.rollout_id == rollout_id, BoxOutcome.now == Counted.GOOD
    )
    query = (
        select(func.count())
        .select_from(BoxOutcome)
        .join(StratumRow, StratumRow.id == BoxOutcome.stratum_id)
        .where(
            BoxOutcome.rollout_id == rollout_id,
            BoxOutcome.now.in_((Counted.BAD, Counted.SILENT)),
            BoxOutcome.id > good.scalar_subquery(),
            StratumRow.halted_at.is_(None),
        )
    )
    return db.session.scalar(query) or 0


def _look_of(now_is: Counted) -> Any:
    """Select in which look a box is counted as *now_is*: the one it is taken out of, if any.

    One that was silent before in the same attempt is silent in that look again: it only told
    late that it had reached nobody. What never came to its trial is in no look, nor is a box
    whose trial began before anybody was watched.
    """
    current: Any = null() if now_is is Counted.OPEN else looks.current()
    counted_in = (
        select(func.max(BoxOutcome.look_id))
        .where(
            BoxOutcome.box_id == BoxInWave.id,
            BoxOutcome.attempt == BoxInWave.attempt,
            BoxOutcome.now == Counted.SILENT,
        )
        .correlate(BoxInWave)
        .scalar_subquery()
    )
    if now_is is Counted.SILENT:
        return func.coalesce(counted_in, current)
    if now_is is Counted.VOID:
        current = case((BoxInWave.armed_at.is_not(None), current), else_=null())
    return case((BoxInWave.counted == Counted.SILENT, counted_in), else_=current)


def _note(box_ids: Iterable[int], now_is: Counted, now: datetime) -> None:
    folding.adding()
    ids = list(box_ids)
    rows = (
        select(
            BoxInWave.rollout_id,
            StratumRow.id,
            BoxInWave.id,
            BoxInWave.attempt,
            BoxInWave.counted,
            literal(str(now_is)),
            _look_of(now_is),
            literal(now, BoxOutcome.at.type),
        )
        .join(
            StratumRow,
            (StratumRow.rollout_id == BoxInWave.rollout_id)
            & (StratumRow.version == func.coalesce(BoxInWave.version_before, "")),
        )
        .where(BoxInWave.id.in_(ids))
        .order_by(BoxInWave.id)
    )
    may = BoxInWave.counted != str(now_is)
    if now_is is Counted.OPEN:
        may = BoxInWave.counted.is_(None) | may
    columns = ["rollout_id", "stratum_id", "box_id", "attempt", "was", "now", "look_id", "at"]
    db.session.execute(insert(BoxOutcome).from_select(columns, rows.where(may)))
    noted = select(BoxOutcome.box_id).where(BoxOutcome.box_id == BoxInWave.id)
    db.session.execute(
        update(BoxInWave)
        .where(BoxInWave.id.in_(ids), may, noted.exists())
        .values(counted=str(now_is)),
        execution_options={"synchronize_session": False},
    )
