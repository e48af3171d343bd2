"""People, boxes and messages for tests of actions."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from oleada_server.accounts.models import Role
from oleada_server.accounts.rights import Identity
from oleada_server.actions import service
from oleada_server.actions.models import ActionOrder
from oleada_server.actions.service import Wish
from oleada_server.db import db
from oleada_server.messaging import service as messaging
from oleada_server.messaging.models import OutboxMessage
from oleada_wire import messages
from oleada_wire.envelope import KeySigner, RoleKeys
from oleada_wire.messages import Cmd, Progress, Result
from oleada_wire.words import ResultStatus
from sqlalchemy import select

from tests.support.fleet import a_header, add_device

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
BOX = "VX417Q3K0928"
STANDBY = "Device.Services.STBService.1.X_OLEADA_Standby"


def a_person(name: str = "elena", role: Role = Role.SUPPORT) -> Identity:
    return Identity(
        user_id=1, name=name, full_name=name.title(), role=role, language="en", zone="UTC"
    )


def a_box(**columns: Any) -> None:
    add_device(BOX, serial="SN-1", **{"reads_actions": True, **columns})


def a_wish(action: str = "ip_ping", **changes: Any) -> Wish:
    wish = Wish(BOX, action, {"host": "a.example"} if action == "ip_ping" else {}, "no picture")
    return replace(wish, **changes)


def ordered(action: str = "ip_ping", person: Identity | None = None, **changes: Any) -> ActionOrder:
    found = service.order(a_wish(action, **changes), person or a_person(), NOON)
    assert isinstance(found, ActionOrder)
    return found


def queued() -> list[Cmd]:
    """Return the commands that wait to be sent, opened with the director's key."""
    signer = messaging.director()
    assert isinstance(signer, KeySigner)
    role = RoleKeys({signer.keyid: signer.key.public_key()}, 1)
    found = db.session.scalars(select(OutboxMessage).order_by(OutboxMessage.id))
    return [messages.open_message(Cmd, one.payload, role) for one in found]


def a_progress(order_id: str, number: int, **changes: Any) -> Progress:
    return Progress(header=a_header(seq=number), cmd_id=order_id, number=number, **changes)


def a_result(order_id: str, status: ResultStatus = ResultStatus.COMPLETE, **changes: Any) -> Result:
    return Result(header=a_header(seq=99), cmd_id=order_id, status=status, **changes)
