"""Every stage against every event, in a table that a protocol change shows up in.

``UPDATE_GOLDEN=1 make test T=tests/agent/core/test_transitions.py`` rewrites it; the
difference is reviewed like code.
"""

import os
from dataclasses import replace
from pathlib import Path

from oleada_agent.machine import step
from oleada_agent.machine_events import Command, Event, Fetch, SendReport, WakeIn
from oleada_agent.machine_moves import Step
from oleada_agent.machine_states import (
    STAGES,
    Armed,
    Assigned,
    Committed,
    Declined,
    Downloading,
    Failed,
    Gate,
    Idle,
    InFlight,
    Offer,
    Rebooting,
    ReportDraft,
    Reported,
    RolledBack,
    Running,
    SlotBad,
    Stage,
    State,
    Trial,
    Work,
    Written,
)
from oleada_wire.words import Phase, Reason

from tests.agent.core.events import (
    ASSIGNMENT,
    LEASE_MS,
    NOW_MS,
    acked,
    boots,
    from_box,
    from_server,
)

GOLDEN = Path(__file__).parents[2] / "golden" / "agent" / "transitions.txt"
OTHER = replace(ASSIGNMENT, assignment_id="AS-2", sha256="2" * 64, version="1.2.0")
WORK = Work(ASSIGNMENT, "B")
LEASED = replace(WORK, lease_until_ms=LEASE_MS)
IN_A = State(running=Running("A", "1.0.0", "1"))
IN_B = State(running=Running("B", "1.1.0", "1", successful=False))


def verdict(phase: Phase, reason: Reason | None = None) -> ReportDraft:
    return ReportDraft("AS-1", 1, 5, phase, "1.0.0", "A", reason=reason)


def ended(stage: Committed | Declined | Failed | RolledBack) -> State:
    return replace(IN_A, stage=stage, last=stage.verdict)


def states() -> dict[str, State]:
    """Return each stage, in each way that makes it behave otherwise."""
    rolled_back = RolledBack(verdict(Phase.ROLLED_BACK, Reason.HEALTH_CHECK), "B")
    stages: dict[str, Stage] = {
        f"Assigned {gate}": Assigned(WORK, gate)
        for gate in (Gate.AUTHORITY, Gate.SPREAD, Gate.CONDITIONS, Gate.LEASE)
    }
    stages["SlotBad"] = SlotBad(LEASED)
    stages["Downloading conditions"] = Downloading(WORK, 40, 40)
    stages["Downloading lease"] = Downloading(WORK, 40, 40, Gate.LEASE)
    stages["Downloading open"] = Downloading(LEASED, 40, 40, Gate.OPEN)
    stages["Downloading open, lease over"] = Downloading(WORK, 40, 40, Gate.OPEN)
    stages["Downloading, laps used up"] = Downloading(replace(WORK, laps=32), 40, 40)
    for gate in (Gate.READ_BACK, Gate.AUTHORITY, Gate.CONDITIONS, Gate.LEASE):
        stages[f"Written {gate}"] = Written(WORK, gate)
    stages["Armed"] = Armed(WORK)
    stages["Rebooting"] = Rebooting(WORK, "1")
    found = {"Idle": IN_A, "Idle unproven": IN_B}
    found["Idle, knows the verdict"] = replace(IN_A, last=verdict(Phase.DECLINED))
    found["Idle, digest quarantined"] = replace(IN_A, quarantined=("1" * 64,))
    found |= {label: replace(IN_A, stage=stage) for label, stage in stages.items()}
    found["Trial"] = replace(IN_B, stage=Trial(WORK))
    found["Trial, server answered"] = replace(IN_B, stage=Trial(WORK, contacted=True))
    found["Trial, stopped by itself"] = replace(IN_B, stage=Trial(WORK, faults=1))
    found["Trial passed"] = replace(IN_B, stage=Trial(WORK, passed=True))
    found["Committed"] = ended(Committed(verdict(Phase.UPDATED)))
    found["Declined"] = ended(Declined(verdict(Phase.DECLINED, Reason.NOT_COVERED)))
    found["Failed, slot untouched"] = ended(Failed(verdict(Phase.FAILED, Reason.CANCELLED), None))
    found["Failed"] = ended(Failed(verdict(Phase.FAILED, Reason.DOWNLOAD), "B"))
    found["RolledBack"] = ended(rolled_back)
    found["RolledBack, can not leave"] = ended(replace(rolled_back, laps=3))
    found["Reported"] = replace(IN_A, stage=Reported())
    found["Reported, one waits"] = replace(IN_A, stage=Reported(), waiting=Offer(OTHER))
    return found


def events(state: State) -> dict[str, Event]:
    return {**boots("1", "2"), **from_server(1, OTHER), **acked(state), **from_box()}


def test_the_table_covers_every_stage() -> None:
    assert {type(state.stage) for state in states().values()} == set(STAGES)


def test_every_transition_is_the_one_in_the_table() -> None:
    lines = [line for label, state in states().items() for line in rows(label, state)]
    table = "\n".join(lines) + "\n"
    if os.environ.get("UPDATE_GOLDEN") == "1":
        GOLDEN.parent.mkdir(parents=True, exist_ok=True)
        GOLDEN.write_text(table)

    assert GOLDEN.read_text() == table


def rows(label: str, state: State) -> list[str]:
    """Return a line per event that does something, and one that names the others."""
    lines, ignored = [f"== {label}"], []
    for name, event in events(state).items():
        found = step(state, event, NOW_MS)
        told = replace(found.state, assignment_seq=0)
        if told == state and not found.commands:
            ignored.append(name)
        else:
            lines.append(f"{name:34} {shown(found)}".rstrip())
    return [*lines, "ignored: " + ", ".join(ignored), ""]


def shown(found: Step) -> str:
    return f"{named(found.state):46} {', '.join(spelt(command) for command in found.commands)}"


def named(state: State) -> str:
    """Return the stage and what is peculiar about it."""
    stage = state.stage
    words = [type(stage).__name__]
    if isinstance(stage, Assigned | Downloading | Written):
        words.append(stage.gate)
    if isinstance(stage, Downloading):
        words.append(f"{stage.done_bytes} bytes")
    if isinstance(stage, InFlight):
        words.append(f"{stage.work.assignment.assignment_id} in {stage.work.target}")
        words += [f"laps {stage.work.laps}"] if stage.work.laps else []
    elif not isinstance(stage, Idle | Reported):
        words.append(stage.verdict.reason or "")
    words += ["floor 2"] if state.security_floor == 2 else []
    words += ["quarantined"] if state.quarantined else []
    words += ["one waits"] if state.waiting else []
    return " ".join(word for word in words if word)


def spelt(command: Command) -> str:
    """Return the command and its arguments, but for those that never differ."""
    name = type(command).__name__
    match command:
        case SendReport(report):
            reason = f" {report.reason}" if report.reason else ""
            return f"SendReport {report.phase}{reason} #{report.step}"
        case Fetch(_, slot, from_bytes):
            return f"Fetch {slot} from {from_bytes}"
        case WakeIn(delay_ms):
            return f"WakeIn {delay_ms / 1000:g} s"
        case _:
            slot = getattr(command, "slot", "") or getattr(command, "phase", "")
            return f"{name} {slot}".strip()
