"""The fault sweep: the disk refuses, at every one of its operations, in every way; or it rots.

The same stories as in the power-cut sweep, but nobody pulls the plug: an operation fails
once, or everything does from there on until the disk heals, or a bit of what was just
made durable flips. Then the box must live on, come to rest with a true verdict for each
attempt, and somebody must have been told of what the disk did.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from random import Random
from typing import Any, Final

from oleada_agent import keypairs
from oleada_agent.boot import control
from oleada_agent.machine_states import Idle, State
from oleada_agent.outbox import DIRECTORY
from oleada_wire.words import Phase

from oleada_lab.errors import LabError
from oleada_lab.sim.crash import Kept
from oleada_lab.sim.disk import IO_ERROR, NO_SPACE, Fault, Op, PowerCutError
from oleada_lab.sim.remember import remembering
from oleada_lab.sweep import renewing
from oleada_lab.sweep.box import Box
from oleada_lab.sweep.desk import LOST_KEY
from oleada_lab.sweep.finding import Finding, Kind
from oleada_lab.sweep.judge import LEFTOVERS, judge
from oleada_lab.sweep.kit import a_kit
from oleada_lab.sweep.power import SEED, operations, shared
from oleada_lab.sweep.report import FAILURES_SHOWN
from oleada_lab.sweep.story import STORIES, Story, begin
from oleada_lab.sweep.world import World

READ_ONLY: Final = "Read-only file system"
HEALS_AFTER_MS: Final = 2 * 3_600_000
"""Longer than every wait of the agent but those that the server asks for."""
MEMORY: Final = "run/"
"""Is memory on a box: it does not fail as flash does."""
FULL: Final = frozenset({"create", "mkdir", "pwrite"})


WRITTEN_OVER: Final = "data/first-block.tmp"
"""Is left when it could not be removed in its one moment; the next download writes it anew."""


SAID_AT_HOME: Final = {
    "data/trial.log": "the boot program's, which talks to nobody; only that log is lost",
    "data/identity": "of the process beside the agent that renews, and asks again",
}
"""Refusals of which the box's own log knows, and no server; a box that is not enrolled has none."""


A_KEY_IS_LOST: Final = (LOST_KEY, renewing.REFUSED)
"""What may come of a key that has rotted: the box asks again, with another one."""


class Trouble(StrEnum):
    """What a disk does instead of what it is told."""

    ONCE = "eio_once"
    FILE = "eio_file"
    FOREVER = "eio_forever"
    FULL = "enospc"
    READ_ONLY = "read_only"
    ROT = "bit_rot"
    ROT_AND_CUT = "bit_rot_cut"


ROTS: Final = (Trouble.ROT, Trouble.ROT_AND_CUT)
"""Nothing is refused then: the bytes are others than were written."""


@dataclass(frozen=True, slots=True)
class Struck:
    """One run: *trouble* from operation *op* on.

    Attributes:
        at_home: Only the box's own log can know of it.
    """

    op: Op
    trouble: Trouble
    at_home: bool = False

    def __str__(self) -> str:
        return f"{self.op.number}:{self.trouble} ({self.op.kind} {self.op.path})"


@dataclass(frozen=True, slots=True)
class Failure:
    """What was wrong after one run."""

    story: str
    struck: Struck
    finding: Finding


@dataclass(frozen=True, slots=True)
class Plan:
    """What to sweep; *every* takes each n-th operation, beginning with one that the seed draws."""

    stories: tuple[str, ...] = tuple(STORIES)
    troubles: tuple[Trouble, ...] = tuple(Trouble)
    seed: int = SEED
    every: int = 1


@dataclass(slots=True)
class Result:
    """What came of a plan.

    Attributes:
        points: Operations at which trouble began, by story.
        runs: Lives with trouble in them, by kind.
        attempts: How many it took, by how many runs took so many.
    """

    plan: Plan
    points: dict[str, int] = field(default_factory=dict)
    runs: dict[Trouble, int] = field(default_factory=dict)
    attempts: dict[int, int] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    cpu_s: float = 0.0


def run_sweep(plan: Plan) -> Result:
    """Return what came of sweeping *plan*.

    Raises:
        LabError: a story has nothing to strike.
    """
    started_s = time.process_time()
    result = Result(plan)
    with remembering():  # every box reads what another one has read
        for name in plan.stories:
            story = STORIES[name]
            start = begin(story, a_kit(), plan.seed)
            for struck in _strikes(plan, story, result):
                _add(result, story, struck, *_live(plan, story, struck, start.fork()))
    result.cpu_s = time.process_time() - started_s
    return result


def replay(plan: Plan, story: Story, number: int, trouble: Trouble) -> list[Finding]:
    """Return what is wrong after *trouble* from operation *number* of *story* on.

    Raises:
        LabError: there is no such operation.
    """
    all_ops = operations(story)
    for op in all_ops:
        if op.number == number:
            world = begin(story, a_kit(), plan.seed)
            struck = Struck(op, trouble, _is_at_home(all_ops, op))
            return _live(plan, story, struck, world)[0]
    raise LabError(f"There is no operation {number} in story {story.name}.")


def _strikes(plan: Plan, story: Story, result: Result) -> Iterator[Struck]:
    all_ops = operations(story)
    ops = [op for op in all_ops[shared(story, all_ops) :] if not op.path.startswith(MEMORY)]
    if not ops:
        raise LabError(f"Story {story.name} writes nothing.")
    first = Random(f"{plan.seed}/{story.name}").randrange(plan.every)
    chosen = ops[first :: plan.every]
    result.points[story.name] = len(chosen)
    for op in chosen:
        for trouble in plan.troubles:
            if _makes_sense(op, trouble):
                yield Struck(op, trouble, _is_at_home(all_ops, op))


def _is_at_home(all_ops: Sequence[Op], op: Op) -> bool:
    """Return whether *op* is of a file in ``SAID_AT_HOME``, or syncs the name that it just got."""
    files = (one for one in reversed(all_ops) if one.number <= op.number)
    of = next((one for one in files if one.kind != "fsync_dir"), op)
    return of.path.startswith(tuple(SAID_AT_HOME))


def _makes_sense(op: Op, trouble: Trouble) -> bool:
    """Return whether *trouble* at *op* is other than at the operation after it."""
    if trouble in ROTS:
        return op.kind in ("fsync", "rename")
    if trouble is Trouble.FULL:
        return op.kind in FULL
    return True


def _live(plan: Plan, story: Story, struck: Struck, world: World) -> tuple[list[Finding], World]:
    """Return what is wrong after one life of *world*, and the world at its end."""
    _strike(world, struck, plan.seed)
    problem = None
    with suppress(PowerCutError):
        problem = Box(world).live()
    # Every box is started once more one day; what was set aside is cleared away then.
    world.disk = world.disk.after_cut(Kept.ALL)
    box = Box(world)
    problem = problem or box.live()
    if problem is not None:
        return [problem], world
    findings = _judge(story, world, box.state, struck)
    can_tell = story.is_enrolled and not struck.at_home
    if can_tell and struck.trouble not in ROTS:
        findings += _told(world)
    return findings, world


def _strike(world: World, struck: Struck, seed: int) -> None:
    op, trouble = struck.op, struck.trouble
    if trouble in ROTS:
        _let_rot(world, struck, Random(f"{seed}/{op.number}"))
        return
    at, file = op.number, op.path.removesuffix(".tmp")
    world.disk.faults = {
        Trouble.ONCE: (Fault(at),),
        Trouble.FILE: (Fault(at, IO_ERROR, forever=True, on=file),),
        Trouble.FOREVER: (Fault(at, IO_ERROR, forever=True, but=MEMORY),),
        Trouble.FULL: (Fault(at, NO_SPACE, forever=True, but=MEMORY, kinds=FULL),),
        Trouble.READ_ONLY: (Fault(at, READ_ONLY, forever=True, but=MEMORY),),
    }[trouble]
    if trouble is not Trouble.ONCE:
        world.heals_ms = world.now_ms + HEALS_AFTER_MS


def _let_rot(world: World, struck: Struck, dice: Random) -> None:
    """Flip a bit of the file that an operation has just made durable."""
    path = struck.op.to or struck.op.path

    def watch(done: Op) -> None:
        if done.number != struck.op.number:
            return
        if size_bytes := world.disk.size_bytes(path):
            world.disk.rot(path, dice.randrange(size_bytes))
        if struck.trouble is Trouble.ROT_AND_CUT:
            raise PowerCutError(done)

    world.disk.watch = watch


def _add(
    result: Result, story: Story, struck: Struck, findings: list[Finding], world: World
) -> None:
    result.runs[struck.trouble] = result.runs.get(struck.trouble, 0) + 1
    attempts = world.desk.attempt
    result.attempts[attempts] = result.attempts.get(attempts, 0) + 1
    result.failures += [Failure(story.name, struck, one) for one in findings[:1]]


# -- what must be true -----------------------------------------------------------------


def _judge(story: Story, world: World, state: State | None, struck: Struck) -> list[Finding]:
    """Return what is wrong: the story's own ending is right, and so is any that is true.

    A disk that fails may cost an attempt, and a slot its trial; never the truth.
    """
    if not judge(story, world, state):
        return []
    rotted = struck.trouble in ROTS and struck.op.path.startswith(keypairs.DIRECTORY)
    return [
        *_true_ending(story, world, state, rotted=rotted),
        *renewing.judge_pair(world),
    ]


def _true_ending(story: Story, world: World, state: State | None, *, rotted: bool) -> list[Finding]:
    """Return what is wrong whatever the ending.

    A key that has *rotted* is lost, and another one is asked for with the pair in use.
    """
    said = (*world.desk.lies, *world.lies)
    lies = [
        Finding(Kind.LIE, one) for one in said if not (rotted and one.startswith(A_KEY_IS_LOST))
    ]
    if state is None:
        return [Finding(Kind.STUCK, "the agent never ran"), *lies]
    return [*lies, *_place(story, world, state), *_rest(world)]


def _place(story: Story, world: World, state: State) -> list[Finding]:
    found = []
    if not isinstance(state.stage, Idle):
        found.append(f"the box rests in {type(state.stage).__name__}")
    verdicts = world.desk.verdicts(world.desk.attempt)
    if story.ending is not None and not verdicts:
        found.append(f"the server was told no verdict of attempt {world.desk.attempt}")
    is_updated = bool(verdicts) and verdicts[-1].phase is Phase.UPDATED
    place = story.release.new if is_updated else story.release.old
    running = state.running
    if (running.slot, running.version) != (place.slot, place.version):
        found.append(f"{running.slot} {running.version} runs; {place.slot} {place.version} was to")
    said = control.FileBootControl(world.disk).load()
    if said is None or not said.of(running.slot).successful or not running.successful:
        found.append(f"slot {running.slot} runs and is not proven")
    stuck = [Finding(Kind.STUCK, sentence) for sentence in found]
    if state.security_floor < place.security_version:
        sentence = f"the security floor is {state.security_floor} on {place.version}"
        stuck.append(Finding(Kind.LIE, sentence))
    return stuck


def _rest(world: World) -> list[Finding]:
    found = []
    if waiting := world.disk.list(DIRECTORY):
        found.append(Finding(Kind.STUCK, f"{len(waiting)} messages were never acknowledged"))
    left = [path for path in world.disk.files() if path.endswith(LEFTOVERS[:2])]
    left = [path for path in left if path != WRITTEN_OVER]
    if left:
        found.append(Finding(Kind.STUCK, f"never cleared away: {', '.join(left)}"))
    if world.pings > 1:
        found.append(Finding(Kind.LIE, f"one command was carried out {world.pings} times"))
    return found


def _told(world: World) -> list[Finding]:
    """Return a finding if the disk refused something and the server heard nothing of it."""
    said = (*world.desk.logs, *(str(told.reason) for told in world.desk.reports.values()))
    words = (IO_ERROR, NO_SPACE, READ_ONLY, "storage")
    if world.disk.misdeeds and not any(word in line for line in said for word in words):
        return [Finding(Kind.UNTOLD, "the disk refused something, and nobody was told")]
    return []


def to_json(result: Result) -> dict[str, Any]:
    """Return the figures that docs/how-to/read-a-sweep.md explains."""
    kinds = [failure.finding.kind for failure in result.failures]
    return {
        "points": sum(result.points.values()),
        "runs": sum(result.runs.values()),
        "troubles": {str(trouble): runs for trouble, runs in result.runs.items()},
        "attempts": {str(count): runs for count, runs in sorted(result.attempts.items())},
        "bricks": kinds.count(Kind.BRICK),
        "stuck": kinds.count(Kind.STUCK),
        "lies": kinds.count(Kind.LIE),
        "untold": kinds.count(Kind.UNTOLD),
        "cpu_s": round(result.cpu_s, 2),
        "stories": dict(result.points),
        "failures": [_failure(one, result.plan) for one in result.failures[:FAILURES_SHOWN]],
    }


def to_text(result: Result) -> str:
    """Return the result in words, failures with the command that repeats each."""
    found = to_json(result)
    lines = [
        f"{found['runs']} lives with trouble from one of {found['points']} operations on: "
        f"{found['bricks']} bricks, {found['stuck']} stuck, {found['lies']} lies, "
        f"{found['untold']} untold ({found['cpu_s']} s of CPU)"
    ]
    for failure in found["failures"]:
        lines += [
            f"{failure['kind']}: {failure['sentence']}",
            f"  story {failure['story']}, {failure['struck']}",
            f"  again: {failure['again']}",
        ]
    return "\n".join(lines)


def _failure(failure: Failure, plan: Plan) -> dict[str, Any]:
    struck = failure.struck
    return {
        "kind": str(failure.finding.kind),
        "sentence": failure.finding.sentence,
        "story": failure.story,
        "struck": str(struck),
        "again": f"oleada-lab sweep faults --story {failure.story} --seed {plan.seed} "
        f"--strike {struck.op.number}:{struck.trouble}",
    }
