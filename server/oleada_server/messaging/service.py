"""The outbox: messages become rows in the writer's transaction; the worker sends them.

A message that is not retained is sent once and deleted when the broker has it. A
retained topic has one row, whose *revision* rises with each change.
"""

import itertools
import secrets
import threading
from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from flask import Flask, current_app
from oleada_wire.envelope import KeySigner, Signer
from oleada_wire.ids import BootId
from oleada_wire.messages import Header
from sqlalchemy import case, delete, update
from sqlalchemy import insert as plain_insert

from oleada_server import config as settings
from oleada_server.clock import to_ms
from oleada_server.db import chunks, db, insert
from oleada_server.errors import ServerError
from oleada_server.messaging.models import Counter, Leader, OutboxMessage, RetainedMessage

SERVER_BOOTS: Final = "server-boots"
CANARY: Final = "retained-canary"
Queued = tuple[str, bytes, datetime | None]
"""Topic, payload, and when it is of no use any more (None: never)."""


class NoOnlineKeyError(ServerError):
    """The server's signing key is missing or is not an Ed25519 key."""

    status = 500
    code = "no-online-key"


def queue_message(
    topic: str, payload: bytes, *, now: datetime, expires_at: datetime | None = None
) -> None:
    """Queue *payload* to be sent once, in the caller's transaction."""
    queue_messages([(topic, payload, expires_at)], now=now)


def queue_messages(messages: Iterable[Queued], *, now: datetime) -> None:
    """Queue each of *messages* to be sent once, in their order."""
    for chunk in chunks(messages):
        rows = [
            {"topic": topic, "payload": payload, "expires_at": expires_at, "created_at": now}
            for topic, payload, expires_at in chunk
        ]
        db.session.execute(plain_insert(OutboxMessage), rows)


def queue_retained(topic: str, payload: bytes, *, expires_at: datetime | None = None) -> None:
    """Make *payload* what the broker holds for *topic*; empty clears the topic."""
    queue_retained_many([(topic, payload, expires_at)])


def queue_retained_many(messages: Iterable[Queued]) -> None:
    """Make each payload what the broker holds for its topic; a topic stands once.

    One round trip for each 500 topics; an older revision that was not sent yet never is.
    """
    statement = insert(RetainedMessage)
    new = statement.excluded
    upsert = statement.on_conflict_do_update(
        index_elements=["topic"],
        set_={
            "payload": new.payload,
            "expires_at": new.expires_at,
            "revision": RetainedMessage.revision + 1,
        },
    )
    for chunk in chunks(messages):
        rows = [
            {"topic": topic, "payload": payload, "expires_at": expires_at, "revision": 1,
             "sent_revision": 0}
            for topic, payload, expires_at in chunk
        ]  # fmt: skip
        # Below the ORM: its bookkeeping costs more than the signature of each message.
        db.session.connection().execute(upsert, rows)


def next_number(name: str) -> int:
    """Return the next value of counter *name*, from 1; never the same twice."""
    statement = insert(Counter).values(name=name, value=1)
    raised = statement.on_conflict_do_update(
        index_elements=["name"], set_={"value": Counter.value + 1}
    ).returning(Counter.value)
    return int(db.session.execute(raised).scalar_one())


def record_restore(at_ms: int) -> None:
    """Forget what was on its way, and have the broker given every retained message again.

    Part of the caller's transaction. No broker holds the canary *at_ms* (outbox.py).
    """
    for model in (OutboxMessage, Leader):
        db.session.execute(delete(model))
    db.session.execute(update(RetainedMessage).values(sent_revision=0))
    statement = insert(Counter).values(name=CANARY, value=at_ms)
    raised = case((Counter.value < at_ms, at_ms), else_=Counter.value + 1)
    db.session.execute(
        statement.on_conflict_do_update(index_elements=["name"], set_={"value": raised})
    )


def next_header(now: datetime) -> Header:
    """Return the header of the next message that this process writes."""
    boot, numbers = _boot()
    return Header(id=secrets.token_hex(16), at_ms=to_ms(now), boot=boot, seq=next(numbers))


def director(app: Flask | None = None) -> Signer:
    """Return the signer of assign, lease, cmd and deny.

    Raises:
        NoOnlineKeyError: ``keys/director.pem`` is missing or is not an Ed25519 key.
    """
    return _online_signer("director", app)


def _boot() -> tuple[BootId, "itertools.count[int]"]:
    """Return this process's boot id and its message numbers.

    The boot count is raised in the caller's transaction; should that be rolled back,
    the nonce still tells two processes with one count apart.
    """
    extensions = current_app.extensions
    with _BOOT_LOCK:
        if "oleada_boot" not in extensions:
            boot = BootId(next_number(SERVER_BOOTS), secrets.token_hex(4))
            extensions["oleada_boot"] = (boot, itertools.count(1))
        found: tuple[BootId, itertools.count[int]] = extensions["oleada_boot"]
        return found


_BOOT_LOCK = threading.Lock()


def _online_signer(role: str, app: Flask | None) -> Signer:
    app = app or current_app
    held: dict[str, Signer] = app.extensions.setdefault("oleada_signers", {})
    if role not in held:
        with app.app_context():
            path = settings.current().keys_dir / f"{role}.pem"
        held[role] = KeySigner.of(_load(path.read_bytes() if path.exists() else b"", str(path)))
    return held[role]


def _load(pem: bytes, where: str) -> Ed25519PrivateKey:
    try:
        key: Any = load_pem_private_key(pem, None)
    except (ValueError, TypeError) as error:
        raise NoOnlineKeyError(
            f"{where} is missing or damaged; run `oleada init`, or put the backup back."
        ) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise NoOnlineKeyError(f"{where} is not an Ed25519 key; put the server's own key back.")
    return key
