"""Readings are what is there: a sense that lies, dies or hangs takes nobody with it."""

import queue
import threading
from pathlib import Path

import pytest
from oleada_agent.booted import BootFacts
from oleada_agent.boots import Boots, after
from oleada_agent.senses import air, network
from oleada_agent.senses.gathering import FAILED, Gathered, Senses
from oleada_agent.senses.machine import Alarm, Memory, Processor, kernel_faults
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
        "sys/class/net/eth0/statistics/tx_errors": "2\n",
        "sys/class/net/wlan0/wireless/x": "",
        "sys/class/net/wlan0/operstate": "up\n",
        "sys/class/net/wlan0/statistics/tx_packets": "5000\n",
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
    known = after(Boots(), FACTS, (), 1_795_262_400_000)
    return Senses(machine.parent, FACTS, lambda gathered: None, machine, known)


def test_cable_wifi_storage_and_boots_are_told_under_the_standard_s_names(machine: Path) -> None:
    found = senses(machine).ask()

    assert found["Device.Ethernet.Interface.1.CurrentBitRate"] == 100
    assert found["Device.Ethernet.Interface.1.CurrentDuplexMode"] == "Half"
    assert found["Device.Ethernet.Interface.1.Stats.ErrorsReceived"] == 4
    assert found["Device.Ethernet.Interface.1.Stats.ErrorsSent"] == 2
    assert found["Device.WiFi.EndPoint.1.Stats.SignalStrength"] == -67
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

    found = processor.read(machine)
    assert found["Device.DeviceInfo.ProcessStatus.CPUUsage"] == 30
    assert found["Device.DeviceInfo.ProcessStatus.CPU.1.UserModeUtilization"] == 30
    assert found["Device.DeviceInfo.ProcessStatus.CPU.1.SystemModeUtilization"] == 0


@pytest.mark.parametrize(
    ("shares", "critical"),
    [((79,), False), ((80,), True), ((85, 60), True), ((85, 59), False), ((85, 59, 79), False)],
)
def test_what_is_critical_rises_at_80_percent_and_falls_below_60(
    shares: tuple[int, ...], critical: bool
) -> None:
    alarm = Alarm()

    assert [alarm.take(share) for share in shares][-1] is critical


def test_a_memory_that_swings_about_the_threshold_does_not_flutter(machine: Path) -> None:
    memory = Memory()
    told = []
    for free in (400, 150, 390, 410):
        (machine / "proc/meminfo").write_text(f"MemTotal: 1000 kB\nMemAvailable: {free} kB\n")
        found = memory.read(machine)
        told.append(tuple(found.values()))

    assert told == [(60, False), (85, True), (61, True), (59, False)]


def test_a_processor_that_is_busy_for_a_while_is_critical(machine: Path) -> None:
    processor = Processor()
    told = []
    for busy, idle in ((0, 0), (90, 10), (160, 40), (200, 100)):
        (machine / "proc/stat").write_text(STAT.format(busy, idle))
        found = processor.read(machine)
        told.append(found.get("Device.DeviceInfo.ProcessStatus.CPU.1.X_OLEADA_Critical"))

    assert told == [None, True, True, False]


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


LINK = """Connected to 02:00:5e:10:00:99 (on wlan0)
\tSSID: the neighbours' name
\tfreq: {}
\tRX: 100 bytes (2 packets)
\tsignal: -50 dBm
\trx bitrate: 433.3 MBit/s VHT-MCS 9 80MHz short GI VHT-NSS 1
\ttx bitrate: 6.0 MBit/s
"""


@pytest.mark.parametrize(
    ("mhz", "channel", "band"),
    [("2412", 1, "2.4GHz"), ("5180.0", 36, "5GHz"), ("5975", 5, "6GHz"), ("4000", None, None)],
)
def test_the_own_link_is_told_without_names_and_addresses(
    mhz: str, channel: int | None, band: str | None
) -> None:
    found = air.read(LINK.format(mhz))

    assert found.get("Device.WiFi.Radio.1.Channel") == channel
    assert found.get("Device.WiFi.Radio.1.OperatingFrequencyBand") == band
    assert found["Device.WiFi.EndPoint.1.Stats.LastDataDownlinkRate"] == 433_300
    assert found["Device.WiFi.EndPoint.1.Stats.LastDataUplinkRate"] == 6_000
    assert "neighbours" not in str(found)
    assert "5e:10" not in str(found)


def an_iw(folder: Path, script: str) -> str:
    folder.mkdir()
    (folder / "iw").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "iw").chmod(0o755)
    return str(folder)


def test_iw_is_asked_for_the_link_of_the_interface_that_has_an_antenna(machine: Path) -> None:
    text = machine.parent / "said"
    text.write_text(LINK.format("5180"))
    paths = an_iw(machine.parent / "bin", f'[ "$*" = "dev wlan0 link" ] && exec cat {text}')

    assert air.link(machine, paths)["Device.WiFi.Radio.1.Channel"] == 36
    assert air.link(machine, str(machine)) == {}
    assert air.link(machine.parent, paths) == {}


@pytest.mark.parametrize("script", ["exec cat /dev/zero", "exec sleep 1000"])
def test_an_iw_that_never_ends_is_ended(
    machine: Path, script: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(air, "LIMIT_MS", 200)
    paths = an_iw(machine.parent / "bin", script)

    with pytest.raises(air.AirError):
        air.link(machine, paths)


@pytest.mark.parametrize(
    ("state", "status"), [("running", "Online"), ("offline", "Offline"), ("odd", "Error")]
)
def test_a_disk_that_says_how_it_is_is_told_in_tr_140_s_words(
    machine: Path, state: str, status: str
) -> None:
    (machine / "sys/block/mmcblk0/device/state").write_text(f"{state}\n")

    assert network.storage(machine)[f"{network.MEDIUM}Status"] == status


def test_what_the_kernel_left_behind_is_found_by_name(machine: Path) -> None:
    assert kernel_faults(machine) == []
    for name in ("dmesg-efi-2", "dmesg-efi-1", "console-ramoops-0"):
        path = machine / "sys/fs/pstore" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()

    assert kernel_faults(machine) == ["dmesg-efi-1", "dmesg-efi-2"]


def test_retries_are_a_share_of_what_was_sent_since_and_no_count_of_ever(machine: Path) -> None:
    again = network.Air()
    told = []
    for retries, sent in ((12, 5_000), (42, 5_300), (42, 5_350), (400, 5_460), (1, 100)):
        line = f"h\nh\n wlan0: 0000 54. -67. -256 0 0 0 {retries} 0 0\n"
        (machine / "proc/net/wireless").write_text(line)
        (machine / "sys/class/net/wlan0/statistics/tx_packets").write_text(f"{sent}\n")
        told.append(again.read(machine).get("Device.WiFi.EndPoint.1.Stats.Retransmissions"))

    assert told == [None, 10, None, 100, None]
