"""Loads what the page of a rollout shows; the page and its live parts share it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from oleada_server.accounts.models import Role
from oleada_server.accounts.rights import Identity
from oleada_server.audit import service as audit
from oleada_server.errors import ServerError
from oleada_server.rollouts import going_back, service
from oleada_server.rollouts.evidence import history
from oleada_server.rollouts.models import Rollout
from oleada_server.rollouts.plan import Outcome, exact
from oleada_server.rollouts.service import Failure
from oleada_server.rollouts.states import OPEN_ROLLOUTS, RolloutState, WaveState
from oleada_server.web import (
    activity,
    curve_view,
    decision,
    evidence_view,
    gate_view,
    rollout_deeds,
    rollout_view,
    sentence,
    signing_view,
    status,
    words,
)
from oleada_server.web.parts import Parts
from oleada_server.web.rollout_view import Figures, WaveFigures

ACTIVITY_MAX: Final = 8


@dataclass(frozen=True, slots=True)
class Line:
    """One rollout in the list; share and limit are those of wave *position*."""

    figures: Figures
    failed_share: str
    limit: str
    is_over_limit: bool
    position: int


def load(rollout_id: int, now: datetime, person: Identity) -> dict[str, Any]:
    """Return everything the templates of a rollout need, as *person* may see and do it.

    Raises:
        RolloutNotFoundError: There is none.
    """
    rollout = service.get(rollout_id)
    found = figures_of(rollout)
    parts = rollout_view.parts(found)
    reading = Parts("rollouts/parts", titles())
    page = reading.read(("evidence",), lambda: _evidence(rollout, now))
    checks = gate_view.checks(found.at_work, now, page.get("judged"))
    held = sum(check.kind == "ok" for check in checks)
    page |= reading.read(("failed",), lambda: _failures(rollout))
    page |= reading.read(("curve",), lambda: {"curve": curve_view.curve(found, now)})
    page |= reading.read(("activity",), lambda: _activity(rollout_id))
    return page | {
        "reading": reading,
        "rollout": rollout,
        "release": rollout.release,
        "found": found,
        "title": rollout_view.title(rollout),
        "pill": rollout_view.pill(found),
        "look": rollout_view.state_of(found),
        "lede": sentence.of(found, now),
        "deeds": rollout_deeds.open_deeds(rollout),
        "decision": decision.of(found, person, now),
        "signing": signing_view.of(found),
        "tiles": rollout_view.tiles(found, now),
        "gates": rollout_view.gates(found, held, len(checks)),
        "parts": parts,
        "shown_parts": [(part.count, part.fill) for part in parts],
        "bar_label": rollout_view.label(parts),
        "wave_href": rollout_view.boxes_href(rollout, found.at_work.wave),
        "can_retry": rollout.state in {RolloutState.RUNNING, RolloutState.PAUSED},
        "checks": checks,
        "next_step": gate_view.next_step(found),
        "early": _opens_early(found, person),
        "forces": rollout.state in OPEN_ROLLOUTS and found.boxes,
        "gone_back": going_back.of(rollout_id),
        "reason_word": status.reason,
        "actor": activity.actor,
        "deed_word": activity.deed_word,
        "note": release_note(rollout.release.notes),
        "now": now,
    }


def titles() -> dict[str, str]:
    """Return what the parts are called that may fail alone."""
    return {
        "failed": words.gettext("Why boxes did not get it"),
        "curve": words.gettext("Updated over time"),
        "evidence": words.gettext("Evidence against the release"),
        "activity": words.gettext("Activity"),
    }


def _evidence(rollout: Rollout, now: datetime) -> dict[str, Any]:
    return {"evidence": evidence_view.curve(rollout, now), "judged": history.now(rollout)}


def _failures(rollout: Rollout) -> dict[str, Any]:
    found = service.why_failed(rollout.id)
    return {
        "failures": found,
        "failed_boxes": sum(failure.boxes for failure in found),
        "failure_href": lambda failure: failure_href(rollout, failure),
    }


def _activity(rollout_id: int) -> dict[str, Any]:
    events = audit.events_about(f"R-{rollout_id}", ACTIVITY_MAX)
    return {"events": events, "seen": events[0].id if events else 0}


def line(rollout: Rollout) -> Line:
    """Return the line of *rollout* in a list, with the wave that is closest to its limit."""
    found = rollout_view.figures(rollout, service.summary(rollout.id))
    worst = max(found.waves, key=_badness)
    limit, bad = worst.wave.failed_share_max, worst.outcomes[Outcome.BAD]
    return Line(
        found,
        words.percent(bad / worst.judged, 2) if worst.judged else "",
        words.percent(limit),
        worst.state is WaveState.HALTED or bad > exact(limit) * max(worst.judged, 1),
        worst.wave.position,
    )


def failure_href(rollout: Rollout, failure: Failure) -> str:
    """Return the address of the boxes that ended like *failure*."""
    return rollout_view.boxes_href(rollout, None, (failure.state,), failure.reason)


def _opens_early(found: Figures, person: Identity) -> WaveFigures | None:
    """Return the wave that *person* may open before its gate, None if there is none."""
    after, state = found.now_index + 1, WaveState(found.at_work.wave.state)
    is_running = found.rollout.state == RolloutState.RUNNING
    if not is_running or after >= len(found.waves) or not person.may(Role.APPROVER):
        return None
    under_way = state in (WaveState.OPEN, WaveState.SOAKING)
    return found.waves[after] if under_way and found.at_work.outcomes[Outcome.GOOD] else None


def release_note(notes: dict[str, Any]) -> tuple[str, str]:
    """Return (language, text) of the note in the reader's language, else in English."""
    language = words.choose_language()
    found = language if language in notes else "en"
    return found, str(notes.get(found, ""))


def figures_of(rollout: Rollout) -> Figures:
    """Return the counts of *rollout*; of a plan, what it would cover now."""
    counts = service.summary(rollout.id)
    if rollout.state not in rollout_deeds.BEFORE_START:
        return rollout_view.figures(rollout, counts)
    try:
        planned = service.preview(service.spec_of(rollout)).waves
    except ServerError:  # the release was withdrawn: the page says so, and shows no boxes
        return rollout_view.figures(rollout, counts)
    return rollout_view.figures(rollout, counts, [wave.boxes for wave in planned])


def _badness(figures: WaveFigures) -> tuple[bool, bool, float, bool]:
    """Return how near a wave is to its limit, for comparing waves of one rollout."""
    limit = figures.wave.failed_share_max
    bad = figures.outcomes[Outcome.BAD]
    share = bad / figures.judged if figures.judged else 0.0
    is_over = bad > exact(limit) * figures.judged
    return figures.state is WaveState.HALTED, is_over, share / max(limit, 1e-9), figures.judged > 0
