"""Real boxes, short: what a whole sweep does everywhere, done at a few places.

Killing processes works on every machine. FUSE and strace do not: what this machine has
not is named at the end of the run, with what to type.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from oleada_lab.clock import monotonic_s, sleep_s
from oleada_lab.real import faults, tools, traced_faults
from oleada_lab.real.cuts import Stand
from oleada_lab.real.mount import Mount, mounted
from oleada_lab.real.scene import Scene, a_scene, recover
from oleada_lab.real.steps import Logged, differences, names, role, steps
from oleada_lab.real.tale import DEAD
from oleada_lab.real.traced import Point, TracedStand
from oleada_lab.real.twin import Twin, a_twin, disagreements
from oleada_lab.real.verdict import Fate
from oleada_lab.sim.crash import Kept
from oleada_lab.sweep.bugs import BUGS
from oleada_wire.words import Phase

from tests.support import not_run

pytestmark = pytest.mark.real
LIMIT_S = 240
FORGOTTEN = BUGS["no-fsync-of-slot"]
ARMING = "pwrite", "boot/control", "Armed"
MOMENTS = (Phase.DOWNLOADING, Phase.INSTALLING, Phase.CHECKING)


def need(*names: str) -> None:
    """Run what follows where the tools *names* work; elsewhere the end of the run says so."""
    if said := tools.missing(*names):
        pytest.skip(f"{not_run.MARK}{said}")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("real")


@pytest.fixture(scope="module")
def scene(home: Path) -> Iterator[Scene]:
    with a_scene(home / "scene") as found:
        yield found


@pytest.fixture(scope="module")
def mount(home: Path) -> Iterator[Mount]:
    need("fuse")
    with mounted(home / "mounted") as found:
        yield found


@pytest.fixture(scope="module")
def stand(scene: Scene, mount: Mount) -> Stand:
    return Stand(scene, mount)


@pytest.fixture(scope="module")
def log(stand: Stand) -> list[Logged]:
    found = stand.recording
    assert found.verdict.fate is Fate.WELL, found.verdict.why
    return list(found.log)


@pytest.fixture(scope="module")
def simulated(right: Twin) -> list[Logged]:
    return [moment.logged for moment in right.life.moments]


@pytest.fixture(scope="module")
def right() -> Twin:
    return a_twin()


@pytest.fixture(scope="module")
def wrong() -> Twin:
    return a_twin(FORGOTTEN)


def wait_for(scene: Scene, phase: Phase) -> None:
    until = monotonic_s() + LIMIT_S
    while not any(report.phase is phase for report in scene.known().reports):
        assert monotonic_s() < until, f"the box never said {phase}"
        sleep_s(0.01)


def number_of(log: list[Logged], kind: str, role_of: str, stage: str) -> int:
    """Return the number of the first operation of *kind* on the file *role_of* at *stage*."""
    return next(
        logged.op.number
        for logged in log
        if (stage, kind, role_of) == (logged.stage, logged.op.kind, role(logged.op.path))
    )


def test_a_box_that_is_killed_in_each_stage_of_one_update_ends_it_and_says_so_once(
    scene: Scene, home: Path
) -> None:
    shutil.copytree(scene.factory, home / "plain")
    box = scene.new_box(home / "plain")

    for phase in MOMENTS:
        box.power_on()
        wait_for(scene, phase)
        box.power_cut()
    verdict, said = recover(scene, box)

    assert verdict.fate is Fate.WELL, verdict.why + said


def test_the_real_box_writes_what_the_simulated_one_writes_step_by_step(
    log: list[Logged], simulated: list[Logged]
) -> None:
    assert differences(steps(log), steps(simulated)) == []


def test_no_call_reaches_the_disk_that_the_medium_does_not_see(
    scene: Scene, home: Path, log: list[Logged]
) -> None:
    need("strace")
    (home / "traced").mkdir()
    place = TracedStand(scene, home / "traced")
    changes, points, verdict = place.record()
    assert verdict.fate is Fate.WELL, verdict.why
    assert len(changes) <= len(log) + 10  # messages come in one order or another, not in number
    plain = [Logged(op, "") for op in changes]
    seen = [Logged(op, "") for op, _ in log]
    assert {*steps(plain)} == {*steps(seen)}

    killed = place.cut(next(p for p in points if p.start == 2 and p.name == "rename"), changes)

    assert killed.after is not None
    assert killed.verdict.fate is Fate.WELL, killed.verdict.why


def test_a_cut_of_the_recorded_box_and_a_killed_box_end_as_in_virtual_time(
    stand: Stand, log: list[Logged], right: Twin, wrong: Twin
) -> None:
    number = number_of(log, *ARMING)

    (cut,) = stand.cut(number, [Kept.NONE])
    (killed,) = stand.kill(names(log)[number - 1], [Kept.NONE])

    assert cut.verdict.fate is killed.verdict.fate is Fate.WELL, (cut, killed)
    assert (killed.is_killed, killed.stage, cut.name) == (True, cut.stage, killed.name)
    assert disagreements([cut, killed], right) == ([], 0)
    # Virtual time that is wrong about the disk is found out by the same boxes.
    assert len(disagreements([cut, killed], wrong)[0]) == 2


def test_a_forgotten_sync_breaks_the_real_box_where_it_breaks_the_simulated_one(
    stand: Stand, log: list[Logged], right: Twin, wrong: Twin
) -> None:
    place = Stand(stand.scene, stand.mount, FORGOTTEN.deaf_to)

    name = names(log)[number_of(log, *ARMING) - 1]
    found = list(place.kill(name, [Kept.NONE]))

    assert found[0].after is not None
    assert found[0].verdict.fate is not Fate.WELL
    assert disagreements(found, wrong) == ([], 0)
    assert len(disagreements(found, right)[0]) == 1


def test_a_box_that_is_cut_again_in_its_recovery_ends_as_in_virtual_time(
    stand: Stand, log: list[Logged], right: Twin
) -> None:
    (first,) = stand.cut(number_of(log, "rename", "data/journal.tmp", "Trial"), [Kept.ALL])

    found = list(stand.cut_again(first, lambda count: [count // 2], [Kept.NONE, Kept.ALL]))

    assert [cut.verdict.fate for cut in found] == [Fate.WELL, Fate.WELL], found
    assert {cut.first for cut in found} == {first}
    assert disagreements(found, right) == ([], 0)


def test_a_box_whose_new_agent_never_begins_falls_back_and_says_so_though_it_loses_its_power(
    home: Path,
) -> None:
    with a_scene(home / "dead", DEAD) as scene:
        shutil.copytree(scene.factory, home / "dead" / "box")
        box = scene.new_box(home / "dead" / "box")
        box.power_on()
        wait_for(scene, Phase.INSTALLING)
        box.power_cut()

        verdict, said = recover(scene, box)

    assert verdict.fate is Fate.WELL, verdict.why + said


def test_a_disk_without_room_is_named_and_when_it_is_mended_the_update_succeeds(
    stand: Stand, log: list[Logged]
) -> None:
    full = next(trouble for trouble in faults.TROUBLES if trouble.name == "enospc")

    verdict, said = faults.suffer(
        stand, full, number_of(log, "fsync", "slots/b.img", "Downloading")
    )

    assert verdict.fate is Fate.WELL, verdict.why + said
    words = faults.clear_words(full.code)
    assert faults.unclear(words, "Traceback (most recent call last)", was_helped=False)
    assert "did not say 'No space left on device" in faults.unclear(words, "no", was_helped=True)
    assert faults.unclear(words, "Only 5 bytes are free.", was_helped=True) == ""


def test_an_ext4_that_turns_read_only_is_named_and_when_it_is_mended_the_update_succeeds(
    home: Path,
) -> None:
    need("strace", "loop")
    failure = next(one for one in traced_faults.FAILURES if one.name == "erofs")

    with traced_faults.stands(home / "ext4", 1) as (place,):
        found = place.suffer((failure, Point(1, "pwrite64", 60, 0)), [])
        struck = traced_faults.STOPPED in (place.home / "fault.log").read_text()

    assert struck
    assert found.verdict.fate is Fate.WELL, found.verdict.why + found.said
