"""Plants the faults of a story on real processes: which, whom, when, and what mends them."""

import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from oleada_lab.plant import BACK
from oleada_lab.proc.dweller import Dweller
from oleada_lab.proc.strikes import ONCE, STRIKE, Mend
from oleada_lab.proc.strikes_server import strike_service
from oleada_lab.scenario import Chance, Duration, Fault
from oleada_lab.scenario_check import RATE
from oleada_lab.sim.crash import Kept

if TYPE_CHECKING:
    from oleada_lab.proc.stage import Stage

SERVICES: Final = ("broker", "server")
WRITES_OF_AN_UPDATE: Final = 300
"""Operations of the disk in one real update, about; a random power cut falls on one of them."""
DARK_S: Final = 2.0
"""How long a box without power stays so, where the story does not say."""
PER_S: Final = {"hour": 3600, "day": 86_400}


@dataclass(slots=True)
class Waiting:
    """A fault that waits for a phase of one box.

    Attributes:
        left: How often it will still strike.
    """

    fault: Fault
    number: int
    box: Dweller
    left: int
    was_in: bool = False


@dataclass(slots=True)
class Plant:
    """The faults of one run.

    Attributes:
        last_s: When the last fault that has a time strikes, or is mended.
    """

    stage: "Stage"
    last_s: float = 0.0
    is_over: bool = False
    _due: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    _order: "itertools.count[int]" = field(default_factory=itertools.count)
    _mends: dict[int, Mend] = field(default_factory=dict)
    _waiting: list[Waiting] = field(default_factory=list)

    def plant(self) -> None:
        """Plant every fault of this seed."""
        run = self.stage.run
        for number, fault in run.faults():
            if fault.when is not None:
                left = 1 if fault.kind in ONCE else fault.times
                self._waiting += [
                    Waiting(fault, number, self.stage.boxes[who], left)
                    for who in run.targets(fault.target, f"fault/{number}")
                ]
            for at_s in run.times(fault):
                self._at(at_s, number, fault)
        for number, chance in enumerate(run.scenario.random):
            self._plant_chance(number, chance)
        self._plant_cuts()

    def later(self, delay_s: float, act: Callable[[], None]) -> None:
        """Let *act* happen in *delay_s* seconds."""
        at_s = self.stage.now_s + delay_s
        heapq.heappush(self._due, (at_s, next(self._order), act))

    def turn(self) -> None:
        """Let happen what is due."""
        while self._due and self._due[0][0] <= self.stage.now_s:
            heapq.heappop(self._due)[2]()

    def look(self) -> None:
        """Strike whoever has come to the phase that a fault waits for."""
        for one in self._waiting:
            what, _, wanted = (one.fault.when or "").partition("==")
            is_in = one.box.seen.phase == wanted and one.box.home.is_on
            if what == BACK:
                work = one.box.seen.working
                is_in = is_in and work is not None and work.version != self.stage.run.release
            if is_in and not one.was_in and one.left > 0 and not self.is_over:
                one.left -= 1
                self.strike(one.fault, one.box)
            one.was_in = is_in

    def strike(self, fault: Fault, box: Dweller) -> None:
        """Let *fault* strike *box* now."""
        if self.is_over or box.is_gone:
            return
        self.stage.struck += 1
        self.stage.say(f"{fault.kind}: box {box.number + 1}, {box.seen.phase or 'at rest'}")
        self._mend_later(STRIKE[fault.kind](self.stage, fault, box), fault)

    def mend_all(self) -> None:
        """Mend everything: from now on nothing goes wrong any more."""
        self.is_over = True
        self._due.clear()
        for mend in self._mends.values():
            mend()
        self._mends.clear()
        for box in self.stage.boxes:
            box.line.limits.clear()
            box.cut_as = None
            if box.home.mount is not None:
                box.home.mount.cut_after(None)
            if not box.is_gone:
                box.home.power_on()

    # -- inside ------------------------------------------------------------------------

    def _at(self, at_s: float, number: int, fault: Fault) -> None:
        run = self.stage.run
        over_s = run.seconds(fault.over)
        self.last_s = max(self.last_s, at_s + run.lasting(fault) + over_s)

        def strike() -> None:
            if fault.target in SERVICES:
                self.stage.struck += 1
                self.stage.say(f"{fault.kind}: {fault.target}")
                self._mend_later(strike_service(self.stage, fault), fault)
                return
            dice = run.dice(f"over/{number}/{at_s}")
            for who in run.targets(fault.target, f"fault/{number}"):
                box = self.stage.boxes[who]
                self.later(dice.uniform(0, over_s), lambda box=box: self.strike(fault, box))  # type: ignore[misc]

        self.later(at_s - self.stage.now_s, strike)

    def _mend_later(self, mend: Mend | None, fault: Fault) -> None:
        if mend is None:
            return
        number = next(self._order)
        self._mends[number] = mend
        if fault.lasts is None:
            return

        def happen() -> None:
            if self._mends.pop(number, None) is not None:
                mend()

        self.later(self.stage.run.lasting(fault), happen)

    def _plant_chance(self, number: int, chance: Chance) -> None:
        run, parsed = self.stage.run, RATE.fullmatch(chance.rate)
        if parsed is None or not float(parsed[1]):
            return
        mean_s = run.seconds(PER_S[parsed[2]] / float(parsed[1]))
        fault = Fault(chance.kind, chance.target, lasts=chance.lasts, amount=chance.amount,
                      persistence=chance.persistence)  # fmt: skip
        for who in run.targets(chance.target, f"random/{number}"):
            dice, at_s = run.dice(f"random/{number}/{who}"), 0.0
            while (at_s := at_s + dice.uniform(0, 2 * mean_s)) < run.scenario.proc.faults:
                box = self.stage.boxes[who]
                self.later(at_s, lambda box=box, fault=fault: self.strike(fault, box))  # type: ignore[misc]

    def _plant_cuts(self) -> None:
        """Let boxes lose power in a flash write that is drawn, once each."""
        run, explore = self.stage.run, self.stage.run.scenario.explore
        modes = [Kept(mode) for mode in explore.persistence] if explore else [Kept.NONE]
        for at, who in enumerate(run.cut_once()):
            box = self.stage.boxes[who]
            dice = run.dice(f"write/{who}")
            writes = dice.randrange(1, WRITES_OF_AN_UPDATE)
            mode = modes[(at + run.seed) % len(modes)]
            if box.home.mount is not None:
                self.later(
                    run.starts_s,
                    lambda box=box, n=writes, m=mode: self.cut_in_write(box, n, m, DARK_S),  # type: ignore[misc]
                )
                continue
            self.later(
                run.starts_s + dice.uniform(0, run.scenario.proc.faults / 4),
                lambda box=box: self.strike(  # type: ignore[misc]
                    Fault("power_cut", "all", lasts=Duration(round(run.story_s(DARK_S)))), box
                ),
            )

    def cut_in_write(self, box: Dweller, operations: int, kept: Kept, dark_s: float) -> None:
        """Let *box* lose power right after the operation of its disk so many from now."""
        if box.home.mount is None or self.is_over:
            return
        box.home.mount.cut_in(operations)
        box.cut_as = (kept, dark_s)

    def see_who_is_dark(self) -> None:
        """Give back their power to those that lost it in a write."""
        for box in self.stage.boxes:
            if box.cut_as is None or box.home.is_on:
                continue
            kept, dark_s = box.cut_as
            box.cut_as = None
            self.stage.struck += 1
            self.stage.say(f"box {box.number + 1} has lost power in a write ({kept})")
            box.home.pull_the_plug(kept, self.stage.run.seed)
            self.later(dark_s, box.home.power_on)
