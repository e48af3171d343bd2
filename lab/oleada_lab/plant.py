"""Plants the faults of a scenario: which, whom, when, and what mends them.

Everything that is drawn comes from a stream named after the fault's place in the
scenario, so that a fault more does not move the others. With ``swarm`` each seed but the
first leaves out some faults: what hides a bug is often another fault.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from oleada_lab.faults import STRIKE, Mend, strike_service
from oleada_lab.scenario import Chance, Fault
from oleada_lab.scenario_check import RATE
from oleada_lab.scenario_shapes import DISK_OP
from oleada_lab.scene import Scene
from oleada_lab.sim.box import SimBox
from oleada_lab.sim.crash import Kept
from oleada_lab.sim.world import clock_time

WRITES_OF_AN_UPDATE: Final = 120
"""Flash writes of one update, about; a random power cut falls on one of them."""
OPS_MAX: Final = 400
"""Flash operations that are explored; more than an update of a small image has."""
MINUTE_MS: Final = 60_000
KEPT_SHARE: Final = 0.5
"""Of the faults that a swarm's seed keeps."""
SERVICES: Final = ("broker", "server")
BACK: Final = "back"
"""In *when*: a phase on the way back alone."""
_HOUR_MS: Final = 3_600_000
_PER_MS: Final = {"hour": _HOUR_MS, "day": 24 * _HOUR_MS}


@dataclass(slots=True)
class Plant:
    """The faults of one run.

    Attributes:
        last_ms: When the last fault that has a time strikes.
    """

    stage: Scene
    last_ms: int = 0
    _over: bool = False
    _mends: dict[int, tuple[Mend, SimBox | None]] = field(default_factory=dict)
    _numbers: int = 0

    def device_ids(self) -> list[str]:
        """Return the names of the boxes."""
        scenario = self.stage.scenario
        count = scenario.fleet.count
        if scenario.explore is not None and scenario.explore.axis == DISK_OP:
            count = max(count, OPS_MAX // self._stride * len(scenario.explore.persistence))
        prefix = scenario.fleet.model.replace("-", "")
        return [f"{prefix}{number:05d}" for number in range(1, count + 1)]

    @property
    def _stride(self) -> int:
        """Every so many operations one is cut: all when the fleet is large enough."""
        scenario = self.stage.scenario
        modes = len(scenario.explore.persistence) if scenario.explore is not None else 1
        return max(1, OPS_MAX * modes // scenario.fleet.count)

    def options(self) -> dict[str, object]:
        """Return what the seed decided."""
        return {
            "faults": [fault.kind for _, fault in self._faults()],
            "random": [chance.kind for _, chance in self._chances()],
            "boxes": len(self.stage.boxes),
        }

    def plant(self) -> None:
        """Plant every fault of this seed."""
        self._plant_cuts()
        for number, fault in self._faults():
            self._plant_fault(number, fault)
        for number, chance in self._chances():
            self._plant_chance(number, chance)

    def mend_all(self) -> None:
        """Mend everything that can be: from now on nothing goes wrong any more."""
        self._over = True
        for mend, _ in list(self._mends.values()):
            mend()
        self._mends.clear()
        for box in self.stage.boxes.values():
            box.disk.cut_after = None
            box.line_changed()

    # -- which -------------------------------------------------------------------------

    def _faults(self) -> list[tuple[int, Fault]]:
        found = list(enumerate(self.stage.scenario.fault))
        return [one for one in found if self._is_kept(f"fault/{one[0]}")]

    def _chances(self) -> list[tuple[int, Chance]]:
        found = list(enumerate(self.stage.scenario.random))
        return [one for one in found if self._is_kept(f"random/{one[0]}")]

    def _is_kept(self, name: str) -> bool:
        stage = self.stage
        if not stage.scenario.swarm or stage.seed == stage.scenario.seeds[0]:
            return True
        return stage.world.stream("swarm", name).share() < KEPT_SHARE

    def _targets(self, target: str, purpose: str) -> list[SimBox]:
        boxes = list(self.stage.boxes.values())
        if target.startswith("device:"):
            number = int(target.removeprefix("device:"))
            return boxes[number - 1 : number]
        if target.startswith("region:"):
            return [box for box in boxes if self._region(box) == target.removeprefix("region:")]
        if target.endswith("%"):
            share = int(target[:-1]) / 100
            return [box for box in boxes if self._share(purpose, box) < share]
        return boxes

    def _region(self, box: SimBox) -> str:
        at = self._share("region", box)
        for name, share in self.stage.scenario.fleet.regions.items():
            if at < share:
                return name
            at -= share
        return ""

    def _share(self, purpose: str, box: SimBox) -> float:
        return self.stage.world.stream(purpose, box.device_id).share()

    # -- when --------------------------------------------------------------------------

    def _plant_cuts(self) -> None:
        scenario, boxes = self.stage.scenario, list(self.stage.boxes.values())
        if scenario.explore is not None and scenario.explore.axis == DISK_OP:
            modes = [Kept(mode) for mode in scenario.explore.persistence]
            for number, box in enumerate(boxes):
                box.kept = modes[number % len(modes)]
                box.cut_after_writes(number // len(modes) * self._stride, MINUTE_MS)
        for box in boxes:
            chance = self.stage.world.stream("power-cut", box.device_id)
            if chance.share() < scenario.fleet.power_cut_share:
                writes = chance.below(WRITES_OF_AN_UPDATE)
                box.cut_after_writes(writes, chance.between(1, 30) * MINUTE_MS)

    def _plant_fault(self, number: int, fault: Fault) -> None:
        if fault.when is not None:
            for box in self._targets(fault.target, f"fault/{number}"):
                self._wait_for_phase(fault, box)
            return
        at_ms = (fault.at if fault.at is not None else fault.every or 0) * 1000
        end_ms = self.stage.scenario.duration * 1000
        times = range(at_ms, end_ms, fault.every * 1000) if fault.every else [at_ms]
        for moment_ms in times:
            self.stage.world.after(moment_ms, self._at(number, fault))
            self.last_ms = max(self.last_ms, moment_ms + (fault.lasts or 0) * 1000)

    def _at(self, number: int, fault: Fault) -> Callable[[], None]:
        def strike() -> None:
            if self._over:
                return
            if fault.target in SERVICES:
                self._tell(fault, fault.target)
                self._mend_later(strike_service(self.stage, fault), fault.lasts, None)
                return
            boxes = self._targets(fault.target, f"fault/{number}")
            self._tell(fault, f"{len(boxes)} boxes")
            dice = self.stage.world.stream(f"over/{number}", str(self.stage.world.now_ms))
            for box in boxes:
                wait_ms = dice.below(fault.over * 1000 + 1)
                self.stage.world.after(wait_ms, lambda box=box: self._strike(fault, box))  # type: ignore[misc]

        return strike

    def _tell(self, fault: Fault, whom: str) -> None:
        lasts = f" for {fault.lasts // 60} min" if fault.lasts else ""
        self.stage.world.tell(f"{fault.kind}: {whom}{lasts}")

    def _plant_chance(self, number: int, chance: Chance) -> None:
        parsed = RATE.fullmatch(chance.rate)
        assert parsed is not None, "it was checked"  # noqa: S101
        mean_ms = int(_PER_MS[parsed[2]] / float(parsed[1])) if float(parsed[1]) else 0
        fault = Fault(chance.kind, chance.target, lasts=chance.lasts, amount=chance.amount,
                      persistence=chance.persistence)  # fmt: skip
        end_ms = self.stage.scenario.duration * 1000
        for box in self._targets(chance.target, f"random/{number}"):
            dice = self.stage.world.stream(f"random/{number}/times", box.device_id)
            at_ms = 0
            while mean_ms and (at_ms := at_ms + dice.between(1, 2 * mean_ms)) < end_ms:
                self.stage.world.after(at_ms, lambda box=box: self._strike(fault, box))  # type: ignore[misc]

    def _wait_for_phase(self, fault: Fault, box: SimBox) -> None:
        what, _, wanted = (fault.when or "").partition("==")
        earlier, left = box.on_phase, fault.times

        def hear(phase: str) -> None:
            nonlocal left
            earlier(phase)
            is_meant = phase == wanted and (what != BACK or box.is_going_back)
            if is_meant and left > 0 and box.has_power and not self._over:
                left -= 1
                self._strike(fault, box)

        box.on_phase = hear

    def _strike(self, fault: Fault, box: SimBox) -> None:
        if self._over:
            return
        box.note(f"is struck: {fault.kind}")
        self._mend_later(STRIKE[fault.kind](self.stage, fault, box), fault.lasts, box)

    def _mend_later(self, mend: Mend | None, lasts_s: int | None, box: SimBox | None) -> None:
        if mend is None:
            return
        self._numbers += 1
        number = self._numbers
        self._mends[number] = (mend, box)
        if lasts_s is None:
            return

        def happen() -> None:
            if self._mends.pop(number, None) is not None:
                mend()
                if box is not None:
                    box.line_changed()

        self.stage.world.after(lasts_s * 1000, happen)


def first_bad_step(at_ms: int, what: str) -> str:
    """Return the sentence that names the first bad step of a run."""
    return f"first bad step: {clock_time(at_ms)} ({at_ms} ms): {what}"
