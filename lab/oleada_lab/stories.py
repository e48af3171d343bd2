"""Plays a scenario in virtual time and judges it.

First the phase with faults, then the phase in which everything is mended and what can
must become well again; the invariants of ``oleada_lab.check`` are judged at every fact.
"""

import math
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final, Self, TextIO

from oleada_agent.boot.choice import Behaviour
from oleada_server.rollouts.plan import Limits
from oleada_server.rollouts.states import BoxState, RolloutState
from oleada_wire.messages import Window

from oleada_lab.check import facts
from oleada_lab.check.facts import Fact
from oleada_lab.check.safety import Terms as Agreed
from oleada_lab.check.watch import Broken, Watch, chosen
from oleada_lab.clock import cpu_s
from oleada_lab.plant import Plant
from oleada_lab.scenario import Expect, Line, Plan, Scenario
from oleada_lab.scenario_check import evidence_spec
from oleada_lab.scenario_read import ScenarioError
from oleada_lab.scenario_shapes import DISK_OP
from oleada_lab.sim.box import SimBox, a_factory_disk
from oleada_lab.sim.broker import SimBroker
from oleada_lab.sim.disk import SimDisk
from oleada_lab.sim.door import Door
from oleada_lab.sim.images import Image, Kit, an_image
from oleada_lab.sim.link import HOME, Burst, Profile
from oleada_lab.sim.remember import remembering
from oleada_lab.sim.server import SimServer
from oleada_lab.sim.services import Services, services
from oleada_lab.sim.serving import Server
from oleada_lab.sim.street import Senses, Street
from oleada_lab.sim.terms import Terms
from oleada_lab.sim.voice import kept_health
from oleada_lab.sim.world import World, clock_time

WRITES_OF_AN_UPDATE: Final = 120
"""Flash writes of one update, about; a random power cut falls on one of them."""
MINUTE_MS: Final = 60_000
SECRETS: Final = (b"HomeWifi-7", b"BEGIN PRIVATE KEY")
REST_MS: Final = 30 * MINUTE_MS
"""After a rollout has ended, whoever has not heard it yet comes to rest."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How a story ended.

    Attributes:
        lines: The story, ready to print.
        wrong: What should have been otherwise; empty when all is well.
        broken: Invariants that did not hold, the first bad step first.
        trace_hash: Of everything that happened; the same for the same seed.
        options: What the seed decided, beside the scenario's own options.
    """

    lines: tuple[str, ...]
    wrong: tuple[str, ...]
    broken: tuple[Broken, ...]
    trace_hash: str
    rollout: RolloutState
    states: dict[BoxState, int]
    events: int
    cpu_s: float
    options: dict[str, object]


def play(scenario: Scenario, seed: int | None = None, keep: TextIO | None = None) -> Ending:
    """Return how *scenario* ends with *seed*, by default its first; *keep* takes the trace."""
    with Stage(scenario, scenario.seeds[0] if seed is None else seed, keep) as stage:
        stage.play()
        return stage.ending()


class Stage:
    """One run of a scenario: the world, the server and the boxes; used in a ``with``.

    Attributes:
        profiles: Lines by name.
        faults: Those that this seed plants.
    """

    def __init__(self, scenario: Scenario, seed: int, keep: TextIO | None = None) -> None:
        self._began_s = cpu_s()
        self.world = World(seed, keep)
        self.scenario, self.seed = scenario, seed
        self.profiles = {"home": HOME} | {
            name: _profile(line) for name, line in scenario.profile.items()
        }
        self._target = self._image(scenario.release.to, scenario.release.hardware)
        factory = self._image(scenario.release.start)
        old = self._image(scenario.fleet.old_version) if scenario.fleet.old_version else None
        goes_back = scenario.rollout.goes_back
        self._older = tuple(one for one in (old, factory) if one is not None and goes_back)
        self.watch = Watch(self._agreed(factory, old), chosen(scenario.expect.invariants))
        self.broker = SimBroker(self.world)
        self.plant = Plant(self)
        ids = self.plant.device_ids()
        served = {one.sha256: one for one in (self._target, *self._older)}
        kit = Kit(scenario.fleet.model, factory, served)
        self.street = Street(
            self.world,
            self.broker,
            Door(kit.images),
            kit,
            self.tell,
            profile=self.profiles[scenario.fleet.profile],
            spread_s=scenario.fleet.connect_spread,
            health_ms=scenario.fleet.health * 1000 or None,
            is_signed=scenario.has_services,
        )
        self.terms = self._terms()
        kits = {device_id: self._kit_of(device_id, kit, old) for device_id in ids}
        self._held = ExitStack()
        self.server, meta = self._make_server(kits)
        self.boxes = self._make_boxes(kits, meta)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._held.close()

    def tell(self, fact: Fact) -> None:
        """Take *fact*, which is true now."""
        self.watch.see(self.world.now_ms, fact)

    def play(self) -> None:
        """Let the story happen: faults first, then none."""
        for box in self.boxes.values():
            box.plug_in()
        self.plant.plant()
        self.world.after(self.scenario.rollout.begins * 1000, self.server.start)
        duration_ms = self.scenario.duration * 1000
        self.world.run(duration_ms, self._is_over)
        self.world.now_ms = max(self.world.now_ms, min(duration_ms, self.plant.last_ms))
        self.plant.mend_all()
        self.tell(facts.FaultsStopped())
        self.world.run(self.world.now_ms + self.scenario.settle * 1000, self.server.is_over)
        self.world.run(self.world.now_ms + REST_MS, lambda: False)

    def ending(self) -> Ending:
        """Return how it ended, judged."""
        for box in self.boxes.values():
            self._account(box)
        runs = {device_id: box.running_version() for device_id, box in self.boxes.items()}
        peak = self.broker.counts.peak_per_second
        end = facts.Settled(runs, self.server.shown(), peak)
        broken = tuple(self.watch.settle(self.world.now_ms, end))
        states = self.server.states()
        shown = ", ".join(f"{states[state]} {state}" for state in BoxState if state in states)
        again = self.server.assigned_again()
        last = (
            f"{clock_time(self.world.now_ms)} ending: {self.server.state}; {shown}; "
            f"{again} boxes were assigned again"
        )
        used_s = cpu_s() - self._began_s
        wrong = (
            *(f"{one.invariant} at {clock_time(one.at_ms)}: {one.what}" for one in broken),
            *_unexpected(self.scenario.expect, self.server),
            *self._over_budget(used_s),
        )
        return Ending(
            lines=(*self.world.story, last),
            wrong=wrong,
            broken=broken,
            trace_hash=self.world.trace_hash(),
            rollout=self.server.state,
            states=states,
            events=self.world.events,
            cpu_s=used_s,
            options=self.plant.options(),
        )

    # -- inside ------------------------------------------------------------------------

    def _is_over(self) -> bool:
        return self.server.is_over() and self.world.now_ms >= self.plant.last_ms

    def _over_budget(self, used_s: float) -> Iterator[str]:
        if used_s > self.scenario.limits.cpu_s:
            yield f"it took {used_s:.0f} CPU seconds, of {self.scenario.limits.cpu_s}"

    def _account(self, box: SimBox) -> None:
        kept = kept_health(box.agent.outbox) if box.agent is not None else box.stored_health()
        waiting = sum(not self.server.has_health(one) for one in kept)
        self.tell(facts.HealthKept(box.device_id, waiting))
        per_day = max(box.flash_bytes.values(), default=0)
        self.tell(facts.Used(box.device_id, box.spool_messages, per_day))

    def _image(self, version: str, hardware: str = "") -> Image:
        return an_image(version, hardware or self.scenario.fleet.model, self.scenario.release.size)

    def _agreed(self, factory: Image, old: Image | None) -> Agreed:
        images = [factory, self._target, *([old] if old is not None else [])]
        # What is for other hardware is signed, but not for this fleet.
        signed = {one.sha256: one.version for one in images}
        if self.scenario.release.hardware:
            del signed[self._target.sha256]
        return Agreed(
            signed=signed,
            flash_bytes_per_day_max=self.scenario.limits.flash_per_day,
            secrets=SECRETS,
            connects_per_s_max=self.scenario.expect.peak_connect_rate_max,
            proof_boxes_min=_proof(self.scenario.rollout),
            leaving=self._target.version if self.scenario.rollout.goes_back else "",
        )

    def _terms(self) -> Terms:
        gate, plan = self.scenario.rollout.gate, self.scenario.rollout
        limits = Limits(
            gate.min_success_share,
            gate.max_fail_share,
            gate.max_silent_share,
            gate.min_observed,
            timedelta(seconds=gate.window),
        )
        return Terms(
            hardware_model=self.scenario.fleet.model,
            image=self._target,
            shares=plan.waves,
            limits=limits,
            silent_after=timedelta(seconds=plan.silent_after),
            attempts_max=plan.attempts_max,
            in_flight_max=plan.in_flight_max,
            spread_s=plan.spread,
            lease=timedelta(seconds=plan.lease),
            window=_window(plan),
            evidence=None if plan.evidence is None else evidence_spec(plan.evidence),
            health=timedelta(seconds=self.scenario.fleet.health),
            goes_back=plan.goes_back,
            older=self._older,
        )

    def _make_server(self, kits: dict[str, Kit]) -> tuple[Server, bytes]:
        """Return the server, and the metadata that boxes had from it before the story."""
        versions = {device_id: kit.factory.version for device_id, kit in kits.items()}
        if not self.scenario.has_services:
            if (explore := self.scenario.explore) is not None and explore.axis != DISK_OP:
                raise ScenarioError(f"explore.axis {explore.axis} needs the server's services.")
            return SimServer(self.world, self.broker, self.terms, versions, self.tell), b""
        self._held.enter_context(remembering())
        found = self._held.enter_context(
            services(self.street, self.terms, versions, self.scenario.explore)
        )
        return found, found.first_meta

    def _make_boxes(self, kits: dict[str, Kit], meta: bytes) -> dict[str, SimBox]:
        disks: dict[str, SimDisk] = {}
        found = {}
        for device_id, kit in kits.items():
            version = kit.factory.version
            if version not in disks:
                disks[version] = a_factory_disk(kit, meta)
            street = self.street if kit is self.street.kit else replace(self.street, kit=kit)
            senses = self._senses(device_id, version)
            found[device_id] = SimBox(street, device_id, disks[version], senses)
        return found

    def _kit_of(self, device_id: str, kit: Kit, old: Image | None) -> Kit:
        share = self.world.stream("old", device_id).share()
        is_old = old is not None and share < self.scenario.fleet.old_share
        return replace(kit, factory=old) if is_old and old is not None else kit

    def _senses(self, device_id: str, version: str) -> Senses:
        release = self.scenario.release
        chance = self.world.stream("unhealthy", device_id).share()
        if chance < release.unhealthy_share or version == release.breaks_from:
            return Senses(behaviours={release.to: Behaviour.UNHEALTHY})
        if release.behaviour.startswith("crash_after:"):
            minutes = int(release.behaviour.removeprefix("crash_after:").removesuffix("m"))
            return Senses(crash_after_ms={release.to: minutes * MINUTE_MS})
        return Senses(behaviours={release.to: Behaviour(release.behaviour)})


def _proof(plan: Plan) -> int:
    """Return how many good boxes, and none bad, leave a doubt of 5 % that more are."""
    if plan.evidence is None:
        return 0
    return math.ceil(math.log(0.05) / math.log(1 - plan.evidence.bad_share_max))


def _window(plan: Plan) -> Window | None:
    if plan.opens is None or plan.closes is None:
        return None
    return Window(plan.opens // 60, plan.closes // 60)


def _profile(line: Line) -> Profile:
    timeout = line.nat_timeout
    return Profile(
        rtt_ms=line.rtt,
        jitter_ms=line.jitter,
        loss=line.loss,
        burst=Burst(*line.burst) if line.burst else None,
        rate_bytes_per_s=line.rate,
        blackhole_over=line.blackhole_over,
        nat_timeout_ms=None if timeout is None else timeout * 1000,
    )


def _unexpected(expect: Expect, server: Server) -> Iterator[str]:
    states = server.states()
    updated = states.get(BoxState.UPDATED, 0)
    failed = states.get(BoxState.FAILED, 0) + states.get(BoxState.ROLLED_BACK, 0)
    silent = states.get(BoxState.SILENT, 0)
    opened = server.waves_opened()
    back = server.back() if isinstance(server, Services) else {}
    came_back = back.get(BoxState.UPDATED, 0)
    if set(server.halted_from()) != set(expect.halted_from):
        yield f"boxes from {server.halted_from()} are halted; {expect.halted_from} was expected"
    if expect.rollout and server.state != expect.rollout:
        yield f"the rollout is {server.state}; {expect.rollout} was expected"
    if expect.reason not in server.reason:
        yield f"the reason is {server.reason!r}; {expect.reason!r} was expected in it"
    for name, found, low, high in (
        ("updated", updated, expect.boxes_updated_min, expect.boxes_updated_max),
        ("failed", failed, 0, expect.boxes_failed_max),
        ("silent", silent, expect.boxes_silent_min, expect.boxes_silent_max),
        ("back", came_back, expect.boxes_back_min, expect.boxes_back_max),
        ("not back", sum(back.values()) - came_back, expect.boxes_not_back_min,
         expect.boxes_not_back_max),
    ):  # fmt: skip
        if not low <= found <= high:
            yield f"{found} boxes are {name}; {low} to {high} were expected"
    if opened > expect.waves_opened_max:
        yield f"{opened} waves opened; at most {expect.waves_opened_max} were expected"
