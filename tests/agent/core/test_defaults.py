"""What an event says, and a state holds, when nothing was said of a part of it.

Older journals lack the newer fields and are read with these; the shell fills in draws.
"""

from dataclasses import fields, is_dataclass
from typing import get_args

from oleada_agent import machine_events
from oleada_agent.machine_codec import from_json
from oleada_agent.machine_events import (
    Booted,
    ConditionsChecked,
    ConditionsLost,
    Drawn,
    Event,
    HealthFailed,
    LeaseAnswered,
)
from oleada_agent.machine_moves import (
    LEASE_WAIT_MS_MAX,
    LEAVE_LAPS_MAX,
    TOLD_SHARE,
)
from oleada_agent.machine_states import (
    QUARANTINED_MAX,
    Assigned,
    Downloading,
    Failed,
    Gate,
    Idle,
    Limits,
    ReportDraft,
    RolledBack,
    Running,
    State,
    Trial,
    Work,
    Written,
)
from oleada_wire.words import BootReason, LeasePhase, Phase, Reason

from tests.agent.core.events import ASSIGNMENT
from tests.agent.core.test_transitions import verdict


def test_an_event_that_was_not_drawn_for_waits_least_and_the_shell_draws_for_all_of_them() -> None:
    draws = {
        event: one.default
        for event in vars(machine_events).values() if is_dataclass(event)
        for one in fields(event) if one.name == "draw"
    }  # fmt: skip

    assert draws.keys() == set(get_args(Drawn)) <= set(get_args(Event))
    assert set(draws.values()) == {0}


def test_a_start_of_which_nothing_else_is_known_is_one_of_a_proven_slot() -> None:
    assert Booted("A", "1.0.0", "1") == Booted(
        "A", "1.0.0", "1", BootReason.UNKNOWN, True, False, security_version=0, draw=0
    )


def test_a_bad_time_is_looked_at_again_after_a_minute() -> None:
    assert ConditionsChecked() == ConditionsChecked("", 60_000, 0)
    assert ConditionsLost("window") == ConditionsLost("window", 60_000, 0)


def test_a_lease_that_was_refused_without_a_word_is_asked_for_again_after_a_minute() -> None:
    assert LeaseAnswered("AS-1", 1, LeasePhase.START, False) == LeaseAnswered(
        "AS-1", 1, LeasePhase.START, False, 0, 60, "", 0
    )


def test_a_health_that_failed_without_a_word_is_a_failed_health_check() -> None:
    assert HealthFailed() == HealthFailed(Reason.HEALTH_CHECK, "")


def test_a_new_box_is_idle_and_has_its_limits() -> None:
    assert State() == State(Idle(), Running("A", "0", "", True), Limits(), 0, 0, (), None, None, 0)
    assert Limits() == Limits(
        tries=4, trial_limit_ms=600_000, lease_answer_ms=60_000, authority_retry_ms=60_000,
        laps_max=32,
    )  # fmt: skip


def test_work_begins_at_its_first_gate_with_nothing_done() -> None:
    work = Work(ASSIGNMENT, "B")

    assert work == Work(ASSIGNMENT, "B", steps=0, laps=0, lease_until_ms=0)
    assert Assigned(work) == Assigned(work, Gate.AUTHORITY)
    assert Downloading(work) == Downloading(work, 0, 0, Gate.CONDITIONS)
    assert Written(work) == Written(work, Gate.READ_BACK)
    assert Trial(work) == Trial(work, passed=False, contacted=False, faults=0)
    told = verdict(Phase.FAILED)
    assert (Failed(told, None), RolledBack(told, "B")) == (
        Failed(told, None, 0),
        RolledBack(told, "B", 0),
    )


def test_a_report_of_which_nothing_else_is_said_is_of_no_bytes_and_gives_no_reason() -> None:
    assert ReportDraft("AS-1", 1, 1, Phase.UPDATED, "5.8.2", "B") == ReportDraft(
        "AS-1", 1, 1, Phase.UPDATED, "5.8.2", "B", 0, None, ""
    )


def test_a_journal_of_an_agent_that_knew_less_is_read_with_what_it_lacks() -> None:
    value = {
        "stage": {"name": "Idle"},
        "running": {},
        "limits": {},
        "assignment_seq": 0,
        "security_floor": 0,
        "quarantined": [],
    }

    assert from_json(value) == State()


def test_numbers_that_a_person_would_notice() -> None:
    assert LEASE_WAIT_MS_MAX == 24 * 60 * 60 * 1000, "a timer of a day at most"
    assert TOLD_SHARE == 10, "a report at every tenth"
    assert LEAVE_LAPS_MAX == 3, "three restarts to leave a slot"
    assert QUARANTINED_MAX == 64, "images that are kept out"
