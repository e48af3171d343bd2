"""The server of a story: the real plan, with rows in memory instead of a database.

Every decision is ``oleada_server.rollouts.plan`` or ``plan_box``; this module only keeps
the rows and carries out what was decided, as the service does with tables.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, assert_never
from zoneinfo import ZoneInfo

from oleada_agent.machine_events import (
    AssignReceived,
    Event,
    LeaseAnswered,
    ReportAcked,
    TrustChanged,
)
from oleada_agent.machine_states import ReportDraft
from oleada_server.clock import to_ms
from oleada_server.rollouts import plan, plan_box
from oleada_server.rollouts.plan import Limits, RolloutFacts, Tally, WaveFacts
from oleada_server.rollouts.plan_box import BoxFacts, Granted, LeaseFacts, Moved, ReportFacts
from oleada_server.rollouts.preview import share_parts
from oleada_server.rollouts.states import (
    IN_FLIGHT,
    PENDING,
    VERDICTS,
    BoxState,
    RolloutState,
    WaveState,
)
from oleada_wire.cohort import place
from oleada_wire.messages import Assignment
from oleada_wire.words import LeasePhase

from oleada_lab.sim.box import SECURITY_VERSION
from oleada_lab.sim.images import Image
from oleada_lab.sim.world import World

TICK_MS: Final = 30_000
UTC: Final = ZoneInfo("UTC")
VALID: Final = timedelta(days=7)
SALT: Final = "story"


@dataclass(frozen=True, slots=True)
class Terms:
    """What a story plans; *shares* are cumulative, one for each wave."""

    hardware_model: str
    image: Image
    shares: tuple[float, ...]
    limits: Limits
    silent_after: timedelta
    attempts_max: int
    in_flight_max: int
    spread_s: int
    lease: timedelta


@dataclass(slots=True)
class Row:
    """One box in a wave."""

    device_id: str
    wave: int
    state: BoxState = BoxState.QUEUED
    attempt: int = 0
    step: int = 0
    reason: str | None = None
    deadline_at: datetime | None = None
    lease_until: datetime | None = None
    verdicts: set[int] = field(default_factory=set)


@dataclass(slots=True)
class WaveRow:
    """One wave; *position* from 1."""

    position: int
    state: WaveState = WaveState.WAITING
    soak_from: datetime | None = None
    held_for: str | None = None


class SimServer:
    """Rows, retained assignments, and a tick every half minute.

    Attributes:
        state: Of the rollout.
        reason: Why it halted, if it has.
        rows: By device id, in their order.
    """

    def __init__(
        self,
        world: World,
        terms: Terms,
        device_ids: list[str],
        send: Callable[[str, Event], None],
    ) -> None:
        self.state = RolloutState.RUNNING
        self.reason = ""
        self.waves = [WaveRow(number) for number in range(1, len(terms.shares) + 1)]
        self.rows: dict[str, Row] = {}
        self._world, self._terms, self._send = world, terms, send
        self._retained: dict[str, tuple[int, Assignment | None]] = {}
        self._counted: set[tuple[str, int, int]] = set()
        parts = [share_parts(share) for share in terms.shares]
        for device_id in sorted(device_ids):
            for number, below in enumerate(parts, start=1):
                if place(SALT, device_id) < below:
                    self.rows[device_id] = Row(device_id, number)
                    break

    def start(self) -> None:
        """Begin, and look again every half minute."""
        self._tick()

    def states(self) -> dict[BoxState, int]:
        """Return how many boxes are in each state; those of no box are left out."""
        found: dict[BoxState, int] = {}
        for row in self.rows.values():
            found[row.state] = found.get(row.state, 0) + 1
        return found

    def is_over(self) -> bool:
        """Return whether the rollout has ended and nothing is expected of any box."""
        has_ended = self.state not in plan.MOVING
        return has_ended and all(row.deadline_at is None for row in self.rows.values())

    # -- what boxes say ----------------------------------------------------------------

    def covers(self, device_id: str, wave_id: int) -> bool:
        """Return whether a signed wave covers the box."""
        wave = self.waves[wave_id - 1]
        is_open = wave.state not in (WaveState.WAITING, WaveState.HALTED)
        below = share_parts(self._terms.shares[wave_id - 1])
        return is_open and self.state in plan.MOVING and place(SALT, device_id) < below

    def hello(self, device_id: str) -> None:
        """Let the broker give the box what it holds for it."""
        if device_id in self._retained:
            self._send(device_id, TrustChanged())
            self._send(device_id, AssignReceived(*self._retained[device_id]))

    def ask_lease(
        self, device_id: str, assignment_id: str, attempt: int, phase: LeasePhase
    ) -> None:
        """Answer whether the box may go on."""
        row, now, terms = self.rows[device_id], self._world.now, self._terms
        in_flight = sum(
            other.state in IN_FLIGHT and (other.lease_until or now) > now
            for other in self.rows.values()
            if other is not row
        )
        facts = LeaseFacts(
            rollout_state=self.state,
            wave_state=self.waves[row.wave - 1].state,
            box_state=row.state,
            attempt=row.attempt,
            in_flight=in_flight,
            in_flight_max=terms.in_flight_max,
            lease=terms.lease,
            window=None,
            zone=UTC,
            release_withdrawn=False,
        )
        answer = plan_box.decide_lease(facts, attempt, phase, now)
        if isinstance(answer, Granted):
            if row.state not in IN_FLIGHT:
                row.state = BoxState.LEASED
            row.lease_until = answer.expires_at
            self._push_deadline(row)
            expires_ms = to_ms(answer.expires_at)
            event = LeaseAnswered(assignment_id, attempt, phase, True, expires_ms)
        else:
            if answer.reason not in ("stopped", "denied"):
                self._push_deadline(row)
            event = LeaseAnswered(
                assignment_id, attempt, phase, False, 0, answer.retry_after_s, answer.reason
            )
        self._send(device_id, event)

    def report(self, device_id: str, report: ReportDraft) -> None:
        """Count a report once, and acknowledge it."""
        row = self.rows[device_id]
        key = (report.assignment_id, report.attempt, report.step)
        said = ReportFacts(report.attempt, report.step, report.phase, report.reason, report.version)
        facts = BoxFacts(row.state, row.attempt, row.step, self._terms.attempts_max)
        if key not in self._counted:
            self._counted.add(key)
            moved = plan_box.on_report(facts, said, self._terms.image.version)
            if isinstance(moved, Moved):
                self._move(row, moved)
        self._send(device_id, ReportAcked(*key))

    def _move(self, row: Row, moved: Moved) -> None:
        row.state, row.step, row.reason = moved.state, moved.step, moved.reason
        if moved.state in VERDICTS or moved.assign_again:
            row.deadline_at = row.lease_until = None
            row.verdicts.add(row.attempt)
        elif moved.push_deadline:
            row.lease_until = self._world.now + self._terms.lease
            self._push_deadline(row)

    def _push_deadline(self, row: Row) -> None:
        if row.state in PENDING:
            row.deadline_at = plan_box.deadline(
                self._world.now,
                self._terms.silent_after,
                timedelta(seconds=self._terms.spread_s),
                None,
                UTC,
            )

    # -- the tick ----------------------------------------------------------------------

    def _tick(self) -> None:
        now = self._world.now
        for row in self.rows.values():
            if plan_box.fell_silent(row.state, row.deadline_at, now):
                row.state, row.deadline_at, row.lease_until = BoxState.SILENT, None, None
                self._world.note(row.device_id, "is silent")
        while not isinstance(decision := plan.decide(self._facts(), now), plan.Wait):
            self._store(decision, now)
        for row in self.rows.values():
            self._address(row)
        if not self.is_over():
            self._world.after(TICK_MS, self._tick)

    def _facts(self) -> RolloutFacts:
        waves = []
        for wave in self.waves:
            found = plan_box.tally_of(
                [
                    (row.state, row.reason, 1)
                    for row in self.rows.values()
                    if row.wave == wave.position
                ]
            )
            tally = Tally(**{str(outcome): boxes for outcome, boxes in found.items()})
            waves.append(
                WaveFacts(
                    wave.position,
                    wave.state,
                    tally,
                    self._terms.limits,
                    wave.soak_from,
                    wave.held_for,
                )
            )
        return RolloutFacts(self.state, tuple(waves))

    def _store(self, decision: plan.Decision, now: datetime) -> None:
        match decision:
            case plan.OpenWave(position):
                self._open(self.waves[position - 1])
            case plan.StartSoak(position):
                wave = self.waves[position - 1]
                wave.state, wave.soak_from, wave.held_for = WaveState.SOAKING, now, None
                self._world.tell(f"wave {position} has met its limits and soaks")
            case plan.PassWave(position):
                self.waves[position - 1].state = WaveState.PASSED
                self._world.tell(f"wave {position} has passed")
            case plan.HoldWave(position, reason):
                wave = self.waves[position - 1]
                wave.state, wave.soak_from, wave.held_for = WaveState.HELD, None, reason
                self._world.tell(f"held: {reason}")
            case plan.Halt(position, reason):
                self.waves[position - 1].state = WaveState.HALTED
                self.state, self.reason = RolloutState.HALTED, reason
                self._world.tell(f"halted: {reason}")
            case plan.Finish():
                self.state = RolloutState.FINISHED
                self._world.tell("finished")
            case plan.Wait():
                pass
            case _:
                assert_never(decision)

    def _open(self, wave: WaveRow) -> None:
        if wave.state is WaveState.WAITING:
            boxes = sum(row.wave == wave.position for row in self.rows.values())
            self._world.tell(f"wave {wave.position} opens for {boxes} boxes")
        else:
            self._world.tell(f"wave {wave.position} can be judged again")
        wave.state, wave.held_for = WaveState.OPEN, None

    def _address(self, row: Row) -> None:
        """Assign what is due, and take back what is over."""
        number, held = self._retained.get(row.device_id, (0, None))
        opened = self.waves[row.wave - 1].state not in (WaveState.WAITING, WaveState.HALTED)
        if self.state not in plan.MOVING or row.state in VERDICTS:
            if held is not None:
                self._retain(row.device_id, number + 1, None)
                if row.state is BoxState.ASSIGNED:
                    row.state, row.deadline_at = BoxState.QUEUED, None
        elif row.state is BoxState.QUEUED and opened:
            row.state, row.reason = BoxState.ASSIGNED, None
            row.attempt, row.step = row.attempt + 1, 0
            self._push_deadline(row)
            self._retain(row.device_id, number + 1, self._assignment(row))

    def _retain(self, device_id: str, number: int, assignment: Assignment | None) -> None:
        self._retained[device_id] = (number, assignment)
        self._send(device_id, AssignReceived(number, assignment))

    def _assignment(self, row: Row) -> Assignment:
        terms, now = self._terms, self._world.now
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
        )
