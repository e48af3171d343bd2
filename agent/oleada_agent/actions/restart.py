"""``reboot`` and ``factory_reset``: what the agent is asked to do when the result is kept."""

import hashlib
import hmac
from contextlib import suppress
from typing import Final

from oleada_wire.words import Refusal, ResultStatus

from oleada_agent import overrides
from oleada_agent.actions import player
from oleada_agent.actions.order import VIEWER, ActionError, Order, Teller, refused
from oleada_agent.disk import RealDisk
from oleada_agent.errors import AgentError

PIN: Final = "data/customer-pin"
"""``<salt hex> <scrypt hex>``, as the set-up of the box writes it."""


def reboot(order: Order, teller: Teller) -> None:
    """Ask for a restart of the box.

    Raises:
        ActionError: somebody watches, and it was to be done when idle.
    """
    if order.arguments["when_idle"] and (order.box / VIEWER).exists():
        raise refused(Refusal.VIEWER, "Somebody is watching.")
    teller.then("reboot")


def factory_reset(order: Order, teller: Teller) -> None:
    """Let the player forget everything, forget changed settings, and restart.

    Raises:
        ActionError: the PIN is wrong, or the player does not do it.
    """
    pin = order.arguments["pin"]
    if pin and not _is_right(order, pin):
        raise refused(Refusal.WRONG_PIN, "That is not the PIN of this box.")
    player.ask(order, teller)
    try:
        overrides.forget(RealDisk(order.box))
    except AgentError as error:
        raise ActionError(ResultStatus.INTERNAL, str(error)) from error
    teller.then("reboot")


def _is_right(order: Order, pin: str) -> bool:
    with suppress(OSError, ValueError):
        salt, _, wanted = (order.box / PIN).read_text("ascii").strip().partition(" ")
        found = hashlib.scrypt(pin.encode(), salt=bytes.fromhex(salt), n=2**14, r=8, p=1)
        return hmac.compare_digest(found, bytes.fromhex(wanted))
    return False
