"""What a rollout does next: facts and `now` in, one decision out, nothing else touched.

Rules that hold whatever happens (docs/explanation/rollouts.md says why):

- A limit is judged on outcomes: *good* and *bad* are verdicts, *silent* is the lack of
  one, *left out* and *excused* say nothing for or against the release, *gone* is revoked.
- Silence is never success, and a wave without outcomes never passes.
- A failure in any wave that was ever opened may halt, however late it comes.
- A wave that can not be judged is held for a person; it neither passes nor hangs.
- Evidence (evidence/judge.py) halts beside the limits, and opens a gate only with them.
  What that person accepts lifts this hold only: worse numbers hold again, harm still halts.
- Facts that contradict each other raise; the caller halts.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from fractions import Fraction
from functools import lru_cache

from oleada_server.rollouts.evidence import judge
from oleada_server.rollouts.evidence.judge import Evidence
from oleada_server.rollouts.states import RolloutState, WaveState


class Outcome(StrEnum):
    """What has become of a box, as far as the limits care."""

    PENDING = "pending"
    GOOD = "good"
    BAD = "bad"
    SILENT = "silent"
    LEFT_OUT = "left_out"
    EXCUSED = "excused"
    GONE = "gone"


class ImpossibleFactsError(ValueError):
    """Facts that contradict each other; the rollout must not go on with them."""


@dataclass(frozen=True, slots=True)
class Tally:
    """How many boxes of a wave have which outcome; whole numbers from 0."""

    pending: int = 0
    good: int = 0
    bad: int = 0
    silent: int = 0
    left_out: int = 0
    excused: int = 0
    gone: int = 0

    def __post_init__(self) -> None:
        if min(getattr(self, name) for name in self.__slots__) < 0:
            raise ImpossibleFactsError(f"a wave can not have fewer than no boxes: {self}")

    @property
    def boxes(self) -> int:
        """Return how many boxes the wave has, without those that are gone."""
        return self.pending + self.good + self.bad + self.silent + self.left_out + self.excused

    @property
    def judged(self) -> int:
        """Return how many boxes speak for or against the release."""
        return self.good + self.bad


@dataclass(frozen=True, slots=True)
class Limits:
    """What a wave must keep. Shares are 0 to 1; *sample_min* is at least 1.

    Attributes:
        success_share_min: Of the boxes that are not silent; opens the gate.
        failed_share_max: Of the boxes that are good or bad; more than it halts.
        silent_share_max: Of all boxes of the wave; more than it holds.
        sample_min: Outcomes, good or bad, before either share of them is judged.
        soak: How long the wave lives on after it has met its limits.
    """

    success_share_min: float
    failed_share_max: float
    silent_share_max: float
    sample_min: int
    soak: timedelta

    def __post_init__(self) -> None:
        for share in (self.success_share_min, self.failed_share_max, self.silent_share_max):
            if not 0 <= share <= 1:  # nothing that is not a number passes this
                raise ImpossibleFactsError(f"a share of {share} is not from 0 to 1")
        if self.sample_min < 1:
            raise ImpossibleFactsError(f"a sample of {self.sample_min} boxes proves nothing")
        if self.soak < timedelta(0):
            raise ImpossibleFactsError(f"a soak of {self.soak} ends before it begins")


@dataclass(frozen=True, slots=True)
class Accepted:
    """What a person has taken responsibility for by lifting a hold; nothing by default.

    Attributes:
        silent: So many silent boxes do not hold the wave, even above its limit.
        good: So many updated boxes are enough once no other is at it; None for the limit.
    """

    silent: int = 0
    good: int | None = None

    def __post_init__(self) -> None:
        if self.silent < 0 or (self.good is not None and self.good < 1):
            raise ImpossibleFactsError(f"nobody can accept {self}")


@dataclass(frozen=True, slots=True)
class WaveFacts:
    """One wave as it stands.

    Attributes:
        position: From 1, in the order in which waves open.
        soak_from: When the soak began; set in and after the soak, never before.
        held_for: The reason of the hold; set while the wave is held, never else.
        accepted: What a person who lifted a hold has accepted.
        is_authorised: Whether whoever must sign it has signed it; else it does not open.
        halted: Boxes of strata that are halted; no outcome of theirs is in the tally.
        unripe: Updated boxes whose trial is not old enough to count as proof.
    """

    position: int
    state: WaveState
    tally: Tally
    limits: Limits
    soak_from: datetime | None = None
    held_for: str | None = None
    accepted: Accepted = Accepted()
    is_authorised: bool = True
    halted: int = 0
    unripe: int = 0

    def __post_init__(self) -> None:
        if self.halted < 0 or not 0 <= self.unripe <= self.tally.good:
            raise ImpossibleFactsError(f"wave {self.position} can not be like {self}")
        if self.tally.boxes + self.tally.gone + self.halted == 0:
            raise ImpossibleFactsError(f"wave {self.position} has no boxes")
        if self.state is WaveState.WAITING and self.tally.pending != self.tally.boxes:
            raise ImpossibleFactsError(
                f"wave {self.position} is not open, but boxes of it have outcomes: {self.tally}"
            )
        if (self.state in (WaveState.SOAKING, WaveState.PASSED)) != (self.soak_from is not None):
            raise ImpossibleFactsError(
                f"wave {self.position} is {self.state} with a soak from {self.soak_from}"
            )
        if (self.state is WaveState.HELD) != (self.held_for is not None):
            raise ImpossibleFactsError(
                f"wave {self.position} is {self.state} with the hold {self.held_for!r}"
            )


@dataclass(frozen=True, slots=True)
class RolloutFacts:
    """One rollout as it stands; *waves* in order, at least one.

    *evidence* is None where a plan has limits alone.
    """

    state: RolloutState
    waves: tuple[WaveFacts, ...]
    start_at: datetime | None = None
    evidence: Evidence | None = None

    def __post_init__(self) -> None:
        numbers = [wave.position for wave in self.waves]
        if not numbers or numbers != list(range(1, len(numbers) + 1)):
            raise ImpossibleFactsError(f"waves are numbered {numbers}; 1, 2, 3 … was expected")
        opened = [wave.state is not WaveState.WAITING for wave in self.waves]
        if sorted(opened, reverse=True) != opened:
            raise ImpossibleFactsError("a wave is open before the one in front of it")
        if any(w.state is not WaveState.PASSED for w in self.waves[: max(sum(opened) - 1, 0)]):
            raise ImpossibleFactsError("a wave is open while the one in front has not passed")
        if self.state in MOVING and any(wave.state is WaveState.HALTED for wave in self.waves):
            raise ImpossibleFactsError(f"a wave has halted, but the rollout is {self.state}")
        if self.state is RolloutState.SCHEDULED and any(opened):
            raise ImpossibleFactsError("a wave is open before the rollout has started")


MOVING = frozenset({RolloutState.SCHEDULED, RolloutState.RUNNING, RolloutState.PAUSED})


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do yet. *until* is when time alone changes that, if it does."""

    reason: str
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class OpenWave:
    """Assign the release to the boxes of this wave; or its hold is over, go on with them."""

    position: int


@dataclass(frozen=True, slots=True)
class StartSoak:
    """The wave has met its limits; it must now live for its soak."""

    position: int


@dataclass(frozen=True, slots=True)
class PassWave:
    """The wave has met its limits and lived; the next one may open."""

    position: int


@dataclass(frozen=True, slots=True)
class HoldWave:
    """The wave can not be judged; a person must look, or late boxes must report."""

    position: int
    reason: str


@dataclass(frozen=True, slots=True)
class Halt:
    """Stop: the evidence speaks against the release. *position* is the wave's; 0 for all."""

    position: int
    reason: str


@dataclass(frozen=True, slots=True)
class HaltStrata:
    """Stop for the boxes that ran these versions before; the others go on."""

    names: tuple[str, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class Finish:
    """Every wave has passed and every box has an outcome."""


Decision = Wait | OpenWave | StartSoak | PassWave | HoldWave | HaltStrata | Halt | Finish


def decide(facts: RolloutFacts, now: datetime) -> Decision:
    """Return what the rollout does at *now*.

    One step at a time: the caller stores the decision and asks again until it is a
    :class:`Wait`. Asking twice, late or from two machines gives the same steps.
    """
    match facts.state:
        case RolloutState.SCHEDULED:
            if facts.start_at is not None and now < facts.start_at:
                return Wait("waits for its start time", facts.start_at)
            return _open(facts.waves[0])
        case RolloutState.RUNNING:
            return _harm(facts) or _advance(facts, now)
        case RolloutState.PAUSED:
            return _harm(facts) or Wait("is paused")
        case _:
            return Wait(f"is {facts.state}")


def _harm(facts: RolloutFacts) -> Halt | HaltStrata | None:
    found = next(_broken_limits(facts), None)
    return found or (_speaks_against(facts.evidence) if facts.evidence is not None else None)


def _broken_limits(facts: RolloutFacts) -> Iterator[Halt]:
    for wave in facts.waves:
        tally, limit = wave.tally, wave.limits.failed_share_max
        too_many = tally.bad > exact(limit) * tally.judged
        # Even if every other box turned out good, the limit could not be kept any more.
        is_certain = tally.bad > exact(limit) * tally.boxes
        if is_certain or (too_many and _has_sample(wave)):
            yield Halt(
                wave.position,
                f"wave {wave.position}: {tally.bad} of {tally.judged} failed, "
                f"more than {percent(limit)}",
            )


def _speaks_against(evidence: Evidence) -> Halt | HaltStrata | None:
    found = judge.judge(evidence)
    if found.halts_all:
        return Halt(0, judge.harm(evidence, ()))
    return HaltStrata(found.halting, judge.harm(evidence, found.halting)) if found.halting else None


def _advance(facts: RolloutFacts, now: datetime) -> Decision:
    for wave in facts.waves:
        if wave.state is WaveState.WAITING:
            return _open(wave)
        if wave.state is not WaveState.PASSED:
            return _judge(wave, facts.evidence, now)
    if pending := sum(wave.tally.pending for wave in facts.waves):
        return Wait(f"waits for the last {pending} boxes")
    return Finish()


def _open(wave: WaveFacts) -> Decision:
    """Return that *wave* opens, or whom it waits for: its boxes would refuse it unsigned."""
    if not wave.is_authorised:
        return Wait(f"wave {wave.position} waits for the signatures of approvers")
    return OpenWave(wave.position)


def _judge(wave: WaveFacts, evidence: Evidence | None, now: datetime) -> Decision:
    if doubt := _doubt(wave) or (evidence and _not_proven(wave, evidence)):
        return Wait(doubt) if wave.held_for == doubt else HoldWave(wave.position, doubt)
    if not _has_succeeded(wave):
        if wave.state is WaveState.HELD:
            return OpenWave(wave.position)
        return Wait(f"wave {wave.position}: {wave.tally.good} of {wave.tally.boxes} are updated")
    if wave.soak_from is None:
        return StartSoak(wave.position)
    soaked_at = wave.soak_from + wave.limits.soak
    if now < soaked_at:
        return Wait(f"wave {wave.position} soaks", soaked_at)
    unheard = wave.tally.silent + wave.tally.pending
    if unheard > _silent_max(wave):
        # Were they all to fall silent, the wave would have passed for lack of news.
        return Wait(f"wave {wave.position}: {wave.tally.pending} boxes have not finished")
    if evidence and not _needs_no_proof(wave) and not judge.is_proven(evidence):
        return Wait(f"wave {wave.position}: the evidence does not prove it good yet")
    return PassWave(wave.position)


def _doubt(wave: WaveFacts) -> str | None:
    """Return why the wave needs a person, None while boxes can still decide it."""
    tally, limits = wave.tally, wave.limits
    if tally.silent > _silent_max(wave):
        return (
            f"wave {wave.position}: {tally.silent} of {tally.boxes} are silent, "
            f"more than {percent(limits.silent_share_max)}"
        )
    if tally.pending == 0 and not _has_succeeded(wave):
        return (
            f"wave {wave.position}: {tally.good} of {tally.boxes - tally.silent} are updated, "
            f"fewer than {percent(limits.success_share_min)}, and no other box is at it"
        )
    return None


def _not_proven(wave: WaveFacts, evidence: Evidence) -> str | None:
    """Return why the evidence needs a person; None while boxes can still tell."""
    if judge.judge(evidence).asks:
        return f"wave {wave.position}: {judge.unwatched(evidence)}"
    is_open = wave.tally.pending > 0 or wave.unripe > 0
    if is_open or _needs_no_proof(wave) or judge.is_ruled_out(evidence):
        return None
    return f"wave {wave.position} is undecided: {judge.undecided(evidence)}"


def _needs_no_proof(wave: WaveFacts) -> bool:
    """Return whether a person has accepted *wave*, or no box of it is left to prove anything."""
    return wave.accepted.good is not None or _has_nobody(wave)


def _has_nobody(wave: WaveFacts) -> bool:
    """Return whether its strata have halted; one whose boxes are gone needs a person."""
    return wave.tally.boxes + wave.tally.gone == 0


def _has_succeeded(wave: WaveFacts) -> bool:
    tally = wave.tally
    if tally.boxes == 0:
        return _has_nobody(wave)
    needed = exact(wave.limits.success_share_min) * (tally.boxes - tally.silent)
    if tally.pending == 0 and wave.accepted.good is not None:
        needed = min(needed, Fraction(wave.accepted.good))
    return tally.good >= needed and tally.good > 0 and _has_sample(wave)


def _silent_max(wave: WaveFacts) -> Fraction:
    """Return how many boxes may be silent: the limit, or more if a person accepted more."""
    limit = exact(wave.limits.silent_share_max) * wave.tally.boxes
    return max(limit, Fraction(wave.accepted.silent))


def _has_sample(wave: WaveFacts) -> bool:
    """Return whether enough boxes have spoken, or all that ever will."""
    tally = wave.tally
    return tally.judged >= wave.limits.sample_min or tally.pending == 0


@lru_cache(maxsize=256)
def exact(share: float) -> Fraction:
    """Return *share* as the decimal that a person typed: 0.07 of 100 is 7, not 7.000…1."""
    return Fraction(str(share))


def percent(share: float) -> str:
    """Return *share* for people: ``2%``, ``0.5%``."""
    return f"{float(exact(share) * 100):g}%"
