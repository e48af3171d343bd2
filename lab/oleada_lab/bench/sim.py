"""How fast virtual time is: device-days a CPU minute, events a second, peak memory.

The boxes are those of the stories: real machine, shell, journal, outbox, slots, boot
control and pauses on the lab's disk, the server's real plan, all over modelled lines and
broker, with every step in the trace and every invariant judged. Each fleet lives in a
process of its own, so that its memory is its own.

A *quiet* day is one on which nothing is rolled out, a *rollout* day one of a week's
rollout, an *update* day one on which every box gets a new version. In these nothing is
signed, and the server keeps rows in memory; *services* is an update day with its real
services on SQLite in memory and with signatures that each box checks.
"""

import gc
import json
import resource
import subprocess
import sys
from typing import Any, Final

from oleada_server.rollouts.states import BoxState

from oleada_lab import scenario, stories
from oleada_lab.clock import cpu_s
from oleada_lab.errors import LabError

BOXES: Final = 10_000
GOAL_PER_CPU_MINUTE: Final = 6_944
"""Device-days; 10 000 boxes then live 1 000 times faster than the clock on one core."""
DAY_MS: Final = 86_400_000
DAYS: Final[dict[str, tuple[float, ...]]] = {
    "quiet": (),
    "rollout": (0.01, 0.15),
    "update": (0.01, 0.1, 0.5, 1.0),
    "services": (0.01, 0.1, 0.5, 1.0),
}
"""Waves of each kind of day: a rollout that takes a week reaches a seventh of a fleet in one."""
IMAGE_PARTS: Final = 2
SERVICES_BOXES: Final = 500


def measure(boxes: int, seed: int) -> dict[str, Any]:
    """Return the figures of each kind of day; *update* for a tenth of the boxes."""
    found = {day: _elsewhere(day, boxes, seed) for day in ("quiet", "rollout")}
    found["update"] = _elsewhere("update", max(1, boxes // 10), seed)
    found["services"] = _elsewhere("services", min(SERVICES_BOXES, boxes), seed)
    return {
        "goal_device_days_per_cpu_minute": GOAL_PER_CPU_MINUTE,
        "met": found["rollout"]["device_days_per_cpu_minute"] >= GOAL_PER_CPU_MINUTE,
        **found,
    }


def day(kind: str, boxes: int, seed: int, hours: int = 24) -> dict[str, Any]:
    """Return what *hours* of such a day of *boxes* boxes took in this process."""
    server = scenario.SERVICES if kind == scenario.SERVICES else scenario.ROWS
    with stories.Stage(_story(boxes, DAYS[kind] or (1.0,), server), seed) as stage:
        stage.street.door.parts = IMAGE_PARTS
        for box in stage.boxes.values():
            box.plug_in()
        if DAYS[kind]:
            stage.world.after(stories.MINUTE_MS, stage.server.start)
        gc.freeze()  # boxes live to the end; looking for garbage among them is not what is measured
        began_s = cpu_s()
        stage.world.run(DAY_MS * hours // 24, lambda: False)
        return _figures(stage, boxes, cpu_s() - began_s)


def _figures(stage: stories.Stage, boxes: int, used_s: float) -> dict[str, Any]:
    return {
        "boxes": boxes,
        "server": stage.scenario.server,
        "is_signed": stage.street.is_signed,
        "health_s": stage.scenario.fleet.health,
        "updated": stage.server.states().get(BoxState.UPDATED, 0),
        "broken": len(stage.watch.broken),
        "events": stage.world.events,
        "events_per_s": round(stage.world.events / used_s),
        "cpu_s": round(used_s, 1),
        "device_days_per_cpu_minute": round(boxes / used_s * 60),
        "times_real_time": round(DAY_MS / 1000 / used_s),
        "peak_memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "trace": stage.world.trace_hash(),
    }


def _story(boxes: int, waves: tuple[float, ...], server: str) -> scenario.Scenario:
    return scenario.parse(
        {
            "schema": scenario.SCHEMA,
            "server": server,
            "name": "bench",
            "story": "A day of a fleet.",
            "fleet": {"count": boxes, "health": "1h"},
            "release": {"from": "1.0.0", "to": "1.1.0", "size": "8KiB"},
            "rollout": {"waves": list(waves), "in_flight_max": 2_000},
            "expect": {},
        }
    )


def _elsewhere(kind: str, boxes: int, seed: int) -> dict[str, Any]:
    words = [sys.executable, "-m", "oleada_lab.bench.sim", kind, str(boxes), str(seed)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise LabError(f"A {kind} day of {boxes} boxes died: {done.stderr[-600:]}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


if __name__ == "__main__":
    _kind, _boxes, _seed = sys.argv[1:]
    sys.stdout.write(json.dumps(day(_kind, int(_boxes), int(_seed))))
