"""What each kind of fault does to real boxes, and what mends it; one hand for each kind.

The same kinds as in virtual time (``fault_kinds.KINDS``). What strikes the broker or the
server is in ``strikes_server``. Faults that are over when they have struck return None.
"""

import json
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Final

import psutil
from oleada_agent import journal
from oleada_agent.boot import control
from oleada_agent.boot.disk import RealDisk
from oleada_agent.outbox import DIRECTORY

from oleada_lab.check import facts
from oleada_lab.errors import LabError
from oleada_lab.proc.dweller import Dweller, health_in
from oleada_lab.proc.home import COOL_MC, HOT_MC
from oleada_lab.real.mount import Mount
from oleada_lab.scenario import Fault
from oleada_lab.sim import disk as disks
from oleada_lab.sim.crash import Kept
from oleada_lab.sim.door import Wrong
from oleada_lab.sim.link import Way

if TYPE_CHECKING:
    from oleada_lab.proc.stage import Stage

Mend = Callable[[], None]
Strike = Callable[["Stage", Fault, Dweller], Mend | None]
BROWNOUT_OFF_S: Final = 0.4
BROWNOUT_ON_S: Final = 1.2
"""A boot that is cut so soon has hardly begun; twenty of them take half a minute."""
GARBAGE: Final = b"\x00rotten\x00"
FORGETFUL: Final = frozenset({"cut_in_write", "disk_error", "read_only", "lying_disk"})
"""Kinds that need a disk which knows what was synced, and can be told to fail."""


def _power_cut(stage: "Stage", fault: Fault, box: Dweller) -> Mend:
    box.home.pull_the_plug(Kept(fault.persistence), stage.run.seed)
    return box.home.power_on


def _unplug(stage: "Stage", fault: Fault, box: Dweller) -> None:
    box.home.pull_the_plug(Kept(fault.persistence), stage.run.seed)
    box.is_gone = True
    stage.tell(facts.Unplugged(box.device_id))


def _cut_in_write(stage: "Stage", fault: Fault, box: Dweller) -> None:
    stage.cut_in_write(box, 1 + fault.op, Kept(fault.persistence), stage.run.lasting(fault))


def _brownout(stage: "Stage", fault: Fault, box: Dweller) -> None:
    kept = Kept(fault.persistence)
    for turn in range(fault.times):
        at_s = turn * (BROWNOUT_OFF_S + BROWNOUT_ON_S)
        stage.later(at_s, lambda: box.home.pull_the_plug(kept, stage.run.seed))
        stage.later(at_s + BROWNOUT_OFF_S, box.home.power_on)


def _watchdog(_stage: "Stage", _fault: Fault, box: Dweller) -> None:
    """Let the agent die at once: the watchdog of the boot program sees to the rest."""
    if not box.home.is_on:
        return
    with suppress(psutil.Error):
        for process in psutil.Process(box.home.pid).children():
            if any(word.endswith("agent.pyz") for word in process.cmdline()):
                process.kill()


def _disk_full(_stage: "Stage", _fault: Fault, box: Dweller) -> Mend:
    small = box.home.small
    if small is None:
        raise LabError("A disk is to be filled that is not small.")
    small.fill()
    return small.make_room


def _disk_error(stage: "Stage", fault: Fault, box: Dweller) -> Mend:
    """Let one operation fail; with a path or a duration, all that come there for a while."""
    mount = _mount(box)
    lasts = fault.lasts is not None or bool(fault.on)
    mount.strike_in(disks.Fault(1 + fault.op, disks.IO_ERROR, lasts, fault.on))
    if fault.lasts is None and fault.on:
        stage.later(stage.run.lasting(fault), mount.mend)
    return mount.mend


def _read_only(_stage: "Stage", _fault: Fault, box: Dweller) -> Mend:
    mount = _mount(box)
    mount.remount_read_only()
    return mount.mend


def _lying_disk(_stage: "Stage", fault: Fault, box: Dweller) -> Mend:
    mount = _mount(box)
    mount.forget_syncs(*((fault.on,) if fault.on else ("slots", "boot", "data")))
    return mount.forget_syncs


def _mount(box: Dweller) -> Mount:
    if box.home.mount is None:
        raise LabError("A disk is to fail that can not be told to.")
    return box.home.mount


def _bit_rot(stage: "Stage", fault: Fault, box: Dweller) -> None:
    """Flip one bit of a slot behind everybody's back; nobody sees it in the file's times."""
    running = (box.home.booted() or {}).get("slot", "A")
    slot = running if fault.on == "active" else ("A" if running == "B" else "B")
    stage.look_at(box)
    path = box.home.slot_path(str(slot))
    size_bytes = path.stat().st_size
    if size_bytes:
        dice = stage.run.dice(f"rot/{box.number}/{stage.struck}")
        flip(path, dice.randrange(size_bytes))


def flip(path: Path, at: int) -> None:
    """Turn one bit of byte *at* of the file round, durably, and leave its times as they were."""
    found = path.stat()
    with path.open("r+b") as file:
        file.seek(at)
        before = file.read(1)
        file.seek(at)
        file.write(bytes([before[0] ^ 1]))
        file.flush()
        os.fsync(file.fileno())
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))


def _journal_lost(_stage: "Stage", _fault: Fault, box: Dweller) -> None:
    box.home.power_cut()
    for name in journal.FILES:
        path = box.home.directory / name
        if path.exists():
            path.write_bytes(GARBAGE)
    box.home.power_on()


def _record_rot(stage: "Stage", _fault: Fault, box: Dweller) -> None:
    """Flip one bit of the record that counts, of journal and of boot control."""
    box.home.power_cut()
    dice = stage.run.dice(f"record/{box.number}/{stage.struck}")
    for files, number in ((journal.FILES, "seq"), (control.FILES, "generation")):
        there = [path for name in files if (path := box.home.directory / name).exists()]
        if there:
            newest = max(there, key=lambda path: _number_in(path, number))
            flip(newest, _place_in(newest, dice))
    box.home.power_on()


def _floor(_stage: "Stage", fault: Fault, box: Dweller) -> None:
    """Raise the floor in the journal, as newer firmware has that was there for a while."""
    box.home.power_cut()
    kept = journal.Journal(RealDisk(box.home.directory))
    if (state := kept.load().state) is not None:
        kept.store(replace(state, security_floor=fault.amount))
    box.home.power_on()


def _number_in(path: Path, name: str) -> int:
    with suppress(ValueError, LookupError):  # it has rotted before
        return int(json.loads(path.read_bytes())[name])
    return 0


def _place_in(path: Path, dice: Random) -> int:
    return dice.randrange(max(1, len(path.read_bytes().rstrip())))


def _clock(stage: "Stage", fault: Fault, box: Dweller) -> Mend:
    box.set_clock(int(fault.by))
    stage.tell(facts.ClockSet(box.device_id, int(fault.by)))
    return lambda: box.set_clock(0)


def _drift(stage: "Stage", fault: Fault, box: Dweller) -> Mend:
    box.drift_ppm = fault.amount
    stage.tell(facts.ClockSet(box.device_id, fault.amount))

    def mend() -> None:
        box.drift_ppm = 0

    return mend


def _suspend(_stage: "Stage", _fault: Fault, box: Dweller) -> Mend:
    box.home.sleep()
    return box.home.wake


def _line_cut(stage: "Stage", _fault: Fault, box: Dweller) -> Mend:
    box.line.is_cut = True
    stage.lines.reset(box.line)

    def mend() -> None:
        box.line.is_cut = False

    return mend


def _silent(*ways: Way) -> Strike:
    def strike(_stage: "Stage", _fault: Fault, box: Dweller) -> Mend:
        box.line.silent = ways

        def mend() -> None:
            box.line.silent = ()

        return mend

    return strike


def _no_names(_stage: "Stage", _fault: Fault, box: Dweller) -> Mend:
    box.home.set_names(there=False)
    return lambda: box.home.set_names(there=True)


def _limit_data(stage: "Stage", fault: Fault, box: Dweller) -> None:
    share = fault.amount / stage.run.scenario.release.size
    box.line.limits.extend([round(share * stage.image_bytes)] * fault.times)


def _slow_line(_stage: "Stage", fault: Fault, box: Dweller) -> Mend:
    box.line.slowdown = fault.amount

    def mend() -> None:
        box.line.slowdown = 1

    return mend


def _move_house(stage: "Stage", fault: Fault, box: Dweller) -> None:
    box.line.profile = stage.run.line(fault.profile)
    stage.lines.reset(box.line)


def _door(wrong: Wrong) -> Strike:
    def strike(_stage: "Stage", _fault: Fault, box: Dweller) -> Mend:
        box.line.wrong = wrong

        def mend() -> None:
            box.line.wrong = Wrong.NOTHING

        return mend

    return strike


def _viewer(_stage: "Stage", _fault: Fault, box: Dweller) -> Mend:
    box.has_viewer = True

    def mend() -> None:
        box.has_viewer = False
        box.home.set_viewer(there=False)

    return mend


def _too_hot(_stage: "Stage", _fault: Fault, box: Dweller) -> Mend:
    box.home.set_heat(HOT_MC)
    return lambda: box.home.set_heat(COOL_MC)


def _factory_reset(_stage: "Stage", _fault: Fault, box: Dweller) -> None:
    box.home.power_off()
    box.lost |= health_in(box.home.directory / DIRECTORY)
    box.made |= box.lost
    box.home.forget_household()
    box.home.power_on()


def _remote_spam(stage: "Stage", _fault: Fault, box: Dweller) -> None:
    stage.house.ask_for_health(box.device_id)


STRIKE: Final[dict[str, Strike]] = {
    "power_cut": _power_cut,
    "unplug": _unplug,
    "cut_in_write": _cut_in_write,
    "brownout": _brownout,
    "watchdog": _watchdog,
    "disk_full": _disk_full,
    "disk_error": _disk_error,
    "read_only": _read_only,
    "lying_disk": _lying_disk,
    "bit_rot": _bit_rot,
    "journal_lost": _journal_lost,
    "record_rot": _record_rot,
    "floor": _floor,
    "clock": _clock,
    "drift": _drift,
    "suspend": _suspend,
    "line_cut": _line_cut,
    "half_open": _silent(Way.UP, Way.DOWN),
    "deaf": _silent(Way.DOWN),
    "mute": _silent(Way.UP),
    "no_names": _no_names,
    "limit_data": _limit_data,
    "slow_line": _slow_line,
    "move_house": _move_house,
    "captive_portal": _door(Wrong.PORTAL),
    "not_found": _door(Wrong.NOT_FOUND),
    "busy": _door(Wrong.BUSY),
    "corrupt": _door(Wrong.CORRUPT),
    "truncated": _door(Wrong.TRUNCATED),
    "oversized": _door(Wrong.OVERSIZED),
    "viewer": _viewer,
    "too_hot": _too_hot,
    "factory_reset": _factory_reset,
    "remote_spam": _remote_spam,
}
ONCE: Final = frozenset({"brownout", "limit_data"})
"""Kinds whose *times* are spent by one strike."""


def needs_forgetful_disk(faults: Sequence[Fault]) -> bool:
    """Return whether *faults* need a medium that forgets, or fails on demand."""
    return any(
        one.kind in FORGETFUL or one.persistence not in (Kept.NONE, Kept.ALL) for one in faults
    )
