"""The shell: stored before done, told when the disk refuses, silent when nothing changes."""

import pytest
from oleada_agent.boot import control
from oleada_agent.boot.choice import Behaviour
from oleada_agent.errors import StorageError
from oleada_agent.journal import FILES, Journal
from oleada_agent.machine_events import AssignReceived, Booted, LeaseAnswered, Woken
from oleada_agent.machine_states import Assigned, Downloading, Failed, Idle, Limits
from oleada_lab.sim.crash import Kept
from oleada_wire.messages import Assignment
from oleada_wire.words import LeasePhase, Phase, Reason

from tests.agent.core.sim_box import SimBox, SimServer, a_box, an_assignment, an_image

IMAGE = an_image("1.1.0")
ASSIGNMENT = an_assignment(IMAGE, "1.1.0")
OFFER = AssignReceived(1, ASSIGNMENT)


def a_home() -> SimBox:
    return a_box(SimServer(images={ASSIGNMENT.sha256: IMAGE}), Behaviour.GOOD)


class Stingy(SimBox):
    """A box whose server refuses the first hundred leases."""

    asked = 0

    def ask_lease(self, assignment_id: str, attempt: int, phase: LeasePhase) -> None:
        """Refuse, a hundred times."""
        self.asked += 1
        if self.asked > 100:
            super().ask_lease(assignment_id, attempt, phase)
        else:
            self.events.append(LeaseAnswered(assignment_id, attempt, phase, False))


class Watching(SimBox):
    """A box that compares journal and command whenever it is asked to fetch."""

    def fetch(self, assignment: Assignment, slot: str, from_bytes: int) -> None:
        """Look at the journal as a power cut now would leave it."""
        stored = Journal(self.disk.after_cut(Kept.NONE)).load().state
        assert stored is not None
        assert isinstance(stored.stage, Downloading)
        assert stored.stage.done_bytes == from_bytes
        super().fetch(assignment, slot, from_bytes)


def test_a_state_is_durable_before_anything_is_done_about_it() -> None:
    home = a_home()
    box = Watching(home.disk, home.server, home.behaviours)

    box.power_on(OFFER)

    assert [verdict.phase for verdict in box.server.verdicts()] == [Phase.UPDATED]


def test_a_box_that_waits_for_its_lease_writes_nothing() -> None:
    at_once, home = a_home(), a_home()
    waiting = Stingy(home.disk, home.server, home.behaviours)

    at_once.power_on(OFFER)
    waiting.power_on(OFFER)

    assert waiting.asked > 100
    assert waiting.disk.changes == at_once.disk.changes


def test_what_waited_is_a_minute_and_a_draw_apart() -> None:
    home = a_home()
    box = Stingy(home.disk, home.server, home.behaviours)

    box.power_on(OFFER)

    assert 100 * 60_000 < box.clock_ms < 100 * 95_000


def test_a_full_disk_ends_in_a_verdict_and_the_old_slot() -> None:
    box = a_home()
    box.power_on()
    assert box.shell is not None
    shell = box.shell
    shell.feed(OFFER)
    shell.feed(Woken())

    real_write = box.disk.pwrite

    def refuse_the_slot(path: str, offset: int, data: bytes) -> None:
        if path.startswith("slots/"):
            raise StorageError(f"{path}: No space left on device.")
        real_write(path, offset, data)

    box.disk.pwrite = refuse_the_slot  # type: ignore[method-assign]
    shell.feed(box.events.popleft())

    assert isinstance(shell.state.stage, Failed)
    assert shell.state.stage.verdict.reason is Reason.STORAGE
    assert shell.state.stage.verdict.detail == "slots/b.img: No space left on device."
    assert control.FileBootControl(box.disk).is_successful("A")


def test_an_agent_that_can_not_store_its_state_does_nothing_about_it() -> None:
    box = a_home()
    box.power_on()
    assert box.shell is not None
    box.disk.full = True

    with pytest.raises(StorageError, match="No space left on device"):
        box.shell.feed(OFFER)

    assert box.shell.state.stage == Idle()


def test_a_broken_journal_is_told_of() -> None:
    box = a_home()
    box.power_on(OFFER)
    for path in FILES:
        box.disk.pwrite(path, 3, b"?")

    box.power_on()

    assert box.shell is not None
    assert box.shell.broken == FILES
    assert box.shell.state.stage == Idle()
    assert box.shell.state.running.version == "1.1.0"


def test_a_box_that_lost_its_journal_numbers_its_reports_above_those_it_has_made() -> None:
    box = a_home()
    box.power_on(OFFER)
    assert box.shell is not None
    said = max(step for _, _, step in box.server.counted)
    for path in FILES:
        box.disk.pwrite(path, 3, b"?")

    box.power_on()
    box.power_on(OFFER)  # the server, told a sequence of 0, has sent it again

    (_, again) = box.server.verdicts()
    assert again.phase is Phase.UPDATED
    assert again.step > said
    assert box.shell.state.first_step == 0


def test_the_agent_gives_a_sign_of_life() -> None:
    box = a_home()

    box.power_on()

    assert "agent.alive" in box.disk.list("run")


def test_the_draw_comes_from_the_box_not_from_the_message() -> None:
    box = a_home()
    box.power_on()
    assert box.shell is not None

    box.shell.feed(AssignReceived(1, ASSIGNMENT, draw=9_999))

    assert isinstance(box.shell.state.stage, Assigned)
    assert box._wake_at_ms is not None
    assert box._wake_at_ms != box.clock_ms + 29_997


def test_limits_are_those_of_the_configuration_not_of_the_journal() -> None:
    box = a_home()
    box.power_on(OFFER)
    loaded = Journal(box.disk).load().state
    assert loaded is not None
    assert box.shell is not None
    restarted = type(box.shell)(box.shell._ports, Limits(tries=6))

    restarted.start(Booted("B", "1.1.0", "again"))

    assert restarted.state.limits.tries == 6


def test_what_boot_control_calls_good_is_good_whatever_was_told_at_the_start() -> None:
    box = a_home()
    box.power_on()
    assert box.shell is not None
    restarted = type(box.shell)(box.shell._ports)

    restarted.start(Booted("A", "1.0.0", "again", successful=False))

    assert restarted.state.running.successful
