"""A box that starts with a misspelt setting looks well and is not: every mistake is named."""

import re
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from oleada_agent import config, overrides
from oleada_agent.config import ConfigError
from oleada_agent.disk import RealDisk

LEAST = {"serial": "SN-1", "hardware_model": "VX-410", "enrol_url": "https://door.example:8443"}


def test_the_least_settings_are_enough() -> None:
    found = config.parse(LEAST, "config.toml")

    assert (found.health_s, found.zone, found.trial_s) == (300, "UTC", 600)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"helth_s": 3}, "'helth_s' is not a setting"),
        ({"health_s": "300"}, "whole number"),
        ({"health_s": True}, "whole number"),
        ({"health_s": 0}, "1 to 86400"),
        ({"keepalive_s": 10**9}, "5 to 3600"),
        ({"serial": 7}, "text in quotes"),
        ({"serial": ""}, "1 to 64"),
        ({"hardware_model": "vx 410"}, "VX-410"),
        ({"enrol_url": "http://door.example"}, "https://"),
        ({"enrol_url": "https://"}, "https://"),
        ({"enrol_url": "https://door:99999"}, "https://"),
        ({"zone": "Mars/Olympus"}, "Europe/Prague"),
        ({"zone": "../../etc/passwd"}, "Europe/Prague"),
        ({"provides": "codec:av1"}, "list of texts"),
    ],
)
def test_a_setting_that_can_not_be_used_is_refused_with_a_sentence(
    change: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigError, match=r"config\.toml") as caught:
        config.parse({**LEAST, **change}, "config.toml")
    assert said in str(caught.value)


@pytest.mark.parametrize("name", LEAST)
def test_a_missing_setting_is_named(name: str) -> None:
    with pytest.raises(ConfigError, match=f"'{name}' is missing"):
        config.parse({key: value for key, value in LEAST.items() if key != name}, "config.toml")


def test_no_file_and_no_toml_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Write one"):
        config.load(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "data/config.toml").write_text("serial = ")
    with pytest.raises(ConfigError, match="not TOML"):
        config.load(tmp_path)


def test_the_page_of_settings_lists_every_setting_with_its_default() -> None:
    page = Path("docs/reference/agent-settings.md").read_text("utf-8")
    rows = dict(re.findall(r"^\| `([a-z_]+)` \| ([^|]+) \|", page, re.MULTILINE))
    found = config.parse(LEAST, "config.toml")

    assert set(rows) == {field.name for field in fields(config.Config)}
    for name, said in rows.items():
        default = getattr(found, name)
        if name in LEAST:
            assert said == "needed"
        else:
            shown = f"{default:,}".replace(",", " ") if isinstance(default, int) else default
            assert said.strip("`") == (shown or "none")


def test_a_frugal_box_tells_once_a_day_unless_it_is_told_otherwise() -> None:
    frugal = config.parse({**LEAST, "profile": "frugal"}, "config.toml")
    told = config.parse({**LEAST, "profile": "frugal", "health_s": 600}, "config.toml")

    assert frugal.health_s * frugal.health_batch == 86_400
    assert (frugal.health_s, frugal.keepalive_s) == (3_600, 1_200)
    assert (told.health_s, told.health_batch, told.keepalive_s) == (600, 24, 1_200)
    with pytest.raises(ConfigError, match="normal or frugal"):
        config.parse({**LEAST, "profile": "lavish"}, "config.toml")


def test_an_action_that_is_denied_must_be_one() -> None:
    denied = config.parse({**LEAST, "denied_actions": ["screenshot", "*"]}, "config.toml")

    assert denied.denied_actions == ("screenshot", "*")
    with pytest.raises(ConfigError, match="'screenshots', which is no action"):
        config.parse({**LEAST, "denied_actions": ["screenshots"]}, "config.toml")


def test_what_was_changed_from_afar_counts_as_far_as_it_can_be_used(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    lines = [f'{name} = "{value}"' for name, value in LEAST.items()]
    (tmp_path / "data/config.toml").write_text("\n".join(lines))
    disk = RealDisk(tmp_path)
    overrides.change(disk, "profile", "frugal")
    overrides.change(disk, "temperature_max_c", 5_000)

    found = config.load(tmp_path)
    assert (found.profile, found.health_s, found.temperature_max_c) == ("frugal", 3_600, 85)
    with pytest.raises(ConfigError, match="30 to 125"):
        config.check_one(tmp_path, "temperature_max_c", 5_000)
    (tmp_path / overrides.FILE).write_bytes(b"rotten")
    assert config.load(tmp_path).profile == "normal"


def test_a_profile_that_is_changed_from_afar_brings_its_intervals_and_goes_with_them(
    tmp_path: Path,
) -> None:
    (tmp_path / "data").mkdir()
    lines = [f'{name} = "{value}"' for name, value in {**LEAST, "profile": "frugal"}.items()]
    (tmp_path / "data/config.toml").write_text("\n".join(lines))
    disk = RealDisk(tmp_path)

    def intervals() -> tuple[int, int, int]:
        found = config.load(tmp_path)
        return found.health_s, found.health_batch, found.keepalive_s

    overrides.change(disk, "profile", "normal")
    assert intervals() == (300, 1, 60)
    overrides.change(disk, "health_s", 30)
    assert intervals() == (30, 1, 60)
    overrides.undo(disk)
    overrides.undo(disk)
    assert intervals() == (3_600, 24, 1_200)


def test_only_what_is_looked_at_at_the_start_needs_one() -> None:
    before = config.parse(LEAST, "config.toml")

    assert config.AT_START <= overrides.MAY_CHANGE
    assert config.needs_start(before, replace(before, download_bytes_per_s_max=1))
    for change in ({"health_s": 30}, {"profile": "frugal"}, {"keepalive_s": 30}):
        assert not config.needs_start(before, replace(before, **change))
