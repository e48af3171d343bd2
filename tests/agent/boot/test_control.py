"""Boot control: a torn record loses to the other one, and something always boots."""

import pytest
from oleada_agent.boot import control
from oleada_agent.boot.control import (
    FILES,
    RECORD_BYTES,
    Control,
    FileBootControl,
    SlotControl,
    armed,
    decode,
    default,
    encode,
    factory,
    marked_bad,
    marked_good,
    with_tries,
)
from oleada_lab.sim.crash import Kept
from oleada_lab.sim.disk import PowerCutError, SimDisk

PROVEN_A = factory("A")


def a_store() -> tuple[SimDisk, FileBootControl]:
    disk = SimDisk()
    store = FileBootControl(disk)
    store.store(PROVEN_A)
    return disk, store


def test_a_new_box_boots_its_factory_image() -> None:
    assert PROVEN_A.in_order() == ["A"]
    assert PROVEN_A.a.successful


def test_an_armed_slot_comes_first_while_it_has_tries() -> None:
    found = armed(PROVEN_A, "B", 4)

    assert found.in_order() == ["B", "A"]
    assert with_tries(found, "B", -4).in_order() == ["A"]
    assert with_tries(found, "B", -4).preferred() == "B"


def test_a_slot_marked_good_needs_no_tries() -> None:
    found = marked_good(armed(PROVEN_A, "B", 4), "B")

    assert found.in_order() == ["B", "A"]
    assert found.b == SlotControl(priority=2, tries=0, successful=True)
    assert found.a == SlotControl(priority=1, tries=0, successful=True)


def test_a_slot_marked_bad_never_boots() -> None:
    found = marked_bad(marked_good(armed(PROVEN_A, "B", 4), "B"), "B")

    assert found.in_order() == ["A"]
    assert found.preferred() == "A"


def test_tries_do_not_fall_below_zero() -> None:
    assert with_tries(PROVEN_A, "B", -1).b.tries == 0


def test_without_records_the_newest_image_boots_on_trial() -> None:
    found = default({"A": "1.9.0", "B": "1.10.0"})

    assert found.in_order() == ["B", "A"]
    assert not found.b.successful
    assert found.a.successful


def test_without_records_a_single_image_simply_boots() -> None:
    assert default({"B": "1.0.0"}).in_order() == ["B"]
    assert default({"B": "1.0.0"}).b.successful
    assert default({}).in_order() == []


def test_a_record_comes_back() -> None:
    record = encode(armed(PROVEN_A, "B", 4), 9)

    assert len(record) == RECORD_BYTES
    assert decode(record) == (9, armed(PROVEN_A, "B", 4))


def test_one_flipped_byte_makes_a_record_void() -> None:
    record = encode(PROVEN_A, 9)
    for offset in range(RECORD_BYTES):
        flipped = bytearray(record)
        flipped[offset] ^= 1

        assert decode(bytes(flipped)) is None, offset


def test_no_beginning_of_a_record_passes_for_one() -> None:
    record = encode(PROVEN_A, 9)
    for size_bytes in range(RECORD_BYTES):
        assert decode(record[:size_bytes]) is None, size_bytes


def test_a_write_torn_anywhere_leaves_the_old_record_or_the_new() -> None:
    new = marked_good(armed(PROVEN_A, "B", 4), "B")
    for cut in range(RECORD_BYTES + 1):
        disk, store = a_store()
        store.arm("B", 4)
        old = store.load()

        disk.pwrite(FILES[0], 0, encode(new, 3)[:cut])

        is_whole = disk.read(FILES[0]) == encode(new, 3)
        assert store.load() == (new if is_whole else old), cut


@pytest.mark.parametrize("kept", Kept)
def test_a_cut_in_any_change_leaves_the_old_record_or_the_new(kept: Kept) -> None:
    for after in range(1, 5):
        disk, store = a_store()
        disk.cut_after = after - 1
        try:
            store.arm("B", 4)
        except PowerCutError:
            found = FileBootControl(disk.after_cut(kept)).load()

            assert found in (PROVEN_A, armed(PROVEN_A, "B", 4))


def test_what_was_stored_is_durable_and_alternates() -> None:
    disk, store = a_store()
    for tries in range(4, 10):
        store.arm("B", tries)

        found = FileBootControl(disk.after_cut(Kept.NONE)).load()
        assert found is not None
        assert found.b.tries == tries
    generations = [decode(disk.read(path)) for path in FILES]
    assert sorted(found[0] for found in generations if found) == [6, 7]


def test_the_same_command_twice_writes_once() -> None:
    disk, store = a_store()
    store.mark_good("B")
    before = disk.changes

    store.mark_good("B")

    assert disk.changes == before
    assert store.is_successful("B")


def test_two_broken_records_are_none() -> None:
    disk, store = a_store()
    disk.pwrite(FILES[0], 0, b"x")

    assert store.load() is None
    assert not store.is_successful("A")
    assert Control(SlotControl(), SlotControl()).in_order() == []
    assert control.DEFAULT_TRIES >= 4
