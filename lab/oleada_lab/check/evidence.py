"""S11 to S13: what must be so of the evidence of a rollout, judged from boxes' own facts.

A rollout by limits alone tells nothing of this, and breaks nothing of it.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import ClassVar, Final

from oleada_lab.check import facts
from oleada_lab.check.facts import Fact
from oleada_lab.check.safety import Terms

GOOD: Final = "good"
UPDATED: Final = b'"phase":"updated"'


@dataclass(slots=True)
class CountedOnce:
    """S11: an attempt begins once, ends once at a time, and is good only if its box is.

    And only if the box has said so: one that nobody can hear is never good.
    """

    terms: Terms
    name: ClassVar[str] = "S11"
    hears: ClassVar[tuple[type, ...]] = (
        facts.BoxMade, facts.SlotProven, facts.SentBack, facts.Spoke, facts.Counted,
    )  # fmt: skip
    stands_for: dict[tuple[int, str, int], str] = field(default_factory=dict)
    factory: dict[str, str] = field(default_factory=dict)
    proven: dict[str, str] = field(default_factory=dict)
    back_to: dict[tuple[int, str], str] = field(default_factory=dict)
    said: set[str] = field(default_factory=set)

    def see(self, fact: Fact) -> str | None:
        """Judge one fact."""
        match fact:
            case facts.BoxMade(box, version):
                self.factory[box] = version
            case facts.SlotProven(box=box, version=version):
                self.proven[box] = version
            case facts.SentBack(box, version, rollout):
                self.back_to[rollout, box] = version
                self.said.discard(box)  # what it said of the release that it leaves
            case facts.Spoke(box, "report", payload) if UPDATED in payload:
                self.said.add(box)
            case facts.Counted():
                return self._counted(fact)
            case _:
                pass
        return None

    def _counted(self, fact: facts.Counted) -> str | None:
        key = fact.rollout, fact.box, fact.attempt
        before = self.stands_for.get(key)
        self.stands_for[key] = fact.now
        if before != fact.was or fact.was == fact.now:
            return f"{fact.box} stands for {before}, and is counted from {fact.was} to {fact.now}"
        if fact.now == GOOD and not self._has_kept(fact):
            return f"{fact.box} is counted as good, but has not kept the release"
        if fact.now == GOOD and fact.box not in self.said:
            return f"{fact.box} is counted as good, but has not said that it is"
        return None

    def _has_kept(self, fact: facts.Counted) -> bool:
        proven = self.proven.get(fact.box)
        if (back_to := self.back_to.get((fact.rollout, fact.box))) is not None:
            return proven == back_to
        return proven not in {None, self.factory.get(fact.box)}


@dataclass(slots=True)
class Gate:
    """S12: no wave opens, and nothing finishes, on fewer good boxes than prove anything.

    Judged of the rollout that the story plans: for one back it has agreed on no number.
    """

    terms: Terms
    name: ClassVar[str] = "S12"
    hears: ClassVar[tuple[type, ...]] = (facts.Counted, facts.WaveOpened, facts.RolloutMoved)
    counted: Counter[str] = field(default_factory=Counter)

    def see(self, fact: Fact) -> str | None:
        """Judge one fact."""
        match fact:
            case facts.Counted(was=was, now=now, rollout=1):
                self.counted[now] += 1
                if was is not None:
                    self.counted[was] -= 1
            case facts.WaveOpened(wave, rollout=1) if wave > 1:
                return self._gate(f"wave {wave} opens")
            case facts.RolloutMoved("finished", 1):
                return self._gate("the rollout finishes")
            case _:
                pass
        return None

    def _gate(self, what: str) -> str | None:
        if self.counted[GOOD] >= self.terms.proof_boxes_min:
            return None
        needed = self.terms.proof_boxes_min
        return f"{what} on {self.counted[GOOD]} boxes that proved good, of {needed}"


@dataclass(slots=True)
class KilledAnywhere:
    """S13: a server that is killed at a commit and starts again leaves what others leave."""

    terms: Terms
    name: ClassVar[str] = "S13"
    hears: ClassVar[tuple[type, ...]] = (facts.KilledServer,)

    def see(self, fact: Fact) -> str | None:
        """Judge one fact."""
        return fact.what if isinstance(fact, facts.KilledServer) else None


ALL: Final = (CountedOnce, Gate, KilledAnywhere)
