"""Boxes that have kept a release go back to what they ran, when its rollout has ended badly.

Only where the plan says so (rule ``goes_back``), after a halt or a stop, and once no box is
in its trial any more. Going back is a rollout of its own: of the older release, to exactly
those boxes, in its own trial and judged by its own evidence; where people sign waves, they
sign this one too. It fails closed: an older release that is not known here, is withdrawn or
denied, or lies below the security version of the one to leave is refused, with the reason
kept, because boxes would refuse it and should.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from oleada_wire.version import is_version, version_key
from sqlalchemy import func, select

from oleada_server.audit import service as audit
from oleada_server.db import db, read_only
from oleada_server.errors import ServerError
from oleada_server.releases.models import Release, ReleaseState
from oleada_server.rollouts import groups, rows, service
from oleada_server.rollouts.advance import ACTOR
from oleada_server.rollouts.cover import Where
from oleada_server.rollouts.errors import BeingPreparedError
from oleada_server.rollouts.evidence.halting import IN_TRIAL
from oleada_server.rollouts.evidence.spec import EvidenceSpec
from oleada_server.rollouts.models import BoxInWave, GoneBack, Rollout
from oleada_server.rollouts.once import Once
from oleada_server.rollouts.rules import Rules
from oleada_server.rollouts.spec import (
    BESIDE_EVIDENCE,
    NAME_CHARS_MAX,
    RolloutSpec,
    WaveSpec,
)
from oleada_server.rollouts.states import BoxState, RolloutState

ENDED: Final = (RolloutState.HALTED, RolloutState.STOPPED)
DRAWN_FIRST: Final = 10_000
"""So many boxes make a wave of their own before all the others, where there are twice as many."""
PATIENCE: Final = timedelta(hours=1)
"""So long boxes in their trial are waited for; who ends it later is left to a person."""


@dataclass(frozen=True, slots=True)
class Leaving:
    """So many boxes of one rollout have kept its release *leaving*, and ran *version* before."""

    rollout_id: int
    model: str
    leaving: str
    version: str
    boxes: int

    @classmethod
    def of(cls, rollout: Rollout, version: str, boxes: int) -> "Leaving":
        """Return so many *boxes* of *rollout* that ran *version*."""
        release = rollout.release
        return cls(rollout.id, release.hardware_model, release.version, version, boxes)


def tick(now: datetime) -> int:
    """Begin what is owed to boxes of rollouts that have ended; return how many it was."""
    read_only()
    done = select(GoneBack).where(GoneBack.rollout_id == Rollout.id)
    query = select(Rollout.id).where(
        Rollout.state.in_(ENDED), Rollout.rules["goes_back"].as_boolean(), ~done.exists()
    )
    return sum(settle(rollout_id, now) for rollout_id in db.session.scalars(query).all())


def settle(rollout_id: int, now: datetime) -> bool:
    """Let the boxes of one rollout go back if it is time; return whether it was."""
    read_only()
    rollout = rows.loaded(rollout_id)
    if rollout.ended_at is None or (_has_trials(rollout_id) and now < rollout.ended_at + PATIENCE):
        return False
    found = [Leaving.of(rollout, version, boxes) for version, boxes in _to_go(rollout).items()]
    refusals = {one.version: refusal(rollout.release, one.version) for one in found}
    db.session.rollback()
    # Each is begun once, however often this runs; what became of it is written down together.
    try:
        notes = [_begun(one, refusals[one.version], now) for one in found]
    except BeingPreparedError:  # one at a time chooses its boxes
        db.session.rollback()
        return False
    if not notes:
        why = "no box runs the release"
        notes = [GoneBack(rollout_id=rollout_id, version="", boxes=0, refused=why, at=now)]
    for note in notes:
        _note(note, now)
    rows.touch(rollout_id, now)
    db.session.commit()
    return True


def refusal(leaving: Release, version: str) -> str | None:
    """Return why no box may go back from *leaving* to *version*; None if it may."""
    query = select(Release).where(
        Release.hardware_model == leaving.hardware_model, Release.version == version
    )
    older = db.session.scalars(query).one_or_none()
    if older is None:
        return f"{version or 'what they ran'} is no release that is known here"
    if older.state != ReleaseState.PUBLISHED or older.denied_at is not None:
        return f"{version} is withdrawn or denied"
    if older.security_version < leaving.security_version:
        return (
            f"{version} has security version {older.security_version}, and boxes that ran "
            f"{leaving.version} take nothing below {leaving.security_version}; sign the older "
            "content again under a new version"
        )
    if is_version(version) and version_key(version) >= version_key(leaving.version):
        return f"{version} is not older than {leaving.version}"
    return None


def of(rollout_id: int) -> Sequence[GoneBack]:
    """Return what became of the boxes of a rollout that were to go back, by version."""
    query = select(GoneBack).where(GoneBack.rollout_id == rollout_id).order_by(GoneBack.version)
    return db.session.scalars(query).all()


def _begun(one: Leaving, why: str | None, now: datetime) -> GoneBack:
    """Plan and start the rollout back; what can not start stays a plan that people see."""
    note = GoneBack(rollout_id=one.rollout_id, version=one.version, boxes=one.boxes, at=now)
    if why is not None:
        note.refused = why
        return note
    key = f"back-{one.rollout_id}-{one.version}"
    note.back_id = back_id = service.create(
        _plan(one), actor=ACTOR, now=now, once=Once.of(key, key.encode())
    )
    if (reason := _start(back_id, one.rollout_id, now)) is not None:
        note.refused = reason
    elif taken := sum(wave.boxes for wave in service.get(back_id).waves):
        note.boxes = taken  # some may have left the release by other means
    return note


def _plan(one: Leaving) -> RolloutSpec:
    """Return the plan to take those boxes back; many of them after some that are drawn."""
    kept = Where(group=(groups.kept(one.rollout_id, one.version),))
    first = [] if one.boxes <= 2 * DRAWN_FIRST else [DRAWN_FIRST]
    return RolloutSpec(
        hardware_model=one.model,
        version=one.version,
        name=f"{one.model} back from {one.leaving}"[:NAME_CHARS_MAX],
        waves=tuple(
            WaveSpec(name=f"Back {n}", count=count, where=kept, soak_s=0, **BESIDE_EVIDENCE)
            for n, count in enumerate([*first, None], start=1)
        ),
        rules=Rules(back_from=one.leaving),
        evidence=EvidenceSpec(),
    )


def _start(back_id: int, rollout_id: int, now: datetime) -> str | None:
    """Start the rollout back, or ask for approval; return why it can not begin, if so."""
    back, because = service.get(back_id), f"R-{rollout_id} ended badly"
    if back.state != RolloutState.DRAFT or back.asked_at is not None:
        return None
    try:
        if back.needs_approval:
            service.ask_approval(back_id, because, actor=ACTOR, now=now)
        else:
            service.start(back_id, actor=ACTOR, now=now, reason=because)
    except BeingPreparedError:
        raise
    except ServerError as error:
        db.session.rollback()
        return str(error)
    return None


def _note(note: GoneBack, now: datetime) -> None:
    db.session.add(note)
    rollout = note.back_id and f"R-{note.back_id}"
    after = {"version": note.version, "boxes": note.boxes, "rollout": rollout}
    ref = f"R-{note.rollout_id}"
    audit.record(ACTOR, "rollout.go_back", ref, now=now, reason=note.refused, after=after)


def _has_trials(rollout_id: int) -> bool:
    query = select(BoxInWave.id).where(
        BoxInWave.rollout_id == rollout_id, BoxInWave.state.in_(IN_TRIAL)
    )
    return db.session.scalar(query.limit(1)) is not None


def _to_go(rollout: Rollout) -> dict[str, int]:
    """Return how many boxes have kept the release, by what they ran before."""
    version = func.coalesce(BoxInWave.version_before, "")
    query = select(version, func.count()).where(
        BoxInWave.rollout_id == rollout.id, BoxInWave.state == BoxState.UPDATED
    )
    found = db.session.execute(query.group_by(version).order_by(version))
    return {row[0]: row[1] for row in found}
