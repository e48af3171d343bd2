"""What a story's rollout is: its plan, whom each wave covers, what a box is assigned."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from oleada_server.clock import to_ms
from oleada_server.rollouts.choosing import share_parts
from oleada_server.rollouts.evidence.spec import EvidenceSpec
from oleada_server.rollouts.plan import Limits
from oleada_server.rollouts.plan_box import RETRY_AFTER_S_MAX, Granted, NotNow
from oleada_wire.cohort import place
from oleada_wire.messages import Assignment, Header, Lease, LeaseRequest, Window

from oleada_lab.scenario_read import ScenarioError
from oleada_lab.sim.images import Image
from oleada_lab.sim.rows import Row

VALID: Final = timedelta(days=7)
SALT: Final = "story"
SECURITY_VERSION: Final = 1
STOPPED: Final = NotNow("stopped", RETRY_AFTER_S_MAX)
"""The answer to who asks for a lease of nothing: it tells the time."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What a story plans; *shares* are cumulative, one for each wave.

    *health* is how often boxes say how they are. Without *evidence* limits stand alone. With
    *goes_back* boxes that have kept the release return to one of *older* after a bad end.
    """

    hardware_model: str
    image: Image
    shares: tuple[float, ...]
    limits: Limits
    silent_after: timedelta
    attempts_max: int
    in_flight_max: int
    spread_s: int
    lease: timedelta
    window: Window | None = None
    evidence: EvidenceSpec | None = None
    health: timedelta = timedelta(hours=1)
    goes_back: bool = False
    older: tuple[Image, ...] = ()


def members(terms: Terms, device_ids: list[str]) -> list[Row]:
    """Return a row for each box that a wave covers, in the order of their names.

    Raises:
        ScenarioError: a wave covers no box.
    """
    parts = [share_parts(share) for share in terms.shares]
    found = []
    for device_id in sorted(device_ids):
        at = place(SALT, device_id)
        wave = next((number for number, below in enumerate(parts, 1) if at < below), None)
        if wave is not None:
            found.append(Row(device_id, wave))
    covered = {row.wave for row in found}
    for number in range(1, len(parts) + 1):
        if number not in covered:
            raise ScenarioError(
                f"rollout.waves: wave {number} covers none of {len(device_ids)} boxes; "
                "it would prove nothing, and the server refuses it."
            )
    return found


def assignment_for(row: Row, terms: Terms, now: datetime) -> Assignment:
    """Return what *row* is assigned at *now*."""
    return Assignment(
        assignment_id=f"AS-{row.device_id}",
        attempt=row.attempt,
        rollout_id="R-1",
        wave_id=row.wave,
        target_path=f"{terms.hardware_model}/{terms.image.version}.img",
        sha256=terms.image.sha256,
        size_bytes=len(terms.image.data),
        version=terms.image.version,
        security_version=SECURITY_VERSION,
        issued_ms=to_ms(now),
        expires_ms=to_ms(now + VALID),
        spread_s=terms.spread_s,
        window=terms.window,
    )


def said_of(answer: Granted | NotNow, asked: LeaseRequest, header: Header, device_id: str) -> Lease:
    """Return *answer* as the server says it; the lease names the question."""
    head = (header, device_id, asked.assignment_id, asked.attempt, asked.phase)
    name = asked.header.id
    if isinstance(answer, Granted):
        until_ms = to_ms(answer.expires_at)
        return Lease(*head, granted=True, expires_ms=until_ms, request_id=name)
    wait_s = answer.retry_after_s
    return Lease(*head, granted=False, retry_after_s=wait_s, reason=answer.reason, request_id=name)
