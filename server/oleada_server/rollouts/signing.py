"""The deed of handing in signatures: what counts is kept, what is complete takes effect."""

from datetime import datetime

from oleada_store import sealing, waves
from oleada_store.errors import StoreError
from oleada_wire.envelope import RoleKeys

from oleada_server.audit import service as audit
from oleada_server.db import db
from oleada_server.releases import keys
from oleada_server.rollouts import authorise, deeds, signatures
from oleada_server.rollouts.errors import BadPlanError, NoSignatureError, NothingToSignError
from oleada_server.rollouts.models import Wave
from oleada_server.rollouts.states import OPEN_ROLLOUTS, RolloutState


def add_signatures(
    rollout_id: int, given: waves.Request, *, actor: str, now: datetime
) -> RolloutState:
    """Keep those signatures of *given* that count; waves that have enough may open.

    Raises:
        RolloutNotFoundError: There is none.
        RolloutStateError: It has ended, or has not begun.
        BadPlanError: *given* is for another rollout, or was not made from what waits here.
        NothingToSignError: None of the waves in it waits for a signature.
        NoSignatureError: It brings no signature of an approver that was not there.
    """
    if given.rollout != f"R-{rollout_id}":
        raise BadPlanError(f"These signatures are for {given.rollout[:20]}, not R-{rollout_id}.")
    rollout = deeds.in_state(rollout_id, "sign waves of", OPEN_ROLLOUTS)
    role = keys.wave_role()
    asked = {wave.position: wave for wave in rollout.waves if wave.sign_request is not None}
    signed = [(asked[one.position], one) for one in given.waves if one.position in asked]
    if role is None or not signed:
        db.session.rollback()
        raise NothingToSignError(rollout_id)
    brought = [_collect(wave, one.envelope, role, actor, now) for wave, one in signed]
    if not any(brought):
        db.session.rollback()
        raise NoSignatureError(rollout_id)
    db.session.flush()
    authorise.queue_waves(rollout.release.hardware_model, now)
    return deeds.settled(rollout, now)


def _collect(wave: Wave, given: str, role: RoleKeys, actor: str, now: datetime) -> bool:
    """Add what *given* brings to the request of *wave*; return whether it brought anything."""
    asked = wave.sign_request
    assert asked is not None, "only waves that wait are signed"  # noqa: S101
    try:
        together = sealing.merged(waves.KIND, asked, given, role)
        before = sealing.signed_by(waves.KIND, asked, role.keys)
        after = sealing.signed_by(waves.KIND, together, role.keys)
    except StoreError as error:
        db.session.rollback()
        raise BadPlanError(f"Wave {wave.position}: {error}", "waves") from error
    if after == before:
        return False
    wave.sign_request = together
    audit.record(
        actor,
        "wave.sign",
        f"R-{wave.rollout_id}",
        now=now,
        after={"wave": wave.position, "keys": sorted(after), "needed": role.threshold},
    )
    if len(after) >= role.threshold:
        signatures.take_effect(wave, role)
    return True
