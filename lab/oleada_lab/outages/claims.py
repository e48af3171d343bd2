"""What an outage must show, and whether it did; a claim that does not hold ends nothing."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from oleada_lab.clock import monotonic_s, sleep_s
from oleada_lab.errors import LabError

LIMIT_S: Final = 90.0
"""How long to wait for what must become true; busy machines are slow."""
POLL_S: Final = 0.2


@dataclass(slots=True)
class Claims:
    """The claims of one outage, in the order in which they were looked at.

    Attributes:
        rows: ``claim``, whether it ``holds``, what was ``found``, after how many seconds.
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    began_s: float = field(default_factory=monotonic_s)

    @property
    def broken(self) -> list[str]:
        """The claims that did not hold, with what was found."""
        return [f"{row['claim']}: {row['found']}" for row in self.rows if not row["holds"]]

    def hold(self, claim: str, holds: bool, found: object = "") -> None:
        """Write down whether *claim* holds, and what was *found*."""
        after_s = round(monotonic_s() - self.began_s, 1)
        row = {"claim": claim, "holds": bool(holds), "found": str(found)[:400], "after_s": after_s}
        self.rows.append(row)

    def become(self, claim: str, look: Callable[[], object], limit_s: float = LIMIT_S) -> None:
        """Write down whether what *look* returns becomes true within *limit_s* seconds."""
        end_s = monotonic_s() + limit_s
        found = _looked(look)
        while not found and monotonic_s() < end_s:
            sleep_s(POLL_S)
            found = _looked(look)
        self.hold(claim, bool(found), found)


def _looked(look: Callable[[], object]) -> object:
    """Return what *look* finds; nothing while the server can not be asked."""
    try:
        return look()
    except (OSError, LabError):
        return None
