"""The simulated twin of a real sweep: the same story, the same modes, the same planted bug.

The twin is swept whole, in virtual time, which takes seconds; then each real cut is held
against the simulated ones of the same step and mode. A fate that none of them had is a
disagreement: one of the two levels is wrong, and the other one knows where.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

from oleada_lab.real.cuts import Cut
from oleada_lab.real.steps import Logged, Step, stage_after, step, steps
from oleada_lab.real.verdict import Fate
from oleada_lab.sim.crash import Kept
from oleada_lab.sim.disk import Op
from oleada_lab.sweep.box import Box
from oleada_lab.sweep.bugs import Bug
from oleada_lab.sweep.finding import Kind
from oleada_lab.sweep.judge import judge
from oleada_lab.sweep.kit import a_kit
from oleada_lab.sweep.power import SEED
from oleada_lab.sweep.sameness import Fingerprint, fingerprint
from oleada_lab.sweep.story import ENROLMENT, UPDATE, Story, begin
from oleada_lab.sweep.world import World

PARTS: Final = (ENROLMENT, UPDATE)
"""A real box enrols and updates in one go; in virtual time these are two stories."""
FATES: Final = {Kind.BRICK: Fate.BRICK, Kind.STUCK: Fate.STUCK, Kind.LIE: Fate.LIE}


@dataclass(frozen=True, slots=True)
class Disagreement:
    """A real cut whose fate no simulated one of the same step and mode had."""

    cut: Cut
    simulated: frozenset[Fate]


@dataclass(frozen=True, slots=True)
class Twin:
    """What virtual time says of the story that real boxes live.

    Attributes:
        steps: Of the whole story, each where it first comes.
        fates: Of every simulated cut, by step and mode.
    """

    steps: Sequence[Step]
    fates: dict[tuple[Step, Kept], frozenset[Fate]]

    def known(self, one: Step, kept: Kept) -> frozenset[Fate]:
        """Return the fates of the cuts at *one* in mode *kept*; at any stage if it names none."""
        if (one, kept) in self.fates:
            return self.fates[one, kept]
        alike = (
            fates
            for (other, mode), fates in self.fates.items()
            if mode is kept and other[1:] == one[1:] and not one.stage
        )
        return frozenset[Fate]().union(*alike)


def a_twin(modes: Sequence[Kept], bug: Bug | None = None, seed: int = SEED) -> Twin:
    """Return the twin of a real sweep in *modes*, with the *bug* that it has."""
    fates = defaultdict[tuple[Step, Kept], set[Fate]](set)
    whole: list[Logged] = []
    known: dict[Fingerprint, Fate] = {}
    for story in PARTS:
        for logged, world in recorded(story, bug, seed):
            whole.append(logged)
            if (one := step(logged)) is not None:
                for kept in modes:
                    dark = world.after_cut(kept, Random(f"{seed}/{logged.op.number}"))
                    fates[one, kept].add(_fate(story, dark, known))
    return Twin(steps(whole), {key: frozenset(found) for key, found in fates.items()})


def recorded(story: Story, bug: Bug | None = None, seed: int = SEED) -> list[tuple[Logged, World]]:
    """Return what the simulated box writes in the undisturbed *story*, and the world at each."""
    world = begin(story, a_kit(), seed)
    if bug is not None:
        bug.plant(world.disk)
    log: list[tuple[Logged, World]] = []

    def note(op: Op) -> None:
        before = log[-1][0].stage if log else ""
        log.append((Logged(op, stage_after(op, world.disk, before)), world.fork()))

    world.disk.watch = note
    Box(world).live()
    return log


def _fate(story: Story, dark: World, known: dict[Fingerprint, Fate]) -> Fate:
    """Return what becomes of the box of *dark* when its power returns; equal ones end equally."""
    name = fingerprint(dark)
    if name not in known:
        box = Box(dark)
        problem = box.live()
        findings = [problem] if problem is not None else judge(story, dark, box.state)
        known[name] = _worst(findings[0].kind, dark) if findings else Fate.WELL
    return known[name]


def _worst(first: Kind, world: World) -> Fate:
    """Return the fate whose first finding is of kind *first*: a lie, if one was really told.

    The judge of virtual time also calls a lie what only follows from a box that is stuck,
    such as a floor that was not raised.
    """
    was_told = world.desk.lies or world.lies or len(world.desk.verdicts(1)) > 1
    return Fate.LIE if was_told and first is Kind.STUCK else FATES[first]


def disagreements(cuts: Iterable[Cut], twin: Twin) -> tuple[list[Disagreement], int]:
    """Return the cuts that virtual time contradicts, and how many it knows nothing of."""
    found: list[Disagreement] = []
    unknown = 0
    for cut in cuts:
        if cut.fault:  # virtual time plays faults in tests of their own
            continue
        one = None if cut.after is None else step(Logged(cut.after, cut.stage))
        known = frozenset[Fate]() if one is None else twin.known(one, cut.kept)
        if not known:
            unknown += 1
            known = frozenset({Fate.WELL})  # what decides nothing may change nothing
        if cut.verdict.fate not in known:
            found.append(Disagreement(cut, known))
    return found, unknown
