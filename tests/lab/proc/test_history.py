"""What two looks at real boxes and a real server say has happened between them."""

from dataclasses import replace

from oleada_agent.machine_states import ReportDraft
from oleada_lab.check import facts
from oleada_lab.check.facts import Fact
from oleada_lab.check.safety import Terms
from oleada_lab.check.watch import Watch
from oleada_lab.proc.history import BoxHistory, ServerHistory
from oleada_lab.proc.looks import Boot, BoxLook, RowLook, ServerLook, WayLook, Working
from oleada_wire.words import Phase

OLD, NEW = "4.1.0", "4.2.0"
BOX = "VX41"
IDLE = BoxLook(proven=frozenset({"A"}), running=("A", OLD), is_at_rest=True)
BOOT = Boot("A", OLD, "00000001-aaaaaaaa", "power_on", "d" * 64, True, False)
WORK = Working("Downloading", "AS-1", 1, "B", has_begun=True, is_armed=False)
VERDICT = ReportDraft("AS-1", 1, 7, Phase.UPDATED, NEW, "B")
ROW = RowLook(BOX, 0, "queued", "", 0, "", False, OLD)
QUIET = ServerLook("running", "", {0: 1}, (ROW,), frozenset())


def a_box() -> BoxHistory:
    """Return the history of a box that has booted and is idle."""
    found = BoxHistory(BOX)
    list(found.see(replace(IDLE, boots=(BOOT,))))
    return found


def test_a_boot_and_a_good_slot_are_told_once() -> None:
    history = BoxHistory(BOX)

    first = list(history.see(replace(IDLE, boots=(BOOT,))))
    again = list(history.see(IDLE))

    assert first == [
        facts.Booted(BOX, "A", OLD, "d" * 64, True, False),
        facts.SlotProven(BOX, "A", OLD),
    ]
    assert again == []


def test_a_box_that_goes_back_proves_the_older_version_anew() -> None:
    history = a_box()
    newer = replace(IDLE, proven=frozenset({"A", "B"}), running=("B", NEW))

    assert list(history.see(newer)) == [facts.SlotProven(BOX, "B", NEW)]
    assert list(history.see(replace(IDLE, proven=frozenset({"B"})))) == []
    assert list(history.see(IDLE)) == [facts.SlotProven(BOX, "A", OLD)]


def test_a_download_has_erased_the_other_slot_and_begun() -> None:
    found = list(a_box().see(replace(IDLE, working=WORK)))

    assert found == [
        facts.SlotErased(BOX, "B", "A", True),
        facts.InstallBegan(BOX, "AS-1", 1),
    ]


def test_a_verdict_is_told_once() -> None:
    history = a_box()
    over = replace(IDLE, verdict=VERDICT)

    assert list(history.see(over)) == [facts.Verdict(BOX, "AS-1", 1, "updated", "", NEW)]
    assert list(history.see(over)) == []


def test_an_attempt_that_begins_anew_is_told_anew() -> None:
    history = a_box()
    told = []
    for look in (replace(IDLE, working=WORK), IDLE, replace(IDLE, working=WORK)):
        told += list(history.see(look))

    assert told.count(facts.InstallBegan(BOX, "AS-1", 1)) == 2


def test_an_armed_slot_is_told_with_what_lies_in_it() -> None:
    history = a_box()
    armed = replace(WORK, stage="Armed", is_armed=True)

    found = list(history.see(replace(IDLE, working=armed, digests={"B": "e" * 64})))

    assert facts.SlotArmed(BOX, "B", "e" * 64) in found
    assert list(history.see(replace(IDLE, working=armed))) == []


def test_a_box_that_boots_nothing_is_told_until_it_boots() -> None:
    history = a_box()

    assert list(history.see(replace(IDLE, dead="no image"))) == [facts.Bricked(BOX, "no image")]
    assert list(history.see(replace(IDLE, dead="no image"))) == []


def test_the_slot_that_runs_is_never_written_unseen() -> None:
    watch = Watch(Terms({}), ["S3"])

    for fact in a_box().see(replace(IDLE, was_overwritten=True)):
        watch.see(1, fact)

    assert [one.invariant for one in watch.broken] == ["S3"]


def told_of(history: ServerHistory, look: ServerLook) -> list[Fact]:
    """Return what the server lets boxes do, and then what it shows."""
    return [*history.orders(look), *history.shows(look)]


def test_a_row_tells_of_commands_leases_and_what_is_shown() -> None:
    history = ServerHistory(NEW, 1)
    told_of(history, QUIET)

    leased = replace(ROW, state="leased", attempt=1, leased="12:00", is_leased=True)
    found = told_of(history, replace(QUIET, rows=(leased,)))

    assert found == [
        facts.Commanded(BOX, 0, 1),
        facts.LeaseGiven(BOX, 0, 1),
        facts.Shown(BOX, "leased", ""),
    ]
    assert told_of(history, replace(QUIET, rows=(leased,))) == []


def test_a_success_is_shown_with_the_version_of_the_release() -> None:
    history = ServerHistory(NEW, 1)
    told_of(history, QUIET)

    found = told_of(history, replace(QUIET, rows=(replace(ROW, state="updated", version=NEW),)))

    assert found == [facts.Shown(BOX, "", NEW), facts.Shown(BOX, "updated", NEW)]


def test_more_boxes_at_work_than_may_be_break_s6() -> None:
    watch, history = Watch(Terms({}), ["S6"]), ServerHistory(NEW, 1)
    rows = tuple(
        replace(ROW, device_id=f"BOX{number}", state="leased", leased="12:00", is_leased=True)
        for number in range(2)
    )

    for fact in told_of(history, replace(QUIET, rows=rows)):
        watch.see(1, fact)

    assert {one.invariant for one in watch.broken} == {"S6"}


def test_what_is_done_after_a_pause_is_done_because_it_goes_on() -> None:
    watch, history = Watch(Terms({}), ["S6"]), ServerHistory(NEW, 1)
    leased = replace(ROW, state="leased", attempt=1, leased="12:00", is_leased=True)

    for look in (QUIET, replace(QUIET, state="paused"), replace(QUIET, rows=(leased,))):
        for fact in told_of(history, look):
            watch.see(1, fact)

    assert watch.broken == []


def test_a_command_after_the_end_is_a_command_after_the_end() -> None:
    watch, history = Watch(Terms({}), ["S6"]), ServerHistory(NEW, 1)
    late = replace(ROW, state="assigned", attempt=1)

    for look in (replace(QUIET, state="halted"), replace(QUIET, state="halted", rows=(late,))):
        for fact in told_of(history, look):
            watch.see(1, fact)

    assert [one.invariant for one in watch.broken] == ["S6"]


def test_a_rollout_back_is_told_with_its_number_and_its_boxes_before_what_they_do() -> None:
    history = ServerHistory(NEW, 1)
    row = replace(ROW, state="leased", attempt=1, leased="1", is_leased=True, version=NEW)
    kept = replace(ROW, state="updated", attempt=1, version=NEW)
    back = replace(QUIET, rows=(row,))
    stopped = replace(QUIET, state="stopped", rows=(kept,))
    for each in (history.orders(stopped), history.shows(stopped)):
        list(each)

    seen = replace(stopped, ways=(WayLook(OLD, 1, "", 2, back),))

    assert list(history.orders(seen)) == [
        facts.WayBack(OLD, 1, "", 2),
        facts.WaveOpened(0, 1, 2),
        facts.RolloutMoved("running", 2),
        facts.SentBack(BOX, OLD, 2),
        facts.Commanded(BOX, 0, 1, 2),
        facts.LeaseGiven(BOX, 0, 1, 2),
    ]
    list(history.shows(seen))
    arrived = replace(back, rows=(replace(row, state="updated", is_leased=False),))
    assert list(history.shows(replace(seen, ways=(WayLook(OLD, 1, "", 2, arrived),)))) == [
        facts.Shown(BOX, "updated", OLD)
    ]


def test_a_stopped_rollout_whose_boxes_go_back_is_over_when_each_has_an_outcome() -> None:
    stopped = replace(QUIET, state="stopped", rows=(replace(ROW, state="updated"),))
    back = replace(QUIET, rows=(replace(ROW, state="downloading"),))
    refuses = replace(QUIET, rows=(replace(ROW, state="declined", reason="below-floor"),))
    on_the_way = replace(stopped, ways=(WayLook(OLD, 1, "", 2, back),))
    there = replace(stopped, ways=(WayLook(OLD, 1, "", 2, refuses),))

    assert not stopped.is_over(goes_back=True)
    assert stopped.is_over(goes_back=False)
    assert not on_the_way.is_over(goes_back=True)
    assert there.is_over(goes_back=True)
    assert there.shown == {BOX: ("declined", "below-floor")}
