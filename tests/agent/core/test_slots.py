"""The slots: the first block last, nothing lost over a cut, the running slot untouched."""

from dataclasses import replace
from pathlib import Path

import pytest
from oleada_agent.disk import RealDisk
from oleada_agent.errors import ControlError, StorageError
from oleada_agent.machine_events import ReadBackFailed, ReadBackPassed
from oleada_agent.slots import FIRST_BLOCK, FileSlots, slot_path
from oleada_lab.sim.crash import Kept
from oleada_lab.sim.disk import PowerCutError, SimDisk
from oleada_wire.words import Reason

from tests.agent.core.sim_box import MODEL, an_assignment, an_image

DATA = an_image("1.1.0", 20_000)
ASSIGNMENT = an_assignment(DATA, "1.1.0")
CHUNK_BYTES = 3_000


def slots_on(disk: SimDisk | RealDisk) -> FileSlots:
    return FileSlots(disk, running_slot="A", hardware_model=MODEL, capacity_bytes=30_000)


def fill(slots: FileSlots, data: bytes = DATA, start: int = 0) -> None:
    for at in range(start, len(data), CHUNK_BYTES):
        slots.write("B", at, data[at : at + CHUNK_BYTES])


def filled(data: bytes = DATA) -> tuple[SimDisk, FileSlots]:
    disk = SimDisk()
    slots = slots_on(disk)
    slots.begin("B")
    fill(slots, data)
    slots.finish("B", len(data))
    return disk, slots


def test_what_was_streamed_reads_back() -> None:
    disk, slots = filled()

    assert disk.read("slots/b.img") == DATA
    assert slots.read_back("B", ASSIGNMENT) == ReadBackPassed("AS-1", 1)
    header = slots.header("B")
    assert header is not None
    assert header.version == "1.1.0"


def test_until_it_is_finished_a_slot_looks_empty() -> None:
    disk = SimDisk()
    slots = slots_on(disk)
    slots.begin("B")
    fill(slots)
    slots.checkpoint("B")

    assert disk.read("slots/b.img", 0, 4096) == bytes(4096)
    assert slots.header("B") is None


def test_beginning_empties_what_was_there_durably() -> None:
    disk, slots = filled()

    slots.begin("B")

    assert slots_on(disk.after_cut(Kept.NONE)).header("B") is None


@pytest.mark.parametrize("kept", Kept)
@pytest.mark.parametrize("done_bytes", [1_500, 4_096, 9_000, 20_000])
def test_what_was_checkpointed_survives_and_the_rest_is_written_again(
    kept: Kept, done_bytes: int
) -> None:
    disk = SimDisk()
    slots = slots_on(disk)
    slots.begin("B")
    fill(slots, DATA[:done_bytes])
    slots.checkpoint("B")
    slots.write("B", done_bytes, DATA[done_bytes : done_bytes + 100])

    after = slots_on(disk.after_cut(kept))
    fill(after, DATA, done_bytes)
    after.finish("B", len(DATA))

    assert after.read_back("B", ASSIGNMENT) == ReadBackPassed("AS-1", 1)


@pytest.mark.parametrize("kept", Kept)
def test_a_cut_while_finishing_never_leaves_a_header_over_a_hole(kept: Kept) -> None:
    for after in range(1, 10):
        disk = SimDisk()
        slots = slots_on(disk)
        slots.begin("B")
        fill(slots)
        disk.cut_after = after - 1
        try:
            slots.finish("B", len(DATA))
        except PowerCutError:
            found = disk.after_cut(kept)
            if slots_on(found).header("B") is not None:
                assert found.read("slots/b.img")[4096:] == DATA[4096:]


@pytest.mark.parametrize("offset", [0, 8, 60, 1023, 1024, 4095, 4096, 19_999])
def test_one_flipped_byte_is_found_when_read_back(offset: int) -> None:
    disk, slots = filled()
    disk.pwrite("slots/b.img", offset, bytes([DATA[offset] ^ 1]))

    found = slots.read_back("B", ASSIGNMENT)

    assert isinstance(found, ReadBackFailed)
    assert found.reason is Reason.WRONG_DIGEST


def test_an_image_shorter_than_signed_is_found() -> None:
    _, slots = filled()

    found = slots.read_back("B", replace(ASSIGNMENT, size_bytes=len(DATA) + 1))

    assert found == ReadBackFailed("AS-1", 1, Reason.WRONG_SIZE, "slot B ends at byte 20000")


def test_an_image_for_other_hardware_is_found() -> None:
    data = an_image("1.1.0", hardware_model="VX-240")
    _, slots = filled(data)

    found = slots.read_back("B", an_assignment(data, "1.1.0"))

    assert isinstance(found, ReadBackFailed)
    assert found.reason is Reason.WRONG_HARDWARE


def test_an_image_of_another_version_is_found() -> None:
    _, slots = filled()

    found = slots.read_back("B", replace(ASSIGNMENT, version="1.1.1"))

    assert isinstance(found, ReadBackFailed)
    assert (found.reason, found.detail) == (Reason.WRONG_CONTENT, "the header says version 1.1.0")


def test_a_file_that_is_no_image_is_found() -> None:
    data = bytes(8_000)
    _, slots = filled(data)

    found = slots.read_back("B", an_assignment(data, "1.1.0"))

    assert isinstance(found, ReadBackFailed)
    assert found.reason is Reason.WRONG_CONTENT


def test_the_slot_that_runs_is_never_written() -> None:
    slots = slots_on(SimDisk())

    for act in (slots.begin, slots.checkpoint, lambda slot: slots.write(slot, 0, b"x")):
        with pytest.raises(ControlError, match="Slot A runs; only the other one is written"):
            act("A")


def test_more_than_the_slot_takes_is_refused() -> None:
    slots = slots_on(SimDisk())
    slots.begin("B")

    with pytest.raises(StorageError, match="Slot B takes 30000 bytes; this image is larger"):
        slots.write("B", 29_000, bytes(1_001))


def test_on_a_full_disk_a_slot_takes_what_it_has() -> None:
    disk, slots = filled()
    disk.full = True

    assert slots.room_bytes("B") == len(DATA)
    assert slots.room_bytes("A") == 0


def test_a_slot_never_takes_more_than_its_capacity() -> None:
    _, slots = filled()

    assert slots.room_bytes("B") == 30_000


def test_a_first_block_that_is_lost_is_not_made_up() -> None:
    disk = SimDisk()
    slots = slots_on(disk)
    slots.begin("B")
    fill(slots)
    slots.checkpoint("B")
    disk.unlink(FIRST_BLOCK)

    with pytest.raises(StorageError, match="the first block of the image is lost"):
        slots_on(disk).finish("B", len(DATA))


def test_nothing_is_left_beside_the_slots() -> None:
    disk, slots = filled()

    slots.tidy()

    assert disk.list("data") == []


def test_a_real_disk_holds_a_slot_too(tmp_path: Path) -> None:
    disk = RealDisk(tmp_path)
    slots = slots_on(disk)
    slots.begin("B")
    fill(slots)
    slots.finish("B", len(DATA))

    assert (tmp_path / slot_path("B")).read_bytes() == DATA
    assert slots.read_back("B", ASSIGNMENT) == ReadBackPassed("AS-1", 1)
    with pytest.raises(StorageError, match=r"slots/c.img: No such file or directory\."):
        disk.read("slots/c.img")


def test_the_header_of_an_empty_slot_is_none() -> None:
    assert slots_on(SimDisk()).header("B") is None
