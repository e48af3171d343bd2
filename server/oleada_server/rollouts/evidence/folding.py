"""The log of outcomes as one sum and its newest rows, so that a look does not read it all.

The log is only added to, and what is in the sum is never read again. Rows get their
numbers before they are committed, so a row with a lower number may be seen later than one
with a higher: who adds to the log holds :func:`adding`, and the sum is moved only while
nobody does. On SQLite writers are alone anyway.
"""

import hashlib
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    cast,
    extract,
    func,
    literal,
    null,
    select,
    text,
    union_all,
    update,
)

from oleada_server.db import chunks, db, insert, read_only
from oleada_server.rollouts.evidence.counts import NO_LOOK
from oleada_server.rollouts.evidence.models import (
    BoxOutcome,
    EvidenceTerms,
    OutcomeCurve,
    OutcomeFold,
)
from oleada_server.rollouts.models import Rollout
from oleada_server.rollouts.states import RolloutState

FOLDED_FROM: Final = 5000
"""So many new rows are counted anew at each look before they go into the sum."""
PART_ROWS: Final = 100_000
"""More are not moved at once: who would add to the log waits meanwhile, of whatever rollout."""
ENDED_A_TICK: Final = 20
ENDS: Final = (RolloutState.FINISHED, RolloutState.HALTED, RolloutState.STOPPED)
WIDTH_S: Final = 600
"""What is in the sum is known to ten minutes, for a curve."""
_KEY: Final = int.from_bytes(
    hashlib.sha256(b"rollouts: log of outcomes").digest()[:8], "big", signed=True
)
_COLUMNS: Final = (BoxOutcome.stratum_id, BoxOutcome.look_id, BoxOutcome.was, BoxOutcome.now)

Change = tuple[int, int | None, str | None, str, int]
"""Stratum, look, the state before, the state after, and how many boxes."""


def changes(rollout_id: int) -> Iterator[Change]:
    """Yield what the log of a rollout says: its sum, and the rows behind it; one query.

    One snapshot sees both, so that a row is never in neither or in both.
    """
    folded = select(
        OutcomeFold.stratum_id,
        OutcomeFold.look_id,
        null().label("was"),
        OutcomeFold.state,
        OutcomeFold.boxes,
    ).where(OutcomeFold.rollout_id == rollout_id)
    newest = select(*_COLUMNS, func.count()).where(
        BoxOutcome.rollout_id == rollout_id, BoxOutcome.id > _folded_to(rollout_id)
    )
    found: Any = db.session.execute(union_all(folded, newest.group_by(*_COLUMNS)))
    for row in found:
        yield (row[0], row[1] or None, row[2], row[3], row[4])


def timed_changes(rollout_id: int) -> Iterator[tuple[datetime, Change]]:
    """Yield the same with the time of each change; of those in the sum to ten minutes."""
    summed = select(
        OutcomeCurve.at,
        OutcomeCurve.stratum_id,
        OutcomeCurve.look_id,
        OutcomeCurve.state,
        OutcomeCurve.boxes,
    ).where(OutcomeCurve.rollout_id == rollout_id)
    for at, stratum, look, state, boxes in db.session.execute(summed):
        yield at, (stratum, look or None, None, state, boxes)
    newest = select(BoxOutcome.at, *_COLUMNS).where(
        BoxOutcome.rollout_id == rollout_id, BoxOutcome.id > _folded_to(rollout_id)
    )
    for row in db.session.execute(newest):
        yield row[0], (row[1], row[2], row[3], row[4], 1)


def adding() -> None:
    """Keep the sum from being moved until this transaction, which adds to the log, ends."""
    if _is_postgresql():
        db.session.execute(text("SELECT pg_advisory_xact_lock_shared(:key)"), {"key": _KEY})


def is_due(rollout_id: int, least: int = FOLDED_FROM) -> bool:
    """Return whether *least* rows of the log are not in its sum."""
    query = (
        select(BoxOutcome.id)
        .where(BoxOutcome.rollout_id == rollout_id, BoxOutcome.id > _folded_to(rollout_id))
        .order_by(BoxOutcome.id)
        .offset(least - 1)
        .limit(1)
    )
    return db.session.scalar(query) is not None


def fold(rollout_id: int, least: int = FOLDED_FROM) -> bool:
    """Move the newest rows into the sum if there are *least*; return whether it has; commits.

    It waits for nobody: while somebody adds to the log, the next round does it.
    """
    if not is_due(rollout_id, least):
        return False
    db.session.rollback()
    moved = _has_log_alone() and _move(rollout_id)
    db.session.commit()
    return moved


def tick(now: datetime) -> int:  # noqa: ARG001 - as every tick is called
    """Move what the log of each ended rollout has gained into its sum; return how many moved.

    The tick of a rollout does it while that is open; what comes after its end, or was in no
    sum when it ended, would else be counted anew by whoever looks at it. Commits.
    """
    news = select(BoxOutcome.id).where(
        BoxOutcome.rollout_id == EvidenceTerms.rollout_id, BoxOutcome.id > EvidenceTerms.folded_to
    )
    ended = (
        select(EvidenceTerms.rollout_id)
        .join(Rollout, Rollout.id == EvidenceTerms.rollout_id)
        .where(Rollout.state.in_(ENDS), news.exists())
        .order_by(EvidenceTerms.rollout_id.desc())
        .limit(ENDED_A_TICK)
    )
    read_only()
    found = list(db.session.scalars(ended))
    db.session.rollback()
    return sum(fold(rollout_id, least=1) for rollout_id in found)


def is_whole(rollout_id: int) -> bool:
    """Return whether the sum says what the log says, counted anew from its first row."""
    whole: dict[tuple[int, int, str], int] = {}
    query = select(*_COLUMNS, func.count()).where(
        BoxOutcome.rollout_id == rollout_id, BoxOutcome.id <= _folded_to(rollout_id)
    )
    _add(whole, db.session.execute(query.group_by(*_COLUMNS)))
    kept = select(
        OutcomeFold.stratum_id, OutcomeFold.look_id, OutcomeFold.state, OutcomeFold.boxes
    ).where(OutcomeFold.rollout_id == rollout_id, OutcomeFold.boxes != 0)
    found = {(row[0], row[1], row[2]): row[3] for row in db.session.execute(kept)}
    return found == {key: boxes for key, boxes in whole.items() if boxes}


def _move(rollout_id: int) -> bool:
    terms = db.session.get(
        EvidenceTerms, rollout_id, with_for_update={"skip_locked": True}, populate_existing=True
    )
    if terms is None:
        return False
    top = _last_of_part(rollout_id)
    query = select(*_COLUMNS, func.count()).where(
        BoxOutcome.rollout_id == rollout_id,
        BoxOutcome.id > terms.folded_to,
        BoxOutcome.id <= top,
    )
    number = cast(extract("epoch", BoxOutcome.at), BigInteger) // WIDTH_S
    timed = query.add_columns(number.label("number")).group_by(*_COLUMNS, number)
    found: dict[tuple[int, int, str], int] = {}
    by_time: dict[tuple[int, int, int, str], int] = {}
    for *change, at in db.session.execute(timed).all():
        here: dict[tuple[int, int, str], int] = {}
        _add(here, [change])
        for key, boxes in here.items():
            found[key] = found.get(key, 0) + boxes
            by_time[int(at), *key] = by_time.get((int(at), *key), 0) + boxes
    _sum_up(OutcomeFold, [
        {"rollout_id": rollout_id, "stratum_id": s, "look_id": look, "state": state, "boxes": n}
        for (s, look, state), n in found.items()
    ], ["rollout_id", "stratum_id", "look_id", "state"])  # fmt: skip
    _sum_up(OutcomeCurve, [
        {"rollout_id": rollout_id, "at": datetime.fromtimestamp(at * WIDTH_S, UTC),
         "stratum_id": s, "look_id": look, "state": state, "boxes": n}
        for (at, s, look, state), n in by_time.items()
    ], ["rollout_id", "at", "stratum_id", "look_id", "state"])  # fmt: skip
    db.session.execute(
        update(EvidenceTerms).where(EvidenceTerms.rollout_id == rollout_id).values(folded_to=top),
        execution_options={"synchronize_session": "fetch"},
    )
    return True


def _last_of_part(rollout_id: int) -> int | None:
    """Return the last row of the log that one transaction moves."""
    news = select(BoxOutcome.id).where(
        BoxOutcome.rollout_id == rollout_id, BoxOutcome.id > _folded_to(rollout_id)
    )
    part = news.order_by(BoxOutcome.id).limit(PART_ROWS).subquery()
    last: int | None = db.session.scalar(select(func.max(part.c.id)))
    return last


def _sum_up(
    model: type[OutcomeFold | OutcomeCurve], rows: Sequence[dict[str, Any]], keys: list[str]
) -> None:
    """Add *rows* to those with the same *keys*."""
    for chunk in chunks(rows):
        new = insert(model).values(chunk)
        added = {"boxes": model.boxes + new.excluded.boxes}
        db.session.execute(new.on_conflict_do_update(index_elements=keys, set_=added))


def _add(into: dict[tuple[int, int, str], int], rows: Any) -> None:
    """Add rows (stratum, look, was, now, boxes) to *into* by (stratum, look, state)."""
    for stratum, look, was, now_is, boxes in rows:
        for state, number in ((was, -boxes), (now_is, boxes)):
            if state is not None:
                key = (stratum, look or NO_LOOK, state)
                into[key] = into.get(key, 0) + number


def _folded_to(rollout_id: int) -> Any:
    query = select(EvidenceTerms.folded_to).where(EvidenceTerms.rollout_id == rollout_id)
    return func.coalesce(query.scalar_subquery(), literal(0))


def _has_log_alone() -> bool:
    """Return whether nobody adds to the log now, nor will before this transaction ends."""
    if not _is_postgresql():
        return True
    taken = db.session.scalar(text("SELECT pg_try_advisory_xact_lock(:key)"), {"key": _KEY})
    return bool(taken)


def _is_postgresql() -> bool:
    return db.session.get_bind().dialect.name == "postgresql"
