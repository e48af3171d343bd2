"""A scenario as a handful of real boxes plays it: shares, times and endings, scaled. Pure.

The story stays the same; a fleet of hundreds becomes a handful, and an hour a minute. What
is drawn comes from a stream named after its purpose, as in virtual time, so that a fault
more does not move the others.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any, Final

from oleada_lab.scenario import Fault, Line, Scenario

HOUR_S: Final = 3600
ROLLOUT_STARTS_S: Final = 300
"""Of the story, as in virtual time."""
SOAK_S_MIN: Final = 1
LEASE_S_MIN: Final = 600
SPREAD_S_MIN: Final = 1
LASTS_S_MIN: Final = 3.0
"""A fault that is shorter would be over before a real process has noticed."""
STRIKES_MAX: Final = 40
"""Of one fault that comes again and again."""
KEPT_SHARE: Final = 0.5
"""Of the faults that a swarm's seed keeps, as in virtual time."""


@dataclass(frozen=True, slots=True)
class Shrunk:
    """One run of *scenario* with *seed*, on real processes."""

    scenario: Scenario
    seed: int

    @property
    def boxes(self) -> int:
        """How many there are."""
        return self.scenario.proc.count

    @property
    def scale(self) -> float:
        """Real boxes for each box of the story."""
        return self.boxes / self.scenario.fleet.count

    @property
    def release(self) -> str:
        """The version that is rolled out."""
        return self.scenario.release.to

    def seconds(self, story_s: float) -> float:
        """Return how long *story_s* seconds of the story take."""
        return story_s * self.scenario.proc.hour / 1000 / HOUR_S

    def lasting(self, fault: Fault) -> float:
        """Return how long *fault* lasts, in real seconds."""
        return max(LASTS_S_MIN, self.seconds(fault.lasts or 0))

    def dice(self, purpose: str) -> Random:
        """Return the chance of *purpose*; always begins with the same draws."""
        return Random(f"{self.seed}/{purpose}")

    @property
    def starts_s(self) -> float:
        """When the rollout starts, in real seconds after the first fault may strike."""
        return self.seconds(ROLLOUT_STARTS_S)

    def wave_sizes(self) -> list[int]:
        """Return how many boxes each wave takes; none is empty."""
        found: list[int] = []
        for share in self.scenario.rollout.waves:
            until = max(sum(found) + 1, round(share * self.boxes))
            found.append(min(until, self.boxes) - sum(found))
        return [size for size in found if size > 0]

    def plan(self, version: str, device_ids: Sequence[str]) -> dict[str, Any]:
        """Return the rollout of *version* to *device_ids* as REST takes it."""
        told, gate = self.scenario.rollout, self.scenario.rollout.gate
        limits = {
            "success_share_min": gate.min_success_share,
            "failed_share_max": gate.max_fail_share,
            "silent_share_max": gate.max_silent_share,
            "sample_min": max(1, round(gate.min_observed * self.scale)),
            "soak_s": max(SOAK_S_MIN, round(self.seconds(gate.window))),
        }
        waves, left = [], list(device_ids)
        for number, size in enumerate(self.wave_sizes(), start=1):
            waves.append({"name": f"Wave {number}", "device_ids": left[:size], **limits})
            left = left[size:]
        return {
            "hardware_model": self.scenario.fleet.model,
            "version": version,
            "waves": waves,
            "spread_s": max(SPREAD_S_MIN, round(self.seconds(told.spread))),
            "lease_s": max(LEASE_S_MIN, round(self.seconds(told.lease))),
            "in_flight_max": self.in_flight_max,
            "silent_after_s": int(self.scenario.proc.silent_after),
            "attempts_max": told.attempts_max,
            "rules": {"goes_back": told.goes_back},
            "evidence": None,  # its ages are real minutes, which a shrunk story has not
        }

    @property
    def in_flight_max(self) -> int:
        """How many boxes may be at work at a time."""
        return max(1, math.ceil(self.scenario.rollout.in_flight_max * self.scale))

    def faults(self) -> list[tuple[int, Fault]]:
        """Return the faults of this seed with their numbers; a swarm leaves some out."""
        scenario = self.scenario
        every = list(enumerate(scenario.fault))
        if not scenario.swarm or self.seed == scenario.seeds[0]:
            return every
        return [
            (number, fault)
            for number, fault in every
            if self.dice(f"swarm/{number}").random() < KEPT_SHARE
        ]

    def times(self, fault: Fault) -> list[float]:
        """Return when *fault* strikes, in real seconds; none for one that waits for a phase."""
        if fault.when is not None:
            return []
        first_s = fault.at if fault.at is not None else fault.every or 0
        if not fault.every:
            return [self.seconds(first_s)]
        end_s = min(self.scenario.duration, self.story_s(self.scenario.proc.faults))
        moments = range(int(first_s), int(end_s), int(fault.every))
        return [self.seconds(moment_s) for moment_s in moments[:STRIKES_MAX]]

    def story_s(self, real_s: float) -> float:
        """Return how much of the story happens in *real_s* seconds."""
        return real_s * HOUR_S * 1000 / self.scenario.proc.hour

    def targets(self, target: str, purpose: str) -> list[int]:
        """Return the numbers, from 0, of the boxes that *target* names: at least one."""
        everybody = list(range(self.boxes))
        if target.startswith("device:"):
            return [(int(target.removeprefix("device:")) - 1) % self.boxes]
        if target.startswith("region:"):
            return self.region(target.removeprefix("region:"))
        if target.endswith("%"):
            size = max(1, round(int(target[:-1]) / 100 * self.boxes))
            return self._drawn(size, f"{purpose}/who")
        return everybody

    def _drawn(self, size: int, purpose: str) -> list[int]:
        """Return *size* boxes, one of them of the first wave: others may come too late for it."""
        dice, first = self.dice(purpose), self.wave_sizes()[0]
        found = dice.sample(range(self.boxes), size)
        if min(found) >= first:
            found[0] = dice.randrange(first)
        return sorted(found)

    def region(self, name: str) -> list[int]:
        """Return who lives in region *name*; each region has somebody."""
        order = self.dice("region").sample(range(self.boxes), self.boxes)
        for one, share in self.scenario.fleet.regions.items():
            size = max(1, round(share * self.boxes))
            if one == name:
                return sorted(order[:size])
            order = order[size:]
        return []

    def line(self, name: str) -> Line:
        """Return the line of profile *name* as real images need it."""
        profiles = {**self.scenario.profile, **self.scenario.proc.profile}
        return profiles.get(name, Line())

    def old(self) -> list[int]:
        """Return who leaves the factory with the older version."""
        share = self.scenario.fleet.old_share
        if not share:
            return []
        size = max(1, round(share * self.boxes))
        return sorted(self.dice("old").sample(range(self.boxes), size))

    def cut_once(self) -> list[int]:
        """Return who loses power once, at a random flash write of the update."""
        share = self.scenario.fleet.power_cut_share
        if self.scenario.explore is not None:
            share = 1.0
        size = round(share * self.boxes)
        return sorted(self.dice("power-cut").sample(range(self.boxes), size))

    def within(self) -> "Shrunk":
        """Return the run with what is expected of so few boxes."""
        expect = self.scenario.expect
        found = replace(
            expect,
            boxes_updated_min=math.floor(expect.boxes_updated_min * self.scale),
            boxes_updated_max=math.ceil(expect.boxes_updated_max * self.scale),
            boxes_failed_max=math.ceil(expect.boxes_failed_max * self.scale),
            boxes_silent_min=math.floor(expect.boxes_silent_min * self.scale),
            boxes_silent_max=math.ceil(expect.boxes_silent_max * self.scale),
            boxes_back_min=math.floor(expect.boxes_back_min * self.scale),
            boxes_back_max=math.ceil(expect.boxes_back_max * self.scale),
            boxes_not_back_min=math.floor(expect.boxes_not_back_min * self.scale),
            boxes_not_back_max=math.ceil(expect.boxes_not_back_max * self.scale),
        )
        return replace(self, scenario=replace(self.scenario, expect=found))
