"""What the agent costs a box: private memory, resident memory and CPU while idle.

One real agent, enrolled and connected, with nothing to do; its numbers come from the
kernel (``/proc/<pid>/smaps_rollup`` and ``/proc/<pid>/stat`` through psutil).
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import psutil

from oleada_lab.boxes import Box, powered
from oleada_lab.clock import monotonic_s, sleep_s
from oleada_lab.errors import BoxError
from oleada_lab.firmware.image import ImageSpec, build_small_image
from oleada_lab.operator import Operator, Places, wait_until

SETTLE_S: Final = 10
WATCH_S: Final = 60
USS_BYTES_GOAL: Final = 20_000_000
"""Private memory, idle; the goal of docs/explanation/agent.md."""
CPU_SHARE_GOAL: Final = 0.001


@dataclass(frozen=True, slots=True)
class Footprint:
    """One agent, idle for *watched_s* seconds; *cpu_share* is of one core, 0 to 1."""

    uss_bytes: int
    rss_bytes: int
    cpu_share: float
    threads: int
    watched_s: float


def measure(home: Path, watch_s: float = WATCH_S) -> dict[str, Any]:
    """Return the footprint of one agent on a server in *home*, and the goals.

    Raises:
        LabError: Server or box did not start.
    """
    operator = Operator(Places.under(home))
    with operator.server:
        operator.establish(["VX-410"])
        image = build_small_image(ImageSpec("VX-410", "1.0.0"), home / "factory.img")
        box = operator.add_box("410FOOT00001", "VX-410", image.path)
        with powered([box]):
            wait_until(
                lambda: any(device["version"] for device in operator.devices()),
                60,
                "the box has said hello",
            )
            sleep_s(SETTLE_S)
            found = watch(agent_of(box), watch_s)
    return {
        **asdict(found),
        "goals": {"uss_bytes_max": USS_BYTES_GOAL, "cpu_share_max": CPU_SHARE_GOAL},
        "met": found.uss_bytes <= USS_BYTES_GOAL and found.cpu_share <= CPU_SHARE_GOAL,
    }


def agent_of(box: Box) -> psutil.Process:
    """Return the agent's process of *box*.

    Raises:
        BoxError: The box is off, or its agent does not run.
    """
    for child in psutil.Process(box.pid).children(recursive=True):
        if any(part.endswith("agent.pyz") for part in child.cmdline()):
            return child
    raise BoxError(f"The agent of box {box.name} does not run.")


def watch(process: psutil.Process, watch_s: float) -> Footprint:
    """Return what *process* takes in *watch_s* seconds from now on."""
    before, from_s = process.cpu_times(), monotonic_s()
    sleep_s(watch_s)
    after, watched_s = process.cpu_times(), monotonic_s() - from_s
    memory = process.memory_full_info()
    used_s = (after.user + after.system) - (before.user + before.system)
    return Footprint(memory.uss, memory.rss, used_s / watched_s, process.num_threads(), watched_s)
