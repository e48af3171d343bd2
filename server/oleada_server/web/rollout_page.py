"""Loads what the page of a rollout shows; the page and its live parts share it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from oleada_server.audit import service as audit
from oleada_server.errors import ServerError
from oleada_server.rollouts import service
from oleada_server.rollouts.models import Rollout
from oleada_server.rollouts.service import Failure
from oleada_server.rollouts.states import RolloutState
from oleada_server.web import (
    activity,
    curve_view,
    gate_view,
    rollout_deeds,
    rollout_view,
    sentence,
    status,
    words,
)
from oleada_server.web.rollout_view import Figures

ACTIVITY_MAX: Final = 8


@dataclass(frozen=True, slots=True)
class Line:
    """One rollout in the list."""

    figures: Figures
    failed_share: str
    limit: str
    is_over_limit: bool


def load(rollout_id: int, now: datetime) -> dict[str, Any]:
    """Return everything the templates of a rollout need.

    Raises:
        RolloutNotFoundError: There is none.
    """
    rollout = service.get(rollout_id)
    found = _figures(rollout)
    checks = gate_view.checks(found.at_work, now)
    held = sum(check.kind == "ok" for check in checks)
    failures = service.why_failed(rollout_id)
    parts = rollout_view.parts(found)
    return {
        "rollout": rollout,
        "release": rollout.release,
        "found": found,
        "title": rollout_view.title(rollout),
        "pill": rollout_view.pill(found),
        "lede": sentence.of(found, now),
        "deeds": rollout_deeds.open_deeds(rollout.state),
        "questions": rollout_deeds.questions(found),
        "tiles": rollout_view.tiles(found),
        "gates": rollout_view.gates(found, held, len(checks)),
        "parts": parts,
        "shown_parts": [(part.count, part.fill) for part in parts],
        "bar_label": rollout_view.label(parts),
        "wave_href": rollout_view.boxes_href(rollout, found.at_work.wave),
        "failures": failures,
        "curve": curve_view.curve(found, now),
        "failed_boxes": sum(failure.boxes for failure in failures),
        "failure_href": lambda failure: failure_href(rollout, failure),
        "can_retry": rollout.state in {RolloutState.RUNNING, RolloutState.PAUSED},
        "checks": checks,
        "events": audit.events_about(f"R-{rollout_id}", ACTIVITY_MAX),
        "reason_word": status.reason,
        "actor": activity.actor,
        "deed_word": activity.deed_word,
        "note": release_note(rollout.release.notes),
        "now": now,
    }


def line(rollout: Rollout) -> Line:
    """Return the line of *rollout* in the list."""
    found = _figures(rollout)
    limit = min(wave.wave.failed_share_max for wave in found.waves)
    share = found.bad / found.judged if found.judged else 0
    return Line(
        found,
        words.percent(share, 2) if found.judged else "",
        words.percent(limit),
        share > limit,
    )


def failure_href(rollout: Rollout, failure: Failure) -> str:
    """Return the address of the boxes that ended like *failure*."""
    return rollout_view.boxes_href(rollout, None, (failure.state,))


def release_note(notes: dict[str, Any]) -> tuple[str, str]:
    """Return (language, text) of the note in the reader's language, else in English."""
    language = words.choose_language()
    found = language if language in notes else "en"
    return found, str(notes.get(found, ""))


def _figures(rollout: Rollout) -> Figures:
    counts = service.summary(rollout.id)
    if rollout.state != RolloutState.DRAFT:
        return rollout_view.figures(rollout, counts)
    try:
        planned = service.preview(service.spec_of(rollout)).waves
    except ServerError:  # the release was withdrawn: the page says so, and shows no boxes
        return rollout_view.figures(rollout, counts)
    return rollout_view.figures(rollout, counts, [wave.boxes for wave in planned])
