"""The simulated twin of a real sweep: the same story, the same modes, the same planted bug.

The twin is swept whole, in virtual time, which takes seconds; then each real cut is held
against the simulated ones of the same step and mode. A fate that none of them had is a
disagreement: one of the two levels is wrong, and the other one knows where. A cut in a
recovery is held against the cuts at the same step in the recoveries of the same first cut.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Final

from oleada_lab.real.cuts import Cut
from oleada_lab.real.steps import Logged, Step, stage_after, stage_of, step, steps
from oleada_lab.real.tale import UPDATED
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
from oleada_lab.sweep.story import Story, begin
from oleada_lab.sweep.world import World

FATES: Final = {Kind.BRICK: Fate.BRICK, Kind.STUCK: Fate.STUCK, Kind.LIE: Fate.LIE}
Where = tuple[Step, Kept]


@dataclass(frozen=True, slots=True)
class Disagreement:
    """A real cut whose fate no simulated one of the same step and mode had."""

    cut: Cut
    simulated: frozenset[Fate]


@dataclass(frozen=True, slots=True)
class Moment:
    """The world after one operation of a simulated story."""

    story: Story
    logged: Logged
    world: World

    def dark(self, kept: Kept, seed: int) -> World:
        """Return the world after a cut at this moment, switched off."""
        return self.world.after_cut(kept, Random(f"{seed}/{self.logged.op.number}"))


@dataclass(slots=True)
class Cuts:
    """Moments of one life in virtual time, cut when somebody asks what becomes of the box.

    Attributes:
        fates: What is known so far, by step and mode.
    """

    moments: Sequence[Moment] = ()
    fates: dict[Where, frozenset[Fate]] = field(default_factory=dict)
    _asked: set[tuple[str, str, Kept]] = field(default_factory=set)

    def of(self, where: Where, seed: int, ends: dict[Fingerprint, Fate]) -> frozenset[Fate]:
        """Return the fates of the cuts at *where*; of its step at any stage if it names none.

        Args:
            ends: What became of worlds that were recovered; more are added.
        """
        one, kept = where
        if (one.kind, one.role, kept) not in self._asked:
            self._asked.add((one.kind, one.role, kept))
            for moment in self.moments:
                self._cut(moment, where, seed, ends)
        if where in self.fates:
            return self.fates[where]
        alike = (
            found
            for (other, mode), found in self.fates.items()
            if mode is kept and other[1:] == one[1:] and not one.stage
        )
        return frozenset[Fate]().union(*alike)

    def _cut(self, moment: Moment, where: Where, seed: int, ends: dict[Fingerprint, Fate]) -> None:
        one, (wanted, kept) = step(moment.logged), where
        if one is not None and one[1:] == wanted[1:]:
            fate = _fate(moment.story, moment.dark(kept, seed), ends)
            self.fates[one, kept] = self.fates.get((one, kept), frozenset()) | {fate}


@dataclass(slots=True)
class Twin:
    """What virtual time says of the story that real boxes live.

    Attributes:
        steps: Of the whole story, each where it first comes.
        life: The whole story, to be cut.
    """

    steps: Sequence[Step]
    life: Cuts
    seed: int = SEED
    _ends: dict[Fingerprint, Fate] = field(default_factory=dict)
    _recoveries: dict[Where, Cuts] = field(default_factory=dict)

    def of(self, cut: Cut) -> frozenset[Fate]:
        """Return the fates of the cuts like *cut*; none when there is no such cut."""
        where = _where(cut)
        if where is None:
            return frozenset()
        if cut.first is None:
            return self.life.of(where, self.seed, self._ends)
        first = _where(cut.first)
        if first is None:
            return frozenset()
        found = self._after(first).of(where, self.seed, self._ends)
        # A real life goes on where a simulated story ends: then the second cut is the first of
        # the next story.
        return found or self.life.of(where, self.seed, self._ends)

    def _after(self, first: Where) -> Cuts:
        """Return the recoveries of the cuts *first*, to be cut."""
        if first not in self._recoveries:
            one, kept = first
            found: list[Moment] = []
            for moment in self.life.moments:
                if step(moment.logged) == one:
                    dark = moment.dark(kept, self.seed)
                    found += recorded(moment.story, dark, stage_of(dark.disk))
            self._recoveries[first] = Cuts(found)
        return self._recoveries[first]


def a_twin(
    bug: Bug | None = None, parts: Sequence[Story] = UPDATED.parts, seed: int = SEED
) -> Twin:
    """Return the twin of a real sweep, with the *bug* that it has."""
    moments = [moment for story in parts for moment in a_life(story, bug, seed)]
    return Twin(steps([moment.logged for moment in moments]), Cuts(moments), seed)


def a_life(story: Story, bug: Bug | None = None, seed: int = SEED) -> list[Moment]:
    """Return what the simulated box writes in the undisturbed *story*, and the world at each."""
    world = begin(story, a_kit(), seed)
    if bug is not None:
        bug.plant(world.disk)
    return recorded(story, world)


def recorded(story: Story, world: World, began_in: str = "") -> list[Moment]:
    """Let *world* go its way; return it after each operation.

    Args:
        began_in: The stage that the journal names; empty where the life before is left out.
    """
    log: list[Moment] = []

    def note(op: Op) -> None:
        before = log[-1].logged.stage if log else began_in
        log.append(Moment(story, Logged(op, stage_after(op, world.disk, before)), world.fork()))

    world.disk.watch = note
    Box(world).live()
    return log


def disagreements(cuts: Iterable[Cut], twin: Twin) -> tuple[list[Disagreement], int]:
    """Return the cuts that virtual time contradicts, and how many it knows nothing of."""
    found: list[Disagreement] = []
    unknown = 0
    for cut in cuts:
        if cut.fault:  # virtual time plays faults in tests of their own
            continue
        simulated = twin.of(cut)
        if not simulated:
            unknown += 1
            simulated = frozenset({Fate.WELL})  # what decides nothing may change nothing
        if cut.verdict.fate not in simulated:
            found.append(Disagreement(cut, simulated))
    return found, unknown


def _where(cut: Cut) -> Where | None:
    one = None if cut.after is None else step(Logged(cut.after, cut.stage))
    return None if one is None else (one, cut.kept)


def _fate(story: Story, dark: World, ends: dict[Fingerprint, Fate]) -> Fate:
    """Return what becomes of the box of *dark* when its power returns; equal ones end equally."""
    name = fingerprint(dark)
    if name not in ends:
        box = Box(dark)
        problem = box.live()
        findings = [problem] if problem is not None else judge(story, dark, box.state)
        ends[name] = _worst(findings[0].kind, dark) if findings else Fate.WELL
    return ends[name]


def _worst(first: Kind, world: World) -> Fate:
    """Return the fate whose first finding is of kind *first*: a lie, if one was really told.

    The judge of virtual time also calls a lie what only follows from a box that is stuck,
    such as a floor that was not raised.
    """
    was_told = world.desk.lies or world.lies or len(world.desk.verdicts(1)) > 1
    return Fate.LIE if was_told and first is Kind.STUCK else FATES[first]
