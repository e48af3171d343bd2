"""One file that rots takes nothing from a box that rests: what matters stands twice."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from oleada_agent import config, identity, keypairs, renew
from oleada_agent.boot import choice, system, trial
from oleada_agent.boot.choice import Behaviour, Ended, ReleaseFile
from oleada_agent.boot.control import FILES as RECORDS
from oleada_agent.boot.control import FileBootControl, factory
from oleada_agent.disk import RealDisk
from oleada_agent.errors import StorageError
from oleada_agent.identity import AUTHORITY, FOLDERS, RECORD, Identity, IdentityError
from oleada_agent.journal import FILES as JOURNALS
from oleada_agent.journal import Journal, write_whole
from oleada_agent.keypairs import CERTIFICATE, KEY
from oleada_agent.machine_events import AssignReceived
from oleada_lab.sim.crash import Kept
from oleada_lab.sim.disk import IO_ERROR, Fault, SimDisk

from tests.agent.core.sim_box import SimBox, SimServer, a_box, an_assignment, an_image

IMAGE = an_image("1.1.0")
ASSIGNMENT = an_assignment(IMAGE, "1.1.0")
WHO = Identity("VX41000001", "VX-410", "Europe/Prague", "broker.example", 8883, "https://d.example")
COPIES = [f"{folder}/{name}" for folder in FOLDERS for name in (RECORD, AUTHORITY)]
KEY_PATH = f"{keypairs.DIRECTORY}/{KEY}"


def an_updated_box() -> SimBox:
    home = a_box(SimServer(images={ASSIGNMENT.sha256: IMAGE}), Behaviour.GOOD)
    home.power_on(AssignReceived(1, ASSIGNMENT))
    return home


def an_enrolled_disk() -> SimDisk:
    disk = SimDisk()
    write_whole(disk, KEY_PATH, b"the key")
    identity.store(disk, WHO, "the certificate", "the authority")
    return disk


@pytest.mark.parametrize("path", RECORDS)
def test_a_committed_slot_stays_proven_when_a_record_of_boot_control_rots(path: str) -> None:
    disk = an_updated_box().disk

    disk.rot(path, 40)

    assert FileBootControl(disk).is_successful("B")


@pytest.mark.parametrize("path", JOURNALS)
def test_a_box_at_rest_forgets_nothing_when_a_file_of_its_journal_rots(path: str) -> None:
    disk = an_updated_box().disk
    before = Journal(disk).load().state

    disk.rot(path, 40)
    loaded = Journal(disk).load()

    assert loaded.broken == (path,)
    assert loaded.state == before
    assert before is not None
    assert before.security_floor == ASSIGNMENT.security_version


def test_a_journal_that_has_lost_a_file_has_two_again_after_the_next_start() -> None:
    home = an_updated_box()
    home.disk.rot(JOURNALS[0], 40)

    a_next_life(home)

    assert Journal(home.disk).load().broken == ()
    assert all(home.disk.exists(path) for path in JOURNALS)


def a_next_life(home: SimBox) -> None:
    SimBox(home.disk, home.server, home.behaviours).power_on()


@pytest.mark.parametrize("path", COPIES)
def test_a_box_knows_who_it_is_when_a_file_of_its_identity_rots(path: str) -> None:
    whole = an_enrolled_disk()
    for at in range(whole.size_bytes(path)):
        disk = whole.fork()
        disk.rot(path, at)

        assert identity.load(disk) == WHO
        identity.mend(disk)
        assert contents(disk) == contents(whole)


@pytest.mark.parametrize("path", [KEY_PATH, f"{keypairs.DIRECTORY}/{CERTIFICATE}"])
def test_a_pair_that_rots_before_the_first_renewal_leaves_the_same_one(path: str) -> None:
    disk = an_enrolled_disk()
    disk.rot(path, 3)

    spare = keypairs.FOLDERS[keypairs.spare(disk)]

    assert disk.read(f"{spare}/{KEY}") == b"the key"
    assert disk.read(f"{spare}/{CERTIFICATE}") == b"the certificate"
    assert keypairs.waiting_key(disk) is None
    assert not keypairs.is_candidate_there(disk)


def test_an_identity_of_an_agent_that_kept_it_once_is_kept_twice_from_now_on() -> None:
    disk = an_enrolled_disk()
    for folder in FOLDERS[1:]:
        for name in (RECORD, AUTHORITY):
            disk.unlink(f"{folder}/{name}")
    write_whole(disk, f"{FOLDERS[0]}/{RECORD}", old_record())

    identity.mend(disk)

    assert contents(disk) == contents(an_enrolled_disk())


def old_record() -> bytes:
    return (
        b'{"device_id": "VX41000001", "hardware_model": "VX-410", "zone": "Europe/Prague", '
        b'"broker_host": "broker.example", "broker_port": 8883, '
        b'"artifacts_url": "https://d.example"}'
    )


@pytest.mark.parametrize("spoil", [lambda _: b"", lambda data: data[:-9], lambda data: data * 2])
def test_two_records_that_rot_are_no_identity(spoil: Callable[[bytes], bytes]) -> None:
    disk = an_enrolled_disk()
    for folder in FOLDERS:
        write_whole(disk, f"{folder}/{RECORD}", spoil(disk.read(f"{folder}/{RECORD}")))

    with pytest.raises(IdentityError, match="Enrol the box again"):
        identity.load(disk)


def contents(disk: SimDisk) -> list[bytes]:
    return [disk.read(path) for path in COPIES]


def test_a_slot_that_was_given_up_is_never_started_though_its_first_record_was_not_synced() -> None:
    disk = SimDisk()
    control = FileBootControl(disk)
    control.store(factory("A"))
    control.arm("B", 4)
    disk.faults = (Fault(disk.changes + 2, IO_ERROR),)  # the sync of the first record
    with pytest.raises(StorageError):
        control.mark_bad("B")

    FileBootControl(disk).mark_bad("B")

    said = FileBootControl(disk.after_cut(Kept.NONE)).load()
    assert said is not None
    assert not said.of("B").may_boot


@pytest.mark.parametrize("broken", RECORDS)
def test_one_record_that_can_not_be_written_lets_no_bad_slot_be_tried_again(broken: str) -> None:
    disk = SimDisk()
    FileBootControl(disk).store(factory("A"))
    FileBootControl(disk).arm("B", 4)
    disk.faults = (Fault(disk.changes + 1, IO_ERROR, forever=True, on=broken),)

    with pytest.raises(StorageError):
        FileBootControl(disk).mark_bad("B")

    said = FileBootControl(disk.after_cut(Kept.NONE)).load()
    assert said is not None
    assert not said.of("B").may_boot
    assert said.of("A").may_boot


def test_an_older_agent_that_enrols_the_box_elsewhere_is_believed_about_the_authority_too() -> None:
    """It knows the first files alone; the second ones are of another server."""
    disk = an_enrolled_disk()
    write_whole(disk, f"{FOLDERS[0]}/{AUTHORITY}", b"the other authority")
    write_whole(disk, f"{FOLDERS[0]}/{RECORD}", old_record().replace(b"broker.", b"other."))

    found = identity.mend(disk)

    assert found.broker_host == "other.example"
    assert [disk.read(f"{folder}/{AUTHORITY}") for folder in FOLDERS] == [
        b"the other authority"
    ] * 2
    assert identity.load(disk) == found


def test_a_record_that_has_lost_its_sum_is_not_taken_for_one_of_an_older_agent() -> None:
    disk = an_enrolled_disk()
    record = disk.read(f"{FOLDERS[0]}/{RECORD}")
    rotten = record.replace(b'"crc32"', b'"crc22"').replace(b"broker.", b"brokes.")
    write_whole(disk, f"{FOLDERS[0]}/{RECORD}", rotten)

    assert identity.load(disk) == WHO


def test_what_has_rotted_while_the_agent_ran_is_mended_before_the_door_is_asked(
    tmp_path: Path,
) -> None:
    disk = RealDisk(tmp_path)
    write_whole(disk, KEY_PATH, b"the key")
    identity.store(disk, WHO, "the certificate", "the authority")
    write_whole(disk, f"{FOLDERS[0]}/{AUTHORITY}", b"another one")
    settings = config.parse(
        {"serial": "SN-1", "hardware_model": "VX-410", "enrol_url": "https://d.example"}, "here"
    )

    with pytest.raises(IdentityError, match="certificate can not be used"):
        renew.run(tmp_path, settings)

    assert disk.read(f"{FOLDERS[0]}/{AUTHORITY}") == b"the authority"


def test_trouble_of_tries_whose_agent_never_begins_stands_in_the_log() -> None:
    disk = SimDisk()
    store = FileBootControl(disk)
    store.store(factory("A"))
    store.arm("B", 4)
    release = ReleaseFile("1.1.0", "VX-410", 1, Behaviour.HANG)
    for number in (1, 2):
        found = choice.choose(lambda _: choice.Found(release, b"agent"), store, Ended.POWER)
        told = replace(found, passed_over=(f"trouble {number}",))
        system.prepare_run(disk, told, "0badcafe")

        trial.end(disk, store, found, Ended.WATCHDOG)

    assert disk.read(trial.LOG) == b"trouble 1\ntrouble 2\n"
