"""A person opens the next wave early: before the one in front has soaked or met its gate.

They type how many boxes that reaches and say why. What a wave must have signed it must have
signed all the same, harm in any wave halts as ever, and a wave that has not brought one good
box opens nothing. A held wave is let go on (holds.py), not passed over.
"""

from datetime import datetime

from oleada_server.audit import service as audit
from oleada_server.errors import BadInputError
from oleada_server.rollouts import deeds, rows
from oleada_server.rollouts.approvals import demand_second_where_wanted
from oleada_server.rollouts.errors import (
    NothingProvenError,
    RolloutNotFoundError,
    WaveNotNextError,
)
from oleada_server.rollouts.models import Rollout, Wave
from oleada_server.rollouts.plan import Outcome
from oleada_server.rollouts.plan_box import tally_of
from oleada_server.rollouts.states import RolloutState, WaveState

LEFT_EARLY = (WaveState.OPEN, WaveState.SOAKING)


def open_early(
    rollout_id: int, position: int, reason: str, *, boxes: int, actor: str, now: datetime
) -> RolloutState:
    """Let wave *position* open now; *boxes* is how many the person was told that it reaches.

    Raises:
        RolloutNotFoundError: There is no such rollout, or no such wave of it.
        RolloutStateError: It is not running.
        WaveNotNextError: The wave is not the next one, or the one in front is held.
        SecondPersonError: The rollout needs a second person and *actor* is none.
        NothingProvenError: No box of the wave in front runs the release.
        BadInputError: There is no reason, or *boxes* is another number.
    """
    if not reason.strip():
        raise BadInputError("Say why it opens early; the reason is kept.", "reason")
    rollout = deeds.in_state(rollout_id, "open a wave of", (RolloutState.RUNNING,))
    demand_second_where_wanted(rollout, actor)
    wave, before = _next(rollout, position)
    if boxes != wave.boxes:
        raise BadInputError(
            f"Wave {position} reaches {wave.boxes} boxes, not {boxes}; look again.", "boxes"
        )
    if not tally_of(rows.counts(rollout_id).get(before.id, []))[Outcome.GOOD]:
        raise NothingProvenError(rollout_id, before.position)
    was = str(before.state)
    before.state, before.state_reason = WaveState.PASSED, reason.strip()[:500]
    before.soak_from, before.passed_at = before.soak_from or now, now
    audit.record(
        actor,
        "wave.open_early",
        f"R-{rollout_id}",
        now=now,
        reason=reason.strip(),
        before={"wave": before.position, "state": was},
        after={"wave": position, "boxes": boxes},
    )
    return deeds.settled(rollout, now)


def _next(rollout: Rollout, position: int) -> tuple[Wave, Wave]:
    """Return wave *position*, which waits, and the one in front, which is under way."""
    found = {wave.position: wave for wave in rollout.waves}
    if position not in found:
        raise RolloutNotFoundError(rollout.id)
    before = found.get(position - 1)
    waits = found[position].state == WaveState.WAITING
    if before is None or not waits or before.state not in LEFT_EARLY:
        raise WaveNotNextError(rollout.id, position)
    return found[position], before
