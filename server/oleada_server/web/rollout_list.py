"""Loads what the list of rollouts shows; the page and its live parts share it."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from oleada_server.accounts.rights import Identity
from oleada_server.rollouts import service
from oleada_server.rollouts.states import OPEN_ROLLOUTS, RolloutState
from oleada_server.web import decision, rollout_page, rollout_view, sentence, words
from oleada_server.web.device_list import number_in
from oleada_server.web.parts import Parts
from oleada_server.web.rollout_view import OVER

PAGE_SIZE: Final = 25


class Shown(StrEnum):
    """Which rollouts the list shows."""

    ALL = "all"
    OPEN = "open"
    PLANS = "plans"
    ENDED = "ended"


STATES: Final[dict[Shown, frozenset[RolloutState]]] = {
    Shown.ALL: frozenset(RolloutState),
    Shown.OPEN: OPEN_ROLLOUTS,
    Shown.PLANS: frozenset({RolloutState.DRAFT, RolloutState.AWAITING_APPROVAL}),
    Shown.ENDED: OVER,
}


def load(args: Mapping[str, str], person: Identity, now: datetime) -> dict[str, Any]:
    """Return everything the templates of the list need.

    Args:
        args: The query of the address: *state* and *before*.
        person: Who reads it; *Needs you* is theirs.
        now: Aware time.
    """
    before, asked = args.get("before", ""), args.get("state", "")
    shown_state = Shown(asked) if asked in set(Shown) else Shown.ALL
    reading = Parts("rollouts/parts", titles())
    page = reading.read(("list",), lambda: _lines(number_in(before), shown_state))
    page |= reading.read(("needs",), lambda: _needs(person))
    return page | {
        "reading": reading,
        "state": shown_state,
        "tabs": tabs(),
        "before": before,
        "is_first": not before,
        "view": rollout_view,
        "sentence": sentence,
        "now": now,
    }


def titles() -> dict[str, str]:
    """Return what the parts are called."""
    return {
        "needs": words.gettext("Needs you"),
        "list": words.gettext("List of rollouts"),
    }


def _lines(before_id: int | None, shown_state: Shown) -> dict[str, Any]:
    found = service.list_rollouts(
        before_id=before_id, limit=PAGE_SIZE + 1, states=STATES[shown_state]
    )
    shown = found[:PAGE_SIZE]
    return {
        "lines": [rollout_page.line(rollout) for rollout in shown],
        "open_count": service.count_in(OPEN_ROLLOUTS),
        "next_before": shown[-1].id if len(found) > PAGE_SIZE else None,
    }


def _needs(person: Identity) -> dict[str, Any]:
    found = [n for one in service.list_waiting() if (n := decision.need(one, person))]
    return {"needs": sorted(found, key=lambda need: not need.is_yours)}


def tabs() -> list[tuple[Shown, str]]:
    """Return the choices above the list, and their words."""
    return [
        (Shown.ALL, words.gettext("All")),
        (Shown.OPEN, words.gettext("Open")),
        (Shown.PLANS, words.gettext("Plans")),
        (Shown.ENDED, words.gettext("Ended")),
    ]
