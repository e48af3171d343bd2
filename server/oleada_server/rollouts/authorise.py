"""The signed words of a rollout: waves for a model, assignments for a box.

All are queued in the caller's transaction, so a decision and what is sent of it can
not disagree. A wave's envelope must be there before an assignment that names it.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from oleada_wire import bulk, messages, topics
from oleada_wire.envelope import Signer
from oleada_wire.messages import Assign, Assignment, Cohort, Window
from sqlalchemy import select
from sqlalchemy.orm import joinedload

from oleada_server import restored
from oleada_server.clock import to_ms
from oleada_server.db import db
from oleada_server.devices.sequences import raise_assignment_seqs
from oleada_server.messaging import service as messaging
from oleada_server.releases.models import Release
from oleada_server.rollouts.choosing import share_parts
from oleada_server.rollouts.models import Rollout, Wave
from oleada_server.rollouts.plan import ImpossibleFactsError
from oleada_server.rollouts.rows import lock_model
from oleada_server.rollouts.states import RolloutState, WaveState

ASSIGNMENT_VALID: Final = timedelta(days=7)
"""The longest that a box believes an assignment (trust design 1.5)."""
ASSIGNMENT_RENEW: Final = timedelta(days=2)
"""Renewed when so much is left: a weekend without a server strands no box."""
WAVE_VALID: Final = timedelta(days=30)
WAVE_RENEW: Final = timedelta(days=10)
CLOCK_SLACK: Final = timedelta(minutes=10)
"""A box whose clock is a little late must not find its wave in the future."""


@dataclass(frozen=True, slots=True)
class Addressee:
    """A box that is to be told its assignment; *proof* of a list wave, else empty."""

    box_id: int
    device_id: str
    wave_id: int
    attempt: int
    proof: tuple[str, ...] = ()


def assignment_id(box_id: int) -> str:
    """Return the name under which box and server speak of row *box_id*: ``AS-7``.

    Of a row that is newer than a restore with that restore's tag: ``AS-18-3fa9c1``.
    """
    return "-".join(filter(None, (f"AS-{box_id}", restored.tag_of(box_id))))


def parse_assignment_id(text: str) -> int | None:
    """Return the row that *text* names, None if it is not the name of one."""
    digits = text.removeprefix("AS-").partition("-")[0]
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 15):
        return None
    return int(digits) if text == assignment_id(int(digits)) else None


def window_of(rollout: Rollout) -> Window | None:
    """Return the daily window of *rollout*, None for any time.

    Raises:
        ImpossibleFactsError: It can not be read, so no time is one of its times.
    """
    start_min, end_min = rollout.window_start_min, rollout.window_end_min
    if start_min is None and end_min is None:
        return None
    if start_min is None or end_min is None:
        raise ImpossibleFactsError(f"a window from {start_min} to {end_min} has one end")
    try:
        return Window(start_min, end_min)
    except ValueError as error:
        raise ImpossibleFactsError(f"the window can not be read: {error}") from error


def queue_assignments(rollout: Rollout, boxes: Sequence[Addressee], now: datetime) -> datetime:
    """Queue a signed assignment for each of *boxes*; return until when they are up to date.

    That is when they run out, and never before what was issued without the last word about
    a force (``reissue_before``): who is told here needs not be told again.
    """
    release, expires_at = rollout.release, now + ASSIGNMENT_VALID
    found: dict[str, Assignment | None] = {
        box.device_id: Assignment(
            assignment_id=assignment_id(box.box_id),
            attempt=box.attempt,
            rollout_id=f"R-{rollout.id}",
            wave_id=box.wave_id,
            target_path=release.target_path,
            sha256=release.sha256,
            size_bytes=release.size_bytes,
            version=release.version,
            security_version=release.security_version,
            issued_ms=to_ms(now),
            expires_ms=to_ms(expires_at),
            spread_s=rollout.spread_s,
            window=window_of(rollout),
            proof=box.proof,
        )
        for box in boxes
    }
    _queue_assigns(found, now, expires_at, is_forced=rollout.is_forced or None)
    return max(expires_at, rollout.reissue_before or expires_at)


def queue_clearings(device_ids: Iterable[str], now: datetime) -> None:
    """Queue the word that there is no assignment, for each of *device_ids*.

    It stays with the broker as long as the assignment that it replaces could be
    believed, so that a box that was off learns of it.
    """
    _queue_assigns(dict.fromkeys(device_ids), now, now + ASSIGNMENT_VALID)


def _queue_assigns(
    found: dict[str, Assignment | None],
    now: datetime,
    expires_at: datetime,
    *,
    is_forced: bool | None = None,
) -> None:
    alone: list[Assign] = []
    together: list[Assign] = []
    for device_id, raised in raise_assignment_seqs(found).items():
        said = Assign(
            messaging.next_header(now), device_id, raised.number, found[device_id], is_forced
        )
        (together if raised.reads_batches else alone).append(said)
    messaging.queue_retained_many(
        (topics.down(said.device_id, topics.Down.ASSIGN), sealed, expires_at)
        for said, sealed in seal_assigns(alone, together, [messaging.director()])
    )


def seal_assigns(
    alone: Sequence[Assign], together: Sequence[Assign], signers: Sequence[Signer]
) -> Iterator[tuple[Assign, bytes]]:
    """Yield each assignment with its envelope.

    Args:
        alone: For boxes that understand no batch: each is signed by itself.
        together: For those that do: batches of them are.
    """
    yield from ((said, bulk.seal(said, signers)) for said in alone)
    yield from zip(together, bulk.seal_many(together, signers), strict=True)


def queue_waves(hardware_model: str, now: datetime) -> None:
    """Queue every wave that is open for *hardware_model*, as approvers have signed it.

    Where the ceremony lets the server sign waves, they are freshly signed here. Waves of
    rollouts that have ended are not among them, so their boxes may not begin.
    """
    lock_model(hardware_model)
    query = (
        select(Wave)
        .join(Wave.rollout)
        .join(Rollout.release)
        .where(
            Release.hardware_model == hardware_model,
            Rollout.state.in_((RolloutState.RUNNING, RolloutState.PAUSED)),
            Wave.state.not_in((WaveState.WAITING, WaveState.HALTED)),
        )
        .options(joinedload(Wave.rollout).joinedload(Rollout.release))
        .order_by(Wave.id)
    )
    envelopes = []
    for wave in db.session.scalars(query):
        if wave.authorisation is not None:
            envelopes.append(wave.authorisation)
        elif wave.sign_request is None:
            wave.authorised_until = now + WAVE_VALID
            assert wave.opened_at is not None, "only an open wave is authorised"  # noqa: S101
            message = wave_message(wave, wave.opened_at, wave.authorised_until, now)
            envelopes.append(messages.seal(message, [messaging.director()]).decode())
    body = messages.encode(messages.Waves(messaging.next_header(now), tuple(envelopes)))
    messaging.queue_retained(topics.model(hardware_model, topics.Model.WAVE), body)


def wave_message(
    wave: Wave, begins_at: datetime, ends_at: datetime, now: datetime
) -> messages.Wave:
    """Return what is signed of *wave*: it may begin at *begins_at* and is over at *ends_at*."""
    rollout, release = wave.rollout, wave.rollout.release
    if wave.merkle_root is not None:
        cohort = Cohort(merkle_root=wave.merkle_root)
    else:
        cohort = Cohort(salt=rollout.salt, share_parts=share_parts(wave.share_until))
    return messages.Wave(
        header=messaging.next_header(now),
        wave_id=wave.id,
        rollout_id=f"R-{rollout.id}",
        hardware_model=release.hardware_model,
        target_path=release.target_path,
        sha256=release.sha256,
        size_bytes=release.size_bytes,
        security_version=release.security_version,
        cohort=cohort,
        not_before_ms=to_ms(begins_at - CLOCK_SLACK),
        not_after_ms=to_ms(ends_at),
    )
