"""What the filters of the device list offer: models and versions, with how many boxes.

Counting a large fleet costs more than reading one page of it, so counts of a large one
are kept for some seconds, and the page says how old they are. Totals are always exact.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from flask import current_app

from oleada_server.devices import search

LARGE_BOXES: Final = 2000
FRESH_FOR: Final = timedelta(seconds=15)


@dataclass(frozen=True, slots=True)
class Choices:
    """Boxes by model, and by version among those of one model, counted *at* a moment."""

    models: dict[str, int]
    versions: dict[str, int]
    at: datetime

    @property
    def boxes(self) -> int:
        """Return how many boxes there were."""
        return sum(self.models.values())


def choices(model: str, now: datetime) -> Choices:
    """Return the choices at *now* with the versions of *model*, of all boxes if it is empty."""
    held: dict[str, Choices] = current_app.extensions.setdefault("oleada_choices", {})
    kept = held.get(model)
    if kept is not None and now - kept.at < FRESH_FOR:
        return kept
    found = Choices(search.model_counts(), search.version_counts(model or None), now)
    if found.boxes >= LARGE_BOXES and model in {"", *found.models}:
        held[model] = found
    return found
