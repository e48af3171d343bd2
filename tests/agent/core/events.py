"""One of each event that can reach a machine, for the tests that try them all."""

from oleada_agent.boot.control import SLOTS
from oleada_agent.machine_events import (
    AssignReceived,
    Authorised,
    AuthorityRefused,
    AuthorityUnknown,
    Booted,
    Checkpointed,
    ConditionsChecked,
    ConditionsLost,
    DenyListed,
    Event,
    Fetched,
    FetchFailed,
    HealthFailed,
    HealthPassed,
    LeaseAnswered,
    ReadBackFailed,
    ReadBackPassed,
    ReportAcked,
    ServerContacted,
    SlotArmed,
    SlotEmptied,
    SlotMarkedGood,
    StorageFailed,
    Tidied,
    TrustChanged,
    Woken,
)
from oleada_agent.machine_states import Ended, State
from oleada_wire.messages import Assignment, Window
from oleada_wire.words import BootReason, LeasePhase, Reason

NOW_MS = 1_000_000
LEASE_MS = NOW_MS + 600_000
DRAW = 5_000
ASSIGNMENT = Assignment(
    assignment_id="AS-1",
    attempt=1,
    rollout_id="R-1",
    wave_id=1,
    target_path="VX-410/1.1.0.img",
    sha256="1" * 64,
    size_bytes=100,
    version="1.1.0",
    security_version=2,
    issued_ms=0,
    expires_ms=NOW_MS + 86_400_000,
    spread_s=60,
    window=Window(60, 300),
)
NAME = ("AS-1", 1)


def boots(*boot_ids: str) -> dict[str, Event]:
    """Return a start in each slot, as each kind of boot."""
    found: dict[str, Event] = {}
    for boot_id in boot_ids:
        for slot in SLOTS:
            version = "1.0.0" if slot == "A" else "1.1.0"
            label = f"{boot_id} {slot}"
            found[f"Booted {label}"] = Booted(slot, version, boot_id)
            found[f"Booted {label} unproven"] = Booted(slot, version, boot_id, successful=False)
            found[f"Booted {label} fallback"] = Booted(
                slot, version, boot_id, BootReason.FALLBACK, after_watchdog=True
            )
    return found


def from_server(seq: int, other: Assignment) -> dict[str, Event]:
    """Return what the server may say; *other* is another assignment."""
    found: dict[str, Event] = {
        "AssignReceived": AssignReceived(seq, ASSIGNMENT, DRAW),
        "AssignReceived other": AssignReceived(seq, other, DRAW),
        "AssignReceived none": AssignReceived(seq, None, DRAW),
        "AssignReceived stale": AssignReceived(0, other, DRAW),
        "DenyListed": DenyListed(("1" * 64,)),
        "TrustChanged": TrustChanged(),
    }
    for phase in LeasePhase:
        found[f"LeaseAnswered {phase}"] = LeaseAnswered(*NAME, phase, True, LEASE_MS)
        found[f"LeaseAnswered {phase} refused"] = LeaseAnswered(*NAME, phase, False, draw=DRAW)
        found[f"LeaseAnswered {phase} over"] = LeaseAnswered(*NAME, phase, True, NOW_MS, draw=DRAW)
    return found


def from_box() -> dict[str, Event]:
    """Return what the ports of the box may say."""
    return {
        "Authorised": Authorised(*NAME, DRAW),
        "AuthorityRefused": AuthorityRefused(*NAME, Reason.NOT_COVERED),
        "AuthorityUnknown": AuthorityUnknown(*NAME, DRAW),
        "ConditionsChecked": ConditionsChecked(draw=DRAW),
        "ConditionsChecked window": ConditionsChecked("window", 9_000, DRAW),
        "ConditionsLost window": ConditionsLost("window", 9_000, DRAW),
        "SlotEmptied A": SlotEmptied("A"),
        "SlotEmptied B": SlotEmptied("B"),
        "Checkpointed 50": Checkpointed(*NAME, 50),
        "Fetched": Fetched(*NAME),
        "FetchFailed": FetchFailed(*NAME, Reason.DOWNLOAD),
        "ReadBackPassed": ReadBackPassed(*NAME),
        "ReadBackFailed": ReadBackFailed(*NAME, Reason.WRONG_DIGEST),
        "SlotArmed A": SlotArmed("A"),
        "SlotArmed B": SlotArmed("B"),
        "ServerContacted": ServerContacted(),
        "HealthPassed": HealthPassed(),
        "HealthFailed": HealthFailed(),
        "SlotMarkedGood A": SlotMarkedGood("A"),
        "SlotMarkedGood B": SlotMarkedGood("B"),
        "StorageFailed": StorageFailed("no space"),
        "Tidied": Tidied(),
        "Woken": Woken(DRAW),
    }


def acked(state: State) -> dict[str, Event]:
    """Return the acknowledgement of the verdict in *state*, and one of nothing."""
    found: dict[str, Event] = {"ReportAcked unknown": ReportAcked("AS-9", 1, 1)}
    if isinstance(state.stage, Ended):
        verdict = state.stage.verdict
        found["ReportAcked"] = ReportAcked(verdict.assignment_id, verdict.attempt, verdict.step)
    return found
