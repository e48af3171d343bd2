"""Boxes that come later: they join a rollout on its way if a wave is for them.

The rule (ADR 0024). A box joins the first wave by share that covers its place: approvers
have signed that share, and the box checks it. A box that a filter is true of by now joins
a wave of its own at the end, a list, which approvers have to sign before anything is
offered. Waves by number and by list stay as they were. Nobody holds anything before a
signed wave covers them; who may not have the release, or is in another rollout, stays out.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from oleada_wire.cohort import merkle_root, place
from sqlalchemy import select

from oleada_server.audit import service as audit
from oleada_server.db import chunks, db, read_only
from oleada_server.messaging.leader import LeaseLostError
from oleada_server.rollouts import deeds, preview, rows, rules, signatures
from oleada_server.rollouts.advance import ACTOR
from oleada_server.rollouts.choosing import Member, share_parts
from oleada_server.rollouts.cover import matches
from oleada_server.rollouts.eligible import why_not
from oleada_server.rollouts.errors import NoSuchGroupError
from oleada_server.rollouts.models import BoxInWave, Rollout, Wave
from oleada_server.rollouts.plan import ImpossibleFactsError
from oleada_server.rollouts.reading import spec_of
from oleada_server.rollouts.spec import WAVES_MAX, WaveSpec
from oleada_server.rollouts.states import OPEN_ROLLOUTS, RolloutState, WaveState

EVERY: Final = timedelta(minutes=15)
NAME: Final = "Newcomers"


def tick(now: datetime) -> int:
    """Look for newcomers of each rollout that takes them; return how many have joined.

    A transaction for each rollout; one that is not due, or finds nobody, is not locked, and
    one that crashes does not keep the others waiting.

    Raises:
        LeaseLostError: Another process leads now.
        ExceptionGroup: What crashed, after every rollout has had its turn.
    """
    read_only()
    query = select(Rollout.id).where(
        Rollout.state == RolloutState.RUNNING, Rollout.rules.is_not(None)
    )
    found = list(db.session.scalars(query.order_by(Rollout.id)))
    joined, crashed = 0, []
    for rollout_id in found:
        try:
            joined += join(rollout_id, now)
        except LeaseLostError:
            raise
        except Exception as error:
            crashed.append(error)
        finally:
            db.session.rollback()
    if crashed:
        raise ExceptionGroup("rollouts whose newcomers could not join", crashed)
    return joined


def join(rollout_id: int, now: datetime) -> int:
    """Let the newcomers of one rollout join, if it is due; return how many have."""
    read_only()
    rollout = rows.loaded(rollout_id)
    if not _is_due(rollout, now):
        return 0
    late = _newcomers(rollout)
    db.session.rollback()
    rollout = rows.locked(rollout_id)
    if rollout.state != RolloutState.RUNNING:
        db.session.rollback()
        return 0
    rows.lock_model(rollout.release.hardware_model)
    late = _still_free(late)
    rollout.newcomers_at = now
    joined = _let_in(rollout, late, now) if late else 0
    db.session.commit()
    return joined


def _is_due(rollout: Rollout, now: datetime) -> bool:
    if rollout.preparing is not None:
        return False  # who is not written down yet has not come late
    if rollout.newcomers_at is not None and now - rollout.newcomers_at < EVERY:
        return False
    try:
        return rules.read(rollout.rules).newcomers
    except ImpossibleFactsError:
        return False  # the tick halts it and says why


def _newcomers(rollout: Rollout) -> dict[int, list[Member]]:
    """Return who may join, by the position of the wave; 0 for a wave of their own."""
    spec = spec_of(rollout)
    needs = preview.needs_of(rollout.release, spec.rules.back_from)
    found: dict[int, list[Member]] = {}
    try:
        named = preview.named_groups(spec.waves)
        for box in preview.candidates(rollout.release.hardware_model, named, outside=rollout.id):
            if why_not(box, needs) is not None:
                continue
            member = Member(box.device_id, box.kind)
            position = _wave_for(member, spec.waves, rollout)
            if position is not None:
                found.setdefault(position, []).append(member)
    except NoSuchGroupError:
        return {}  # nobody is guessed to be in a group that is gone
    return found


def _still_free(late: dict[int, list[Member]]) -> dict[int, list[Member]]:
    """Return those of *late* that no rollout has taken since they were found.

    Call it while the model is locked: from then on none can.
    """
    taken: set[str] = set()
    claimed = select(BoxInWave.device_id).join(Rollout, Rollout.id == BoxInWave.rollout_id)
    claimed = claimed.where(Rollout.state.in_(OPEN_ROLLOUTS))
    for chunk in chunks(member.device_id for members in late.values() for member in members):
        taken.update(db.session.scalars(claimed.where(BoxInWave.device_id.in_(chunk))))
    return {
        position: [member for member in members if member.device_id not in taken]
        for position, members in late.items()
    }


def _wave_for(member: Member, waves: Sequence[WaveSpec], rollout: Rollout) -> int | None:
    """Return the position of the share that covers *member*, 0 for a filter, None for none."""
    at, by_filter = place(rollout.salt, member.device_id), False
    for spec, wave in zip(waves, rollout.waves, strict=True):
        if spec.share_until is not None and at < share_parts(spec.share_until):
            return wave.position if wave.state != WaveState.HALTED else None
        if spec.where is not None and spec.count is None and matches(spec.where, member.kind):
            by_filter = True
    return 0 if by_filter else None


def _let_in(rollout: Rollout, late: dict[int, list[Member]], now: datetime) -> int:
    joined = 0
    for wave in list(rollout.waves):
        if members := late.get(wave.position):
            deeds.add_boxes(rollout, wave, members, now)
            wave.boxes += len(members)
            joined += len(members)
            _log(rollout, wave, len(members), now)
    if (members := late.get(0)) and len(rollout.waves) < WAVES_MAX:
        wave = _own_wave(rollout, members, now)
        joined += len(members)
        _log(rollout, wave, len(members), now)
    if joined:
        rows.touch(rollout.id, now)
    return joined


def _own_wave(rollout: Rollout, members: Sequence[Member], now: datetime) -> Wave:
    """Return a new last wave for *members*, with the limits of the one before, not signed yet."""
    last = rollout.waves[-1]
    ids = [member.device_id for member in members]
    wave = Wave(
        position=last.position + 1,
        name=NAME,
        device_ids=ids,
        merkle_root=merkle_root(ids),
        boxes=len(ids),
        success_share_min=last.success_share_min,
        failed_share_max=last.failed_share_max,
        silent_share_max=last.silent_share_max,
        sample_min=last.sample_min,
        soak_s=last.soak_s,
        state=WaveState.WAITING,
    )
    rollout.waves.append(wave)
    db.session.flush()
    deeds.add_boxes(rollout, wave, members, now)
    signatures.record_request(wave, now)
    return wave


def _log(rollout: Rollout, wave: Wave, boxes: int, now: datetime) -> None:
    audit.record(
        ACTOR,
        "wave.join",
        f"R-{rollout.id}",
        now=now,
        after={"wave": wave.position, "boxes": boxes},
    )
