"""The inbox: a batch of MQTT messages becomes rows in one transaction, or says why not.

No MQTT here: :func:`store` takes bytes and returns which message ids may be
acknowledged, after its commit. A message that can not be read or stored is refused by
itself; it never stops the batch. A database that is away is an error of the whole
batch: nothing of it is acknowledged, and the caller tries again.
"""

import json
import logging
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, NamedTuple

from oleada_wire import messages, packing, topics
from oleada_wire.errors import MalformedMessageError, WireError
from oleada_wire.messages import (
    Crash,
    Gone,
    Health,
    Hello,
    LeaseRequest,
    Log,
    Progress,
    Report,
    Result,
    Samples,
)
from oleada_wire.topics import DeviceTopic, Up
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from oleada_server import outage
from oleada_server.actions import answers
from oleada_server.audit import witnessed
from oleada_server.db import db
from oleada_server.devices import service as devices
from oleada_server.enrolment import adoption
from oleada_server.errors import ServerError
from oleada_server.outage import DatabaseAwayError
from oleada_server.rollouts import service as rollouts
from oleada_server.telemetry import looks, troubles
from oleada_server.telemetry import service as telemetry

log = logging.getLogger(__name__)

SHAPES: Final[dict[Up, type[messages.Message]]] = {
    Up.HELLO: Hello,
    Up.HEALTH: Health,
    Up.SAMPLES: Samples,
    Up.LEASE: LeaseRequest,
    Up.REPORT: Report,
    Up.RESULT: Result,
    Up.PROGRESS: Progress,
    Up.LOG: Log,
    Up.CRASH: Crash,
    Up.GONE: Gone,
}
LOOKS: Final = frozenset({Up.HEALTH, Up.SAMPLES})
"""Kinds that say how a box is."""
HEADS: Final = LOOKS | {Up.HELLO}
"""Kinds that may say back a head of the audit trail."""
SEQ_MAX: Final = 2**31 - 1
_MESSAGE_ID: Final = re.compile(r"[0-9a-f]{32}")


class Incoming(NamedTuple):
    """One MQTT message as the broker delivered it."""

    topic: str
    payload: bytes


class Item(NamedTuple):
    """One message that was read, of a box whose identity the broker has proved."""

    device_id: str
    kind: Up
    message: Any


@dataclass(slots=True)
class Stored:
    """What became of a batch.

    Attributes:
        counted: By device id, ids of messages that are in the database now.
        refused: By device id, ids of messages that never will be.
        greeted: Ids of devices of which a hello is in the database now.
        counts: By outcome (``health``, ``refused:malformed``, ``unknown-device`` …).
    """

    counted: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    refused: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    greeted: set[str] = field(default_factory=set)
    counts: Counter[str] = field(default_factory=Counter)


def store(batch: Sequence[Incoming], now: datetime) -> Stored:
    """Store *batch* in one transaction and return what became of each message.

    Raises:
        DatabaseAwayError: nothing was stored; try the same batch again.
    """
    stored = Stored()
    items = [item for one in batch if (item := _read(one, stored)) is not None]
    if not items:
        return stored
    accepted: list[Item] = []
    try:
        known = _known(items, now)
        enrolled = [item for item in items if item.device_id in known]
        stored.counts["unknown-device"] += len(items) - len(enrolled)
        _store_some(enrolled, now, accepted, stored, _in_outer_transaction)
        db.session.commit()
    except (OperationalError, InterfaceError) as error:
        db.session.rollback()
        raise _away(error) from error
    except DBAPIError as error:
        db.session.rollback()
        if error.connection_invalidated:
            raise _away(error) from error
        raise
    for item in accepted:
        stored.counted[item.device_id].append(item.message.header.id)
        stored.counts[item.kind] += 1
        if item.kind is Up.HELLO:
            stored.greeted.add(item.device_id)
    return stored


def _away(error: DBAPIError) -> DatabaseAwayError:
    """Return that nothing was stored, and why: a full disk is as good as none."""
    return DatabaseAwayError(str(outage.meaning(error) or f"The database fails: {error.orig}"))


def _known(items: Sequence[Item], now: datetime) -> set[str]:
    """Return the boxes of *items* that are enrolled, those that a restore had lost among them."""
    known = devices.known(item.device_id for item in items)
    lost = {
        item.device_id: item.message
        for item in items
        if item.kind is Up.HELLO and item.device_id not in known
    }
    return known | adoption.adopt_lost(lost, now)


def _read(one: Incoming, stored: Stored) -> Item | None:
    try:
        topic = topics.parse(one.topic)
    except WireError as error:
        stored.counts[f"refused:{error.code}"] += 1
        return None
    if not isinstance(topic, DeviceTopic) or not isinstance(topic.kind, Up):
        stored.counts["refused:unknown-topic"] += 1
        return None
    try:
        message: Any = messages.decode(SHAPES[topic.kind], one.payload)
        _check_header(message.header)
        if topic.kind is Up.SAMPLES:
            healths = looks.healths_of(message, len(one.payload))
            message = looks.Seen(message.header, message.audit_head, healths)
    except WireError as error:
        _refuse(topic.device_id, _id_in(one.payload), error.code, str(error), stored)
        return None
    return Item(topic.device_id, topic.kind, message)


def _check_header(header: messages.Header) -> None:
    if not _MESSAGE_ID.fullmatch(header.id):
        raise MalformedMessageError("id is not 32 lowercase hex digits.")
    if not 1 <= header.seq <= SEQ_MAX:
        raise MalformedMessageError(f"seq is not 1 to {SEQ_MAX}.")


def _store_some(
    items: Sequence[Item],
    now: datetime,
    accepted: list[Item],
    stored: Stored,
    transaction: Callable[[Callable[[], None]], None],
) -> None:
    """Store *items*; those that can not be stored are found by halving and refused alone."""
    if not items:
        return
    try:
        transaction(lambda: _call_services(items, now))
    except (OperationalError, InterfaceError):
        raise
    except Exception as error:
        # any error, ours too: one message must never stop the fleet's
        if isinstance(error, DBAPIError) and error.connection_invalidated:
            raise
        if len(items) == 1:
            _reject(items[0], error, stored)
            return
        middle = len(items) // 2
        _store_some(items[:middle], now, accepted, stored, _in_savepoint)
        _store_some(items[middle:], now, accepted, stored, _in_savepoint)
    else:
        accepted.extend(items)


def _in_outer_transaction(work: Callable[[], None]) -> None:
    try:
        work()
    except Exception:
        db.session.rollback()
        raise


def _in_savepoint(work: Callable[[], None]) -> None:
    with db.session.begin_nested():
        work()


def _reject(item: Item, error: Exception, stored: Stored) -> None:
    """Refuse what can never be stored; leave unacknowledged what our own error stopped."""
    message_id = item.message.header.id
    if isinstance(error, ServerError | WireError):
        _refuse(item.device_id, message_id, error.code, str(error), stored)
    elif isinstance(error, DBAPIError | ValueError):
        _refuse(item.device_id, message_id, "not-storable", str(error)[:500], stored)
    else:
        stored.counts["failed"] += 1
        log.error("message %s of %s failed", message_id, item.device_id, exc_info=error)


def _refuse(device_id: str, message_id: str | None, code: str, why: str, stored: Stored) -> None:
    stored.counts[f"refused:{code}"] += 1
    if message_id is not None:
        stored.refused[device_id].append(message_id)
    log.warning("refused message %s of %s: %s", message_id or "without id", device_id, why)


def _call_services(items: Sequence[Item], now: datetime) -> None:
    """One service call each, in the order of arrival; health in one call for all."""
    health = [(item.device_id, one) for item in items for one in _healths(item)]
    for item in items:
        if item.kind is Up.GONE:
            devices.record_gone(item.device_id, now)
        elif item.kind not in LOOKS:
            _call_service(item, now)
    if health:
        telemetry.record_health(health, now)
        devices.record_health(health, now)
    for item in items:
        if item.kind in HEADS and item.message.audit_head is not None:
            witnessed.record_seen(item.device_id, item.message.audit_head, now)
    db.session.flush()


def _call_service(item: Item, now: datetime) -> None:
    match item.kind:
        case Up.HELLO:
            troubles.record_hello(item.device_id, item.message, now)
            devices.record_hello(item.device_id, item.message, now)
            rollouts.record_hello(item.device_id, item.message, now)
        case Up.LEASE:
            rollouts.record_lease_request(item.device_id, item.message, now)
        case Up.REPORT:
            rollouts.record_report(item.device_id, item.message, now)
        case Up.PROGRESS:
            answers.record_progress(item.device_id, item.message, now)
        case Up.RESULT:
            answers.record_result(item.device_id, item.message, now)
            telemetry.record_event(item.device_id, str(item.kind), item.message, now)
        case Up.LOG | Up.CRASH:
            telemetry.record_event(item.device_id, str(item.kind), item.message, now)
        case Up.HEALTH | Up.SAMPLES | Up.GONE:
            raise AssertionError("health is stored in bulk, and a last will is no message of a box")


def _healths(item: Item) -> Sequence[Health]:
    """Return each look at the box that *item* tells of, oldest first."""
    match item.kind:
        case Up.HEALTH:
            return (item.message,)
        case Up.SAMPLES:
            return item.message.healths  # type: ignore[no-any-return]
        case _:
            return ()


def _id_in(payload: bytes) -> str | None:
    """Return the id of a message that is otherwise not readable; None if not even that is."""
    if len(payload) > messages.UP_BYTES_MAX:
        return None
    try:
        found = json.loads(packing.unpack("message", payload, messages.UP_BYTES_MAX))
    except (WireError, ValueError, RecursionError):
        return None
    message_id = found.get("id") if isinstance(found, dict) else None
    if isinstance(message_id, str) and _MESSAGE_ID.fullmatch(message_id):
        return message_id
    return None
