"""Rows of rollouts: found, locked, counted, and turned into the facts that the plan reads.

Locks are taken in one order, so that no two transactions wait for each other: box, rollout,
hardware model, audit trail, changes. Who holds a rollout and needs a box skips busy ones.
"""

import hashlib
from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import ColumnElement, String, cast, func, null, select, text, union_all
from sqlalchemy.orm import joinedload, selectinload

from oleada_server.db import db
from oleada_server.live import service as live
from oleada_server.rollouts.errors import RolloutNotFoundError
from oleada_server.rollouts.evidence import ledger
from oleada_server.rollouts.evidence.eprocess import NoSuchCountError
from oleada_server.rollouts.models import BoxInWave, Rollout, Wave
from oleada_server.rollouts.plan import (
    Accepted,
    ImpossibleFactsError,
    Limits,
    Outcome,
    RolloutFacts,
    Tally,
    WaveFacts,
)
from oleada_server.rollouts.plan_box import JUDGED_BY_REASON, tally_of
from oleada_server.rollouts.spec import seconds
from oleada_server.rollouts.states import BoxState, RolloutState, WaveState

Counts = Mapping[int, list[tuple[BoxState, str | None, int]]]
"""By wave id: (state, reason, how many boxes)."""


def locked(rollout_id: int) -> Rollout:
    """Return the rollout, locked for this transaction against every other writer.

    Raises:
        RolloutNotFoundError: There is none.
    """
    found = db.session.get(
        Rollout, rollout_id, with_for_update={"key_share": True}, populate_existing=True
    )
    if found is None:
        raise RolloutNotFoundError(rollout_id)
    return found


def loaded(rollout_id: int) -> Rollout:
    """Return the rollout with its release and its waves, for reading.

    Raises:
        RolloutNotFoundError: There is none.
    """
    query = (
        select(Rollout)
        .where(Rollout.id == rollout_id)
        .options(joinedload(Rollout.release), selectinload(Rollout.waves))
    )
    found = db.session.scalars(query).one_or_none()
    if found is None:
        raise RolloutNotFoundError(rollout_id)
    return found


def lock_model(hardware_model: str) -> None:
    """Let one transaction at a time claim boxes of a model or write its waves.

    SQLite's writers are alone anyway (BEGIN IMMEDIATE).
    """
    if db.session.get_bind().dialect.name == "postgresql":
        digest = hashlib.sha256(f"rollouts:{hardware_model}".encode()).digest()
        key = int.from_bytes(digest[:8], "big", signed=True)
        db.session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": key})


def touch(rollout_id: int, now: datetime) -> None:
    """Announce that a rollout has changed."""
    live.touch(f"R-{rollout_id}", now)
    live.touch("rollouts", now)


def counts(rollout_id: int, which: ColumnElement[bool] | None = None) -> Counts:
    """Return how many boxes of each wave are in which state for which reason; one query.

    Reasons are told apart where the outcome depends on them, else None. *which* leaves out
    boxes of which it is not true.
    """
    mine = BoxInWave.wave_id.in_(select(Wave.id).where(Wave.rollout_id == rollout_id))
    is_judged = BoxInWave.state.in_(JUDGED_BY_REASON)
    # Nearly all boxes are in the first part, which an index answers without a look at them.
    parts = [
        select(BoxInWave.wave_id, BoxInWave.state, reason, func.count())
        .where(mine, is_part, *([] if which is None else [which]))
        .group_by(BoxInWave.wave_id, BoxInWave.state, *by)
        for reason, is_part, by in (
            (cast(null(), String), ~is_judged, ()),
            (BoxInWave.reason, is_judged, (BoxInWave.reason,)),
        )
    ]
    found: dict[int, list[tuple[BoxState, str | None, int]]] = {}
    for wave_id, state, reason, boxes in db.session.execute(union_all(*parts)):
        found.setdefault(wave_id, []).append((BoxState(state), reason, boxes))
    return found


def facts(rollout: Rollout) -> RolloutFacts:
    """Return what the plan decides on.

    Raises:
        ImpossibleFactsError: The rows contradict each other.
    """
    if (ledger.terms_of(rollout.id) is None) != (not ledger.parts(rollout.id)):
        raise ImpossibleFactsError("of terms and strata of the evidence only one is there")
    found = counts(rollout.id)
    halted: Counts = {}
    unripe: Mapping[int, int] = {}
    try:
        evidence = ledger.evidence(rollout.id, rollout.in_flight_max)
    except NoSuchCountError as error:
        raise ImpossibleFactsError(str(error)) from error
    if evidence is not None:
        unripe = ledger.unripe(rollout.id)
        if any(stratum.is_halted for stratum in evidence.strata):
            halted = counts(rollout.id, ledger.is_halted())
    return RolloutFacts(
        RolloutState(rollout.state),
        tuple(
            _wave_facts(wave, found, halted, unripe, beside=evidence is not None)
            for wave in rollout.waves
        ),
        rollout.start_at,
        evidence,
    )


def _wave_facts(
    wave: Wave, found: Counts, halted: Counts, unripe: Mapping[int, int], *, beside: bool
) -> WaveFacts:
    state = WaveState(wave.state)
    outcomes = tally_of(found.get(wave.id, []), beside=beside)
    apart = tally_of(halted.get(wave.id, []), beside=beside)
    for outcome, boxes in apart.items():
        outcomes[outcome] -= boxes
    return WaveFacts(
        position=wave.position,
        state=state,
        tally=Tally(**{str(outcome): boxes for outcome, boxes in outcomes.items()}),
        limits=Limits(
            wave.success_share_min,
            wave.failed_share_max,
            wave.silent_share_max,
            wave.sample_min,
            seconds(wave.soak_s),
        ),
        soak_from=wave.soak_from,
        accepted=Accepted(wave.silent_accepted or 0, wave.good_accepted),
        held_for=(wave.state_reason or "") if state is WaveState.HELD else None,
        is_authorised=wave.sign_request is None or wave.authorisation is not None,
        halted=sum(apart.values()),
        unripe=min(unripe.get(wave.id, 0), outcomes[Outcome.GOOD]),
    )
