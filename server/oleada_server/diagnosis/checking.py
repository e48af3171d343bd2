"""Checks that start by themselves: what a verdict wants to look at and nobody can notice."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from oleada_wire import actions as wire
from oleada_wire.action_table import TABLE
from oleada_wire.actions import Consent

from oleada_server import config as settings
from oleada_server.accounts.rights import Identity
from oleada_server.actions import service as actions
from oleada_server.actions.models import ActionOrder
from oleada_server.actions.rules import State
from oleada_server.actions.service import Wish
from oleada_server.devices import service as devices
from oleada_server.diagnosis.shapes import Verdict

AT_ONCE_MAX: Final = 6
AGAIN_AFTER: Final = timedelta(minutes=5)
"""A check that was begun more recently is not begun again by itself."""
LOOKED_BACK: Final = 40
ALWAYS: Final = ("media_status", "self_test")
"""Cheap, safe, and telling for every complaint."""
_HOSTED: Final = frozenset({"ip_ping", "dns_lookup"})


def safe_checks(verdict: Verdict) -> list[str]:
    """Return the actions that the verdict wants and that nobody who watches can notice."""
    wanted = [*ALWAYS, *(one.sign.check for one in verdict.checks)]
    return [name for name in dict.fromkeys(wanted) if name and is_safe(name)][:AT_ONCE_MAX]


def is_safe(name: str) -> bool:
    """Return whether an action may begin by itself."""
    action = wire.find(TABLE, name)
    return action is not None and action.is_safe_while_watching and action.consent is Consent.NONE


def arguments_of(name: str) -> dict[str, Any]:
    """Return what a check needs: the network is asked for the server that boxes know."""
    return {"host": settings.current().public_host} if name in _HOSTED else {}


def begin(
    device_id: str, names: Iterable[str], reason: str, person: Identity, now: datetime
) -> list[ActionOrder]:
    """Order each check of *names* that this box does and that was not begun lately; commits."""
    facts = actions.facts_of(devices.get(device_id), now)
    lately = {
        one.action
        for one in actions.orders_of(device_id, LOOKED_BACK)
        if one.asked_at > now - AGAIN_AFTER
    }
    able = [
        name
        for name in names
        if facts.reads_actions and name not in facts.denied and name not in lately
    ]
    made = [
        actions.order(Wish(device_id, name, arguments_of(name), reason), person, now)
        for name in able
    ]
    return [one for one in made if isinstance(one, ActionOrder)]


def at_work(orders: Sequence[ActionOrder], now: datetime) -> tuple[int, int]:
    """Return how many of *orders* have ended, and how many there are."""
    done = sum(actions.state_of(one, now) in {State.DONE, State.SILENT} for one in orders)
    return done, len(orders)
