"""A large download that is cut again and again: how much comes twice, and how it ends."""

import time
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

from oleada_agent.download import FETCHED_AGAIN_BYTES_MAX, PARTS_MAX
from oleada_agent.http_range import PART_BYTES

from oleada_lab.sim.crash import NAMED
from oleada_lab.sim.disk import Op, PowerCutError
from oleada_lab.sweep.box import Box
from oleada_lab.sweep.finding import Finding
from oleada_lab.sweep.judge import judge
from oleada_lab.sweep.kit import Line, a_kit
from oleada_lab.sweep.story import UPDATE, begin
from oleada_lab.sweep.world import World

IMAGE_BYTES: Final = 200_000_000
CUTS: Final = 50
LINE: Final = Line(PART_BYTES, 20, PARTS_MAX + 1)
"""Parts as the agent fetches them, some three million bytes a second, as many ahead as wait
between its two threads and in the hand of one."""
DARK_MS: Final = 300_000
OPERATIONS_LATER_MAX: Final = 12
"""A cut comes so many operations after its byte has come: in any step of a checkpoint."""


@dataclass(frozen=True, slots=True)
class Resumed:
    """What became of one download.

    Attributes:
        cuts: Times that the plug was pulled.
        again_bytes: What came again after each of them.
        fetched_bytes: All that came.
        findings: What was wrong at the end; nothing when the deployment ended well.
    """

    image_bytes: int
    cuts: int
    again_bytes: tuple[int, ...]
    fetched_bytes: int
    cpu_s: float
    findings: list[Finding] = field(default_factory=list)

    @property
    def met(self) -> bool:
        """Whether no cut cost more than was promised, and the box was updated at the first go."""
        is_small = max(self.again_bytes, default=0) <= FETCHED_AGAIN_BYTES_MAX
        return is_small and not self.findings

    def to_json(self) -> dict[str, Any]:
        """Return the figures of docs/how-to/read-a-sweep.md."""
        return {
            "image_bytes": self.image_bytes,
            "cuts": self.cuts,
            "fetched_bytes": self.fetched_bytes,
            "again_bytes_max": max(self.again_bytes, default=0),
            "again_bytes_limit": FETCHED_AGAIN_BYTES_MAX,
            "failures": [f"{one.kind}: {one.sentence}" for one in self.findings],
            "met": self.met,
            "cpu_s": round(self.cpu_s, 2),
        }


def run_resume(image_bytes: int = IMAGE_BYTES, cuts: int = CUTS, seed: int = 1) -> Resumed:
    """Download an image of *image_bytes*, cut *cuts* times at operations drawn with *seed*."""
    started_s = time.process_time()
    dice = Random(seed)
    world = begin(UPDATE, a_kit(image_bytes), seed)
    world.line, world.dark_ms = LINE, DARK_MS
    done = 0
    for at in sorted(dice.randrange(image_bytes) for _ in range(cuts)):
        if _cut(world, at, dice.randrange(OPERATIONS_LATER_MAX)):
            done += 1
            world = world.after_cut(dice.choice(NAMED), dice)
    world.disk.watch = None
    box = Box(world)
    problem = box.live()
    findings = [problem] if problem is not None else judge(UPDATE, world, box.state)
    return Resumed(
        image_bytes,
        done,
        world.again_bytes,
        world.fetched_bytes,
        time.process_time() - started_s,
        findings,
    )


def _cut(world: World, at: int, later: int) -> bool:
    """Let the box live until *later* operations after byte *at* has come; return whether it was."""
    left = later

    def watch(op: Op) -> None:
        nonlocal left
        if world.fetched_to >= at:
            left -= 1
        if left < 0:
            raise PowerCutError(op)

    world.disk.watch = watch
    try:
        Box(world).live()
    except PowerCutError:
        return True
    return False
