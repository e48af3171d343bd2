"""Orders of actions: signed and queued, cancelled, and what boxes answer, each part once.

An order becomes a signed command in the transaction that keeps it. What comes back is
kept part by part under the command's number; a part that came before changes nothing.
"""

import hashlib
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from oleada_wire import actions as wire
from oleada_wire import messages, topics
from oleada_wire.actions import Action
from oleada_wire.errors import BadArgumentError
from oleada_wire.messages import Cmd
from sqlalchemy import func, select, update
from sqlalchemy.exc import IntegrityError

from oleada_server.accounts import second_person
from oleada_server.accounts.models import AskedDeed, Role
from oleada_server.accounts.rights import Identity, demand_scope
from oleada_server.actions import rules, tries
from oleada_server.actions.errors import (
    ActionEndedError,
    ActionKeyReusedError,
    ActionNotFoundError,
    BadActionError,
    TooManyActionsError,
)
from oleada_server.actions.models import ActionOrder
from oleada_server.actions.rules import BoxFacts, Given, State
from oleada_server.audit import service as audit
from oleada_server.clock import to_ms
from oleada_server.db import db
from oleada_server.devices import service as devices
from oleada_server.devices.models import Device
from oleada_server.enrolment.errors import BoxRevokedError
from oleada_server.errors import ConflictError
from oleada_server.live import service as live
from oleada_server.messaging import service as messaging

NEEDS: Final = Role.OPERATOR
SCOPE: Final = "actions:destroy"
ASKED: Final = "device.act"
WAITING_MAX: Final = 24
"""Of one box: all checks of a page at once, and some more."""
LIST_MAX: Final = 100
KEY_CHARS_MAX: Final = 80


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody wants a box to do, as they said it.

    Attributes:
        arguments: By name; defaults are filled in.
        consent: Who has agreed.
        timeout_ms: None for the action's own.
        key: Of a program that may repeat itself; None without one.
        unless_since: An order of the same action that was asked for after this stands for it,
            whoever asked.
    """

    device_id: str
    action: str
    arguments: Mapping[str, object]
    reason: str
    consent: Given = Given.NONE
    timeout_ms: int | None = None
    key: str | None = None
    unless_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Command:
    """What is signed for a box: the number, the verb, what it needs, and when it is ended."""

    cmd_id: str
    verb: str
    arguments: Mapping[str, wire.Value]
    timeout_ms: int | None


def order(wish: Wish, person: Identity, now: datetime) -> ActionOrder | int:
    """Sign and queue what *person* wants; commits.

    Returns:
        The order; or the number under which it waits for a second person.

    Raises:
        ActionNotKnownError, ActionDeniedError, BadActionError, ConsentMissingError,
        TooManyActionsError, ActionKeyReusedError, PinTriesError: see there.
        DeviceNotFoundError, BoxRevokedError: There is no such box, or none that is ours.
        RoleMissingError, ScopeMissingError: The person may not do actions of this risk.
    """
    db.session.rollback()
    action = rules.known(wish.action)
    demand_scope(person, rules.SCOPES[action.risk])
    if (done := _done_before(wish, person.actor)) is not None:
        return done
    device = _able(wish.device_id)
    box = facts_of(device, now)
    rules.demand_possible(action, box)
    arguments = _arguments(action, wish.arguments)
    reason = rules.reason_of(wish.reason)
    consent = rules.consent_of(action, arguments, wish.consent, box)
    if rules.needs_second_person(action, arguments):
        return _ask_second(wish, arguments, reason, person, now)
    _one_after_the_other(device.id)
    if (lately := _done_lately(wish)) is not None:
        return lately
    _demand_few(device.id, now)
    if consent is Given.PIN:
        tries.demand_left(device.id, now)
    made = _begin(device, action, arguments, now)
    made.reason, made.consent, made.asked_by = reason, str(consent), person.actor
    made.key, made.request_sha256 = wish.key, _digest(wish)
    made.timeout_ms = wire.timeout_ms_of(action, wish.timeout_ms)
    _send(made, arguments, now)
    _record(made, now)
    return _committed(made, wish)


def do_confirmed(deed: AskedDeed, actor: str, now: datetime) -> None:
    """Order what two persons want, in the caller's transaction.

    Raises:
        ActionNotKnownError, ActionDeniedError, TooManyActionsError, BoxRevokedError: as order.
    """
    body = deed.body
    device = _able(body["device_id"])
    action = rules.known(body["action"])
    rules.demand_possible(action, facts_of(device, now))
    arguments = _arguments(action, json.loads(body["arguments"]))
    _one_after_the_other(device.id)
    _demand_few(device.id, now)
    made = _begin(device, action, arguments, now)
    made.reason, made.consent = deed.reason[: rules.REASON_CHARS_MAX], str(Given.SECOND_PERSON)
    made.asked_by, made.confirmed_by = deed.asked_by, actor
    made.key, made.request_sha256 = None, ""
    made.timeout_ms = action.timeout_ms
    _send(made, arguments, now)
    _record(made, now, by=actor)


def cancel(order_id: str, person: Identity, now: datetime) -> ActionOrder:
    """Tell the box to end an action; a second time changes nothing; commits.

    Raises:
        ActionNotFoundError: There is no such order.
        ActionEndedError: It has ended, or will not be heard of any more.
        RoleMissingError, ScopeMissingError: The person may not do such an action either.
    """
    db.session.rollback()
    found = db.session.get(ActionOrder, order_id, with_for_update=True)
    if found is None:
        raise ActionNotFoundError(f"action {order_id}")
    demand_scope(person, rules.SCOPES[rules.known(found.action).risk])
    state = state_of(found, now)
    if state in {State.DONE, State.SILENT}:
        status = found.status or str(state)
        db.session.rollback()
        raise ActionEndedError(status)
    if found.cancelled_at is None:
        found.cancelled_by, found.cancelled_at = person.actor, now
        device = devices.get(found.device_id)
        ending = Command(secrets.token_hex(16), wire.CANCEL, {"cmd_id": found.id}, None)
        _queue(device, ending, rules.last_word_at(found.expires_at, found.timeout_ms), now)
        audit.record(
            person.actor, "device.act-cancel", f"device:{found.device_id}", now=now,
            after={"action": found.action, "id": found.id},
        )  # fmt: skip
        live.touch(f"device:{found.device_id}", now)
    db.session.commit()
    return found


def get(order_id: str) -> ActionOrder:
    """Return one order.

    Raises:
        ActionNotFoundError: There is none of this number.
    """
    found = db.session.get(ActionOrder, order_id)
    if found is None:
        raise ActionNotFoundError(f"action {order_id}")
    return found


def orders_of(
    device_id: str, limit: int = LIST_MAX, after: datetime | None = None
) -> Sequence[ActionOrder]:
    """Return the newest orders of a box, newest first; of those asked before *after* if given."""
    query = select(ActionOrder).where(ActionOrder.device_id == device_id)
    if after is not None:
        query = query.where(ActionOrder.asked_at < after)
    newest = query.order_by(ActionOrder.asked_at.desc(), ActionOrder.id.desc())
    return db.session.scalars(newest.limit(limit)).all()


def state_of(found: ActionOrder, now: datetime) -> State:
    """Return how an order stands at *now*."""
    return rules.state_of(found.status, found.heard_at, found.expires_at, found.timeout_ms, now)


def facts_of(device: Device, now: datetime) -> BoxFacts:
    """Return what counts of *device* when something is ordered."""
    return BoxFacts(
        device.reads_actions,
        frozenset(device.denied_actions or ()),
        rules.is_standby(device.health or {}, device.health_at, now),
    )


def _able(device_id: str) -> Device:
    device = devices.get(device_id)
    if device.revoked_at is not None:
        raise BoxRevokedError
    return device


def _arguments(action: Action, given: Mapping[str, object]) -> dict[str, wire.Value]:
    try:
        return wire.arguments_of(action, given)
    except BadArgumentError as error:
        raise BadActionError(str(error), error.argument) from error


def _digest(wish: Wish) -> str:
    """Return the digest of what was asked for; of no secret, which could be guessed from it."""
    kept = {name: value for name, value in wish.arguments.items() if name not in rules.SECRETS}
    text = json.dumps(
        [wish.device_id, wish.action, kept, wish.reason, str(wish.consent), wish.timeout_ms],
        sort_keys=True, default=str,
    )  # fmt: skip
    return hashlib.sha256(text.encode()).hexdigest()


def _done_before(wish: Wish, actor: str) -> ActionOrder | None:
    """Return the order that the wish's key stands for; None if it was never used."""
    if wish.key is None:
        return None
    if not (1 <= len(wish.key) <= KEY_CHARS_MAX and wish.key.isprintable()):
        raise BadActionError(f"An Idempotency-Key has 1 to {KEY_CHARS_MAX} characters.")
    query = select(ActionOrder).where(ActionOrder.asked_by == actor, ActionOrder.key == wish.key)
    found = db.session.scalar(query)
    if found is not None and found.request_sha256 != _digest(wish):
        raise ActionKeyReusedError(wish.key)
    return found


def _ask_second(
    wish: Wish, arguments: Mapping[str, wire.Value], reason: str, person: Identity, now: datetime
) -> int:
    body = {
        "device_id": wish.device_id,
        "action": wish.action,
        "arguments": json.dumps(rules.without_secrets(arguments)),
    }
    if wish.key is not None:  # what was asked for and waits is asked for once
        for deed in second_person.waiting(now, ASKED):
            if (deed.asked_by, deed.body, deed.reason) == (person.actor, body, reason):
                return deed.id
    return second_person.ask(
        ASKED, f"device:{wish.device_id}", body, reason, actor=person.actor, now=now
    )


def _one_after_the_other(device_id: str) -> None:
    """Lock the row of a box until the transaction ends, so that orders at once are counted."""
    db.session.execute(select(Device.id).where(Device.id == device_id).with_for_update())


def _done_lately(wish: Wish) -> ActionOrder | None:
    """Return the newest order that stands for *wish*, if it says that one may."""
    if wish.unless_since is None:
        return None
    query = select(ActionOrder).where(
        ActionOrder.device_id == wish.device_id,
        ActionOrder.action == wish.action,
        ActionOrder.asked_at > wish.unless_since,
    )
    return db.session.scalars(query.order_by(ActionOrder.asked_at.desc()).limit(1)).one_or_none()


def _demand_few(device_id: str, now: datetime) -> None:
    """Let one more order of a box pass.

    An hour is longer than any action may live, so older ones wait for nothing.
    """
    query = select(func.count(ActionOrder.id)).where(
        ActionOrder.device_id == device_id,
        ActionOrder.status.is_(None),
        ActionOrder.expires_at > now,
        ActionOrder.asked_at > now - timedelta(hours=1),
    )
    waiting = db.session.scalar(query) or 0
    if waiting >= WAITING_MAX:
        raise TooManyActionsError(waiting)


def _begin(
    device: Device, action: Action, arguments: Mapping[str, wire.Value], now: datetime
) -> ActionOrder:
    return ActionOrder(
        id=secrets.token_hex(16),
        device_id=device.id,
        action=action.name,
        arguments=rules.without_secrets(arguments),
        asked_at=now,
        expires_at=now + timedelta(milliseconds=action.ttl_ms),
    )


def _send(made: ActionOrder, arguments: Mapping[str, wire.Value], now: datetime) -> None:
    device = devices.get(made.device_id)
    command = Command(made.id, made.action, arguments, made.timeout_ms)
    if not device.reads_actions:  # an older agent refuses what it does not know
        command = Command(made.id, made.action, {}, None)
    made.cmd_seq = _queue(device, command, made.expires_at, now)
    db.session.add(made)


def _queue(device: Device, asked: Command, expires_at: datetime, now: datetime) -> int:
    """Queue a command, signed by the director; return its number."""
    raised = update(Device).where(Device.id == device.id).values(cmd_seq=Device.cmd_seq + 1)
    number = int(db.session.execute(raised.returning(Device.cmd_seq)).scalar_one())
    command = Cmd(
        header=messaging.next_header(now), device_id=device.id, cmd_id=asked.cmd_id,
        cmd_seq=number, verb=asked.verb, expires_ms=to_ms(expires_at),
        arguments=dict(asked.arguments), timeout_ms=asked.timeout_ms,
    )  # fmt: skip
    sealed = messages.seal(command, [messaging.director()])
    topic = topics.down(device.id, topics.Down.CMD)
    messaging.queue_message(topic, sealed, now=now, expires_at=expires_at)
    return number


def _record(made: ActionOrder, now: datetime, by: str | None = None) -> None:
    after: dict[str, Any] = {
        "action": made.action, "arguments": made.arguments, "consent": made.consent, "id": made.id,
    }  # fmt: skip
    if by is not None:
        after["asked_by"] = made.asked_by
    audit.record(
        by or made.asked_by, ASKED, f"device:{made.device_id}", now=now, reason=made.reason,
        after=after,
    )  # fmt: skip
    live.touch(f"device:{made.device_id}", now)


def _committed(made: ActionOrder, wish: Wish) -> ActionOrder:
    """Commit *made*; return what another request with the same key has made meanwhile, if so."""
    actor = made.asked_by
    try:
        db.session.commit()
    except IntegrityError:
        db.session.rollback()
        if (done := _done_before(wish, actor)) is not None:
            return done
        raise ConflictError("The same order was made at this moment; ask again.") from None
    return made
