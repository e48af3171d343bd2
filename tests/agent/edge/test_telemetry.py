"""Readings are whole numbers under TR-181's names, and what is not there is absent."""

import os
from pathlib import Path

import pytest
from oleada_agent import telemetry
from oleada_agent.telemetry import FREE_BYTES, MEMORY_FREE, MEMORY_TOTAL, UPTIME


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    (tmp_path / "proc/12").mkdir(parents=True)
    (tmp_path / "proc/uptime").write_text("86400.57 1.0\n")
    (tmp_path / "proc/meminfo").write_text("MemTotal:  1000 kB\nMemAvailable:  400 kB\n")
    for number, (kind, milli_c) in enumerate((("cpu", "71234"), ("wifi", "-3000"))):
        zone = tmp_path / f"sys/class/thermal/thermal_zone{number}"
        zone.mkdir(parents=True)
        (zone / "type").write_text(f"{kind}\n")
        (zone / "temp").write_text(f"{milli_c}\n")
    return tmp_path


def test_what_can_be_read_is_read(tmp_path: Path, machine: Path) -> None:
    found = telemetry.read(tmp_path, machine)

    assert found[UPTIME] == 86_400
    assert (found[MEMORY_TOTAL], found[MEMORY_FREE]) == (1000, 400)
    assert found[telemetry.TEMPERATURE.format(1)] == 71
    assert found[telemetry.SENSOR_NAME.format(2)] == "wifi"
    assert int(found[FREE_BYTES]) > 0
    assert not any(isinstance(value, float) for value in found.values())
    assert telemetry.hottest_c(machine) == 71


def test_a_sensor_that_is_not_there_is_absent(tmp_path: Path) -> None:
    found = telemetry.read(tmp_path / "no such box", tmp_path / "nothing")

    assert found == {}
    assert telemetry.hottest_c(tmp_path) is None


@pytest.mark.parametrize("text", ["", "x", "\xff", "12 kB"])
def test_a_sensor_that_speaks_nonsense_is_absent(machine: Path, text: str) -> None:
    (machine / "proc/uptime").write_text(text, "latin-1")
    (machine / "sys/class/thermal/thermal_zone0/temp").write_text(text, "latin-1")

    found = telemetry.read(machine, machine)

    assert found.get(UPTIME) in (None, 12)
    assert telemetry.TEMPERATURE.format(1) not in found
    assert telemetry.TEMPERATURE.format(2) in found


def test_the_room_that_counts_is_where_the_data_lie(tmp_path: Path) -> None:
    asked: list[Path] = []

    def note(place: Path) -> os.statvfs_result:
        asked.append(place)
        return os.statvfs(place)

    assert telemetry.free_bytes(tmp_path, note) is not None
    (tmp_path / "data").mkdir()
    assert telemetry.free_bytes(tmp_path, note) is not None

    assert asked == [tmp_path, tmp_path / "data"]
