"""What happens to real boxes in a sweep, how it must end, and which simulated stories that is."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from oleada_wire.words import Phase, Reason

from oleada_lab.sweep.story import ENROLMENT, UNBOOTABLE, UNHEALTHY, UPDATE, Story

ARMED: Final = "Armed"


@dataclass(frozen=True, slots=True)
class Tale:
    """One life of a box, from the factory.

    Attributes:
        parts: The simulated stories that make the same life.
        behaviour: Of the new image, as ``release.json`` spells it.
        phase: Of the one verdict.
        reason: Of the one verdict; None for an update that was kept.
        settings: Of the box, beside those of every box.
        from_stage: Cut from this stage on; empty for the whole life.
    """

    parts: tuple[Story, ...]
    behaviour: str
    phase: Phase
    reason: Reason | None = None
    settings: Mapping[str, str | int] = field(default_factory=dict)
    from_stage: str = ""

    @property
    def is_kept(self) -> bool:
        """Whether the new image is to run at the end."""
        return self.phase is Phase.UPDATED


UPDATED: Final = Tale((ENROLMENT, UPDATE), "good", Phase.UPDATED)
SICK: Final = Tale(
    (ENROLMENT, UNHEALTHY),
    "unhealthy",
    Phase.ROLLED_BACK,
    Reason.HEALTH_CHECK,
    {"player_s": 3},  # the player never gets ready, however long one waits
    from_stage=ARMED,
)
DEAD: Final = Tale(
    (ENROLMENT, UNBOOTABLE), "crash", Phase.ROLLED_BACK, Reason.UNBOOTABLE, from_stage=ARMED
)
