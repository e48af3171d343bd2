"""The shapes of a scenario: every option has a place, so that all can be printed and hashed.

docs/reference/scenarios.md has the table.
"""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from typing import Final

from oleada_lab.scenario_read import Duration, Moment, ScenarioError, Size

SERVICES, ROWS = "services", "rows"
DISK_OP, TICK_COMMIT, SERVER_COMMIT = "disk_op", "tick_commit", "server_commit"
SERVICES_BOXES_MAX: Final = 50
"""A larger fleet is played with rows unless its story says otherwise: services cost more."""
HALF_AN_HOUR: Final = Duration(1800)
AN_HOUR: Final = Duration(3600)
TWO_HOURS: Final = Duration(2 * 3600)
FOUR_HOURS: Final = Duration(4 * 3600)
A_DAY: Final = Duration(86_400)
A_MINUTE: Final = Duration(60)
FIVE_MINUTES: Final = Duration(300)
TEN_MINUTES: Final = Duration(600)
QUARTER_OF_AN_HOUR: Final = Duration(900)
TWENTY_SECONDS: Final = Duration(20)
NOTHING: Final = Duration(0)
NEVER_WRONG: Final = Moment(0)
A_ROUND_TRIP: Final = Moment(40)
A_LITTLE: Final = Moment(15)
A_FAIR_RATE: Final = Size(1_000_000)
A_SMALL_IMAGE: Final = Size(16 * 1024)
MUCH_FLASH: Final = Size(64 * 1024 * 1024)
SOME_SECONDS_OF_DOWNLOAD: Final = Size(384 * 1024)
A_REAL_MINUTE: Final = Moment(60_000)


@dataclass(frozen=True, slots=True)
class Fleet:
    """The boxes.

    Attributes:
        power_cut_share: Of boxes lose power once, at a random flash write.
        profile: Of their lines; ``home`` needs no table of its own.
        regions: Shares of the fleet by name, for targets such as ``region:north``.
        old_share: Of boxes leave the factory with ``old_version``.
        old_agent: Commit whose agent those run, at level ``proc``; in virtual time there is one.
        health: Between two health messages.
        connect_spread: The agent's setting.
    """

    count: int
    model: str = "VX-410"
    power_cut_share: float = 0.0
    profile: str = "home"
    regions: dict[str, float] = field(default_factory=dict)
    old_share: float = 0.0
    old_version: str = ""
    old_agent: str = ""
    health: Duration = AN_HOUR
    connect_spread: Duration = A_MINUTE


@dataclass(frozen=True, slots=True)
class Line:
    """What a line is like; *burst* is begin, end, loss in and outside."""

    rtt: Moment = A_ROUND_TRIP
    jitter: Moment = A_LITTLE
    loss: float = 0.0
    burst: tuple[float, ...] = ()
    rate: Size = A_FAIR_RATE
    blackhole_over: Size | None = None
    nat_timeout: Duration | None = None


@dataclass(frozen=True, slots=True)
class Release:
    """What is rolled out.

    Attributes:
        behaviour: Of the new version on every box; ``crash_after:20m`` too.
        unhealthy_share: Of boxes on which it is ``unhealthy`` instead.
        hardware: That the image says it is for, if not the fleet's model.
        breaks_from: On boxes that ran this version before it is ``unhealthy`` instead.
    """

    start: str
    to: str
    size: Size = A_SMALL_IMAGE
    behaviour: str = "good"
    unhealthy_share: float = 0.0
    hardware: str = ""
    breaks_from: str = ""


@dataclass(frozen=True, slots=True)
class Gate:
    """What a wave must keep before the next one opens; *window* is the soak."""

    max_fail_share: float = 0.02
    min_success_share: float = 0.95
    max_silent_share: float = 0.05
    min_observed: int = 10
    window: Duration = HALF_AN_HOUR


@dataclass(frozen=True, slots=True)
class Evidence:
    """How the release is judged beside the limits; shares 0 to 1.

    Attributes:
        accepted_share: Of boxes may fail without being the release's harm.
        bad_share_max: A wave passes when more bad boxes than this are ruled out.
        start_boxes: At work before any box has proved good.
        ripe_after: How old a trial is when it counts.
        watches_hours: Hours after the update are judged beside those of boxes that wait; only
            the real services do that. None: where at least 200 boxes come after the first wave.
    """

    accepted_share: float = 0.005
    bad_share_max: float = 0.05
    start_boxes: int = 20
    ripe_after: Duration = QUARTER_OF_AN_HOUR
    watches_hours: bool | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """The rollout: cumulative shares, and the limits of every wave.

    Attributes:
        begins: After the boxes were plugged in; who is watched beside has to be heard before.
        opens: When the daily window does, since midnight; with ``closes``, or None for always.
        goes_back: Boxes that have kept the release go back after a halt or a stop.
        evidence: None for limits alone.
    """

    waves: tuple[float, ...]
    begins: Duration = FIVE_MINUTES
    gate: Gate = field(default_factory=Gate)
    silent_after: Duration = FOUR_HOURS
    attempts_max: int = 3
    in_flight_max: int = 1000
    spread: Duration = A_MINUTE
    lease: Duration = AN_HOUR
    opens: Duration | None = None
    closes: Duration | None = None
    goes_back: bool = False
    evidence: Evidence | None = None


@dataclass(frozen=True, slots=True)
class Fault:
    """Something goes wrong, at a time, again and again, or when a box reports a phase.

    Attributes:
        target: ``all``, a share such as ``10%``, ``device:<number>`` from 1, ``region:<name>``,
            ``broker`` or ``server``.
        at: Since the beginning; or *when*.
        every: After *at*, again and again until the liveness phase.
        when: ``state==<phase>``; ``back==<phase>`` of a box on its way back.
        times: How often for each box, with *when*; of a brown-out, how often power is back.
        lasts: Until it is well again; None for ever.
        over: The boxes are struck one after the other over this time.
        by: How wrong a clock is.
        op: The flash operation that is refused, counted from the fault on.
        on: Beginning of the paths that are struck.
        amount: Bytes of ``limit_data``, parts per million of ``drift``, factor of ``slow_line``,
            a security version of ``floor``.
    """

    kind: str
    target: str
    at: Duration | None = None
    every: Duration | None = None
    when: str | None = None
    times: int = 1
    lasts: Duration | None = None
    over: Duration = NOTHING
    by: Moment = NEVER_WRONG
    op: int = 0
    on: str = ""
    amount: int = 0
    persistence: str = "lose_all"
    keeps_store: bool = True
    profile: str = ""


@dataclass(frozen=True, slots=True)
class Chance:
    """A fault that strikes by chance; *rate* is ``0.1/device/day``."""

    kind: str
    rate: str
    target: str = "all"
    lasts: Duration | None = None
    amount: int = 0
    persistence: str = "lose_all"


@dataclass(frozen=True, slots=True)
class Explore:
    """Something that goes wrong everywhere, each time once.

    Attributes:
        axis: ``disk_op``: for each flash operation and mode one box loses power there.
            ``tick_commit``: at each commit of each tick the server is killed, in each mode,
            from the same rows; ``server_commit``: at each commit of a batch of messages too.
        persistence: Modes of ``oleada_lab.sim.crash``.
        once: Of ticks and batches that change the same tables the first alone is killed.
    """

    axis: str
    persistence: tuple[str, ...] = ("lose_all",)
    once: bool = False


@dataclass(frozen=True, slots=True)
class Expect:
    """How it must end; shares and counts are of the whole fleet."""

    rollout: str = ""
    reason: str = ""
    boxes_updated_min: int = 0
    boxes_updated_max: int = 1_000_000
    boxes_failed_max: int = 1_000_000
    boxes_silent_min: int = 0
    boxes_silent_max: int = 1_000_000
    boxes_back_min: int = 0
    boxes_back_max: int = 1_000_000
    boxes_not_back_min: int = 0
    boxes_not_back_max: int = 1_000_000
    waves_opened_max: int = 1_000_000
    halted_from: tuple[str, ...] = ()
    invariants: tuple[str, ...] = ("S*", "L*")
    peak_connect_rate_max: int = 1_000_000


@dataclass(frozen=True, slots=True)
class Budget:
    """What a run may cost; more is a failure."""

    cpu_s: int = 60
    flash_per_day: Size = MUCH_FLASH


@dataclass(frozen=True, slots=True)
class Proc:
    """How a story is played with real processes; every time in here is a real one.

    Attributes:
        count: Boxes; shares and expectations of the story are scaled to them.
        hour: What an hour of the story takes.
        faults: The phase with faults ends after this, at the latest.
        limit: A run that has not ended well this long after the faults never will.
        rate: That a box downloads at, in bytes a second, so that a download can be met.
        watchdog: Of the boxes, for the first sign of an agent.
        profile: Lines that stand for those of the same name, where real images need others.
        invariants: That are judged; the reference says why one is left out.
    """

    count: int = 4
    hour: Moment = A_REAL_MINUTE
    faults: Duration = FIVE_MINUTES
    limit: Duration = QUARTER_OF_AN_HOUR
    silent_after: Duration = TEN_MINUTES
    keepalive: Duration = TWENTY_SECONDS
    watchdog: Duration = A_MINUTE
    rate: Size = SOME_SECONDS_OF_DOWNLOAD
    profile: dict[str, Line] = field(default_factory=dict)
    invariants: tuple[str, ...] = ("S*", "L*")


@dataclass(frozen=True, slots=True)
class Scenario:
    """One story.

    Attributes:
        level: Where it may run: ``sim``, and ``proc`` when the same is played with real
            processes.
        seed: A number, or ``sweep:1..20``.
        duration: Of the phase with faults; ``settle`` follows without any.
        swarm: Each seed but the first leaves out some of the faults.
        server: ``services`` for the real ones on SQLite in memory, with signatures that boxes
            check; ``rows`` for the real plan over rows in memory, which tells values. Empty:
            ``services`` up to ``SERVICES_BOXES_MAX`` boxes.
    """

    schema: str
    name: str
    story: str
    fleet: Fleet
    release: Release
    rollout: Plan
    expect: Expect
    seed: str = "1"
    duration: Duration = A_DAY
    settle: Duration = TWO_HOURS
    level: tuple[str, ...] = ("sim",)
    refs: tuple[str, ...] = ()
    rows: tuple[str, ...] = ()
    swarm: bool = True
    server: str = ""
    profile: dict[str, Line] = field(default_factory=dict)
    fault: tuple[Fault, ...] = ()
    random: tuple[Chance, ...] = ()
    explore: Explore | None = None
    limits: Budget = field(default_factory=Budget)
    proc: Proc = field(default_factory=Proc)

    @property
    def seeds(self) -> range:
        """Return the seeds that it is played with."""
        return seeds_of(self.seed)

    @property
    def has_services(self) -> bool:
        """Return whether the server's real services are played with."""
        if not self.server:
            return self.fleet.count <= SERVICES_BOXES_MAX
        return self.server == SERVICES

    @property
    def sha256(self) -> str:
        """Return the hash of every option, those that were left out too."""
        return hashlib.sha256(self.spelt().encode()).hexdigest()

    def spelt(self) -> str:
        """Return every option as one line of JSON."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))


def seeds_of(text: str) -> range:
    """Return the seeds that ``7``, ``1..500`` or ``sweep:1..500`` names.

    Raises:
        ScenarioError: *text* is none of these.
    """
    first, dots, last = text.removeprefix("sweep:").partition("..")
    if not first.isdecimal() or (dots and not last.isdecimal()):
        raise ScenarioError(f"seed is {text!r}; a number or sweep:1..500 was expected.")
    found = range(int(first), int(last or first) + 1)
    if not found:
        raise ScenarioError(f"seed is {text!r}, which names no seed.")
    return found
