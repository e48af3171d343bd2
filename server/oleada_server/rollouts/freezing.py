"""Which boxes each wave covers is written down, part after part: from then on the fleet may change.

A part is a range of device ids in one transaction; how far it has come is in the rollout's
row (*preparing*), so who is killed between two parts goes on behind the last one. A rollout
that still lacks parts begins nothing. The database picks the boxes and writes them; what is
decided here is decided once for all that are alike.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import (
    Column,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    delete,
    func,
    insert,
    literal,
    select,
)

from oleada_server import digests
from oleada_server.db import db, listed
from oleada_server.rollouts import alike, proofs
from oleada_server.rollouts.alike import Range
from oleada_server.rollouts.choosing import draw_prefix
from oleada_server.rollouts.covered import Covered
from oleada_server.rollouts.errors import EmptyWaveError
from oleada_server.rollouts.models import BoxInWave, Rollout, Wave
from oleada_server.rollouts.plan import ImpossibleFactsError
from oleada_server.rollouts.reading import spec_of
from oleada_server.rollouts.states import BoxState

PART_BOXES: Final = 20_000
"""Boxes of the model that one part looks at: some half a second on PostgreSQL."""

_SORTED: Final = Table(
    "sorted_box",
    MetaData(),
    Column("id", String(20)),
    Column("version", String(40)),
    Column("key", Text),
    prefixes=["TEMPORARY"],
)
_WAVE_OF: Final = Table(
    "wave_of_key",
    MetaData(),
    Column("key", Text),
    Column("wave_id", Integer),
    prefixes=["TEMPORARY"],
)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a rollout has come that is being prepared: so many *boxes* of some *of*."""

    boxes: int
    of: int


def progress(rollout: Rollout) -> Progress | None:
    """Return how far *rollout* has come; None of one that is not being prepared."""
    found = rollout.preparing
    return None if found is None else Progress(found["boxes"], found["of"])


def begin(rollout: Rollout) -> None:
    """Count which boxes each wave covers now, and note that none is written down yet.

    Raises:
        EmptyWaveError: A wave covers no box now.
    """
    covered = _covered(rollout, None)
    sizes: Counter[int] = Counter()
    for at, some in covered.alike():
        sizes[at] += some.boxes
    _set_sizes(rollout.waves, sizes)
    rollout.preparing = {
        "boxes": 0,
        "of": sizes.total(),
        "after": "",
        "draws": {str(at): last and last.hex() for at, last in covered.asked.draws.items()},
    }


def write_part(rollout: Rollout, now: datetime) -> bool:
    """Write down the next part of a *rollout* that is locked; return whether it was the last.

    Part of the caller's transaction.

    Raises:
        ImpossibleFactsError: What is kept of the rollout can not be read.
        BadPlanError: The filter of a wave, or the rule of a group, can not be read.
        NoSuchGroupError: A group of the plan is gone.
    """
    found = rollout.preparing
    assert found is not None, "only one that is being prepared has parts"  # noqa: S101
    draws = _draws(found)
    covered = _covered(rollout, draws)
    upto = alike.upto(covered.asked.model, found["after"], PART_BOXES)
    boxes = _write(rollout, covered, Range(found["after"], upto), now)
    rollout.preparing = {**found, "boxes": found["boxes"] + boxes, "after": upto}
    db.session.flush()
    return upto is None


def complete(rollout: Rollout, now: datetime) -> None:
    """Fix the waves of a *rollout* whose every part is written; part of the transaction.

    Who was drawn, and gave its place to a box that came while parts were written, is in the
    next wave that takes it.

    Raises:
        EmptyWaveError: A wave covers no box any more.
    """
    draws: dict[int, bytes | None] = dict.fromkeys(
        (at for at, wave in enumerate(rollout.waves) if wave.box_count is not None), None
    )
    for at, wave in enumerate(rollout.waves):
        if wave.box_count is None:
            continue
        gone = _keep_drawn(rollout, wave, wave.box_count)
        draws[at] = _last_drawn(rollout, wave)
        if gone:
            _write(rollout, _covered(rollout, draws), Range(only=gone), now)
    query = select(BoxInWave.wave_id, func.count()).where(BoxInWave.rollout_id == rollout.id)
    written = {row[0]: row[1] for row in db.session.execute(query.group_by(BoxInWave.wave_id))}
    waves = list(rollout.waves)
    _set_sizes(waves, Counter({at: written.get(wave.id, 0) for at, wave in enumerate(waves)}))
    for wave in waves:
        if wave.share_until is None:
            wave.merkle_root = proofs.root_of(wave.id)
    rollout.preparing = None


def _draws(found: dict[str, Any]) -> dict[int, bytes | None]:
    """Return the last digest that is drawn for each wave by number.

    Raises:
        ImpossibleFactsError: How far it has come can not be read.
    """
    try:
        return {int(at): last and bytes.fromhex(last) for at, last in found["draws"].items()}
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise ImpossibleFactsError(f"it is not known which boxes are drawn: {error!r}") from error


def _covered(rollout: Rollout, draws: Any) -> Covered:
    return Covered(spec_of(rollout), rollout.release, rollout.salt, draws)


def _set_sizes(waves: Iterable[Wave], sizes: Counter[int]) -> None:
    for at, wave in enumerate(waves):
        if not sizes[at]:
            raise EmptyWaveError(wave.position, wave.name)
        wave.boxes = sizes[at]


def _write(rollout: Rollout, covered: Covered, within: Range, now: datetime) -> int:
    """Write down the boxes *within*, in the order of their ids; return how many it was.

    They are sorted into a table of this transaction first: what one statement sees of a box,
    the next one may not.
    """
    connection = db.session.connection()
    for table in (_SORTED, _WAVE_OF):
        table.create(connection)
    db.session.execute(
        insert(_SORTED).from_select(["id", "version", "key"], alike.boxes(covered.asked, within))
    )
    keys = db.session.scalars(select(_SORTED.c.key).distinct()).all()
    taken = [(key, covered.wave_of(alike.read(key, covered.asked, 0))) for key in keys]
    ids = [wave.id for wave in rollout.waves]
    rows = [{"key": key, "wave_id": ids[at]} for key, at in taken if at is not None]
    boxes = 0
    if rows:
        db.session.execute(insert(_WAVE_OF), rows)
        boxes = _insert(rollout.id, now)
    for table in (_SORTED, _WAVE_OF):
        table.drop(connection)
    return boxes


def _insert(rollout_id: int, now: datetime) -> int:
    columns: dict[str, Any] = {
        "rollout_id": literal(rollout_id),
        "wave_id": _WAVE_OF.c.wave_id,
        "device_id": _SORTED.c.id,
        "state": literal(str(BoxState.QUEUED)),
        "attempt": literal(0),
        "step": literal(0),
        "version_before": _SORTED.c.version,
        "done_bytes": literal(0),
        "changed_at": literal(now, BoxInWave.changed_at.type),
    }
    chosen = select(*columns.values()).join_from(_SORTED, _WAVE_OF, _WAVE_OF.c.key == _SORTED.c.key)
    statement = insert(BoxInWave).from_select(list(columns), chosen.order_by(_SORTED.c.id))
    done: Any = db.session.execute(statement)
    return int(done.rowcount)


def _keep_drawn(rollout: Rollout, wave: Wave, number: int) -> tuple[str, ...]:
    """Leave no more than *number* boxes in a wave by number, whatever came while it was written.

    Returns those that are in it no more.
    """
    digest = digests.of(draw_prefix(rollout.salt), BoxInWave.device_id)
    query = select(BoxInWave.id, BoxInWave.device_id).where(BoxInWave.wave_id == wave.id)
    more = db.session.execute(query.order_by(digest).offset(number)).all()
    if more:
        ids = listed([row.device_id for row in more])
        gone = delete(BoxInWave).where(
            BoxInWave.rollout_id == rollout.id, BoxInWave.device_id.in_(ids)
        )
        db.session.execute(gone, execution_options={"synchronize_session": False})
    return tuple(row.device_id for row in more)


def _last_drawn(rollout: Rollout, wave: Wave) -> bytes:
    """Return the last digest of the boxes of a wave by number; before any if it has none."""
    digest = digests.of(draw_prefix(rollout.salt), BoxInWave.device_id)
    query = select(digest).where(BoxInWave.wave_id == wave.id).order_by(digest.desc())
    return bytes(db.session.scalars(query.limit(1)).one_or_none() or b"")
