"""A person lifts the hold of a wave: takes responsibility for its numbers as they stand."""

from datetime import datetime

from oleada_server.audit import service as audit
from oleada_server.errors import BadInputError
from oleada_server.rollouts import deeds, rows
from oleada_server.rollouts.approvals import demand_second_where_wanted
from oleada_server.rollouts.errors import NothingProvenError, RolloutNotFoundError, WaveNotHeldError
from oleada_server.rollouts.evidence import ledger
from oleada_server.rollouts.models import Rollout, Wave
from oleada_server.rollouts.plan import Outcome
from oleada_server.rollouts.plan_box import tally_of
from oleada_server.rollouts.states import RolloutState, WaveState


def go_on(
    rollout_id: int, position: int, reason: str, *, actor: str, now: datetime
) -> RolloutState:
    """Let a held wave go on with as many silent and as few updated boxes as it has now.

    Worse numbers hold it again, and a failure above the limit halts as ever.

    Raises:
        RolloutNotFoundError: There is no such rollout, or no such wave of it.
        RolloutStateError: It is not running.
        WaveNotHeldError: The wave does not wait for a person.
        SecondPersonError: The rollout needs a second person and *actor* is none.
        NothingProvenError: No box of the wave runs the release.
        BadInputError: There is no reason.
    """
    if not reason.strip():
        raise BadInputError("Say why the wave may go on; the reason is kept.", "reason")
    rollout = deeds.in_state(rollout_id, "go on with", (RolloutState.RUNNING,))
    demand_second_where_wanted(rollout, actor)
    wave = _held(rollout, position)
    tally = tally_of(
        rows.counts(rollout_id).get(wave.id, []), beside=ledger.terms_of(rollout_id) is not None
    )
    good, silent = tally[Outcome.GOOD], tally[Outcome.SILENT]
    if not good:
        raise NothingProvenError(rollout_id, position)
    before = {"silent": wave.silent_accepted, "good": wave.good_accepted}
    wave.silent_accepted = silent
    if not tally[Outcome.PENDING]:
        wave.good_accepted = good
    audit.record(
        actor,
        "wave.accept",
        f"R-{rollout_id}",
        now=now,
        reason=reason.strip(),
        before=before,
        after={"wave": position, "silent": silent, "good": wave.good_accepted},
    )
    return deeds.settled(rollout, now)


def _held(rollout: Rollout, position: int) -> Wave:
    for wave in rollout.waves:
        if wave.position == position:
            if wave.state != WaveState.HELD:
                raise WaveNotHeldError(rollout.id, position, wave.state)
            return wave
    raise RolloutNotFoundError(rollout.id)
