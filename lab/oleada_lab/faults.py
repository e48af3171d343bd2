"""What each kind of fault does to a box, the broker or the server, and what mends it.

``STRIKE`` has one function for each kind of ``fault_kinds.KINDS`` that strikes a box; what
it returns mends the box again. Faults that are over when they have struck return None.
"""

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Final

from oleada_agent import journal
from oleada_agent.boot import control
from oleada_agent.slots import slot_path

from oleada_lab.check import facts
from oleada_lab.scenario import Fault
from oleada_lab.scene import Scene
from oleada_lab.sim import disk as disks
from oleada_lab.sim.box import SimBox
from oleada_lab.sim.crash import Kept
from oleada_lab.sim.door import Wrong
from oleada_lab.sim.link import Way

Mend = Callable[[], None]
Strike = Callable[[Scene, Fault, SimBox], Mend | None]
BROWNOUT_MS: Final = 3_000
READ_ONLY: Final = "Read-only file system"
EVERY_FOLDER: Final = ("slots", "boot", "data", "run")


def _power_cut(_stage: Scene, fault: Fault, box: SimBox) -> Mend:
    box.kept = Kept(fault.persistence)
    box.pull_the_plug()
    return box.plug_in


def _unplug(stage: Scene, fault: Fault, box: SimBox) -> None:
    del fault
    box.pull_the_plug()
    stage.tell(facts.Unplugged(box.device_id))


def _cut_in_write(_stage: Scene, fault: Fault, box: SimBox) -> None:
    box.kept = Kept(fault.persistence)
    box.cut_after_writes(fault.op, (fault.lasts or 0) * 1000)


def _brownout(stage: Scene, fault: Fault, box: SimBox) -> None:
    box.kept = Kept(fault.persistence)
    for turn in range(fault.times):
        stage.world.after(2 * turn * BROWNOUT_MS, box.pull_the_plug)
        stage.world.after((2 * turn + 1) * BROWNOUT_MS, box.plug_in)


def _watchdog(_stage: Scene, _fault: Fault, box: SimBox) -> None:
    box.press_reset()


def _disk_full(_stage: Scene, _fault: Fault, box: SimBox) -> Mend:
    box.disk.full = True

    def mend() -> None:
        box.disk.full = False

    return mend


def _refusing(reason: str) -> Strike:
    def strike(_stage: Scene, fault: Fault, box: SimBox) -> Mend:
        at = box.disk.changes + 1 + fault.op
        forever = fault.lasts is not None or reason == READ_ONLY
        box.disk.faults = (disks.Fault(at, reason, forever, fault.on),)

        def mend() -> None:
            box.disk.faults = ()

        return mend

    return strike


def _lying_disk(_stage: Scene, fault: Fault, box: SimBox) -> Mend:
    box.disk.deaf_to = (fault.on,) if fault.on else EVERY_FOLDER

    def mend() -> None:
        box.disk.deaf_to = ()

    return mend


def _bit_rot(stage: Scene, fault: Fault, box: SimBox) -> None:
    """Flip a bit behind the file system's back, on the medium too."""
    running = box.running_slot
    slot = running if fault.on == "active" else ("A" if running == "B" else "B")
    path = slot_path(slot)
    size_bytes = box.disk.size_bytes(path)
    if not size_bytes:
        return
    at = stage.world.stream(f"rot/{stage.world.now_ms}", box.device_id).below(size_bytes)
    box.disk.rot(path, at)
    box.note(f"slot {slot} rots at byte {at}")


def _journal_lost(_stage: Scene, _fault: Fault, box: SimBox) -> None:
    for name in box.disk.list("data"):
        if name.startswith("journal."):
            box.disk.rot(f"data/{name}", 1)
    box.press_reset()


def _record_rot(stage: Scene, _fault: Fault, box: SimBox) -> None:
    """Flip one bit of the record that counts, of journal and of boot control."""
    dice = stage.world.stream(f"rot/{stage.world.now_ms}", box.device_id)
    for files, number in ((journal.FILES, "seq"), (control.FILES, "generation")):
        there = [path for path in files if box.disk.exists(path)]
        path = max(there, key=lambda path: _number_in(box.disk.read(path), number))
        box.disk.rot(path, dice.below(len(box.disk.read(path).rstrip())))
    box.press_reset()


def _floor(_stage: Scene, fault: Fault, box: SimBox) -> None:
    """Raise the floor in the journal, as newer firmware has that was there for a while."""
    kept = journal.Journal(box.disk)
    if (state := kept.load().state) is not None:
        kept.store(replace(state, security_floor=fault.amount))
    box.press_reset()


def _number_in(record: bytes, name: str) -> int:
    with suppress(ValueError, LookupError):  # it has rotted before
        return int(json.loads(record)[name])
    return 0


def _clock(stage: Scene, fault: Fault, box: SimBox) -> Mend:
    box.senses.clock_ms = int(fault.by)
    box.note(f"has a clock that is wrong by {int(fault.by)} ms")
    stage.tell(facts.ClockSet(box.device_id, int(fault.by)))

    def mend() -> None:
        box.senses.clock_ms = 0

    return mend


def _drift(stage: Scene, fault: Fault, box: SimBox) -> Mend:
    box.senses.drift_ppm = fault.amount
    stage.tell(facts.ClockSet(box.device_id, fault.amount))

    def mend() -> None:
        box.senses.drift_ppm = 0

    return mend


def _suspend(_stage: Scene, fault: Fault, box: SimBox) -> Mend:
    box.sleep((fault.lasts or 0) * 1000)
    return lambda: _set_silent(box, ())


def _line_cut(_stage: Scene, _fault: Fault, box: SimBox) -> Mend:
    box.link.is_cut = True
    box.line_changed()

    def mend() -> None:
        box.link.is_cut = False

    return mend


def _silent(*ways: Way) -> Strike:
    def strike(_stage: Scene, _fault: Fault, box: SimBox) -> Mend:
        _set_silent(box, ways)
        return lambda: _set_silent(box, ())

    return strike


def _set_silent(box: SimBox, ways: tuple[Way, ...]) -> None:
    box.link.silent = ways
    box.line_changed()


def _no_names(_stage: Scene, _fault: Fault, box: SimBox) -> Mend:
    box.link.has_names = False

    def mend() -> None:
        box.link.has_names = True

    return mend


def _limit_data(_stage: Scene, fault: Fault, box: SimBox) -> None:
    box.link.limit_bytes = fault.amount


def _slow_line(_stage: Scene, fault: Fault, box: SimBox) -> Mend:
    box.link.slowdown = fault.amount

    def mend() -> None:
        box.link.slowdown = 1

    return mend


def _move_house(stage: Scene, fault: Fault, box: SimBox) -> None:
    box.link.is_cut = True
    box.line_changed()
    box.link.profile = stage.profiles[fault.profile]
    box.link.is_cut = False


def _door(wrong: Wrong) -> Strike:
    def strike(_stage: Scene, _fault: Fault, box: SimBox) -> Mend:
        box.set_door(wrong)
        return lambda: box.set_door(Wrong.NOTHING)

    return strike


def _sense(blocked: str) -> Strike:
    def strike(_stage: Scene, _fault: Fault, box: SimBox) -> Mend:
        box.sense(blocked)
        return lambda: box.sense("")

    return strike


def _factory_reset(stage: Scene, fault: Fault, box: SimBox) -> None:
    del stage, fault
    box.factory_reset()


def _remote_spam(_stage: Scene, _fault: Fault, box: SimBox) -> None:
    if box.agent is not None:
        box.guard(box.agent.put_health)


STRIKE: Final[dict[str, Strike]] = {
    "power_cut": _power_cut,
    "unplug": _unplug,
    "cut_in_write": _cut_in_write,
    "brownout": _brownout,
    "watchdog": _watchdog,
    "disk_full": _disk_full,
    "disk_error": _refusing(disks.IO_ERROR),
    "read_only": _refusing(READ_ONLY),
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
    "viewer": _sense("viewer"),
    "too_hot": _sense("too-hot"),
    "factory_reset": _factory_reset,
    "remote_spam": _remote_spam,
}


def strike_service(stage: Scene, fault: Fault) -> Mend | None:
    """Let *fault* strike the broker or the server; return what mends it."""
    server, broker = stage.server, stage.broker
    match fault.kind:
        case "broker_restart":
            stage.tell(facts.ServiceDown("broker"))
            broker.restart(keeps_store=fault.keeps_store)

            def come_up() -> None:
                broker.come_up()
                stage.tell(facts.ServiceUp("broker"))

            return come_up
        case "server_kill":
            stage.tell(facts.ServiceDown("server"))
            server.desk.go_down()

            def start_again() -> None:
                server.desk.come_up()
                stage.tell(facts.ServiceUp("server"))

            return start_again
        case "server_slow":
            server.desk.slow_ms = fault.amount

            def be_quick() -> None:
                server.desk.slow_ms = 0

            return be_quick
        case "replay":
            server.desk.replay()
        case _:
            {"pause": server.pause, "resume": server.resume, "stop": server.stop,
             "retry": server.retry}[fault.kind]()  # fmt: skip
    return None
