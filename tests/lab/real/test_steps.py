"""Two boxes that write the same are told so; one that leaves out a sync is found out."""

from oleada_lab.real.steps import Logged, Step, differences, names, stage_after, steps
from oleada_lab.sim.disk import Op, SimDisk

REPORT = "data/outbox/0000000003-report-12e0c8b2bad640fb19488dec4f65d4d9"


def a_log(*entries: str, stage: str = "Idle") -> list[Logged]:
    """Return operations spelt ``kind path [to]``."""
    ops = []
    for number, entry in enumerate(entries, 1):
        kind, path, *to = entry.split()
        ops.append(Logged(Op(number, kind, path, 0, 0, *to), stage))
    return ops


def a_store(path: str) -> list[str]:
    """Return the operations of storing *path* whole."""
    beside = f"{path}.tmp"
    folder = path.rpartition("/")[0]
    return [
        f"create {beside}",
        f"pwrite {beside}",
        f"fsync {beside}",
        f"rename {beside} {path}",
        f"fsync_dir {folder}",
    ]


def test_other_names_sizes_and_turns_make_no_difference() -> None:
    other = REPORT.replace("0000000003", "0000000009").replace("12e0", "ffff")

    assert (
        differences(
            steps(a_log(*a_store("data/journal.0"), *a_store(REPORT))),
            steps(a_log(*a_store("data/journal.1"), *a_store("data/journal.0"), *a_store(other))),
        )
        == []
    )


def test_a_sync_that_is_left_out_is_a_difference() -> None:
    whole = a_store("data/journal.0")
    without = [entry for entry in whole if not entry.startswith("fsync ")]

    (said,) = differences(steps(a_log(*without)), steps(a_log(*whole)))

    assert said.startswith("data/journal.tmp: really [Idle create")
    assert (
        "simulated [Idle create data/journal.tmp, Idle pwrite data/journal.tmp, Idle fsync" in said
    )


def test_what_decides_what_boots_must_come_in_the_same_order() -> None:
    control, journal = ["pwrite boot/control.0", "fsync boot/control.0"], a_store("data/journal.0")

    (said,) = differences(steps(a_log(*control, *journal)), steps(a_log(*journal, *control)))

    assert said.startswith("in another order: really [Idle pwrite boot/control")


def test_what_arrives_when_the_network_likes_may_come_in_any_order() -> None:
    metadata, command = a_store("data/trust/root.json"), a_store("data/last-command.0")

    assert differences(steps(a_log(*metadata, *command)), steps(a_log(*command, *metadata))) == []


def test_a_decisive_write_at_another_stage_is_a_difference() -> None:
    early = steps(a_log("pwrite boot/control.0", stage="Written"))
    late = steps(a_log("pwrite boot/control.0", stage="Armed"))

    assert differences(early, late) != []


def test_telemetry_locks_and_memory_are_left_out_and_so_is_a_sync_of_nothing() -> None:
    noise = [
        "create boot/power.lock",
        "create run/agent.log",
        "fsync slots/a.img",
        *a_store("data/outbox/0000000001-health-12e0c8b2bad640fb19488dec4f65d4d9")[:-1],
    ]

    assert steps(a_log(*noise)) == []
    assert steps(a_log("pwrite slots/b.img", "fsync slots/b.img", "fsync slots/b.img")) == [
        Step("Idle", "pwrite", "slots/b.img"),
        Step("Idle", "fsync", "slots/b.img"),
    ]


def test_the_stage_is_what_the_journal_says_after_it_was_renamed() -> None:
    disk = SimDisk()
    disk.create("data/journal.1")
    disk.pwrite("data/journal.1", 0, b'{"state": {"stage": {"name": "Armed"}}}')
    renamed = Op(9, "rename", "data/journal.1.tmp", 0, 0, "data/journal.1")

    assert stage_after(renamed, disk, "Written") == "Armed"
    assert stage_after(Op(10, "fsync_dir", "data"), disk, "Armed") == "Armed"
    disk.truncate("data/journal.1", 5)
    assert stage_after(renamed, disk, "Written") == "Written"


def test_an_operation_has_the_same_name_however_many_messages_came_before_it() -> None:
    quiet = a_log(*a_store("data/journal.0"), *a_store("data/journal.1"))
    other = a_log(*a_store(REPORT), *a_store("data/journal.0"), *a_store("data/journal.1"))

    assert names(quiet)[-2] == names(other)[-2] == "rename data/journal.tmp 2"
    assert len({*names(other)}) == len(other)
