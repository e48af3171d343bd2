"""Signatures of approvers on waves: what they are asked to sign, and what they have signed.

The server holds none of these keys. When a rollout begins it writes down, for each wave,
the words that a box will check (``Wave.sign_request``); approvers sign them on machines of
their own; the server only collects. A wave that not enough of them have signed does not
open, and if a stolen server opened it, no box would begin (trust design 1.5, layer 2).

Where the ceremony names the server's own director key as the one that signs waves, or none
was held yet, nothing is asked: ``authorise.queue_waves`` signs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from oleada_store import sealing, waves
from oleada_wire import messages
from oleada_wire.envelope import RoleKeys
from sqlalchemy import select

from oleada_server.clock import from_ms
from oleada_server.db import db
from oleada_server.releases import keys
from oleada_server.rollouts import authorise, rows
from oleada_server.rollouts.errors import NothingToSignError
from oleada_server.rollouts.models import BoxInWave, Rollout, Wave
from oleada_server.rollouts.states import OPEN_ROLLOUTS

VALID_MIN: Final = timedelta(days=30)
VALID_MAX: Final = timedelta(days=400)
"""A little more than a release itself is valid for."""


@dataclass(frozen=True, slots=True)
class Missing:
    """A wave that waits: *have* of *needed* signatures; *runs_until* if an older one holds."""

    position: int
    have: int
    needed: int
    runs_until: datetime | None


def record_requests(rollout: Rollout, now: datetime) -> None:
    """Write down what approvers have to sign of each wave; part of the caller's transaction."""
    role = keys.wave_role()
    if role is None or keys.is_signed_here(role):
        return
    for wave in rollout.waves:
        wave.sign_request = _asked(wave, now)


def record_request(wave: Wave, now: datetime) -> None:
    """Write down what approvers have to sign of one wave that has come later."""
    role = keys.wave_role()
    if role is not None and not keys.is_signed_here(role):
        wave.sign_request = _asked(wave, now)


def renew(rollout: Rollout, now: datetime) -> None:
    """Ask for signatures that last longer, and queue the waves as they stand by now."""
    for wave in rollout.waves:
        if wave.authorisation is not None and runs_out(wave, now):
            wave.sign_request = _asked(wave, now)
            rows.touch(rollout.id, now)
    db.session.flush()
    authorise.queue_waves(rollout.release.hardware_model, now)


def runs_out(wave: Wave, now: datetime) -> bool:
    """Return whether the signed *wave* runs out soon and nobody was asked yet."""
    until = wave.authorised_until
    if until is None or (wave.authorisation is not None and wave.sign_request is not None):
        return False
    return until < now + authorise.WAVE_RENEW


def record_trust(now: datetime) -> None:
    """Ask again where the keys that sign waves have changed; part of the caller's transaction."""
    role = keys.wave_role()
    if role is None:
        return
    # Of one that is being prepared nobody was asked yet: its lists are not known.
    is_whole = Rollout.preparing.is_(None)
    query = select(Rollout).where(Rollout.state.in_(OPEN_ROLLOUTS), is_whole).order_by(Rollout.id)
    for rollout in db.session.scalars(query):
        changed = [_follow(wave, role, now) for wave in rollout.waves]
        if any(changed):
            rows.touch(rollout.id, now)
            db.session.flush()
            authorise.queue_waves(rollout.release.hardware_model, now)


def request_of(rollout_id: int) -> waves.Request:
    """Return the waves of a rollout that wait for signatures, as approvers get them.

    Raises:
        RolloutNotFoundError: There is none.
        NothingToSignError: None of its waves waits for a signature.
    """
    rollout = rows.loaded(rollout_id)
    role = keys.wave_role()
    asked = [wave for wave in rollout.waves if wave.sign_request is not None]
    if role is None or not asked or rollout.state not in OPEN_ROLLOUTS:
        raise NothingToSignError(rollout_id)
    return waves.Request(
        f"R-{rollout.id}",
        role.threshold,
        tuple(sorted(role.keys)),
        tuple(_to_sign(wave) for wave in asked),
    )


def missing(rollout: Rollout) -> list[Missing]:
    """Return the waves of *rollout* that wait for signatures, in order."""
    asked = [wave for wave in rollout.waves if wave.sign_request is not None]
    if not asked or rollout.state not in OPEN_ROLLOUTS:
        return []
    role = keys.wave_role()
    if role is None:
        return []
    return [
        Missing(
            wave.position,
            len(sealing.signed_by(waves.KIND, wave.sign_request or "", role.keys)),
            role.threshold,
            wave.authorised_until,
        )
        for wave in asked
    ]


def signed_until() -> list[tuple[str, datetime]]:
    """Return the name of each signed wave that is in use, and when its signatures end."""
    query = (
        select(Wave.rollout_id, Wave.position, Wave.authorised_until)
        .join(Wave.rollout)
        .where(Wave.authorisation.is_not(None), Rollout.state.in_(OPEN_ROLLOUTS))
        .order_by(Wave.id)
    )
    return [
        (f"R-{rollout_id} wave {position}", until)
        for rollout_id, position, until in db.session.execute(query)
        if until is not None
    ]


def take_effect(wave: Wave, role: RoleKeys) -> None:
    """Let the request of *wave*, which enough keys of *role* have signed, authorise it."""
    assert wave.sign_request is not None, "it was just signed"  # noqa: S101
    # Opened as a box opens it: what it would not believe authorises nothing here either.
    said = messages.open_message(messages.Wave, wave.sign_request.encode(), role)
    wave.authorisation, wave.sign_request = wave.sign_request, None
    wave.authorised_until = from_ms(said.not_after_ms)


def _follow(wave: Wave, role: RoleKeys, now: datetime) -> bool:
    """Bring *wave* to what *role* asks by now; return whether that changed anything."""
    if keys.is_signed_here(role):
        was_asked = wave.sign_request is not None or wave.authorisation is not None
        wave.sign_request = wave.authorisation = None
        return was_asked
    if wave.authorisation is not None:
        if sealing.is_complete(waves.KIND, wave.authorisation, role):
            return False
        wave.authorisation = None
    elif wave.sign_request is not None:
        if sealing.is_complete(waves.KIND, wave.sign_request, role):
            take_effect(wave, role)
        return True
    wave.authorised_until = None
    wave.sign_request = _asked(wave, now)
    return True


def _asked(wave: Wave, now: datetime) -> str:
    """Return the envelope of *wave* that nobody has signed yet."""
    rollout = wave.rollout
    is_later = rollout.start_at is not None and rollout.start_at > now
    begins_at = wave.opened_at or (rollout.start_at if is_later else None) or now
    ends_at = max(begins_at, now) + valid_for(rollout.waves, rollout.silent_after_s)
    message = authorise.wave_message(wave, begins_at, ends_at, now)
    return messages.seal(message, []).decode()


def valid_for(all_waves: Sequence[Wave], silent_after_s: int) -> timedelta:
    """Return how long waves are signed for: as the whole plan takes twice, and a month."""
    plan_s = sum(wave.soak_s + silent_after_s for wave in all_waves)
    return min(VALID_MIN + timedelta(seconds=2 * plan_s), VALID_MAX)


def _to_sign(wave: Wave) -> waves.WaveToSign:
    listed: tuple[str, ...] | None = None
    if wave.merkle_root is not None:
        query = select(BoxInWave.device_id).where(BoxInWave.wave_id == wave.id)
        listed = tuple(db.session.scalars(query.order_by(BoxInWave.device_id)))
    assert wave.sign_request is not None, "only waves that wait are asked for"  # noqa: S101
    return waves.WaveToSign(wave.position, wave.name, wave.boxes, wave.sign_request, listed)
