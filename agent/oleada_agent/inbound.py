"""What comes from the broker, told to whom it concerns.

Bytes that are not what was agreed are refused, counted and told of once an hour; they
never stop the agent. A signed message that can not be checked *yet* is held until the
metadata that says who signs has come: retained messages come in no particular order.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

from oleada_wire import messages, topics
from oleada_wire.errors import BadSignatureError, MalformedMessageError, WireError
from oleada_wire.messages import DOWN_BYTES_MAX, Ack, Assign, Cmd, Lease, Meta, Waves
from oleada_wire.topics import DeviceTopic, Down, Model, Up

from oleada_agent.commands import Commands
from oleada_agent.errors import StorageError
from oleada_agent.machine_events import (
    AssignReceived,
    DenyListed,
    Event,
    LeaseAnswered,
    TrustChanged,
)
from oleada_agent.outbox import DiskOutbox
from oleada_agent.trust.authority import Authority
from oleada_agent.trust.errors import TrustError

TELL_AGAIN_MS: Final = 3_600_000
Kind = Up | Down | Model


class Contact(Protocol):
    """Who wants to know that the server has answered."""

    def server_answered(self) -> None:
        """Take note that the server has acknowledged something said in this boot."""
        ...


@dataclass(slots=True)
class Inbound:
    """Reads every message once, and lets the machine, the outbox or a verb know.

    Attributes:
        refused: Messages refused since the start, by code.
        hello_id: Of the hello whose acknowledgement proves contact.
    """

    authority: Authority
    outbox: DiskOutbox
    probes: Contact
    commands: Commands
    feed: Callable[[Event], None]
    now_ms: Callable[[], int]
    steady_ms: Callable[[], int]
    refused: dict[str, int] = field(default_factory=dict)
    hello_id: str = ""
    is_hello_acked: bool = False
    _held: dict[Kind, bytes] = field(default_factory=dict)
    _told_ms: dict[tuple[str, str], int] = field(default_factory=dict)

    def take(self, topic: str, payload: bytes) -> None:
        """Act on one message; never raises for what the peer has sent."""
        if not payload:
            return  # a retained message was cleared
        try:
            parsed = topics.parse(topic)
        except WireError as error:
            self._refuse("topic", error.code, str(error))
            return
        kind: Kind = parsed.kind
        if isinstance(parsed, DeviceTopic) and isinstance(kind, Up):
            self._refuse(kind, "unknown-topic", f"'{topic[:80]}' is for the server.")
            return
        self._act(kind, payload)

    def _act(self, kind: Kind, payload: bytes) -> None:
        try:
            self._dispatch(kind, payload)
        except BadSignatureError as error:
            if kind in (Down.ASSIGN, Model.DENY):
                self._held[kind] = payload
            if self.authority.is_ready:
                self._refuse(kind, error.code, str(error))
        except WireError as error:
            self._refuse(kind, error.code, str(error))
        except TrustError as error:
            self._refuse(kind, error.attack, str(error))

    def _dispatch(self, kind: Kind, payload: bytes) -> None:
        match kind:
            case Down.ASSIGN:
                assign = self.authority.open(Assign, payload)
                self._held.pop(Down.ASSIGN, None)
                self.feed(AssignReceived(assign.assignment_seq, assign.assignment))
            case Down.LEASE:
                self._lease(self.authority.open(Lease, payload))
            case Down.CMD:
                self.commands.obey(self.authority.open(Cmd, payload), self.now_ms())
            case Down.ACK:
                self._ack(messages.decode(Ack, payload, DOWN_BYTES_MAX))
            case _:
                self._dispatch_model(kind, payload)

    def _dispatch_model(self, kind: Kind, payload: bytes) -> None:
        match kind:
            case Model.META:
                if self._keep_meta(messages.decode(Meta, payload, DOWN_BYTES_MAX)):
                    self._take_up_held()
                    self.feed(TrustChanged())
            case Model.WAVE:
                self.authority.accept_waves(messages.decode(Waves, payload, DOWN_BYTES_MAX))
                self.feed(TrustChanged())
            case Model.DENY:
                if self.authority.accept_deny(payload):
                    self._held.pop(Model.DENY, None)
                    self.feed(DenyListed(self.authority.denied))
            case _:
                raise MalformedMessageError(f"'{kind}' is nothing that a box is told.")

    def _keep_meta(self, meta: Meta) -> bool:
        """Return whether *meta* is trusted and kept.

        Only here may the disk refuse in peace: a machine that can not store ends the agent.
        """
        try:
            self.authority.accept_meta(meta)
        except StorageError as error:
            self._refuse(Model.META, "storage", str(error))
            return False
        return True

    def _take_up_held(self) -> None:
        for kind, payload in list(self._held.items()):
            self._act(kind, payload)

    def _lease(self, lease: Lease) -> None:
        self.feed(
            LeaseAnswered(
                lease.assignment_id,
                lease.attempt,
                lease.phase,
                lease.granted,
                lease.expires_ms,
                lease.retry_after_s,
                lease.reason,
            )
        )

    def _ack(self, ack: Ack) -> None:
        if self.hello_id and self.hello_id in ack.ids:
            self.is_hello_acked = True
            self.probes.server_answered()
        for event in self.outbox.acknowledge(ack):
            self.feed(event)

    def _refuse(self, kind: str, code: str, detail: str) -> None:
        self.refused[code] = self.refused.get(code, 0) + 1
        now_ms = self.steady_ms()
        told_ms = self._told_ms.get((kind, code))
        if told_ms is not None and now_ms - told_ms < TELL_AGAIN_MS:
            return
        self._told_ms[kind, code] = now_ms
        line = f"refused '{kind}' ({code}): {detail}"[:400]
        sys.stderr.write(f"oleada-agent: {line}\n")
        self.outbox.put_log([line])
