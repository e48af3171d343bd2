"""A person forces a rollout: it goes over boxes that are left alone, and over nothing else.

They type how many boxes it reaches and say why; where a plan needs a second person, it is
one. Windows, limits, signatures, evidence and halts stay as they are, and so does the box's
own rule that nobody who watches is disturbed.
"""

from datetime import datetime

from oleada_server.audit import service as audit
from oleada_server.errors import BadInputError
from oleada_server.rollouts import deeds
from oleada_server.rollouts.approvals import demand_second_where_wanted
from oleada_server.rollouts.errors import MiscountedError
from oleada_server.rollouts.states import OPEN_ROLLOUTS, RolloutState


def force(rollout_id: int, reason: str, *, boxes: int, actor: str, now: datetime) -> RolloutState:
    """Let it begin on boxes that record, or whose case is critical; return its state.

    Raises:
        RolloutNotFoundError: There is none.
        RolloutStateError: It is not open.
        SecondPersonError: The rollout needs a second person and *actor* is none.
        MiscountedError: *boxes* is another number than it reaches.
        BadInputError: There is no reason.
    """
    if not reason.strip():
        raise BadInputError("Say why it is forced; the reason is kept.", "reason")
    rollout = deeds.in_state(rollout_id, "force", OPEN_ROLLOUTS)
    demand_second_where_wanted(rollout, actor)
    there = sum(wave.boxes for wave in rollout.waves)
    if boxes != there:
        raise MiscountedError(rollout_id, there, boxes)
    was, rollout.is_forced = rollout.is_forced, True
    audit.record(
        actor,
        "rollout.force",
        f"R-{rollout_id}",
        now=now,
        reason=reason.strip(),
        before={"is_forced": was},
        after={"is_forced": True, "boxes": boxes},
    )
    return deeds.settled(rollout, now)


def unforce(
    rollout_id: int, *, actor: str, now: datetime, reason: str | None = None
) -> RolloutState:
    """Leave boxes alone again; those at work go on. Return its state.

    Raises:
        RolloutNotFoundError: There is none.
        RolloutStateError: It is not open.
    """
    rollout = deeds.in_state(rollout_id, "force", OPEN_ROLLOUTS)
    was, rollout.is_forced = rollout.is_forced, False
    audit.record(
        actor,
        "rollout.unforce",
        f"R-{rollout_id}",
        now=now,
        reason=reason,
        before={"is_forced": was},
        after={"is_forced": False},
    )
    return deeds.settled(rollout, now)
