"""Readings are what is there: a sense that lies, dies or hangs takes nobody with it."""

import queue
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from oleada_agent.booted import BootFacts
from oleada_agent.senses import network
from oleada_agent.senses.gathering import FAILED, Gathered, Senses
from oleada_agent.senses.machine import Processor, boots
from oleada_lab.media.daemon import serve
from oleada_lab.media.player import LIES
from oleada_wire.ids import BootId
from oleada_wire.readings import field_of
from oleada_wire.words import BootReason

FACTS = BootFacts(
    "A", "5.8.1", BootId(7, "0a1b2c3d"), BootReason.UPDATE, 3, successful=True,
    after_watchdog=False, provides=(),
)  # fmt: skip
STAT = "cpu {} 0 0 {} 0 0 0 0 0 0\ncpu0 1 1 1 1\n"


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A machine with a cable, Wi-Fi and a worn disk."""
    files = {
        "proc/stat": STAT.format(100, 900),
        "proc/loadavg": "0.52 0.4 0.3 1/100 999\n",
        "proc/uptime": "60.5 1.0\n",
        "proc/meminfo": "MemTotal: 1000 kB\nMemAvailable: 400 kB\n",
        "proc/net/wireless": "h\nh\n wlan0: 0000 54. -67. -256 0 0 0 12 0 0\n",
        "sys/class/net/eth0/device/x": "",
        "sys/class/net/eth0/type": "1\n",
        "sys/class/net/eth0/operstate": "up\n",
        "sys/class/net/eth0/speed": "100\n",
        "sys/class/net/eth0/duplex": "half\n",
        "sys/class/net/eth0/address": "02:00:5e:10:00:01\n",
        "sys/class/net/eth0/statistics/rx_errors": "4\n",
        "sys/class/net/wlan0/wireless/x": "",
        "sys/class/net/wlan0/operstate": "up\n",
        "sys/block/mmcblk0/size": "15269888\n",
        "sys/block/mmcblk0/device/pre_eol_info": "0x02\n",
        "sys/block/mmcblk0/device/life_time": "0x05 0x09\n",
    }
    for name, text in files.items():
        path = tmp_path / "machine" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tmp_path / "run").mkdir()
    return tmp_path / "machine"


def senses(machine: Path) -> Senses:
    """Return the senses of a box on *machine*."""
    return Senses(machine.parent, FACTS, lambda gathered: None, machine)


def test_cable_wifi_storage_and_boots_are_told_under_the_standard_s_names(machine: Path) -> None:
    found = senses(machine).ask()

    assert found["Device.Ethernet.Interface.1.CurrentBitRate"] == 100
    assert found["Device.Ethernet.Interface.1.CurrentDuplexMode"] == "Half"
    assert found["Device.Ethernet.Interface.1.Stats.ErrorsReceived"] == 4
    assert found["Device.WiFi.EndPoint.1.Stats.SignalStrength"] == -67
    assert found["Device.WiFi.EndPoint.1.Stats.Retransmissions"] == 12
    assert found[f"{network.MEDIUM}Capacity"] == 7818
    assert found[f"{network.MEDIUM}Health"] == "Failing"
    assert found[f"{network.MEDIUM}SMART.SparesRemaining"] == 20
    assert found["Device.DeviceInfo.Reboots.BootCount"] == 7
    assert found["Device.DeviceInfo.Reboots.Reboot.1.FirmwareUpdated"] is True
    assert FAILED not in found
    assert "02:00:5e" not in str(found)


def test_every_reading_of_a_box_is_one_of_the_table_and_of_its_kind(machine: Path) -> None:
    with serve(machine.parent):
        found = senses(machine).ask()

    assert len(found) > 60
    for name, value in found.items():
        field = field_of(name)
        assert field is not None, name
        assert type(value) is field.kind, name


def test_the_processor_is_as_busy_as_it_was_between_two_looks(machine: Path) -> None:
    processor = Processor()
    assert "Device.DeviceInfo.ProcessStatus.CPUUsage" not in processor.read(machine)
    (machine / "proc/stat").write_text(STAT.format(130, 970))

    assert processor.read(machine)["Device.DeviceInfo.ProcessStatus.CPUUsage"] == 30


@pytest.mark.parametrize("name", ["proc/stat", "proc/loadavg", "proc/net/wireless"])
@pytest.mark.parametrize("text", ["", "x y z\n" * 5, "\0\1", "9" * 100_000])
def test_a_sense_that_reads_nonsense_is_named_and_the_others_are_told(
    machine: Path, name: str, text: str
) -> None:
    (machine / name).write_text(text)
    found = senses(machine).ask()

    assert found["Device.DeviceInfo.UpTime"] == 60
    assert len(str(found)) < 4_000


def test_a_machine_with_nothing_tells_nothing_and_blames_nobody(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    found = Senses(tmp_path, FACTS, lambda gathered: None, tmp_path / "nothing").ask()

    assert {name.split(".")[0] for name in found} == {
        "Device", "X_OLEADA_FreeBytes", "X_OLEADA_TotalBytes",
    }  # fmt: skip
    assert FAILED not in found


@pytest.mark.parametrize("lie", [one for one in LIES if one != "hangs"])
def test_a_player_that_lies_is_named_or_left_out(machine: Path, lie: str) -> None:
    with serve(machine.parent, lie=lie):
        found = senses(machine).ask()

    said = {name for name in found if name.startswith("Device.Services.STBService")}
    if lie in ("nan", "wrong-kinds", "unknown-names"):
        assert (said, FAILED in found) == (set(), False)
    elif lie != "secrets":
        assert (said, found[FAILED]) == (set(), "player")
    assert found["Device.DeviceInfo.UpTime"] == 60
    assert len(str(found)) < 8_000


def test_no_reading_carries_a_secret_of_the_player(machine: Path) -> None:
    with serve(machine.parent, lie="secrets"):
        found = str(senses(machine).ask())

    for secret in ("tok-from-player-77", "A Film", "02:00:5e"):
        assert secret not in found


def test_while_a_sense_hangs_no_other_thread_is_started(machine: Path) -> None:
    told: queue.SimpleQueue[Gathered] = queue.SimpleQueue()
    slow = Senses(machine.parent, FACTS, told.put, machine)
    go_on = threading.Event()

    def hang() -> dict[str, bool | int | str]:
        go_on.wait(60)
        return {}

    slow._senses["player"] = hang
    assert slow.begin()
    assert not slow.begin()
    go_on.set()

    assert told.get(timeout=60).parameters["Device.DeviceInfo.UpTime"] == 60


def test_why_the_box_started_is_told_as_far_as_it_is_known() -> None:
    unknown = boots(replace(FACTS, reason=BootReason.UNKNOWN))

    assert "Device.DeviceInfo.Reboots.Reboot.1.Cause" not in unknown
    assert boots(FACTS)["Device.DeviceInfo.Reboots.Reboot.1.Cause"] == "RemoteReboot"
