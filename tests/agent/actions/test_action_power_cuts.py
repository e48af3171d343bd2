"""The plug is pulled after every change that actions and changed settings make on the disk."""

from contextlib import suppress
from pathlib import Path

import pytest
from oleada_agent import overrides
from oleada_agent.acting import Actions, Around
from oleada_agent.commands import Commands
from oleada_agent.said import Said
from oleada_lab.sim.crash import Kept
from oleada_lab.sim.disk import PowerCutError, SimDisk
from oleada_wire.actions import Value
from oleada_wire.messages import Cmd

from tests.agent.actions.bench import HEADER, Bench

CAPTURE: dict[str, Value] = {"interface": "lo", "duration_s": 60}


def obey_on(disk: SimDisk, bench: Bench) -> tuple[Actions, Commands]:
    """Return actions and commands of one start of an agent over *disk*."""
    around = Around(
        bench.box, disk, bench, frozenset(), post=lambda said: None, now_ms=lambda: 0,
        steady_ms=lambda: 0, may_restart=lambda: True, deed=lambda deed: None,
    )  # fmt: skip
    actions = Actions(around)
    actions.tell_interrupted()
    return actions, Commands(disk, {}, bench.put_result, actions.begin)


@pytest.mark.parametrize("kept", [Kept.NONE, Kept.ALL])
def test_no_power_cut_lets_an_action_be_done_twice_or_forgotten(tmp_path: Path, kept: Kept) -> None:
    command = Cmd(HEADER, "VX417Q3K0928", "C-1", 5, "packet_capture", 10_000, {**CAPTURE})
    begun = 0
    for cut in range(40):
        disk, bench = SimDisk(), Bench(tmp_path)
        disk.cut_after = cut
        is_cut = True
        with suppress(PowerCutError):
            actions, commands = obey_on(disk, bench)
            commands.obey(command, now_ms=0)
            is_cut = False
            actions.stop()
            begun += 1

        again = disk.after_cut(kept)
        _, commands = obey_on(again, bench)
        if not is_cut:
            assert [one.error for one in bench.results] == ["died"], f"cut after change {cut}"
            assert not commands.obey(command, now_ms=0), f"cut after change {cut}"
        assert len(bench.results) <= 1
        if begun == 2:
            return
    raise AssertionError("the action never began")


@pytest.mark.parametrize("kept", Kept)
def test_a_setting_is_the_old_one_or_the_new_one_after_any_power_cut(kept: Kept) -> None:
    done = False
    cut = 0
    while not done:
        disk = SimDisk()
        overrides.change(disk, "health_s", 60)
        disk.cut_after = cut
        with suppress(PowerCutError):
            overrides.change(disk, "health_s", 120)
            done = True
        found = overrides.read(disk.after_cut(kept))

        assert found in ({"health_s": 60}, {"health_s": 120}), f"cut after change {cut}"
        if done:
            assert found == {"health_s": 120}
        cut += 1
    assert cut > 2


def test_a_change_that_rotted_changes_nothing() -> None:
    disk = SimDisk()
    overrides.change(disk, "health_s", 60)
    disk.pwrite(overrides.FILE, 12, b"?")

    assert overrides.read(disk) == {}
    overrides.undo(disk)
    assert overrides.last(disk) is None


def test_what_may_not_be_changed_from_afar_is_not_even_read() -> None:
    disk = SimDisk()
    overrides.change(disk, "denied_actions", "none")

    assert overrides.read(disk) == {}


def test_the_last_changes_are_taken_back_one_by_one() -> None:
    disk = SimDisk()
    overrides.change(disk, "health_s", 60)
    overrides.change(disk, "health_s", 120)
    overrides.undo(disk)
    assert overrides.read(disk) == {"health_s": 60}
    overrides.undo(disk)

    assert overrides.read(disk) == {}
    overrides.change(disk, "health_s", 90)
    overrides.forget(disk)
    assert overrides.read(disk) == {}


def test_what_a_process_says_after_its_end_is_not_told(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.actions.take(Said("C-9", b'{"output": "late"}'))

    assert (bench.results, bench.progress) == ([], [])
