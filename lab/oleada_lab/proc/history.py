"""Turns looks at real boxes and a real server into the facts that invariants hear. Pure.

What happens between two looks is inferred from what it leaves: a journal that says
*Downloading* has erased a slot, a row with a new time has been given a lease. The server
is asked first and boxes after it, and what is told is in the order of causes: what the
server let boxes do, what they did, what the server shows of it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from oleada_agent.machine_states import ReportDraft

from oleada_lab.check import facts
from oleada_lab.check.facts import Fact
from oleada_lab.proc.looks import BoxLook, RowLook, ServerLook, Working

QUEUED = "queued"
UPDATED = "updated"
RUNNING = "running"


@dataclass(slots=True)
class BoxHistory:
    """What has been told of one box."""

    box: str
    _working: Working | None = None
    _verdict: ReportDraft | None = None
    _running: str = ""
    _proven: tuple[str, str] | None = None
    _armed: set[tuple[str, int]] = field(default_factory=set)
    _is_dead: bool = False

    def see(self, look: BoxLook) -> Iterator[Fact]:
        """Yield what *look* shows that was not so before."""
        yield from self._power(look)
        yield from self._slots(look)
        yield from self._ended(look)
        self._working = look.working
        if look.verdict is not None:
            self._verdict = look.verdict

    def _power(self, look: BoxLook) -> Iterator[Fact]:
        for boot in look.boots:
            self._running = boot.slot
            yield facts.Booted(
                self.box, boot.slot, boot.version, boot.digest, boot.is_proven, boot.after_watchdog
            )
        if look.dead and not self._is_dead:
            yield facts.Bricked(self.box, look.dead)
        self._is_dead = bool(look.dead)
        is_proven = look.running is not None and look.running[0] in look.proven
        # Only the last one is known already: a box that goes back proves an older one anew.
        if look.running is not None and is_proven and look.running != self._proven:
            self._proven = look.running
            yield facts.SlotProven(self.box, *look.running)

    def _slots(self, look: BoxLook) -> Iterator[Fact]:
        if look.was_overwritten:
            yield facts.SlotErased(self.box, self._running, self._running, True)
        work, before = look.working, self._working
        if work is None:
            return
        name = (work.assignment, work.attempt)
        known = before is not None and (before.assignment, before.attempt) == name
        had_begun = known and before is not None and before.has_begun
        if work.has_begun and not had_begun:
            if not work.is_armed:
                proven = self._running in look.proven
                yield facts.SlotErased(self.box, work.target, self._running, proven)
            yield facts.InstallBegan(self.box, work.assignment, work.attempt)
        if work.is_armed and name not in self._armed:
            self._armed.add(name)
            digest = (look.digests or {}).get(work.target, "")
            yield facts.SlotArmed(self.box, work.target, digest)

    def _ended(self, look: BoxLook) -> Iterator[Fact]:
        said = look.verdict
        if said is None or said == self._verdict:
            return
        reason = "" if said.reason is None else str(said.reason)
        yield facts.Verdict(
            self.box, said.assignment_id, said.attempt, str(said.phase), reason, said.version
        )


@dataclass(slots=True)
class ServerHistory:
    """What has been told of the server.

    Args:
        version: Of the release.
        rollout: Its number; those after 1 take boxes back.
    """

    version: str
    in_flight_max: int
    rollout: int = 1
    _rows: dict[str, RowLook] = field(default_factory=dict)
    _waves: set[int] = field(default_factory=set)
    _state: str = ""
    _ways: dict[str, "ServerHistory"] = field(default_factory=dict)

    def orders(self, look: ServerLook) -> Iterator[Fact]:
        """Yield what the server has let boxes do: what they did then comes after it."""
        for wave, boxes in look.waves.items():
            if wave not in self._waves:
                self._waves.add(wave)
                yield facts.WaveOpened(wave, boxes, self.rollout)
        if look.state == RUNNING:  # what it does now, it does because it goes on
            yield from self._moved(look.state)
        yield from self._let_go_on(look)
        for way in look.ways:
            if way.version not in self._ways:
                yield facts.WayBack(way.version, way.boxes, way.refused, way.rollout)
                found = ServerHistory(way.version, self.in_flight_max, way.rollout)
                self._ways[way.version] = found
            if way.look is not None:
                yield from self._ways[way.version].orders(way.look)

    def _let_go_on(self, look: ServerLook) -> Iterator[Fact]:
        at_work = sum(row.is_leased for row in look.rows)
        for row in look.rows:
            before = self._rows.get(row.device_id)
            is_new = before is None or before.attempt != row.attempt or before.state == QUEUED
            if before is None and self.rollout > 1:
                yield facts.SentBack(row.device_id, self.version, self.rollout)
            if row.state != QUEUED and row.attempt and is_new:
                yield facts.Commanded(row.device_id, row.wave, row.attempt, self.rollout)
            if row.is_leased and (before is None or before.leased != row.leased):
                others = max(0, at_work - 1)
                yield facts.LeaseGiven(row.device_id, others, self.in_flight_max, self.rollout)

    def shows(self, look: ServerLook) -> Iterator[Fact]:
        """Yield what the server shows of boxes: what they did came before it."""
        for row in look.rows:
            before = self._rows.get(row.device_id)
            self._rows[row.device_id] = row
            if row.version and (before is None or before.version != row.version):
                yield facts.Shown(row.device_id, "", row.version)
            if before is None or before.state != row.state:
                version = self.version if row.state == UPDATED else ""
                yield facts.Shown(row.device_id, row.state, version)
        yield from self._moved(look.state)
        for way in look.ways:
            if way.look is not None:
                yield from self._ways[way.version].shows(way.look)

    def _moved(self, state: str) -> Iterator[Fact]:
        if state != self._state:
            self._state = state
            yield facts.RolloutMoved(state, self.rollout)
