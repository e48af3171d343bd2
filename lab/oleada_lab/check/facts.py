"""What a run tells its judges: small values, each said at the moment it becomes true.

A box tells of itself what is so, not what it believes; the server tells what it did.
The same facts can be read from a history of real processes. Times are in ms of the run
and travel beside a fact. A *rollout* is 1 for the one that a story plans; those that take
boxes back from it have the next numbers.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BoxMade:
    """A box left the factory."""

    box: str
    version: str


@dataclass(frozen=True, slots=True)
class Booted:
    """A box runs what is in *slot*, whose bytes have *digest* (SHA-256, hex)."""

    box: str
    slot: str
    version: str
    digest: str
    is_proven: bool
    after_watchdog: bool = False


@dataclass(frozen=True, slots=True)
class Bricked:
    """A box that has power boots nothing."""

    box: str
    why: str


@dataclass(frozen=True, slots=True)
class SlotErased:
    """A box begins to write *slot* while it runs *running*."""

    box: str
    slot: str
    running: str
    is_running_proven: bool


@dataclass(frozen=True, slots=True)
class SlotArmed:
    """A box will boot *slot* next; *digest* is of what lies there."""

    box: str
    slot: str
    digest: str


@dataclass(frozen=True, slots=True)
class SlotProven:
    """A box calls the slot that it runs good."""

    box: str
    slot: str
    version: str


@dataclass(frozen=True, slots=True)
class InstallBegan:
    """A box begins to fetch the image of this attempt from its first byte."""

    box: str
    assignment: str
    attempt: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """A box ends an attempt, for *reason* if it did not go well."""

    box: str
    assignment: str
    attempt: int
    phase: str
    reason: str
    version: str


@dataclass(frozen=True, slots=True)
class Connected:
    """A box has a connection."""

    box: str


@dataclass(frozen=True, slots=True)
class Disconnected:
    """A box has none any more."""

    box: str


@dataclass(frozen=True, slots=True)
class Unplugged:
    """A box has lost power for good; nothing is expected of it."""

    box: str


@dataclass(frozen=True, slots=True)
class ClockSet:
    """A box's clock is wrong from now on by *wrong_ms*."""

    box: str
    wrong_ms: int


@dataclass(frozen=True, slots=True)
class HealthMade:
    """A box has put a health message into its outbox."""

    box: str


@dataclass(frozen=True, slots=True)
class HealthLost:
    """A box has counted so many messages as dropped, or lost them with its disk."""

    box: str
    messages: int


@dataclass(frozen=True, slots=True)
class HealthKept:
    """At the end a box still has so many health messages to send."""

    box: str
    messages: int


@dataclass(frozen=True, slots=True)
class Used:
    """At the end: the longest spool of a box, and the most bytes it wrote to flash in a day."""

    box: str
    spool_messages: int
    flash_bytes_per_day: int


@dataclass(frozen=True, slots=True)
class Spoke:
    """A box has published *payload*."""

    box: str
    kind: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class WaveOpened:
    """The server has opened a wave for so many boxes."""

    wave: int
    boxes: int
    rollout: int = 1


@dataclass(frozen=True, slots=True)
class Commanded:
    """The server has assigned an attempt to a box."""

    box: str
    wave: int
    attempt: int
    rollout: int = 1


@dataclass(frozen=True, slots=True)
class LeaseGiven:
    """The server lets a box go on; *in_flight* others may at the moment, of *in_flight_max*."""

    box: str
    in_flight: int
    in_flight_max: int
    rollout: int = 1


@dataclass(frozen=True, slots=True)
class Counted:
    """What an attempt of a box stands for in the evidence has changed; None: it has begun."""

    box: str
    attempt: int
    was: str | None
    now: str
    rollout: int = 1


@dataclass(frozen=True, slots=True)
class StrataHalted:
    """The boxes that ran one of *versions* before are halted; the others go on."""

    versions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RolloutMoved:
    """A rollout is in *state* now."""

    state: str
    rollout: int = 1


@dataclass(frozen=True, slots=True)
class WayBack:
    """A rollout is to take so many boxes back to *version*; or none is, for what is *refused*."""

    version: str
    boxes: int
    refused: str = ""
    rollout: int = 1


@dataclass(frozen=True, slots=True)
class SentBack:
    """The server has written down a box that is to go back to *version*."""

    box: str
    version: str
    rollout: int


@dataclass(frozen=True, slots=True)
class Shown:
    """The server shows a box in *state*, running *version* (empty: it does not say)."""

    box: str
    state: str
    version: str = ""


@dataclass(frozen=True, slots=True)
class HealthCounted:
    """The server has stored a health message, once."""

    box: str


@dataclass(frozen=True, slots=True)
class ServiceDown:
    """Server or broker went down."""

    what: str


@dataclass(frozen=True, slots=True)
class ServiceUp:
    """Server or broker is there again."""

    what: str


@dataclass(frozen=True, slots=True)
class KilledServer:
    """A server that was killed has left something else than one that was not: a sentence."""

    what: str


@dataclass(frozen=True, slots=True)
class FaultsStopped:
    """From now on nothing goes wrong any more: the safety phase is over."""


@dataclass(frozen=True, slots=True)
class Settled:
    """The end: what each box runs, and what the server shows of it.

    Attributes:
        runs: By box; None for one that boots nothing.
        shown: By box, the server's state and the reason it has.
    """

    runs: dict[str, str | None]
    shown: dict[str, tuple[str, str]]
    connects_per_s: int = 0


Fact = (
    BoxMade | Booted | Bricked | SlotErased | SlotArmed | SlotProven | InstallBegan | Verdict
    | Connected | Disconnected | Unplugged | ClockSet | HealthMade | HealthLost | HealthKept
    | Used | Spoke | WaveOpened | Commanded | LeaseGiven | Counted | StrataHalted | RolloutMoved
    | WayBack | SentBack | Shown | HealthCounted
    | ServiceDown | ServiceUp | KilledServer | FaultsStopped | Settled
)  # fmt: skip
