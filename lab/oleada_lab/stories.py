"""Plays a scenario in virtual time and judges its ending.

Beside what a scenario expects, every story must keep the invariants of :func:`_broken`:
they hold whatever the release is like and whenever plugs are pulled.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from oleada_agent.boot.choice import Behaviour
from oleada_agent.machine_events import Event
from oleada_server.rollouts.plan import Limits
from oleada_server.rollouts.states import BoxState, RolloutState, WaveState

from oleada_lab.scenario import Expect, Fault, Scenario
from oleada_lab.sim.box import SimBox
from oleada_lab.sim.images import Kit, an_image
from oleada_lab.sim.server import SimServer, Terms
from oleada_lab.sim.world import World, clock_time

WRITES_OF_AN_UPDATE: Final = 120
"""Flash writes of one update, about; a random power cut falls on one of them."""
MINUTE_MS: Final = 60_000


@dataclass(frozen=True, slots=True)
class Ending:
    """How a story ended.

    Attributes:
        lines: The story, ready to print.
        wrong: What should have been otherwise; empty when all is well.
        trace_hash: Of everything that happened; the same for the same seed.
    """

    lines: tuple[str, ...]
    wrong: tuple[str, ...]
    trace_hash: str
    rollout: RolloutState
    states: dict[BoxState, int]


def play(scenario: Scenario, seed: int | None = None) -> Ending:
    """Return how *scenario* ends with *seed*, by default its own."""
    stage = Stage(scenario, scenario.seed if seed is None else seed)
    stage.play()
    return stage.ending()


class Stage:
    """One run of a scenario: the world, the server and the boxes."""

    def __init__(self, scenario: Scenario, seed: int) -> None:
        self.world = World(seed)
        self.scenario = scenario
        self.seed = seed
        model, release = scenario.fleet.model, scenario.release
        factory = an_image(release.start, model, release.size)
        target = an_image(release.to, model, release.size)
        gate, plan = scenario.rollout.gate, scenario.rollout
        limits = Limits(
            gate.min_success_share,
            gate.max_fail_share,
            gate.max_silent_share,
            gate.min_observed,
            timedelta(seconds=gate.window),
        )
        terms = Terms(
            hardware_model=model,
            image=target,
            shares=plan.waves,
            limits=limits,
            silent_after=timedelta(seconds=plan.silent_after),
            attempts_max=plan.attempts_max,
            in_flight_max=plan.in_flight_max,
            spread_s=plan.spread,
            lease=timedelta(seconds=plan.lease),
        )
        prefix = model.replace("-", "")
        ids = [f"{prefix}{number:05d}" for number in range(1, scenario.fleet.count + 1)]
        self.server = SimServer(self.world, terms, ids, self._send)
        kit = Kit(model, factory, {target.sha256: target})
        self.boxes = {
            device_id: SimBox(
                self.world, self.server, device_id, kit, {release.to: self._behaviour(device_id)}
            )
            for device_id in ids
        }

    def play(self) -> None:
        """Let the story happen."""
        fleet = self.scenario.fleet
        for device_id, box in self.boxes.items():
            box.plug_in()
            chance = self.world.stream("power-cut", device_id)
            if chance.share() < fleet.power_cut_share:
                writes = chance.below(WRITES_OF_AN_UPDATE)
                box.cut_after_writes(writes, chance.between(1, 30) * MINUTE_MS)
        for fault in self.scenario.fault:
            self._plan_fault(fault)
        self.world.after(5 * MINUTE_MS, self.server.start)
        self.world.run(self.scenario.duration * 1000, self.server.is_over)
        # Whoever has not heard yet that it is over, or still has no power, comes to rest.
        self.world.run(self.world.now_ms + 120 * MINUTE_MS, lambda: False)

    def ending(self) -> Ending:
        """Return how it ended, judged."""
        states = self.server.states()
        shown = ", ".join(f"{states[state]} {state}" for state in BoxState if state in states)
        wrong = (*_broken(self), *_unexpected(self.scenario.expect, self.server))
        again = sum(row.attempt > 1 for row in self.server.rows.values())
        last = (
            f"{clock_time(self.world.now_ms)} ending: {self.server.state}; {shown}; "
            f"{again} boxes were assigned again"
        )
        return Ending(
            lines=(*self.world.story, last),
            wrong=wrong,
            trace_hash=self.world.trace_hash(),
            rollout=self.server.state,
            states=states,
        )

    def _send(self, device_id: str, event: Event) -> None:
        self.boxes[device_id].receive(event)

    def _behaviour(self, device_id: str) -> Behaviour:
        release = self.scenario.release
        chance = self.world.stream("unhealthy", device_id).share()
        is_unhealthy = chance < release.unhealthy_share
        return Behaviour.UNHEALTHY if is_unhealthy else Behaviour(release.behaviour)

    # -- faults ------------------------------------------------------------------------

    def _plan_fault(self, fault: Fault) -> None:
        hit = [
            box
            for number, box in enumerate(self.boxes.values(), 1)
            if self._is_hit(fault, number, box)
        ]
        if fault.at is not None:
            self.world.after(fault.at * 1000, lambda: self._strike_all(fault, hit))
            return
        for box in hit:
            self._wait_for_phase(fault, box)

    def _is_hit(self, fault: Fault, number: int, box: SimBox) -> bool:
        if fault.target.endswith("%"):
            share = int(fault.target[:-1]) / 100
            purpose = f"fault/{self.scenario.fault.index(fault)}"
            return self.world.stream(purpose, box.device_id).share() < share
        return fault.target in ("all", f"device:{number}")

    def _strike_all(self, fault: Fault, boxes: list[SimBox]) -> None:
        back = f" for {fault.lasts // 60} min" if fault.lasts else " for good"
        self.world.tell(f"{fault.kind}: {len(boxes)} boxes are without power{back}")
        for box in boxes:
            self._strike(fault, box)

    def _strike(self, fault: Fault, box: SimBox) -> None:
        box.pull_the_plug()
        if fault.lasts is not None:
            self.world.after(fault.lasts * 1000, box.plug_in)

    def _wait_for_phase(self, fault: Fault, box: SimBox) -> None:
        wanted = (fault.when or "").removeprefix("state==")
        earlier, left = box.on_phase, fault.times

        def hear(phase: str) -> None:
            nonlocal left
            earlier(phase)
            if phase == wanted and left > 0 and box.has_power:
                left -= 1
                self._strike(fault, box)

        box.on_phase = hear


def _broken(stage: Stage) -> Iterator[str]:
    """Yield which invariant a box breaks at the end.

    Every box boots a whole image; what the server counts as updated runs the release,
    and what it counts as rolled back does not; a box of no open wave was never touched;
    an attempt has one verdict.
    """
    release, waves = stage.scenario.release, stage.server.waves
    for device_id, box in stage.boxes.items():
        runs, row = box.running_version(), stage.server.rows.get(device_id)
        if runs is None:
            yield f"{device_id} boots nothing any more"
        if row is None or waves[row.wave - 1].state is WaveState.WAITING:
            if not box.is_untouched():
                yield f"{device_id} was touched outside of an open wave"
            continue
        if row.state is BoxState.UPDATED and runs != release.to:
            yield f"{device_id} counts as updated, but runs {runs}"
        if row.state in (BoxState.ROLLED_BACK, BoxState.FAILED) and runs != release.start:
            yield f"{device_id} counts as {row.state}, but runs {runs}"
        if len(row.verdicts) > row.attempt:
            yield f"{device_id} has {len(row.verdicts)} verdicts in {row.attempt} attempts"


def _unexpected(expect: Expect, server: SimServer) -> Iterator[str]:
    states = server.states()
    updated = states.get(BoxState.UPDATED, 0)
    failed = states.get(BoxState.FAILED, 0) + states.get(BoxState.ROLLED_BACK, 0)
    silent = states.get(BoxState.SILENT, 0)
    opened = sum(wave.state is not WaveState.WAITING for wave in server.waves)
    if server.state != expect.rollout:
        yield f"the rollout is {server.state}; {expect.rollout} was expected"
    if expect.reason not in server.reason:
        yield f"the reason is {server.reason!r}; {expect.reason!r} was expected in it"
    for name, found, low, high in (
        ("updated", updated, expect.boxes_updated_min, expect.boxes_updated_max),
        ("failed", failed, 0, expect.boxes_failed_max),
        ("silent", silent, expect.boxes_silent_min, expect.boxes_silent_max),
    ):
        if not low <= found <= high:
            yield f"{found} boxes are {name}; {low} to {high} were expected"
    if opened > expect.waves_opened_max:
        yield f"{opened} waves opened; at most {expect.waves_opened_max} were expected"
