"""Every state that any order of events can reach, and what must hold in all of them.

The walk is more hostile than any box: each event may come in each state, and a start
may find either slot, whatever the boot control says.
"""

from collections import defaultdict
from dataclasses import dataclass, replace
from functools import cache

from oleada_agent.machine import step
from oleada_agent.machine_codec import from_json, to_json
from oleada_agent.machine_events import (
    Arm,
    AssignReceived,
    Booted,
    Command,
    DenyListed,
    Empty,
    Event,
    Fetch,
    LeaseAnswered,
    MarkGood,
    ReportAcked,
    SendReport,
)
from oleada_agent.machine_states import (
    STAGES,
    Armed,
    Assigned,
    Downloading,
    Ended,
    Idle,
    InFlight,
    Limits,
    Rebooting,
    Running,
    State,
    Trial,
    Work,
    Written,
)
from oleada_wire import canonical
from oleada_wire.words import LeasePhase

from tests.agent.core.events import (
    ASSIGNMENT,
    LEASE_MS,
    NOW_MS,
    acked,
    boots,
    from_box,
    from_server,
)

LIMITS = Limits(laps_max=1)
OTHER = replace(ASSIGNMENT, assignment_id="AS-2", sha256="2" * 64, version="1.2.0")


@dataclass(frozen=True)
class Edge:
    """One step of the walk."""

    before: State
    event: Event
    after: State
    commands: tuple[Command, ...]


def folded(state: State) -> State:
    """Return *state* with what only counts folded, so that the walk ends."""
    stage = state.stage
    if isinstance(stage, InFlight):
        work = replace(stage.work, steps=0, lease_until_ms=min(stage.work.lease_until_ms, LEASE_MS))
        stage = replace(stage, work=work)
    if isinstance(stage, Trial):
        stage = replace(stage, faults=min(stage.faults, 1))
    if isinstance(stage, Ended):
        stage = replace(stage, verdict=replace(stage.verdict, step=1, detail=""))
    last = state.last and replace(
        state.last, step=1, detail="", reason=None, version="", running_slot=""
    )
    running = state.running
    if not isinstance(stage, Armed | Rebooting):
        running = replace(running, boot_id="1")
    return replace(state, stage=stage, last=last, running=running, assignment_seq=0)


def events_for(state: State) -> list[Event]:
    return [
        *boots("1", "2").values(),
        *from_server(1, OTHER).values(),
        *from_box().values(),
        *acked(state).values(),
    ]


@cache
def walk() -> list[Edge]:
    """Return every step from every reachable state."""
    start = State(running=Running("A", "1.0.0", "1"), limits=LIMITS)
    known, new, edges = {start}, [start], []
    while new:
        before = new.pop()
        for event in events_for(before):
            found = step(before, event, NOW_MS)
            after = folded(found.state)
            edges.append(Edge(before, event, after, found.commands))
            if after not in known:
                known.add(after)
                new.append(after)
    return edges


def test_the_walk_reaches_every_stage() -> None:
    reached = {type(edge.after.stage) for edge in walk()}

    assert reached == set(STAGES)


def test_the_slot_that_runs_is_never_written_nor_armed() -> None:
    for edge in walk():
        for command in edge.commands:
            if isinstance(command, Empty | Fetch | Arm):
                assert command.slot != edge.after.running.slot, edge


def test_no_slot_is_marked_good_that_does_not_run() -> None:
    for edge in walk():
        for command in edge.commands:
            if isinstance(command, MarkGood):
                assert command.slot == edge.after.running.slot, edge


def test_nothing_is_armed_without_a_lease_for_it() -> None:
    armed = [edge for edge in walk() for command in edge.commands if isinstance(command, Arm)]

    assert armed
    for edge in armed:
        assert isinstance(edge.before.stage, Written)
        assert isinstance(edge.event, LeaseAnswered)
        assert edge.event.phase is LeasePhase.ARM
        assert edge.event.granted


def test_an_attempt_has_one_verdict() -> None:
    for edge in walk():
        before, after = edge.before.last, edge.after.last
        if before is None or after is None:
            assert before is None, edge
        elif (before.assignment_id, before.attempt) == (after.assignment_id, after.attempt):
            assert before.phase == after.phase, edge


def test_an_attempt_that_has_ended_is_not_begun_again() -> None:
    for edge in walk():
        last = edge.before.last
        if last is not None and isinstance(edge.after.stage, InFlight):
            work: Work = edge.after.stage.work
            if not isinstance(edge.before.stage, InFlight):
                assert work.assignment.assignment_id != last.assignment_id, edge


def test_the_floor_never_falls_and_rises_only_for_a_proven_slot() -> None:
    for edge in walk():
        assert edge.after.security_floor >= edge.before.security_floor
        if edge.after.security_floor > edge.before.security_floor:
            assert edge.after.running.successful, edge


def test_what_comes_twice_over_the_wire_changes_nothing_the_second_time() -> None:
    for edge in walk():
        if isinstance(edge.event, DenyListed | ReportAcked) or (
            isinstance(edge.event, LeaseAnswered) and edge.event.granted
        ):
            again = step(edge.after, edge.event, NOW_MS)
            assert folded(again.state) == edge.after, edge
        if isinstance(edge.event, AssignReceived):
            told = step(edge.before, edge.event, NOW_MS).state
            assert step(told, edge.event, NOW_MS).state == told, edge


def test_every_state_has_a_way_back_to_idle() -> None:
    backwards = defaultdict(set)
    for edge in walk():
        backwards[edge.after].add(edge.before)
    well = {state for state in backwards if isinstance(state.stage, Idle)}
    new = list(well)
    while new:
        for before in backwards[new.pop()] - well:
            well.add(before)
            new.append(before)

    assert {edge.after for edge in walk()} <= well


def test_every_start_of_an_unfinished_box_asks_for_something() -> None:
    for edge in walk():
        if isinstance(edge.event, Booted) and not isinstance(edge.after.stage, Idle):
            assert edge.commands, edge


def test_a_verdict_is_never_sent_but_from_its_own_stage_or_when_asked_again() -> None:
    for edge in walk():
        for command in edge.commands:
            if isinstance(command, SendReport) and command.report.phase.is_final:
                assert isinstance(edge.after.stage, Ended | Idle), edge


def test_every_state_comes_back_from_the_journal() -> None:
    for state in {edge.after for edge in walk()}:
        text = canonical.dumps(to_json(state))
        value = canonical.loads(text, "journal", 64 * 1024)
        found = from_json(value)
        assert to_json(found) == to_json(state)
        if not isinstance(state.stage, Assigned | Downloading | Written | Trial):
            assert found == state
