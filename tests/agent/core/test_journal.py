"""The journal: the newest whole state wins, and a broken file is never trusted."""

import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from oleada_agent.boot import system
from oleada_agent.disk import RealDisk
from oleada_agent.errors import JournalError, StorageError
from oleada_agent.journal import FILES, Journal, Loaded, has_room, write_whole
from oleada_agent.machine_codec import durable, from_json, to_json
from oleada_agent.machine_states import (
    Armed,
    Assigned,
    Downloading,
    Gate,
    Limits,
    Running,
    Stage,
    State,
    Trial,
    Work,
    Written,
)
from oleada_lab.sim.crash import Kept
from oleada_lab.sim.disk import IO_ERROR, Fault, PowerCutError, SimDisk
from oleada_wire import canonical

from tests.agent.core.events import ASSIGNMENT

WORK = Work(ASSIGNMENT, "B")
EARLIER = State(running=Running("A", "1.0.0", "1"))
LATER = replace(EARLIER, stage=Downloading(WORK, 50), assignment_seq=7)


def a_disk() -> SimDisk:
    """Return a disk with EARLIER and then LATER in the journal."""
    disk = SimDisk()
    journal = Journal(disk)
    journal.store(EARLIER)
    journal.store(LATER)
    return disk


def newest(disk: SimDisk) -> str:
    """Return the file that holds LATER."""
    return max(FILES, key=lambda path: len(disk.read(path)))


def break_(disk: SimDisk, path: str, offset: int) -> None:
    disk.pwrite(path, offset, bytes([disk.read(path)[offset] ^ 1]))


def test_a_new_box_has_no_journal() -> None:
    assert Journal(SimDisk()).load() == Loaded(None)


def test_the_newest_state_comes_back() -> None:
    assert Journal(a_disk()).load() == Loaded(LATER)


def test_stores_take_turns() -> None:
    disk = a_disk()
    journal = Journal(disk)
    journal.load()

    journal.store(EARLIER)

    assert Journal(disk).load() == Loaded(EARLIER)
    break_(disk, FILES[1], 40)
    assert Journal(disk).load() == Loaded(LATER, (FILES[1],))


def test_one_flipped_byte_anywhere_falls_back_to_the_state_before() -> None:
    path = newest(a_disk())
    for offset in range(len(a_disk().read(path))):
        disk = a_disk()
        break_(disk, path, offset)

        assert Journal(disk).load() == Loaded(EARLIER, (path,)), offset


def test_no_beginning_of_a_journal_passes_for_one() -> None:
    path = newest(a_disk())
    for size_bytes in range(len(a_disk().read(path))):
        disk = a_disk()
        disk.truncate(path, size_bytes)

        assert Journal(disk).load().state == EARLIER, size_bytes


def test_a_broken_journal_is_set_aside_and_the_next_store_is_whole() -> None:
    disk = a_disk()
    for path in FILES:
        break_(disk, path, 10)
    journal = Journal(disk)

    assert journal.load() == Loaded(None, FILES, is_lost=True)

    journal.store(LATER)
    assert Journal(disk).load() == Loaded(LATER)
    assert "journal.0.broken" in disk.list("data")


def test_that_a_state_was_lost_is_known_after_the_next_power_cut_too() -> None:
    disk = a_disk()
    for path in FILES:
        break_(disk, path, 10)
    Journal(disk).load()

    after = disk.after_cut(Kept.NONE)

    assert sorted(after.list("data")) == ["journal.0.broken", "journal.1.broken"]
    assert Journal(after).load() == Loaded(None, (), is_lost=True)


def test_two_files_of_the_same_number_are_no_reason_to_stop() -> None:
    disk = a_disk()
    other = next(path for path in FILES if path != newest(disk))
    disk.truncate(other, 0)
    disk.pwrite(other, 0, disk.read(newest(disk)))

    assert Journal(disk).load() == Loaded(LATER)
    assert Journal(disk).peek() == LATER


def test_two_states_of_the_same_number_are_no_reason_to_stop() -> None:
    disk, foreign = SimDisk(), SimDisk()
    Journal(disk).store(LATER)
    Journal(foreign).store(EARLIER)
    mine, other = FILES[1], FILES[0]
    disk.create(other)
    disk.pwrite(other, 0, foreign.read(mine))

    assert Journal(disk).peek() in (EARLIER, LATER)
    assert Journal(disk).load().state in (EARLIER, LATER)


@pytest.mark.parametrize("stores", [2, 3])
def test_looking_finds_the_newest_state_in_whichever_file_it_is(stores: int) -> None:
    disk = SimDisk()
    journal = Journal(disk)
    for seq in range(1, stores + 1):
        journal.store(replace(LATER, assignment_seq=seq))

    found = Journal(disk).peek()

    assert found is not None
    assert found.assignment_seq == stores


@pytest.mark.parametrize("seq", [True, "2", None])
def test_a_journal_without_a_number_is_set_aside(seq: object) -> None:
    disk = a_disk()
    path = newest(disk)
    entry = {"schema": 1, "seq": seq, "state": to_json(LATER)}
    crc32 = zlib.crc32(canonical.dumps(entry))
    disk.truncate(path, 0)
    disk.pwrite(path, 0, canonical.dumps({"crc32": crc32, **entry}))

    assert Journal(disk).load() == Loaded(EARLIER, (path,))


def test_what_a_cut_store_left_is_swept() -> None:
    disk = a_disk()
    disk.create(f"{FILES[0]}.tmp")

    Journal(disk).load()

    assert disk.list("data") == ["journal.0", "journal.1"]


@pytest.mark.parametrize("kept", Kept)
def test_a_cut_store_leaves_the_state_before_or_the_new_one(kept: Kept) -> None:
    undisturbed = a_disk()
    before = undisturbed.changes
    Journal(undisturbed).store(EARLIER)
    for after in range(1, undisturbed.changes - before + 1):
        disk = a_disk()
        journal = Journal(disk)
        journal.load()
        newer = replace(LATER, assignment_seq=8)
        disk.cut_after = after - 1
        with suppress(PowerCutError):
            journal.store(newer)

        found = Journal(disk.after_cut(kept)).load()

        assert found.state in (LATER, newer), after


def test_a_store_that_returned_is_durable() -> None:
    disk = a_disk()

    assert Journal(disk.after_cut(Kept.NONE)).load() == Loaded(LATER)


@pytest.mark.parametrize("write", [write_whole, system.write_whole])
@pytest.mark.parametrize("after", range(1, 6))
def test_a_write_that_is_refused_anywhere_leaves_nothing_beside(
    write: Callable[[SimDisk, str, bytes], None], after: int
) -> None:
    disk = a_disk()
    disk.faults = (Fault(disk.changes + after, IO_ERROR),)

    with pytest.raises(StorageError):
        write(disk, FILES[0], b"whole")

    assert not [path for path in disk.files() if path.endswith(".tmp")]


def test_a_full_disk_keeps_the_state_before() -> None:
    disk = a_disk()
    journal = Journal(disk)
    journal.load()
    disk.full = True

    with pytest.raises(StorageError, match="No space left on device"):
        journal.store(EARLIER)

    disk.full = False
    assert Journal(disk).load() == Loaded(LATER)


def test_fields_that_a_newer_agent_added_are_left_out() -> None:
    value = canonical.loads(canonical.dumps(to_json(LATER)), "journal", 10_000)
    value["colour"] = "blue"
    value["stage"]["taste"] = 1

    assert from_json(value) == LATER


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("stage", None),
        ("stage", {"name": "Dreaming"}),
        ("running", {"slot": 1}),
        ("assignment_seq", -1),
        ("assignment_seq", True),
        ("security_floor", "2"),
        ("quarantined", [1]),
        ("quarantined", "1" * 64),
        ("limits", {"tries": 1}),
        ("last", {}),
    ],
)
def test_a_state_that_makes_no_sense_is_refused_by_its_field(field: str, wrong: object) -> None:
    value = {**to_json(LATER), field: wrong}

    with pytest.raises(JournalError, match=field):
        from_json(value)


@pytest.mark.parametrize("value", [None, [], "state", 1])
def test_what_is_no_object_is_no_state(value: object) -> None:
    with pytest.raises(JournalError, match="a JSON object was expected"):
        from_json(value)


def test_a_stage_that_nobody_knows_is_named_as_far_as_a_line_goes() -> None:
    value = {**to_json(LATER), "stage": {"name": "x" * 41}}

    with pytest.raises(JournalError, match=f"in stage '{'x' * 40}';"):
        from_json(value)


def test_a_journal_of_an_older_agent_begins_its_steps_at_0() -> None:
    value = to_json(replace(LATER, first_step=0))
    value.pop("first_step", None)

    assert from_json(value).first_step == 0


@pytest.mark.parametrize(
    ("stage", "after"),
    [
        (Assigned(WORK, Gate.LEASE), Assigned(WORK, Gate.AUTHORITY)),
        (Downloading(WORK, 50, 40, Gate.OPEN), Downloading(WORK, 50, 40, Gate.CONDITIONS)),
        (Written(WORK, Gate.LEASE), Written(WORK, Gate.READ_BACK)),
        (Trial(WORK, contacted=True, faults=1), Trial(WORK, contacted=False, faults=1)),
        (Trial(WORK, passed=True), Trial(WORK, passed=True)),
        (Armed(WORK), Armed(WORK)),
    ],
)
def test_a_restart_passes_every_gate_again(stage: Stage, after: Stage) -> None:
    state = replace(EARLIER, stage=stage)

    assert durable(state) == replace(EARLIER, stage=after)
    assert from_json(to_json(state)) == replace(EARLIER, stage=after)


def test_a_journal_of_another_schema_is_set_aside() -> None:
    disk = a_disk()
    path = newest(disk)
    disk.pwrite(path, 0, disk.read(path).replace(b'"schema":1', b'"schema":2'))

    assert Journal(disk).load() == Loaded(EARLIER, (path,))


def test_a_real_disk_keeps_a_journal_too(tmp_path: Path) -> None:
    disk = RealDisk(tmp_path)
    Journal(disk).store(LATER)

    assert Journal(disk).load() == Loaded(LATER)
    assert disk.list("data") == ["journal.1"]


def test_limits_below_four_tries_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 4"):
        Limits(tries=3)


def test_looking_at_a_journal_changes_nothing_of_it() -> None:
    disk = a_disk()
    break_(disk, newest(disk), 40)
    disk.create(f"{FILES[0]}.tmp")
    before = disk.changes

    assert Journal(disk).peek() == EARLIER
    assert disk.changes == before
    assert Journal(SimDisk()).peek() is None


def test_whether_a_disk_has_room_is_asked_of_the_disk() -> None:
    disk = a_disk()
    before = disk.list("data")

    assert has_room(disk)
    assert disk.list("data") == before
    disk.full = True
    assert has_room(disk) is False


class SmallDisk(SimDisk):
    """A disk with room for one file of so many bytes."""

    def __init__(self, room_bytes: int) -> None:
        super().__init__()
        self.room_bytes = room_bytes

    def pwrite(self, path: str, offset: int, data: bytes) -> None:
        """Take *data* if the room is enough."""
        if offset + len(data) > self.room_bytes:
            raise StorageError(f"{path}: No space left on device.")
        super().pwrite(path, offset, data)


def test_a_disk_with_64_kib_left_has_room_and_one_with_a_byte_less_has_none() -> None:
    assert has_room(SmallDisk(65_536))
    assert not has_room(SmallDisk(65_535))


@pytest.mark.parametrize(("blanks_at", "size_bytes", "is_read"), [
    ("front", 1_048_576, True), ("end", 1_048_576, True), ("end", 1_048_577, False),
])  # fmt: skip
def test_a_journal_of_1_mib_is_read_and_a_longer_one_is_none(
    blanks_at: str, size_bytes: int, is_read: bool
) -> None:
    disk = a_disk()
    path = newest(disk)
    data = disk.read(path)
    filled = data.rjust(size_bytes) if blanks_at == "front" else data.ljust(size_bytes)
    disk.truncate(path, 0)
    disk.pwrite(path, 0, filled)

    assert (Journal(disk).peek() == LATER) is is_read
