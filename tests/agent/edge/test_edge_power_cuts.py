"""The plug is pulled after every change that outbox and commands make on the disk."""

import itertools
from collections.abc import Callable
from contextlib import suppress

import pytest
from oleada_agent.commands import Commands
from oleada_agent.machine_states import ReportDraft
from oleada_agent.outbox import DiskOutbox, Stamp
from oleada_agent.ports import Disk
from oleada_lab.sim.crash import Kept
from oleada_lab.sim.disk import PowerCutError, SimDisk
from oleada_wire import messages
from oleada_wire.ids import BootId
from oleada_wire.messages import Ack, Cmd, Header, Health, Report
from oleada_wire.topics import Up
from oleada_wire.words import Phase

BOOT = BootId(7, "0a1b2c3d")
HEADER = Header("f" * 32, 0, BOOT, 1)
FIRST = ReportDraft("A-1", 1, 1, Phase.DOWNLOADING, "5.8.1", "A")
LAST = ReportDraft("A-1", 1, 2, Phase.UPDATED, "5.8.2", "B")


def an_outbox(disk: Disk) -> DiskOutbox:
    ids = itertools.count(1)
    stamp = Stamp(disk, BOOT, lambda: 5, lambda: f"{next(ids):032x}")
    return DiskOutbox(disk, stamp, lambda: 0)


def reports_in(kept: DiskOutbox) -> set[int]:
    """Return the steps of the reports that would be sent."""
    return {messages.decode(Report, data).step for kind, data in kept.due() if kind is Up.REPORT}


def a_day(disk: SimDisk, done: Callable[[str], None]) -> None:
    """Live a short day; *done* hears what had returned before the plug was pulled."""
    kept = an_outbox(disk)
    kept.put_report(FIRST)
    done("first")
    kept.put_health(lambda header: Health(header, "5.8.1", "A", ()))
    [first_id] = [
        messages.decode(Report, data).header.id for kind, data in kept.due() if kind is Up.REPORT
    ]
    done("server has the first")
    kept.acknowledge(Ack(HEADER, (first_id,)))
    kept.put_report(LAST)
    done("last")


def changes_of(live: Callable[[SimDisk], None]) -> int:
    disk = SimDisk()
    live(disk)
    return disk.changes


@pytest.mark.parametrize("kept", Kept)
def test_a_report_that_was_put_is_there_after_any_power_cut(kept: Kept) -> None:
    for cut in range(1, changes_of(lambda disk: a_day(disk, lambda _: None)) + 1):
        disk = SimDisk()
        disk.cut_after = cut - 1
        done: list[str] = []
        with suppress(PowerCutError):
            a_day(disk, done.append)

        found = reports_in(an_outbox(disk.after_cut(kept)))

        assert found <= {1, 2}, f"cut after change {cut}"
        if "last" in done:
            assert 2 in found, f"the verdict was lost by a cut after change {cut}"
        if "first" in done and "server has the first" not in done:
            assert 1 in found, f"a report was lost by a cut after change {cut}"


@pytest.mark.parametrize("kept", Kept)
def test_no_power_cut_lets_a_command_be_done_twice(kept: Kept) -> None:
    command = Cmd(HEADER, "VX417Q3K0928", "C-1", 5, "ping", expires_ms=10)

    def live(disk: SimDisk, pings: list[str]) -> None:
        def ping() -> str:
            pings.append("ping")
            return "pong"

        Commands(disk, {"ping": ping}, lambda make: None).obey(command, now_ms=0)

    for cut in range(1, changes_of(lambda disk: live(disk, [])) + 1):
        disk = SimDisk()
        disk.cut_after = cut - 1
        pings: list[str] = []
        with suppress(PowerCutError):
            live(disk, pings)

        live(disk.after_cut(kept), pings)

        assert len(pings) <= 1, f"cut after change {cut}"


def test_a_disk_that_forgets_would_be_found_out() -> None:
    disk = SimDisk()
    disk.deaf_to = ("data/",)
    an_outbox(disk).put_report(LAST)

    assert reports_in(an_outbox(disk.after_cut(Kept.NONE))) == set()
