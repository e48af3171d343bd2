"""The real boot program on real images: what it starts, and what it never starts."""

import os
import signal
from pathlib import Path

import pytest
from oleada_agent.boot import control, program
from oleada_agent.boot.control import SlotControl

from tests.agent.boot.homes import Home, a_home, build_image

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with an image per version and behaviour."""
    folder = tmp_path_factory.mktemp("images")
    build_image(folder, "1.0.0")
    for behaviour in ("good", "unhealthy", "no_network", "hang", "crash"):
        build_image(folder, "1.1.0", behaviour=behaviour)
    return folder


def old(shelf: Path) -> Path:
    return shelf / "1.0.0-good.img"


def new(shelf: Path, behaviour: str = "good") -> Path:
    return shelf / f"1.1.0-{behaviour}.img"


def slot_b(home: Home) -> SlotControl:
    said = home.store.load()
    assert said is not None
    return said.b


def flip(path: Path, offset: int) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 0x10
    path.write_bytes(data)


def test_the_agent_that_runs_is_the_one_inside_the_slot(tmp_path: Path, shelf: Path) -> None:
    with a_home(tmp_path, old(shelf), new(shelf), tries_b=4) as home:
        home.power_on()
        said = home.next_boot("stay")

    assert (said["slot"], said["version"], said["agent"]) == ("B", "1.1.0", "1.1.0")
    assert said["boot_reason"] == "power_on"
    assert not said["successful"]
    assert said["player"]
    assert said["network"]
    assert said["provides"] == ["codec:hevc-main10"]


def test_a_slot_that_never_proves_itself_is_given_up_after_its_tries(
    tmp_path: Path, shelf: Path
) -> None:
    with a_home(tmp_path, old(shelf), new(shelf), tries_b=4) as home:
        home.power_on()
        boots = [home.next_boot("reboot") for _ in range(5)]

    assert [boot["slot"] for boot in boots] == ["B", "B", "B", "B", "A"]
    assert [boot["boot_reason"] for boot in boots[1:]] == ["update", "update", "update", "fallback"]
    assert [boot["boot_id"][:8] for boot in boots] == [f"{n:08d}" for n in range(1, 6)]


def test_a_slot_marked_good_keeps_booting(tmp_path: Path, shelf: Path) -> None:
    with a_home(tmp_path, old(shelf), new(shelf), tries_b=4) as home:
        home.power_on()
        call = home.next_call()
        home.store.mark_good("B")
        call.order("reboot")
        boots = [home.next_boot("reboot") for _ in range(5)]

    assert {boot["slot"] for boot in boots} == {"B"}
    assert all(boot["successful"] for boot in boots)
    assert boots[0]["boot_reason"] == "reboot"


def test_a_clean_power_off_gives_the_try_back(tmp_path: Path, shelf: Path) -> None:
    with a_home(tmp_path, old(shelf), new(shelf), tries_b=4) as home:
        home.power_on()
        home.next_boot("stay")
        assert slot_b(home).tries == 3

        assert home.switch_off() == 0

        assert slot_b(home).tries == 4


def test_a_power_cut_costs_a_try_and_takes_the_agent_with_it(tmp_path: Path, shelf: Path) -> None:
    with a_home(tmp_path, old(shelf), new(shelf), tries_b=4) as home:
        home.power_on()
        call = home.next_call()

        home.pull_plug()

        assert call.ended()
        assert slot_b(home).tries == 3


def test_an_agent_does_not_outlive_its_boot_program(tmp_path: Path, shelf: Path) -> None:
    with a_home(tmp_path, old(shelf)) as home:
        home.power_on()
        call = home.next_call()

        assert home.process is not None
        os.kill(home.process.pid, signal.SIGKILL)

        assert call.ended()


@pytest.mark.parametrize("offset", [0, 9, 45, 60, 1023, 1024, 5000, 300_000, -1])
def test_one_flipped_byte_makes_the_slot_unbootable(
    tmp_path: Path, shelf: Path, offset: int
) -> None:
    with a_home(tmp_path, old(shelf), new(shelf), tries_b=4) as home:
        flip(home.folder / "slots" / "b.img", offset)
        home.power_on()
        said = home.next_boot("stay")

    assert (said["slot"], said["boot_reason"]) == ("A", "fallback")


def test_an_image_whose_inside_is_another_version_does_not_boot(
    tmp_path: Path, shelf: Path
) -> None:
    false = build_image(tmp_path, "2.0.0", inner_version="1.9.9")
    with a_home(tmp_path, old(shelf), false, tries_b=4) as home:
        home.power_on()
        said = home.next_boot("stay")
        home.switch_off()

    assert said["slot"] == "A"
    assert "The header says VX-410 2.0.0, the inside VX-410 1.9.9." in home.said


@pytest.mark.parametrize("behaviour", ["hang", "crash"])
def test_a_new_image_whose_agent_does_not_live_is_left_by_the_watchdog(
    tmp_path: Path, shelf: Path, behaviour: str
) -> None:
    with a_home(tmp_path, old(shelf), new(shelf, behaviour), tries_b=4) as home:
        home.power_on("--watchdog-s", "0.2" if behaviour == "hang" else "20")
        said = home.next_boot("stay")

    assert (said["slot"], said["boot_reason"], said["after_watchdog"]) == ("A", "fallback", True)
    assert slot_b(home).tries == 0


def test_the_player_of_an_unhealthy_image_never_gets_ready(tmp_path: Path, shelf: Path) -> None:
    with a_home(tmp_path, old(shelf), new(shelf, "unhealthy"), tries_b=4) as home:
        home.power_on()
        assert not home.next_boot("stay")["player"]


def test_a_player_may_fail_on_one_box_alone(tmp_path: Path, shelf: Path) -> None:
    with a_home(tmp_path, old(shelf), new(shelf), tries_b=4) as home:
        (home.folder / "boot" / "hardware.toml").write_text('player_fails_on = ["1.1.0"]\n')
        home.power_on()
        assert not home.next_boot("stay")["player"]


def test_an_image_without_network_reaches_nobody(tmp_path: Path, shelf: Path) -> None:
    with a_home(tmp_path, old(shelf), new(shelf, "no_network"), tries_b=4) as home:
        home.power_on()
        assert not home.next_boot("stay")["network"]


def test_an_agent_that_dies_in_a_proven_slot_is_started_again_alone(
    tmp_path: Path, shelf: Path
) -> None:
    with a_home(tmp_path, old(shelf)) as home:
        home.power_on()
        first = home.next_boot("die")
        second = home.next_boot("stay")

    assert first["boot_id"] == second["boot_id"]
    assert first["pid"] != second["pid"]


def test_an_agent_that_dies_on_trial_costs_a_try_and_leaves_its_log(
    tmp_path: Path, shelf: Path
) -> None:
    with a_home(tmp_path, old(shelf), new(shelf), tries_b=4) as home:
        home.power_on()
        home.next_boot("die")
        second = home.next_boot("stay")
        log = (home.folder / "data" / "trial.log").read_text()

    assert second["after_watchdog"]
    assert second["boot_reason"] == "watchdog"
    assert slot_b(home).tries == 2
    assert "told to die" in log


def test_nothing_in_run_survives_a_power_cut(tmp_path: Path, shelf: Path) -> None:
    with a_home(tmp_path, old(shelf)) as home:
        (home.folder / "run").mkdir()
        (home.folder / "run" / "left").touch()
        home.power_on()
        assert home.next_boot("stay")["run"] == [
            "agent.log",
            "agent.pyz",
            "booted.json",
            "player.ready",
        ]


def test_a_box_has_power_once(tmp_path: Path, shelf: Path) -> None:
    with a_home(tmp_path, old(shelf)) as home:
        home.power_on()
        home.next_boot("stay")

        assert program.main(["--box", str(home.folder)]) == 1


def test_a_box_that_lost_both_records_boots_the_newest_image_on_trial(
    tmp_path: Path, shelf: Path
) -> None:
    with a_home(tmp_path, old(shelf), new(shelf), tries_b=4) as home:
        for path in control.FILES:
            flip(home.folder / path, 30)
        home.power_on()
        boots = [home.next_boot("reboot") for _ in range(5)]

    assert [boot["slot"] for boot in boots] == ["B", "B", "B", "B", "A"]


def test_a_box_whose_disk_takes_nothing_boots_all_the_same(tmp_path: Path, shelf: Path) -> None:
    with a_home(tmp_path, old(shelf)) as home:
        (home.folder / "data" / "boot_count.tmp").mkdir()
        home.power_on()

        first = home.next_boot("reboot")
        second = home.next_boot("stay")

    assert first["boot_id"] != second["boot_id"]


def test_a_slot_whose_tries_can_not_be_counted_is_put_back(tmp_path: Path, shelf: Path) -> None:
    with a_home(tmp_path, old(shelf), new(shelf), tries_b=4) as home:
        torn = home.folder / control.FILES[0]  # the older record, which the next change replaces
        torn.unlink()
        torn.mkdir()
        home.power_on()
        said = home.next_boot("stay")
        home.switch_off()

    assert (said["slot"], said["boot_reason"], said["put_back"]) == ("A", "fallback", True)
    assert "slot B is put back, its try can not be counted" in home.said


def test_a_slot_whose_tries_can_not_be_counted_boots_where_there_is_no_other(
    tmp_path: Path, shelf: Path
) -> None:
    with a_home(tmp_path, old(shelf), new(shelf), tries_b=4) as home:
        flip(home.folder / "slots" / "a.img", 2000)
        torn = home.folder / control.FILES[0]
        torn.unlink()
        torn.mkdir()
        home.power_on()

        assert home.next_boot("stay")["slot"] == "B"


def test_a_box_without_a_whole_image_says_so(tmp_path: Path, shelf: Path) -> None:
    with a_home(tmp_path, old(shelf)) as home:
        flip(home.folder / "slots" / "a.img", 2000)
        home.power_on()

        assert home.wait() == 3
        assert "slot A does not boot: Image 1.0.0 is damaged" in home.said
        assert "slot B does not boot" in home.said


def test_a_folder_that_is_no_box_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert program.main(["--box", str(tmp_path)]) == 2
    assert "is not a box: it has no folder 'slots'" in capsys.readouterr().err
