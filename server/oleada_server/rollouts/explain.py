"""Why a box gets a release, or why not: every rule, pass or fail, what was seen, what changes it.

Pure: facts and `now` in, one explanation out. Eligibility is ``eligible.failing``, times
are ``schedule``, pace is ``pace.met``: the functions that decide are the ones that explain.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final
from zoneinfo import ZoneInfo

from oleada_wire.cohort import SHARE_PARTS, place

from oleada_server.rollouts import cover, pace, schedule
from oleada_server.rollouts.eligible import Candidate, LeftOut, Needs, failing, first_to_pass
from oleada_server.rollouts.pace import Caps, Full, Rate, Traffic
from oleada_server.rollouts.plan import exact
from oleada_server.rollouts.schedule import Schedule
from oleada_server.rollouts.spec import WaveSpec
from oleada_server.rollouts.states import (
    IN_FLIGHT,
    PENDING,
    VERDICTS,
    BoxState,
    RolloutState,
    WaveState,
)


class RuleName(StrEnum):
    """Every rule that an explanation can name, in the order in which it names them."""

    REVOKED = "not-revoked"
    HEARD = "heard"
    PUBLISHED = "release-published"
    OTHER_VERSION = "other-version"
    NOT_NEWER = "not-newer"
    SECURITY_FLOOR = "security-floor"
    MINIMUM_VERSION = "minimum-version"
    MUST_PASS = "must-pass"  # noqa: S105 - a version to go through, not a secret
    DEPENDS = "depends"
    PRECEDENCE = "precedence"
    PLANNED = "rollout-exists"
    ROLLOUT_STATE = "rollout-running"
    WAVE = "wave-covers"
    SIGNED = "wave-signed"
    WAVE_STATE = "wave-open"
    BOX_STATE = "box-not-done"
    CONTACT = "in-contact"
    TIME = "time-to-begin"
    LEFT_ALONE = "not-left-alone"
    IN_FLIGHT = "in-flight"
    SLOW_START = "slow-start"
    RATE = "rate"
    REGION = "in-flight-region"
    BANDWIDTH = "bandwidth"
    REGION_BANDWIDTH = "bandwidth-region"


CHANGES: Final[dict[RuleName, str]] = {
    RuleName.REVOKED: "A new claim token makes it one of ours again.",
    RuleName.HEARD: "It has to say hello once, so that its version is known.",
    RuleName.PUBLISHED: "Publish what should go out as another version.",
    RuleName.OTHER_VERSION: "Nothing: it runs the release already.",
    RuleName.NOT_NEWER: "Nothing: no rollout sends a box back to an older version.",
    RuleName.SECURITY_FLOOR: "Sign the content again with security version {wanted} or higher.",
    RuleName.MINIMUM_VERSION: "Bring it to {wanted} or newer first.",
    RuleName.MUST_PASS: "Bring it to {wanted} first; no box may skip that version.",
    RuleName.DEPENDS: "Only a box that can do {wanted} takes it.",
    RuleName.PRECEDENCE: "It is free when {seen} ends; wait for that, or stop it.",
    RuleName.PLANNED: "Plan a rollout of it.",
    RuleName.ROLLOUT_STATE: "The rollout has to run.",
    RuleName.WAVE: "Plan a rollout with a wave that takes it; the boxes of this one are fixed.",
    RuleName.SIGNED: "Enough wave approvers have to sign the wave.",
    RuleName.WAVE_STATE: "The waves in front of it have to pass.",
    RuleName.BOX_STATE: "Nothing, if it is updated; else retry it: its attempts are over.",
    RuleName.CONTACT: "It has to be switched on and in contact again.",
    RuleName.TIME: "Wait: it may begin from {wanted} on.",
    RuleName.LEFT_ALONE: "Wait until that is over, or force the rollout.",
    RuleName.IN_FLIGHT: "Another box has to finish, or the limit of {wanted} has to be raised.",
    RuleName.SLOW_START: "A box at work has to prove good: each lets one more begin.",
    RuleName.RATE: "Wait a minute: the rate is {wanted} a minute now.",
    RuleName.REGION: "Another box of its region has to finish; the limit is {wanted}.",
    RuleName.BANDWIDTH: "Another box has to finish loading; {wanted} may load at one time.",
    RuleName.REGION_BANDWIDTH: "Another box of its region has to finish loading; {wanted} may.",
}
"""What would let a box pass a rule that it fails."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: whether the box passes, the value that was *seen*, the one that is *wanted*."""

    name: RuleName
    passed: bool
    seen: str
    wanted: str = ""

    @property
    def change(self) -> str:
        """Return what would let the box pass; empty if it does."""
        return "" if self.passed else CHANGES[self.name].format(seen=self.seen, wanted=self.wanted)


@dataclass(frozen=True, slots=True, kw_only=True)
class InWave:
    """The box's place in a wave of the rollout. *is_signed*: approvers have, or need not."""

    position: int
    wave_state: WaveState
    box_state: BoxState
    is_signed: bool
    attempt: int
    attempts_max: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutFacts:
    """What one rollout says; *mine* is None when the box is in none of its waves.

    Attributes:
        ref: What people call it, ``R-7``.
        in_flight: Other boxes of it that are at work, or in a trial that does not count yet.
        in_flight_max: So many the plan lets be at work.
        room: So many the evidence does, by now; None where limits alone count.
        has_place: The box was let begin and its lease has not run out since, or it is in a
            trial that does not count yet; one at work that has none waits for a place to arm.
        left_alone: Why the box is left alone; empty if it is not, or if that is forced over.
    """

    ref: str
    state: RolloutState
    salt: str
    waves: tuple[WaveSpec, ...]
    mine: InWave | None
    times: Schedule
    rate: Rate | None
    caps: Caps
    traffic: Traffic
    in_flight: int
    in_flight_max: int
    room: int | None = None
    has_place: bool = False
    left_alone: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Everything that decides about one box and one release.

    Attributes:
        claimed_by: Another open rollout that has the box, ``R-107``; None if none has.
        last_seen_at: When it was last heard; None for never.
        is_silent: It was not heard for longer than the setting says.
        rollout: Of the release; None while there is none.
    """

    box: Candidate
    needs: Needs
    is_published: bool
    is_revoked: bool
    claimed_by: str | None
    last_seen_at: datetime | None
    is_silent: bool
    zone: ZoneInfo
    rollout: RolloutFacts | None


@dataclass(frozen=True, slots=True)
class Explanation:
    """Every rule in order; *begins_at* is when time alone would let the box begin."""

    rules: tuple[Rule, ...]
    begins_at: datetime | None

    @property
    def failed(self) -> tuple[Rule, ...]:
        """Return the rules that the box fails, in order."""
        return tuple(rule for rule in self.rules if not rule.passed)


def explain(facts: Facts, now: datetime) -> Explanation:
    """Return why the box of *facts* may have the release at *now*, or why not.

    A box that is done, or at work, still sees every rule: they say what held.
    """
    rules = (*_of_release(facts), *_of_rollout(facts, now))
    lacking = {rule.name for rule in rules if not rule.passed}
    begins_at = None
    if not lacking - {RuleName.TIME} and facts.rollout is not None:
        begins_at = schedule.next_opening(facts.rollout.times, facts.zone, now)
    return Explanation(rules, begins_at)


def _of_release(facts: Facts) -> Iterator[Rule]:
    box, needs = facts.box, facts.needs
    lacks, version = set(failing(box, needs)), box.kind.version or "never heard"
    yield Rule(RuleName.REVOKED, not facts.is_revoked, "revoked" if facts.is_revoked else "no")
    is_heard = LeftOut.NEVER_HEARD not in lacks
    yield Rule(RuleName.HEARD, is_heard, version)
    said = "published" if facts.is_published else "withdrawn"
    yield Rule(RuleName.PUBLISHED, facts.is_published, said, needs.version)
    passes = first_to_pass(version, needs) if is_heard else None
    missing = sorted(needs.depends - box.kind.provides)
    found = (
        (RuleName.OTHER_VERSION, LeftOut.ALREADY_THERE, version, needs.version),
        (RuleName.NOT_NEWER, LeftOut.RUNS_NEWER, version, needs.version),
        (RuleName.SECURITY_FLOOR, LeftOut.BELOW_SECURITY_FLOOR,
         str(needs.security_version), str(box.security_version or "none")),
        (RuleName.MINIMUM_VERSION, LeftOut.BELOW_MINIMUM_VERSION, version,
         needs.min_version or "any"),
        (RuleName.MUST_PASS, LeftOut.MUST_PASS, version, passes or "none"),
        (RuleName.DEPENDS, LeftOut.LACKS_DEPENDENCY,
         ", ".join(sorted(box.kind.provides)) or "nothing",
         ", ".join(missing or sorted(needs.depends)) or "nothing"),
    )  # fmt: skip
    for name, reason, seen, wanted in found:
        # Of a box that was never heard nothing is known, so nothing else holds.
        yield Rule(name, is_heard and reason not in lacks, seen, wanted)
    other = facts.claimed_by
    yield Rule(RuleName.PRECEDENCE, other is None, other or "none")


def _of_rollout(facts: Facts, now: datetime) -> Iterator[Rule]:
    rollout = facts.rollout
    if rollout is None:
        yield Rule(RuleName.PLANNED, passed=False, seen="none")
        return
    yield Rule(RuleName.PLANNED, passed=True, seen=rollout.ref)
    is_running = rollout.state is RolloutState.RUNNING
    yield Rule(RuleName.ROLLOUT_STATE, is_running, str(rollout.state), "running")
    mine = rollout.mine
    if mine is None:
        yield Rule(RuleName.WAVE, passed=False, seen=_why_no_wave(facts.box, rollout))
        return
    yield Rule(RuleName.WAVE, passed=True, seen=f"wave {mine.position}")
    yield from _of_wave(mine)
    heard = "never" if facts.last_seen_at is None else facts.last_seen_at.isoformat()
    yield Rule(RuleName.CONTACT, not facts.is_silent, heard)
    yield _time(facts, rollout, now)
    yield Rule(RuleName.LEFT_ALONE, not rollout.left_alone, rollout.left_alone or "no")
    yield from _pace(rollout, mine)


def _of_wave(mine: InWave) -> Iterator[Rule]:
    yield Rule(RuleName.SIGNED, mine.is_signed, "signed" if mine.is_signed else "not signed")
    is_open = mine.wave_state not in (WaveState.WAITING, WaveState.HALTED)
    yield Rule(RuleName.WAVE_STATE, is_open, str(mine.wave_state), "open")
    is_left = mine.box_state not in VERDICTS and mine.box_state is not BoxState.SILENT
    tried = f"{mine.box_state}, attempt {mine.attempt} of {mine.attempts_max}"
    yield Rule(RuleName.BOX_STATE, is_left, tried)


def _time(facts: Facts, rollout: RolloutFacts, now: datetime) -> Rule:
    opens_at = schedule.next_opening(rollout.times, facts.zone, now)
    local = now.astimezone(facts.zone).strftime("%a %Y-%m-%d %H:%M")
    wanted = opens_at and opens_at.astimezone(facts.zone).strftime("%a %Y-%m-%d %H:%M")
    seen = f"{local} {facts.zone.key}"
    return Rule(RuleName.TIME, opens_at == now, seen, wanted or "no day to come")


def _pace(rollout: RolloutFacts, mine: InWave) -> Iterator[Rule]:
    """Yield the limits of pace; a box that is done, or has its place, is not held by them."""
    traffic, caps = rollout.traffic, rollout.caps
    waits = mine.box_state in PENDING - IN_FLIGHT
    hit = set(pace.met(rollout.rate, caps, traffic)) if waits else set()
    wants_place = mine.box_state in PENDING and not rollout.has_place
    for name, most in (
        (RuleName.IN_FLIGHT, rollout.in_flight_max), (RuleName.SLOW_START, rollout.room)
    ):  # fmt: skip
        if most is not None:
            is_full = wants_place and rollout.in_flight >= most
            yield Rule(name, not is_full, str(rollout.in_flight), str(most))
    rate = None
    if rollout.rate is not None:
        rate = pace.per_minute(rollout.rate, traffic.notified, traffic.succeeded)
    found = (
        (RuleName.RATE, Full.RATE, traffic.begun, rate),
        (RuleName.REGION, Full.REGION, traffic.in_flight_region, caps.in_flight_max_per_region),
        (RuleName.BANDWIDTH, Full.BANDWIDTH, traffic.loading, caps.loading_max),
        (RuleName.REGION_BANDWIDTH, Full.REGION_BANDWIDTH, traffic.loading_region,
         caps.loading_max_per_region),
    )  # fmt: skip
    for name, full, seen, limit in found:
        if limit is not None:
            yield Rule(name, full not in hit, str(seen), str(limit))


def _why_no_wave(box: Candidate, rollout: RolloutFacts) -> str:
    """Return for each wave why it does not take *box*."""
    said = []
    for number, wave in enumerate(rollout.waves, start=1):
        said.append(f"wave {number}: {_why_not_in(box, wave, rollout.salt)}")
    return "; ".join(said)


def _why_not_in(box: Candidate, wave: WaveSpec, salt: str) -> str:
    if wave.share_until is not None:
        at, until = place(salt, box.device_id), int(exact(wave.share_until) * SHARE_PARTS)
        if at >= until:
            return f"place {at} of {SHARE_PARTS}, under {until} wanted"
        return f"place {at} is under {until}, but it was not there when the boxes were fixed"
    if wave.device_ids is not None:
        return "not on its list" if box.device_id not in wave.device_ids else "on its list, not fit"
    lacks = [] if wave.where is None else cover.checks(wave.where, box.kind)
    wrong = [name for name, passed in lacks if not passed]
    if wrong:
        return f"other {', '.join(wrong)}"
    return "fits, but was not among those drawn" if wave.count is not None else "fits only by now"
