"""The server of a story: the real plan, with rows in memory instead of a database.

Every decision is ``oleada_server.rollouts.plan`` or ``plan_box``; this module only keeps
the rows and carries out what was decided, as the service does with tables. It hears and
speaks through the broker like the worker: a batch is stored, then acknowledged, so what
is killed in between is delivered again.
"""

from collections import deque
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final, assert_never

from oleada_server.rollouts import plan, plan_box
from oleada_server.rollouts.choosing import share_parts
from oleada_server.rollouts.plan import RolloutFacts
from oleada_server.rollouts.plan_box import BoxFacts, Granted, LeaseFacts, Moved, ReportFacts
from oleada_server.rollouts.states import (
    IN_FLIGHT,
    PENDING,
    VERDICTS,
    BoxState,
    RolloutState,
    WaveState,
)
from oleada_wire import messages, topics
from oleada_wire.messages import Ack, Assignment, Health, Hello, LeaseRequest, Report
from oleada_wire.topics import Down, Model, Up

from oleada_lab.check import facts
from oleada_lab.check.facts import Fact
from oleada_lab.sim.broker import Message, SimBroker
from oleada_lab.sim.desk import Desk
from oleada_lab.sim.plain import UTC, Assigned, Covered, ToBox
from oleada_lab.sim.proof import proof_of
from oleada_lab.sim.rows import Row, Rows, WaveRow
from oleada_lab.sim.terms import SALT, STOPPED, VALID, Terms, assignment_for, members, said_of
from oleada_lab.sim.ticker import Ticker
from oleada_lab.sim.world import World

TICK_MS: Final = 30_000
TICK_MS_MAX: Final = 3_600_000
RENEW_BEFORE: Final = timedelta(days=2)


class SimServer:
    """Rows, retained assignments, and a tick whenever something may be due.

    Attributes:
        state: Of the rollout.
        reason: Why it halted, if it has.
        rows: Of every box that a wave covers.
    """

    def __init__(
        self,
        world: World,
        broker: SimBroker,
        terms: Terms,
        versions: Mapping[str, str],
        tell: Callable[[Fact], None],
    ) -> None:
        self.state = RolloutState.RUNNING
        self.reason = ""
        self.waves = [WaveRow(number) for number in range(1, len(terms.shares) + 1)]
        self.desk = Desk(world, broker, self._store_batch)
        self._world, self._terms, self._tell = world, terms, tell
        self._counted: set[tuple[str, int, int]] = set()
        self._health: set[str] = set()
        self._known = frozenset(versions)
        self._topics: dict[str, topics.DeviceTopic | topics.ModelTopic] = {}
        self._ticker = Ticker(world, self.desk, self._tick, pause_ms=TICK_MS)
        self._renew: deque[tuple[datetime, Row]] = deque()
        self.rows = Rows(members(terms, list(versions)))
        self._proof = proof_of(terms, self.rows, versions, tell)
        self.desk.begin()

    def start(self) -> None:
        """Begin."""
        self._ticker.begin()
        self._ticker.tick()

    def states(self) -> dict[BoxState, int]:
        """Return how many boxes are in each state; those of no box are left out."""
        return self.rows.states()

    def is_over(self) -> bool:
        """Return whether the rollout has ended and nothing is expected of any box."""
        return self.state not in plan.MOVING and self.rows.next_deadline() is None

    def shown(self) -> dict[str, tuple[str, str]]:
        """Return state and reason of each box, as a page would show them."""
        return {
            device_id: (str(row.state), row.reason or "")
            for device_id, row in self.rows.by_id.items()
        }

    def waves_opened(self) -> int:
        """Return how many waves were ever open."""
        return sum(wave.state is not WaveState.WAITING for wave in self.waves)

    def halted_from(self) -> tuple[str, ...]:
        """Return the versions before whose boxes are halted while others go on."""
        return self._proof.halted_from()

    def assigned_again(self) -> int:
        """Return how many boxes were assigned more than once."""
        return sum(row.attempt > 1 for row in self.rows.by_id.values())

    def has_health(self, message_id: str) -> bool:
        """Return whether a health message is stored."""
        return message_id in self._health

    # -- what a person does ------------------------------------------------------------

    def pause(self) -> None:
        """Pause, if it runs."""
        if self.state is RolloutState.RUNNING:
            self._become(RolloutState.PAUSED)

    def resume(self) -> None:
        """Go on after a pause; its time is nobody's silence."""
        if self.state is RolloutState.PAUSED:
            self._become(RolloutState.RUNNING)
            for row in self.rows.by_id.values():
                self._push_deadline(row)

    def stop(self) -> None:
        """Stop for good, and take every assignment back."""
        if self.state in plan.MOVING:
            self.reason = "a person stopped it"
            self._become(RolloutState.STOPPED)

    def retry(self) -> None:
        """Assign again to whoever has no outcome that is good."""
        for row in self.rows.by_id.values():
            if self.state in plan.MOVING and plan_box.may_retry(row.state):
                self.rows.move(row, BoxState.QUEUED, row.reason)
        self._ticker.want(TICK_MS)

    def _become(self, state: RolloutState) -> None:
        self.state = state
        self._world.tell(f"a person says: {state}")
        self._tell(facts.RolloutMoved(str(state)))
        self.rows.due.update(dict.fromkeys(self.rows.by_id.values()))
        self._publish_waves()
        self._ticker.want(0)

    # -- what boxes say ----------------------------------------------------------------

    def _store_batch(self, batch: list[Message]) -> dict[str, object]:
        """Store *batch*; return what acknowledges it, by box."""
        acks: dict[str, list[str]] = {}
        for message in batch:
            parsed = self._parsed(message.topic)
            if not isinstance(parsed, topics.DeviceTopic) or parsed.device_id not in self._known:
                continue
            said = self._read(Up(str(parsed.kind)), message.payload)
            self._hear(parsed.device_id, said)
            acks.setdefault(parsed.device_id, []).append(said.header.id)
        self._ticker.want(TICK_MS)
        return {box: Ack(self.desk.header(), tuple(ids)) for box, ids in acks.items()}

    def _parsed(self, topic: str) -> topics.DeviceTopic | topics.ModelTopic:
        if topic not in self._topics:
            self._topics[topic] = topics.parse(topic)
        return self._topics[topic]

    def _read(self, kind: Up, payload: object) -> Any:
        if isinstance(payload, bytes):
            shape: Any = {Up.REPORT: Report, Up.HEALTH: Health}.get(kind, messages.Log)
            shape = {Up.RESULT: messages.Result, Up.CRASH: messages.Crash}.get(kind, shape)
            return messages.decode(shape, payload)
        return payload

    def _hear(self, device_id: str, said: object) -> None:
        row = self.rows.by_id.get(device_id)
        self._proof.heard(device_id, self._world.now)
        match said:
            case Health(header) if header.id not in self._health:
                self._health.add(header.id)
                self._tell(facts.HealthCounted(device_id))
            case Hello(version=version):
                self._tell(facts.Shown(device_id, "", version))
                if row is not None and said.assignment_seq < row.number:
                    self._assign(row, again=True)
            case Report() if row is not None:
                self._report(row, said)
            case LeaseRequest() if row is not None and said.assignment_id:
                self._lease(row, said)
            case LeaseRequest():
                told = said_of(STOPPED, said, self.desk.header(), device_id)
                self._send(device_id, Down.LEASE, told)
            case _:
                pass

    def _lease(self, row: Row, asked: LeaseRequest) -> None:
        now, terms = self._world.now, self._terms
        others, most = self._proof.places(row, now)
        wave_state = self.waves[row.wave - 1].state
        found = LeaseFacts(
            rollout_state=self.state,
            wave_state=WaveState.HALTED if self._proof.is_halted(row) else wave_state,
            box_state=row.state,
            attempt=row.attempt,
            has_place=self._proof.has_place(row, now),
            in_flight=others,
            in_flight_max=most,
            lease=terms.lease,
            window=terms.window,
            zone=UTC,
            release_withdrawn=False,
        )
        answer = plan_box.decide_lease(found, asked.attempt, now)
        if isinstance(answer, Granted):
            if not found.has_place:
                self._tell(facts.LeaseGiven(row.device_id, others, most))
            if row.state not in IN_FLIGHT:
                self.rows.move(row, BoxState.LEASED, row.reason)
            self.rows.set_lease(row, answer.expires_at)
            self._proof.granted(row, asked.phase, now)
            self._push_deadline(row)
        elif answer.reason not in ("stopped", "denied"):
            self._push_deadline(row)
        said = said_of(answer, asked, self.desk.header(), row.device_id)
        self._send(row.device_id, Down.LEASE, said)

    def _report(self, row: Row, report: Report) -> None:
        key = (f"{row.device_id}/{report.assignment_id}", report.attempt, report.step)
        if key in self._counted:
            return
        self._counted.add(key)
        said = ReportFacts(report.attempt, report.step, report.phase, report.reason, report.version)
        box = BoxFacts(row.state, row.attempt, row.step, self._terms.attempts_max)
        moved = plan_box.on_report(box, said, self._terms.image.version)
        if not isinstance(moved, Moved):
            return
        now, row.step = self._world.now, moved.step
        self.rows.move(row, moved.state, moved.reason)
        self._proof.moved(row, moved, now)
        self._tell(facts.Shown(row.device_id, str(moved.state), report.version))
        if moved.state in VERDICTS or moved.assign_again:
            self.rows.set_deadline(row, None)
            row.verdicts.add(row.attempt)
        elif moved.push_deadline:
            self.rows.renew_lease(row, now + self._terms.lease, now)
            self._push_deadline(row)

    def _push_deadline(self, row: Row) -> None:
        if row.state in PENDING and row.attempt:
            patience, spread = self._proof.patience(row), self._proof.spread(row)
            at = plan_box.deadline(self._world.now, patience, spread, self._terms.window, UTC)
            self.rows.set_deadline(row, at)

    # -- the tick ----------------------------------------------------------------------

    def _tick(self) -> None:
        now = self._world.now
        self._proof.look(now, {wave.position for wave in self.waves if not wave.is_open})
        for row in list(self.rows.late(now)):
            if self.state is not RolloutState.PAUSED and row.state in PENDING:
                self.rows.set_deadline(row, None)
                self.rows.move(row, BoxState.SILENT, None)
                self._proof.fell_silent(row, now)
                self._world.note(row.device_id, "is silent")
        decision = self._decide(now)
        while not isinstance(decision, plan.Wait):
            self._store(decision, now)
            decision = self._decide(now)
        due, self.rows.due = self.rows.due, {}
        for row in due:
            self._address(row)
        self._renew_due(now)
        if not self.is_over():
            self._ticker.want(self._pause_ms(decision.until, now))

    def _renew_due(self, now: datetime) -> None:
        while self._renew and self._renew[0][0] <= now:
            row = self._renew.popleft()[1]
            if row.has_assignment:
                self._assign(row, again=True)

    def _pause_ms(self, until: datetime | None, now: datetime) -> int:
        """Return when something may be due although nobody says anything."""
        renewal = self._renew[0][0] if self._renew else None
        moments = [until, self.rows.next_deadline(), renewal, self._proof.next_due(now)]
        waits = [at - now for at in moments if at is not None]
        wait_ms = int(min(waits).total_seconds() * 1000) if waits else TICK_MS_MAX
        return max(TICK_MS, min(wait_ms, TICK_MS_MAX))

    def _decide(self, now: datetime) -> plan.Decision:
        """Return what the plan says; of a rollout that has ended it is not asked."""
        if self.state not in plan.MOVING:
            return plan.Wait(f"is {self.state}")
        waves = tuple(self._proof.wave_facts(wave, self._terms.limits, now) for wave in self.waves)
        facts_now = RolloutFacts(self.state, waves, evidence=self._proof.evidence())
        return plan.decide(facts_now, now)

    def _store(self, decision: plan.Decision, now: datetime) -> None:
        match decision:
            case plan.OpenWave(position):
                self._open(self.waves[position - 1])
            case plan.StartSoak() | plan.PassWave() | plan.HoldWave():
                self._move(self.waves[decision.position - 1], decision, now)
            case plan.Halt(position, reason):
                if position:  # else all of them
                    self.waves[position - 1].state = WaveState.HALTED
                self.reason = reason
                self._end(RolloutState.HALTED, f"halted: {reason}")
            case plan.HaltStrata(names, reason):
                self._proof.halt(names)
                self._world.tell(f"halted in part: {reason}")
                self.rows.due.update(dict.fromkeys(self.rows.by_id.values()))
            case plan.Finish():
                self._end(RolloutState.FINISHED, "finished")
            case plan.Wait():
                pass
            case _:
                assert_never(decision)

    def _move(
        self, wave: WaveRow, to: plan.StartSoak | plan.PassWave | plan.HoldWave, now: datetime
    ) -> None:
        match to:
            case plan.StartSoak(position):
                wave.state, wave.soak_from, wave.held_for = WaveState.SOAKING, now, None
                self._world.tell(f"wave {position} has met its limits and soaks")
            case plan.PassWave(position):
                wave.state = WaveState.PASSED
                self._world.tell(f"wave {position} has passed")
            case plan.HoldWave(_, reason):
                wave.state, wave.soak_from, wave.held_for = WaveState.HELD, None, reason
                self._world.tell(f"held: {reason}")

    def _end(self, state: RolloutState, line: str) -> None:
        self.state = state
        self._world.tell(line)
        self._tell(facts.RolloutMoved(str(state)))
        self.rows.due.update(dict.fromkeys(self.rows.by_id.values()))
        self._publish_waves()

    def _open(self, wave: WaveRow) -> None:
        members = self.rows.of_wave(wave.position)
        if wave.state is WaveState.WAITING:
            self._world.tell(f"wave {wave.position} opens for {len(members)} boxes")
            self._tell(facts.WaveOpened(wave.position, len(members)))
        else:
            self._world.tell(f"wave {wave.position} can be judged again")
        wave.state, wave.held_for = WaveState.OPEN, None
        self.rows.due.update(dict.fromkeys(members))
        self._publish_waves()

    # -- what is sent ------------------------------------------------------------------

    def _publish_waves(self) -> None:
        opened = self.waves if self.state in plan.MOVING else []
        shares = self._terms.shares
        waves = tuple(
            (wave.position, share_parts(shares[wave.position - 1]))
            for wave in opened
            if wave.is_open
        )
        topic = topics.model(self._terms.hardware_model, Model.WAVE)
        self.desk.retain(topic, Covered(SALT, waves))

    def _address(self, row: Row) -> None:
        """Assign what is due, and take back what is over."""
        has_ended = self.state not in plan.MOVING or self._proof.is_halted(row)
        is_over = has_ended or row.state in VERDICTS
        if is_over and row.has_assignment:
            row.has_assignment, row.number = False, row.number + 1
            self._retain(row, None)
            if row.state is BoxState.ASSIGNED:
                self.rows.move(row, BoxState.QUEUED, row.reason)
                self.rows.set_deadline(row, None)
        elif not is_over and row.state is BoxState.QUEUED and self.waves[row.wave - 1].is_open:
            self._proof.assigned(row)
            row.attempt, row.step = row.attempt + 1, 0
            self.rows.move(row, BoxState.ASSIGNED, None)
            self._push_deadline(row)
            self._tell(facts.Commanded(row.device_id, row.wave, row.attempt))
            self._assign(row, again=False)

    def _assign(self, row: Row, *, again: bool) -> None:
        """Retain the assignment of *row*; one that is sent again is a newer message."""
        if again and not row.has_assignment:
            self._retain(row, None)
            return
        row.has_assignment, row.number = True, row.number + 1
        self._renew.append((self._world.now + VALID - RENEW_BEFORE, row))
        self._retain(row, assignment_for(row, self._terms, self._world.now))

    def _retain(self, row: Row, assignment: Assignment | None) -> None:
        topic = topics.down(row.device_id, Down.ASSIGN)
        self.desk.retain(topic, Assigned(row.number, assignment))

    def _send(self, device_id: str, kind: Down, said: ToBox) -> None:
        self.desk.send(topics.down(device_id, kind), said)
