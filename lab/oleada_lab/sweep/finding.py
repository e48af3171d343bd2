"""What a sweep finds: three kinds of failure, and where."""

from dataclasses import dataclass
from enum import StrEnum

from oleada_lab.sim.crash import Kept
from oleada_lab.sim.disk import Op


class Kind(StrEnum):
    """The ways to fail a box: three after a power cut, and one more when its disk fails."""

    BRICK = "brick"
    """Nothing boots, or only luck decides what does."""
    STUCK = "stuck"
    """It runs, but does not come to where it should be."""
    LIE = "lie"
    """It told the server what is not so, told it twice, or forgot what it had promised."""
    UNTOLD = "untold"
    """Its disk refused something, and nobody was told."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it must be."""

    kind: Kind
    sentence: str


@dataclass(frozen=True, slots=True)
class Cut:
    """One pull of the plug.

    Attributes:
        op: The operation of the disk that was the last one done.
        kept: What of the unsynced changes has reached the medium.
        draw: Which of the random mixtures; 0 for the named modes.
    """

    op: Op
    kept: Kept
    draw: int = 0

    def __str__(self) -> str:
        draw = f":{self.draw}" if self.kept is Kept.RANDOM else ""
        return f"{self.op.number}:{self.kept}{draw} ({self.op.kind} {self.op.path})"


@dataclass(frozen=True, slots=True)
class Failure:
    """A finding, and the cuts that led to it."""

    story: str
    cuts: tuple[Cut, ...]
    finding: Finding
