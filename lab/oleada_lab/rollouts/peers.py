"""What other systems do, as their documentation or source says it, over the same fleets.

Each rule is told what it could know: who was told to begin, and who reported what. A person
is played only where the rule needs one. ``SOURCES`` has the address of each; the tests play
the example that stands there.
"""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from oleada_lab.rollouts.fleet import Batch, Fleet
from oleada_lab.rollouts.ours import Ended

MINUTES_MAX: Final = 7 * 24 * 60
DAY_MIN: Final = 24 * 60
LOOK_EVERY_MIN: Final = 8 * 60
NOTICED: Final = 0.05
"""A person who looks notices when more than one box in twenty failed or is missing."""


SOURCES: Final = {
    "timed phases (Mender)": (
        "https://mender.io/blog/managing-fleets-of-connected-devices-with-phased-rollout",
        "https://docs.mender.io/3.3/overview/deployment",
    ),
    "phases, a person looks (XConf)": (
        "https://github.com/rdkcentral/xconfserver",
        "https://github.com/rdkcentral/xconfadmin",
    ),
    "AWS IoT Jobs": (
        "https://docs.aws.amazon.com/iot/latest/developerguide/job-configurations-api.html",
        "https://docs.aws.amazon.com/iot/latest/apireference/API_ExponentialRolloutRate.html",
    ),
    "hawkBit": (
        "https://github.com/eclipse-hawkbit/hawkbit",
        "https://eclipse.dev/hawkbit/rollout-management/",
    ),
    "FreeACS": ("https://github.com/freeacs/freeacs",),
}


@dataclass(slots=True)
class Told:
    """Boxes that were told to begin in one minute, and what they said since."""

    begun: int
    good: int = 0
    failed: int = 0
    timed_out: int = 0


@dataclass(slots=True)
class Seen:
    """What a rule knows at a minute; *newest* are the last outcomes, True for a failure."""

    boxes: int
    minute: int = 0
    begun: int = 0
    good: int = 0
    failed: int = 0
    timed_out: int = 0
    newest: list[bool] = field(default_factory=list)
    batches: list["Told"] = field(default_factory=list)

    @property
    def executed(self) -> int:
        """Return how many have ended, as far as anybody was told."""
        return self.good + self.failed + self.timed_out


@dataclass(frozen=True, slots=True)
class Stop:
    """The rule cancels what has not begun."""


Due = defaultdict[int, list[tuple[Told, str, int]]]
Rule = Callable[[Seen], int | Stop]
"""Told what is known, returns how many boxes may have begun by now, or that it stops."""


def play(fleet: Fleet, rule: Rule, timeout_min: int | None = None) -> Ended:
    """Play *rule* over *fleet*; boxes that say nothing time out after *timeout_min*."""
    seen = Seen(fleet.boxes)
    due: Due = defaultdict(list)
    harmed = 0
    for minute in range(MINUTES_MAX):
        seen.minute = minute
        for told, what, boxes in due.pop(minute, ()):
            for one in (seen, told):
                setattr(one, what, getattr(one, what) + boxes)
            seen.newest = (seen.newest + [what != "good"] * boxes)[-1000:]
        said = rule(seen)
        if isinstance(said, Stop):
            return Ended(harmed, seen.begun, minute, "halted")
        more = min(said, fleet.boxes) - seen.begun
        if more > 0:
            batch = fleet.begin(more)
            seen.batches.append(Told(more))
            seen.begun, harmed = seen.begun + more, harmed + batch.harmed
            _plan(batch, due, seen.batches[-1], minute, timeout_min)
        if seen.begun == fleet.boxes and not due:
            return Ended(harmed, seen.begun, minute, "finished")
    return Ended(harmed, seen.begun, MINUTES_MAX, "stands still")


def _plan(batch: Batch, due: Due, told: Told, minute: int, timeout_min: int | None) -> None:
    for delay, boxes in batch.good:
        due[minute + delay].append((told, "good", boxes))
    for delay, boxes in batch.failed:
        due[minute + delay].append((told, "failed", boxes))
    if batch.mute and timeout_min is not None:
        due[minute + timeout_min].append((told, "timed_out", batch.mute))


def all_at_once(seen: Seen) -> int | Stop:
    """Everybody is told at once, and nobody looks."""
    return seen.boxes


def timed_phases(seen: Seen) -> int | Stop:
    """Mender: phases of a share each, one after another by the clock; no abort of its own.

    The example of its page on phased rollouts: 5 % of the devices, a day later 15 %, and a
    day after that all the others. Somebody who watches may abort it; nobody does here.
    """
    share = (0.05, 0.20, 1.0)[min(seen.minute // DAY_MIN, 2)]
    return int(share * seen.boxes)


def a_person_looks(seen: Seen) -> int | Stop:
    """XConf and any timed phases with a person: a share is raised by hand, or not.

    XConf's percent filter covers the devices whose :func:`percent_of` lies below a share
    that somebody typed, and has no condition that takes it back (``PercentFilterValue``);
    the person looks every eight hours and notices more than one box in twenty.
    """
    missing = seen.begun - seen.good
    is_time = seen.minute and seen.minute % LOOK_EVERY_MIN == 0
    if is_time and missing > NOTICED * seen.begun:
        return Stop()
    return timed_phases(seen)


def percent_of(mac: str) -> float:
    """Return where XConf's percentage calculator places a device, 0 to 100.

    SipHash-2-4 of the quoted address under the two keys of ``PercentageService``, taken as
    a signed number and shifted up, as a part of all numbers of 64 bits.
    """
    hashed = siphash24(XCONF_KEY, f'"{mac}"'.encode())
    return ((hashed + 2**63) % 2**64) / (2**64 - 1) * 100


XCONF_KEY: Final = bytes(range(16))


def siphash24(key: bytes, message: bytes) -> int:
    """Return SipHash-2-4 (Aumasson & Bernstein 2012) of *message* under *key* of 16 bytes."""
    k0, k1 = (int.from_bytes(key[at : at + 8], "little") for at in (0, 8))
    v = [
        k0 ^ 0x736F6D6570736575, k1 ^ 0x646F72616E646F6D,
        k0 ^ 0x6C7967656E657261, k1 ^ 0x7465646279746573,
    ]  # fmt: skip
    padded = message + bytes(7 - len(message) % 8) + bytes([len(message) % 256])
    for at in range(0, len(padded), 8):
        word = int.from_bytes(padded[at : at + 8], "little")
        v[3] ^= word
        _sip_rounds(v, 2)
        v[0] ^= word
    v[2] ^= 0xFF
    _sip_rounds(v, 4)
    return v[0] ^ v[1] ^ v[2] ^ v[3]


def _sip_rounds(v: list[int], rounds: int) -> None:
    for _ in range(rounds):
        for a, b, turn, other in ((0, 1, 13, 32), (2, 3, 16, 0), (0, 3, 21, 0), (2, 1, 17, 32)):
            v[a] = (v[a] + v[b]) % 2**64
            v[b] = _turned(v[b], turn) ^ v[a]
            v[a] = _turned(v[a], other)


def _turned(word: int, bits: int) -> int:
    return (word << bits | word >> (64 - bits)) % 2**64


@dataclass(slots=True)
class Aws:
    """AWS IoT Jobs: an exponential rate, and abort criteria by share of what has ended.

    ``exponentialRate``: *base* things a minute, times *factor* each time *every* more were
    notified, up to ``maximumPerMinute``. ``abortConfig``: cancel when at least
    ``thresholdPercentage`` of the executions that ended did so with a failure type, once
    ``minNumberOfExecutedThings`` have; criteria are looked at one after the other. The
    figures are those of the page's example: 50 a minute, doubled each 1000, at most 1000;
    FAILED 20 % of 100, TIMED_OUT 50 % of 200. It names no time; 100 minutes are ours.
    """

    base: int = 50
    factor: float = 2.0
    every: int = 1000
    maximum: int = 1000
    allowed: int = 0

    def rate(self, notified: int) -> int:
        """Return how many are notified in the next minute."""
        return min(int(self.base * self.factor ** (notified // self.every)), self.maximum)

    def __call__(self, seen: Seen) -> int | Stop:
        """Return how many may have begun, or that a criterion is met."""
        ended = seen.executed
        if ended >= 100 and seen.failed >= 0.20 * ended:
            return Stop()
        if ended >= 200 and seen.timed_out >= 0.50 * ended:
            return Stop()
        self.allowed += self.rate(min(self.allowed, seen.boxes * 10))
        return self.allowed


AWS_TIMEOUT_MIN: Final = 100


@dataclass(slots=True)
class HawkBit:
    """Eclipse hawkBit: groups; a share of finished opens the next, a share of errors stops.

    ``ThresholdRolloutGroupErrorCondition``: errors of a group divided by all its actions,
    more than the threshold, which pauses the rollout (``PauseRolloutGroupAction``). Else
    ``ThresholdRolloutGroupSuccessCondition``: finished ones divided by all its targets, at
    least the threshold. A group in which every action has ended is looked at no more; when
    no group is left running, the next one starts whatever the last came to
    (``JpaRolloutExecutor.handleRunningRollout``). Nothing ends an action that says nothing.

    ``RolloutGroupConditionBuilder.withDefaults`` has 50 % for both; ten groups are ours, and
    so are 10 % of errors, which stop earlier than its own.
    """

    groups: int = 10
    success: float = 0.50
    errors: float = 0.10

    def __call__(self, seen: Seen) -> int | Stop:
        """Return how many may have begun, or that a group has too many errors."""
        if any(group.failed / group.begun > self.errors for group in seen.batches):
            return Stop()
        newest = seen.batches[-1] if seen.batches else None
        is_next = newest is None or self._is_over(newest)
        opened = len(seen.batches) + is_next
        return seen.boxes if opened >= self.groups else opened * (seen.boxes // self.groups)

    def _is_over(self, group: Told) -> bool:
        return group.good / group.begun >= self.success or group.good + group.failed == group.begun


@dataclass(slots=True)
class FreeAcs:
    """FreeACS: a job for a group; it stops at N bad ends of the last M.

    A ``StopRule`` with a number and a maximum counts failures among the newest outcomes,
    one for each unit, and matches when there are at least that many; who is unconfirmed
    after a time is a failure as well (``FractionStopRuleCounter``, ``JobRuleEnforcer``).
    Boxes begin when they call, spread over a day; 10 of the last 100, unconfirmed after an
    hour.
    """

    number: int = 10
    of_last: int = 100

    def __call__(self, seen: Seen) -> int | Stop:
        """Return how many have called by now, or that the stop rule matches."""
        if sum(seen.newest[-self.of_last :]) >= self.number:
            return Stop()
        return min(seen.boxes, seen.boxes * (seen.minute + 1) // DAY_MIN)


FREE_ACS_TIMEOUT_MIN: Final = 60
