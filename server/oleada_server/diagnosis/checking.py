"""Checks that start by themselves: what a verdict wants to look at and nobody can notice."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, Final

from oleada_wire import actions as wire
from oleada_wire.action_table import TABLE
from oleada_wire.actions import Consent

from oleada_server import config as settings
from oleada_server.accounts.rights import Identity
from oleada_server.actions import service as actions
from oleada_server.actions.errors import ActionEndedError, TooManyActionsError
from oleada_server.actions.models import ActionOrder
from oleada_server.actions.rules import SCOPES, State, known
from oleada_server.actions.service import Wish
from oleada_server.devices import service as devices
from oleada_server.devices.models import Device
from oleada_server.diagnosis.shapes import Verdict

AT_ONCE_MAX: Final = 6
AGAIN_AFTER: Final = timedelta(minutes=5)
"""A check that was begun more recently is not begun again by itself."""
LOOKED_BACK: Final = 40
ALWAYS: Final = ("media_status", "self_test")
"""Cheap, safe, and telling for every complaint."""
HOSTED: Final = frozenset({"ip_ping", "dns_lookup"})
"""Checks that are asked about the server that boxes know, unless somebody says another host."""
HEARD: Final = timedelta(minutes=30)
"""A box that was not heard for so long is asked nothing by itself."""
STOPPED_FOR: Final = timedelta(minutes=30)
"""Nothing begins by itself for so long after a person stopped something."""


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
    return {"host": settings.current().public_host} if name in HOSTED else {}


def is_heard(device: Device, now: datetime) -> bool:
    """Return whether a check would reach *device*: ours, able, and heard lately."""
    seen = device.last_seen_at
    return (
        device.reads_actions
        and device.revoked_at is None
        and seen is not None
        and now - seen < HEARD
    )


def due(device: Device, names: Iterable[str], now: datetime) -> list[str]:
    """Return those of *names* that this box does, that were not begun lately, nor stopped."""
    orders = actions.orders_of(device.id, LOOKED_BACK)
    if _held_until(orders, now) is not None:
        return []
    return _not_lately(device, names, orders, now)


def begin(
    device_id: str, names: Iterable[str], reason: str, person: Identity, now: datetime
) -> list[ActionOrder]:
    """Order each check of *names* that this box does and that was not begun lately; commits.

    When enough waits for the box already, the rest is left: it is no error of who looks.
    """
    device = devices.get(device_id)
    orders = actions.orders_of(device_id, LOOKED_BACK)
    able = _not_lately(device, names, orders, now)
    made: list[ActionOrder] = []
    with suppress(TooManyActionsError):
        for name in able:
            wish = Wish(
                device_id, name, arguments_of(name), reason, unless_since=now - AGAIN_AFTER
            )  # fmt: skip
            found = actions.order(wish, person, now)
            assert isinstance(found, ActionOrder)  # noqa: S101 - a safe check waits for nobody
            made.append(found)
    return made


def stop(device_id: str, person: Identity, now: datetime) -> list[str]:
    """Tell the box to end whatever *person* may end of what it does; return the numbers; commits.

    Checks do not begin by themselves for :data:`STOPPED_FOR` after that.
    """
    found = [
        one.id
        for one in actions.orders_of(device_id, LOOKED_BACK)
        if actions.state_of(one, now) in {State.WAITING, State.RUNNING}
        and person.may_scope(SCOPES[known(one.action).risk])
    ]
    for order_id in found:
        with suppress(ActionEndedError):  # its result came at this moment
            actions.cancel(order_id, person, now)
    return found


def held_until(device_id: str, now: datetime) -> datetime | None:
    """Return until when nothing begins by itself, because a person stopped something; or None."""
    return _held_until(actions.orders_of(device_id, LOOKED_BACK), now)


def at_work(orders: Sequence[ActionOrder], now: datetime) -> tuple[int, int]:
    """Return how many of *orders* have ended, and how many there are."""
    done = sum(actions.state_of(one, now) in {State.DONE, State.SILENT} for one in orders)
    return done, len(orders)


def _held_until(orders: Iterable[ActionOrder], now: datetime) -> datetime | None:
    stopped = [one.cancelled_at for one in orders if one.cancelled_at is not None]
    until = max(stopped, default=now - STOPPED_FOR) + STOPPED_FOR
    return until if until > now else None


def _not_lately(
    device: Device, names: Iterable[str], orders: Iterable[ActionOrder], now: datetime
) -> list[str]:
    facts = actions.facts_of(device, now)
    lately = {one.action for one in orders if one.asked_at > now - AGAIN_AFTER}
    return [
        name
        for name in names
        if facts.reads_actions and name not in facts.denied and name not in lately
    ]
