"""One wave of a rollout that is played: its boxes by version before, as rows would hold them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from oleada_server.rollouts import plan
from oleada_server.rollouts.plan import Accepted, Limits, Tally, WaveFacts
from oleada_server.rollouts.states import WaveState


@dataclass(slots=True)
class Wave:
    """Boxes of one wave; every list has one number for each version before.

    Attributes:
        sizes: Boxes.
        good: That have reported healthy, their trial old enough or not.
        ripe: Of them, those whose trial is old enough.
        held_for: Why the wave is held, while it is.
    """

    sizes: list[int]
    state: WaveState = WaveState.WAITING
    soak_from: datetime | None = None
    held_for: str | None = None
    accepted: Accepted = field(default_factory=Accepted)
    begun: list[int] = field(init=False)
    good: list[int] = field(init=False)
    ripe: list[int] = field(init=False)
    bad: list[int] = field(init=False)
    silent: list[int] = field(init=False)

    def __post_init__(self) -> None:
        for name in ("begun", "good", "ripe", "bad", "silent"):
            setattr(self, name, [0] * len(self.sizes))

    def tally(self, going: Sequence[int]) -> Tally:
        """Return the outcomes of the boxes that ran one of the versions *going*."""
        good, bad, silent, boxes = (
            sum(which[part] for part in going)
            for which in (self.good, self.bad, self.silent, self.sizes)
        )
        return Tally(boxes - good - bad - silent, good, bad, silent)

    def facts(self, position: int, going: Sequence[int], limits: Limits) -> WaveFacts:
        """Return what the plan decides on."""
        tally = self.tally(going)
        return WaveFacts(
            position, self.state, tally, limits, self.soak_from, self.held_for, self.accepted,
            halted=sum(self.sizes) - tally.boxes,
            unripe=tally.good - sum(self.ripe[part] for part in going),
        )  # fmt: skip

    def next_boxes(self, free: int, going: Sequence[int]) -> list[int]:
        """Return how many boxes of each version begin in *free* places, each its share."""
        left = [
            size - begun if part in going else 0
            for part, (size, begun) in enumerate(zip(self.sizes, self.begun, strict=True))
        ]
        found, waiting = [0] * len(left), sum(left)
        free = min(free, waiting)
        for part, boxes in enumerate(left):  # what rounding leaves goes to who comes later
            found[part] = round(free * boxes / waiting) if waiting else 0
            free, waiting = free - found[part], waiting - boxes
        return found

    def heard_late(self, part: int, boxes: int) -> None:
        """Note that *boxes* that had fallen silent are good."""
        self.silent[part] -= boxes
        self.good[part] += boxes
        self.ripe[part] += boxes

    def accept(self, going: Sequence[int]) -> bool:
        """Let a person take responsibility for the wave as it is; return whether that is news."""
        tally, before = self.tally(going), self.accepted
        if tally.good:  # else nothing is proven, and nobody may
            self.accepted = Accepted(tally.silent, None if tally.pending else tally.good)
        return self.accepted != before

    def move(
        self,
        to: plan.OpenWave | plan.StartSoak | plan.PassWave | plan.HoldWave,
        now: datetime,
    ) -> None:
        """Store what was decided."""
        self.held_for = None
        match to:
            case plan.OpenWave():
                self.state = WaveState.OPEN
            case plan.StartSoak():
                self.state, self.soak_from = WaveState.SOAKING, now
            case plan.PassWave():
                self.state = WaveState.PASSED
            case plan.HoldWave(_, reason):
                self.state, self.soak_from, self.held_for = WaveState.HELD, None, reason
