"""A box counts its starts and says why it made the last ones, whatever the flash does."""

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from oleada_agent import boots
from oleada_agent.booted import BootFacts
from oleada_agent.boots import REBOOTS_MAX, Boots, after, parameters, remember
from oleada_agent.disk import RealDisk
from oleada_lab.sim.crash import Kept
from oleada_lab.sim.disk import PowerCutError, SimDisk
from oleada_wire.ids import BootId
from oleada_wire.words import BootReason

FIRST = BootFacts(
    "A", "5.8.1", BootId(7, "0a1b2c3d"), BootReason.POWER_ON, 3, successful=True,
    after_watchdog=False, provides=(),
)  # fmt: skip
PLACE = "Device.DeviceInfo.Reboots."


def later(count: int, reason: BootReason, version: str = "5.8.1") -> BootFacts:
    bitten = reason is BootReason.WATCHDOG
    boot = BootId(count, f"{count:08x}")
    return replace(FIRST, boot=boot, reason=reason, version=version, after_watchdog=bitten)


LIFE = (
    FIRST,
    later(8, BootReason.WATCHDOG),
    later(9, BootReason.POWER_ON),
    later(10, BootReason.UPDATE, "5.8.2"),
    later(11, BootReason.REBOOT, "5.8.2"),
    later(12, BootReason.UNKNOWN, "5.8.2"),
)


def lived(disk: RealDisk) -> Boots:
    for number, facts in enumerate(LIFE):
        found = remember(disk, facts, [], 1_000 * number)
    return found


def test_starts_are_counted_by_kind_and_by_version(tmp_path: Path) -> None:
    found = parameters(lived(RealDisk(tmp_path)), LIFE[-1])

    assert {name.removeprefix(PLACE): value for name, value in found.items()
            if name.startswith(PLACE) and "Reboot." not in name} == {
        "BootCount": 12, "CurrentVersionBootCount": 3, "WatchdogBootCount": 1,
        "ColdBootCount": 2, "WarmBootCount": 4,
    }  # fmt: skip
    assert found["Device.DeviceInfo.ProcessFaults.LastUpgradeCount"] == 0


def test_the_last_starts_are_told_newest_first_with_their_reasons(tmp_path: Path) -> None:
    found = parameters(lived(RealDisk(tmp_path)), LIFE[-1])

    told = [
        {key: found.get(f"{PLACE}Reboot.{number}.{key}")
         for key in ("TimeStamp", "Reason", "Cause", "FirmwareUpdated")}
        for number in range(1, REBOOTS_MAX + 1)
    ]  # fmt: skip
    assert [one["TimeStamp"] for one in told] == [5_000, 4_000, 3_000, 2_000, 1_000]
    assert [one["Reason"] for one in told] == [
        "unknown", "reboot", "update", "power_on", "watchdog",
    ]  # fmt: skip
    assert [one["Cause"] for one in told] == [
        None, "RemoteReboot", "RemoteReboot", "LocalReboot", None,
    ]  # fmt: skip
    assert [one["FirmwareUpdated"] for one in told] == [False, False, True, False, False]
    assert f"{PLACE}Reboot.{REBOOTS_MAX + 1}.Reason" not in found


def test_a_start_of_the_agent_alone_is_no_start_of_the_box(tmp_path: Path) -> None:
    disk = RealDisk(tmp_path)
    once = remember(disk, FIRST, [], 5)

    assert remember(disk, FIRST, [], 99) == once
    assert once.current == once.cold == 1


def test_what_the_kernel_left_behind_counts_once_and_until_the_next_version() -> None:
    first = after(Boots(), FIRST, ["dmesg-1"], 0)
    second = after(first, LIFE[1], ["dmesg-1", "dmesg-2", "dmesg-3"], 0)
    third = after(second, LIFE[2], ["dmesg-3"], 0)
    updated = after(third, LIFE[3], ["dmesg-4"], 0)

    assert [one.kernel_new for one in (first, second, third, updated)] == [1, 2, 0, 1]
    assert [one.kernel_total for one in (first, second, third, updated)] == [1, 3, 3, 1]
    assert [one.process_total for one in (first, second, third, updated)] == [0, 1, 1, 0]


@pytest.mark.parametrize("damage", ["cut", "turned", "empty", "other"])
def test_a_file_that_rotted_begins_anew(tmp_path: Path, damage: str) -> None:
    disk = RealDisk(tmp_path)
    lived(disk)
    path = tmp_path / boots.FILE
    data = path.read_bytes()
    turned = data[:40] + bytes([data[40] ^ 1]) + data[41:]
    path.write_bytes({"cut": data[:-3], "turned": turned, "empty": b"", "other": b"0\n[]"}[damage])

    found = remember(disk, later(13, BootReason.REBOOT), [], 6_000)

    assert (found.current, found.warm, len(found.reboots)) == (1, 1, 1)


@pytest.mark.parametrize("kept", Kept)
def test_after_any_power_cut_a_start_was_counted_once_or_not_yet(kept: Kept) -> None:
    done = False
    cuts = 0
    while not done:
        disk = SimDisk()
        before = remember(disk, FIRST, [], 0)
        disk.cut_after = cuts
        with suppress(PowerCutError):
            remember(disk, LIFE[1], [], 1)
            done = True
        again = disk.after_cut(kept)

        found = remember(again, LIFE[2], [], 2)
        assert (found.cold, found.watchdog) in ((before.cold + 1, 0), (before.cold + 1, 1)), cuts
        if done:
            assert (found.cold, found.watchdog, found.warm) == (2, 1, 1)
        cuts += 1
    assert cuts > 3


def test_a_disk_that_refuses_costs_the_count_and_not_the_start() -> None:
    disk = SimDisk()
    first = remember(disk, FIRST, [], 0)
    disk.full = True

    assert remember(disk, LIFE[1], [], 1).watchdog == 1
    disk.full = False
    assert remember(disk, LIFE[2], [], 2).watchdog == first.watchdog
