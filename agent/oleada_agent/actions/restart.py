"""``reboot`` and ``factory_reset``: what the agent is asked to do when the result is kept."""

import hashlib
import hmac
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from oleada_wire.words import Refusal, ResultStatus

from oleada_agent import overrides
from oleada_agent.actions import player
from oleada_agent.actions.order import VIEWER, ActionError, Order, Teller, refused
from oleada_agent.disk import RealDisk
from oleada_agent.errors import AgentError

if TYPE_CHECKING:
    from oleada_agent.ports import Disk

PIN: Final = "data/customer-pin"
"""``<salt hex> <scrypt hex>``, as the set-up of the box writes it."""
WIPED: Final = ("data/trial.log", PIN)
"""What the household has left with the agent beside changed settings; the media player forgets
its own. The PIN goes last, so that a reset which a power cut has ended can be done again.
Who the box is, what it trusts, runs and has counted stays: no way back to an old release."""


def reboot(order: Order, teller: Teller) -> None:
    """Ask for a restart of the box.

    Raises:
        ActionError: somebody watches, and it was to be done when idle.
    """
    if order.arguments["when_idle"] and (order.box / VIEWER).exists():
        raise refused(Refusal.VIEWER, "Somebody is watching.")
    teller.then("reboot")


def factory_reset(order: Order, teller: Teller) -> None:
    """Let the player forget everything, wipe what the household has left, and restart.

    Raises:
        ActionError: the PIN is wrong, the player does not do it, or the disk refuses.
    """
    pin = order.arguments["pin"]
    if pin and not _is_right(order, pin):
        raise refused(Refusal.WRONG_PIN, "That is not the PIN of this box.")
    others = {name: value for name, value in order.arguments.items() if name != "pin"}
    player.ask(replace(order, arguments=others), teller)  # the player has no business with it
    try:
        wipe(RealDisk(order.box))
    except AgentError as error:
        raise ActionError(ResultStatus.INTERNAL, str(error)) from error
    teller.then("reboot")


def wipe(disk: "Disk") -> None:
    """Remove what the household has left, durably; done twice it does nothing more.

    Raises:
        StorageError: the disk refuses.
    """
    overrides.forget(disk)
    for path in WIPED:
        for name in (f"{path}.tmp", path):
            disk.unlink(name)
        disk.fsync_dir("data")


def _is_right(order: Order, pin: str) -> bool:
    with suppress(OSError, ValueError):
        salt, _, wanted = (order.box / PIN).read_text("ascii").strip().partition(" ")
        found = hashlib.scrypt(pin.encode(), salt=bytes.fromhex(salt), n=2**14, r=8, p=1)
        return hmac.compare_digest(found, bytes.fromhex(wanted))
    return False
