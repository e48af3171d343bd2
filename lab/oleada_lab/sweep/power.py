"""The power-cut sweep: the plug is pulled after every operation of the disk, in every mode.

One undisturbed run is recorded, with a copy of the world after each operation. Each copy
is then cut in each mode; worlds that are the same are recovered once. In the recovery no
fault happens any more, so the box must come to rest where the story ends, and must have
told the server one verdict. A second cut in the recovery works alike.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import takewhile
from random import Random
from typing import Final

from oleada_lab.errors import LabError
from oleada_lab.sim.crash import NAMED, Kept
from oleada_lab.sim.disk import Op
from oleada_lab.sim.remember import remembering
from oleada_lab.sweep.box import Box
from oleada_lab.sweep.bugs import Bug
from oleada_lab.sweep.finding import Cut, Failure, Finding
from oleada_lab.sweep.judge import judge
from oleada_lab.sweep.kit import Kit, a_kit
from oleada_lab.sweep.sameness import Fingerprint, fingerprint
from oleada_lab.sweep.story import STORIES, Story, begin
from oleada_lab.sweep.world import World

SEED: Final = 20_261_122
RANDOM_DRAWS: Final = 2
SAMPLED_FIRST, SAMPLED_SECOND = 14, 5
"""Of a story: recoveries that are cut again, and cuts in each of them."""
DOUBLE_MODES: Final = (Kept.NONE, Kept.ALL, Kept.TORN)


class Double(StrEnum):
    """How many recoveries are cut a second time."""

    NONE = "none"
    SAMPLE = "sample"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class Mode:
    """A mode of loss, and how often it is drawn."""

    kept: Kept
    draws: int = 1

    def __str__(self) -> str:
        return f"{self.kept}:{self.draws}" if self.kept is Kept.RANDOM else str(self.kept)


MODES: Final = (*(Mode(kept) for kept in NAMED), Mode(Kept.RANDOM, RANDOM_DRAWS))


@dataclass(frozen=True, slots=True)
class Plan:
    """What to sweep.

    Attributes:
        stories: Their names.
        bug: Planted in the box's disk; None for the box as it is.
        shared: Cut also where a story does what the one that it is like does.
        failures_max: Stop a story after so many; None for all of them.
    """

    stories: tuple[str, ...] = tuple(STORIES)
    seed: int = SEED
    modes: tuple[Mode, ...] = MODES
    double: Double = Double.SAMPLE
    bug: Bug | None = None
    shared: bool = False
    failures_max: int | None = None


@dataclass(slots=True)
class Swept:
    """What came of one story.

    Attributes:
        ops: Operations of the undisturbed run, each of them a cut point.
        shared: Operations at its beginning that the story it is like has as well; not cut again.
        cuts: Single cuts: points times modes.
        double_cuts: Cuts in a recovery.
        recoveries: Worlds that were recovered; the rest were the same as one of them.
    """

    ops: list[Op] = field(default_factory=list)
    shared: int = 0
    cuts: int = 0
    double_cuts: int = 0
    recoveries: int = 0
    failures: list[Failure] = field(default_factory=list)


@dataclass(slots=True)
class Result:
    """What came of a plan; *cpu_s* is of this process."""

    plan: Plan
    stories: dict[str, Swept] = field(default_factory=dict)
    cpu_s: float = 0.0

    @property
    def cut_points(self) -> int:
        """Return after how many operations the plug was pulled."""
        return sum(len(swept.ops) - swept.shared for swept in self.stories.values())

    @property
    def failures(self) -> list[Failure]:
        """Return the failures of all stories."""
        return [one for swept in self.stories.values() for one in swept.failures]


def run_sweep(plan: Plan) -> Result:
    """Return what came of sweeping *plan*.

    Raises:
        LabError: a story fails without any cut; then cuts prove nothing.
    """
    started_s = time.process_time()
    result = Result(plan)
    with remembering():  # every recovery reads what another one has read
        for name in plan.stories:
            result.stories[name] = _Sweep(plan, STORIES[name], a_kit()).run()
    result.cpu_s = time.process_time() - started_s
    return result


def replay(plan: Plan, story: Story, cuts: Sequence[tuple[int, Kept, int]]) -> list[Finding]:
    """Return what is wrong after exactly these *cuts* (operation, mode, draw) of *story*.

    Raises:
        LabError: a run ended before the operation that was to be its last.
    """
    world = _begin(plan, story, a_kit())
    for number, kept, draw in cuts:
        points = {op.number: snap for op, snap in _record(story, world)[0]}
        if number not in points:
            raise LabError(f"There is no operation {number}; the run has {len(points)}.")
        world = points[number].after_cut(kept, _dice(plan.seed, number, draw))
    return _recover(story, world)


class _Sweep:
    """One story being swept."""

    def __init__(self, plan: Plan, story: Story, kit: Kit) -> None:
        self._plan, self._story, self._kit = plan, story, kit
        self._seen: set[Fingerprint] = set()
        self._found = Swept()
        self._chance = Random(f"{plan.seed}/{story.name}")

    def run(self) -> Swept:
        """Return what came of it."""
        found, story = self._found, self._story
        world = _begin(self._plan, story, self._kit)
        points, findings = _record(story, world)
        if findings:
            raise LabError(f"Story {story.name} fails without a cut: {findings[0].sentence}.")
        found.ops = [op for op, _ in points]
        found.shared = 0 if self._plan.shared else shared(story, found.ops)
        firsts = list(self._cuts_of(points[found.shared :], self._plan.modes))
        found.cuts = len(firsts)
        recovered = []
        for pair in firsts:
            if self._is_enough():
                return found
            if self._try((pair[0],), pair[1]):
                recovered.append(pair)
        for cut, cut_world in self._to_cut_again(recovered):
            self._cut_again(cut, cut_world)
        return found

    def _cuts_of(
        self, points: Sequence[tuple[Op, World]], modes: Sequence[Mode]
    ) -> Iterator[tuple[Cut, World]]:
        for op, world in points:
            for mode in modes:
                for draw in range(mode.draws):
                    dice = _dice(self._plan.seed, op.number, draw)
                    yield Cut(op, mode.kept, draw), world.after_cut(mode.kept, dice)

    def _try(self, cuts: tuple[Cut, ...], world: World) -> bool:
        """Recover *world* and return True; False if the same has been recovered before."""
        name = fingerprint(world)
        if name in self._seen:
            return False
        self._seen.add(name)
        self._found.recoveries += 1
        findings = _recover(self._story, world.fork())
        if findings:
            self._found.failures.append(Failure(self._story.name, cuts, findings[0]))
        return True

    def _is_enough(self) -> bool:
        most = self._plan.failures_max
        return most is not None and len(self._found.failures) >= most

    def _to_cut_again(self, firsts: list[tuple[Cut, World]]) -> list[tuple[Cut, World]]:
        if self._plan.double is Double.NONE:
            return []
        if self._plan.double is Double.ALL:
            return firsts
        chosen = self._chance.sample(range(len(firsts)), min(SAMPLED_FIRST, len(firsts)))
        return [firsts[index] for index in sorted(chosen)]

    def _cut_again(self, first: Cut, world: World) -> None:
        """Pull the plug once more, in the recovery of *world*."""
        points, _ = _record(self._story, world)
        if self._plan.double is Double.SAMPLE:
            count = min(SAMPLED_SECOND, len(points))
            chosen = sorted(self._chance.sample(range(len(points)), count))
            points = [points[index] for index in chosen]
        for cut, cut_world in self._cuts_of(points, [Mode(kept) for kept in DOUBLE_MODES]):
            self._found.double_cuts += 1
            self._try((first, cut), cut_world)


def operations(story: Story) -> list[Op]:
    """Return the operations of *story* when nothing disturbs it."""
    world = begin(story, a_kit(), SEED)
    found: list[Op] = []
    world.disk.watch = found.append
    _recover(story, world)
    return found


def shared(story: Story, ops: Sequence[Op]) -> int:
    """Return with how many of *ops* the story that *story* is like begins too, but for one.

    That one is cut in both, because only what follows it tells them apart.
    """
    others = operations(STORIES[story.like]) if story.like else []
    pairs = zip(ops, others, strict=False)
    return max(0, sum(1 for _ in takewhile(lambda p: _place(p[0]) == _place(p[1]), pairs)) - 1)


def _place(op: Op) -> tuple[str, str, int, int]:
    """Return what *op* did, but for the name of a message, which is of chance."""
    return op.kind, op.path.partition("-")[0], op.offset, op.size_bytes


def _begin(plan: Plan, story: Story, kit: Kit) -> World:
    world = begin(story, kit, plan.seed)
    if plan.bug is not None:
        plan.bug.plant(world.disk)
    return world


def _record(story: Story, world: World) -> tuple[list[tuple[Op, World]], list[Finding]]:
    """Let *world* go its way; return a copy of it after each operation, and what was wrong."""
    points: list[tuple[Op, World]] = []
    world.disk.watch = lambda op: points.append((op, world.fork()))
    return points, _recover(story, world)


def _recover(story: Story, world: World) -> list[Finding]:
    """Give the box of *world* power for good; return what is wrong when it rests."""
    box = Box(world)
    problem = box.live()
    return [problem] if problem is not None else judge(story, world, box.state)


def _dice(seed: int, number: int, draw: int) -> Random:
    return Random(f"{seed}/{number}/{draw}")
