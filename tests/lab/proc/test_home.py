"""What surrounds a real box: names, heat, clock, and what a household can make it forget."""

import json
import subprocess
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from oleada_lab.boxes import BoxPlan, make_box
from oleada_lab.errors import LabError
from oleada_lab.proc import playing
from oleada_lab.proc.home import HOT_MC, NAME, ROOM, DiskKind, Home, at_home
from oleada_lab.proc.old_agent import agent_at
from oleada_lab.proc.reading import BoxReader
from oleada_lab.proc.strikes import flip
from oleada_lab.real.mount import mounted
from oleada_lab.real.tools import BY_NAME, missing
from oleada_lab.scenario import load
from oleada_lab.sim.disk import IO_ERROR, Fault

from tests.support.not_run import MARK

ROOT = Path(__file__).parents[3]
STORY = load(Path(__file__).with_name("short.toml"))
BOOT = "oleada-boot: slot A: 4.1.0, boot 00000001-0123abcd, power_on\n"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """Return a home with a box that has never had power."""
    image = tmp_path / "factory.img"
    image.write_bytes(b"an image")
    plan = BoxPlan("S1", "VX-410", "https://127.0.0.1:1/", "PEM", "token")
    box = make_box(tmp_path / "made", plan, image)
    room = tmp_path / "room"
    room.mkdir()
    found = Home(room / "box", room, "127.77.1.1", 60)
    with ExitStack() as stack:
        stack.enter_context(at_home(box, found, DiskKind.PLAIN))
    return found


@pytest.mark.real
def test_a_box_knows_its_server_by_its_own_file_of_names(home: Home) -> None:
    if why := missing("mountns"):
        pytest.skip(f"{MARK}{why}")
    look = ("sh", "-c", "cat /etc/hosts /sys/class/thermal/*/temp; echo $OLEADA_LAB_CLOCK_FILE")
    home.set_heat(HOT_MC)

    done = subprocess.run(
        ["unshare", "--mount", "--", "sh", "-c", ROOM, "home", str(home.room), *look],
        capture_output=True,
        text=True,
        check=True,
    )

    assert f"127.77.1.1 {NAME}" in done.stdout
    assert str(HOT_MC) in done.stdout or not Path("/sys/class/thermal").is_dir()
    assert done.stdout.rstrip().endswith(f"{home.room}/clock")
    assert NAME not in Path("/etc/hosts").read_text()


@pytest.mark.real
def test_the_medium_of_a_box_fails_from_the_next_operation_on(tmp_path: Path) -> None:
    if why := missing("fuse"):
        pytest.skip(f"{MARK}{why}")
    (tmp_path / "factory" / "data").mkdir(parents=True)

    with mounted(tmp_path / "box") as mount:
        mount.load(tmp_path / "factory")
        mount.strike_in(Fault(1, IO_ERROR))
        with pytest.raises(OSError, match=IO_ERROR):
            (mount.folder / "data" / "a").touch()
        (mount.folder / "data" / "a").touch()
        mount.remount_read_only()
        with pytest.raises(OSError, match="Read-only file system"):
            (mount.folder / "data" / "b").touch()
        mount.mend()
        (mount.folder / "data" / "b").touch()

        assert sorted(path.name for path in (mount.folder / "data").iterdir()) == ["a", "b"]


def test_names_can_go_and_come_back_in_the_file_that_is_mounted(home: Home) -> None:
    hosts = home.room / "hosts"
    inode = hosts.stat().st_ino

    home.set_names(there=False)
    assert NAME not in hosts.read_text()
    home.set_names(there=True)

    assert NAME in hosts.read_text()
    assert hosts.stat().st_ino == inode


def test_a_household_can_wipe_state_and_spool_but_neither_settings_nor_slots(home: Home) -> None:
    data = home.directory / "data"
    (data / "outbox").mkdir()
    (data / "identity").mkdir()
    for name in ("journal.0", "outbox/0000000001-report-ab", "identity/key.pem"):
        (data / name).write_text("x")

    home.forget_household()

    left = {str(path.relative_to(data)) for path in data.rglob("*") if path.is_file()}
    assert left == {"config.toml", "server-ca.pem", "claim-token", "identity/key.pem"}
    assert home.slot_path("A").read_bytes() == b"an image"


def test_a_boot_is_read_once_from_the_console(home: Home) -> None:
    reader = BoxReader(home)
    (home.room / "console.log").write_text(BOOT + "oleada-boot: slot B: 4.2")

    first, second = reader.look(), reader.look()

    assert [(boot.slot, boot.version, boot.reason) for boot in first.boots] == [
        ("A", "4.1.0", "power_on")
    ]
    assert second.boots == ()


def test_a_boot_program_that_gives_up_is_heard(home: Home) -> None:
    (home.room / "console.log").write_text("oleada-boot: this box can not boot: nothing there\n")

    assert BoxReader(home).look().dead == "nothing there"


def test_the_slot_that_runs_is_watched_but_what_the_lab_rots_is_not(home: Home) -> None:
    reader = BoxReader(home)
    (home.room / "console.log").write_text(BOOT)
    reader.look()

    flip(home.slot_path("A"), 2)
    rotten = reader.look()
    home.slot_path("A").write_bytes(b"another image")
    written = reader.look()

    assert home.slot_path("A").read_bytes() == b"another image"
    assert not rotten.was_overwritten
    assert written.was_overwritten
    assert not reader.look().was_overwritten


def test_one_bit_flips_and_the_times_of_the_file_stay(tmp_path: Path) -> None:
    path = tmp_path / "slot"
    path.write_bytes(b"abc")
    before = path.stat().st_mtime_ns

    flip(path, 1)

    assert path.read_bytes() == b"acc"
    assert path.stat().st_mtime_ns == before


def test_a_story_that_can_not_be_played_here_says_what_to_type(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gone = replace(BY_NAME["mountns"], look=lambda: "no right to mount")
    monkeypatch.setitem(BY_NAME, "mountns", gone)

    with pytest.raises(LabError, match=r"short can not be played.*no right to mount.*type: apt"):
        playing.check_tools(STORY)


def test_an_agent_of_another_time_is_unpacked_as_it_was(tmp_path: Path) -> None:
    try:
        found = agent_at("HEAD", tmp_path / "old")
    except LabError as error:  # no clone: then the error must help
        assert "git fetch --unshallow" in str(error)  # noqa: PT017 - either is right here
        return

    assert (found / "oleada_agent" / "machine.py").is_file()
    assert (found / "oleada_wire" / "topics.py").is_file()


def test_an_agent_that_is_not_here_is_an_error_with_what_to_type(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="git fetch --unshallow"):
        agent_at("0" * 40, tmp_path / "old")


def test_a_failed_run_tells_all_that_is_needed_to_repeat_it() -> None:
    run = {
        "scenario": "short", "path": "short.toml", "seed": 7, "commit": "abc", "python": "3.11",
        "scenario_hash": "d" * 64, "wrong": ["S1 at 3.0 s: dead"], "rollout": "running",
        "first_bad_step": "first bad step: 3.0 s: S1: dead", "story": ["   1.0 s  power_cut"],
        "drawn": {"faults": ["power_cut"]}, "options": json.loads(STORY.spelt()),
        "folder": "/somewhere", "states": {}, "strikes": 1, "wall_s": 9.0, "cpu_s": 1.0,
    }  # fmt: skip

    said = playing.told(run)

    for needed in ("seed 7", "commit abc", "first bad step: 3.0 s", "power_cut", "/somewhere"):
        assert needed in said
    assert "oleada-lab run short.toml --level proc --seed 7 --keep" in said
    assert "FAILED" in playing.line(run)
