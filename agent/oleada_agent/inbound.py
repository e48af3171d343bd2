"""What comes from the broker, told to whom it concerns.

Bytes that are not what was agreed are refused, counted and told of once an hour; they
never stop the agent. What can not be taken up *yet* is held, one message of a kind: a
signed one until the metadata that says who signs has come, for retained messages come in
no particular order; a command that only the box's own clock calls late until the server
has told the time; metadata that the disk refused until it is tried again.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

from oleada_wire import messages, topics
from oleada_wire.errors import BadSignatureError, MalformedMessageError, WireError
from oleada_wire.messages import DOWN_BYTES_MAX, Ack, Assign, Cmd, Meta, Waves
from oleada_wire.topics import DeviceTopic, Down, Model, Up

from oleada_agent.backoff import Backoff, Below
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
STORE_AGAIN: Final = Backoff(60_000, 3_600_000)
"""Metadata that the disk has refused; nobody sends it again before the next connection."""
Kind = Up | Down | Model


class Contact(Protocol):
    """Who wants to know that the server has answered, and what it lets the box do."""

    def server_answered(self) -> None:
        """Take note that the server has acknowledged something said in this boot."""
        ...

    def heed_force(self, assignment_seq: int, *, is_forced: bool) -> None:
        """Take note whether a person lets this assignment disturb whoever watches."""
        ...


@dataclass(slots=True)
class Inbound:
    """Reads every message once, and lets the machine, the outbox or a verb know.

    Attributes:
        refused: Messages refused since the start, by code.
        refused_commands: Commands since the start that were forged, malformed, replayed or late.
        hello_id: Of the hello whose acknowledgement proves contact.
    """

    authority: Authority
    outbox: DiskOutbox
    probes: Contact
    commands: Commands
    feed: Callable[[Event], None]
    now_ms: Callable[[], int]
    steady_ms: Callable[[], int]
    below: Below
    refused: dict[str, int] = field(default_factory=dict)
    refused_commands: int = 0
    hello_id: str = ""
    is_hello_acked: bool = False
    _held: dict[Kind, bytes] = field(default_factory=dict)
    _told_ms: dict[tuple[str, str], int] = field(default_factory=dict)
    _store_failures: int = 0
    _store_at_ms: int | None = None

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

    def next_due_ms(self) -> int | None:
        """Return in how many milliseconds ``store_again`` wants to be called; None: not at all."""
        if self._store_at_ms is None:
            return None
        return max(0, self._store_at_ms - self.steady_ms())

    def store_again(self) -> None:
        """Take up the metadata that the disk has refused."""
        payload = self._held.pop(Model.META, None)
        if payload is not None:
            self._act(Model.META, payload)

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
                self.probes.heed_force(assign.assignment_seq, is_forced=assign.is_forced is True)
                self.feed(AssignReceived(assign.assignment_seq, assign.assignment))
            case Down.LEASE:
                self._lease(payload)
            case Down.CMD:
                self._obey(self.authority.open(Cmd, payload), payload)
            case Down.ACK:
                self._ack(messages.decode(Ack, payload, DOWN_BYTES_MAX))
            case _:
                self._dispatch_model(kind, payload)

    def _dispatch_model(self, kind: Kind, payload: bytes) -> None:
        match kind:
            case Model.META:
                known = self.authority.denied
                if self._keep_meta(payload):
                    if self.authority.denied != known:  # it lay here, and nobody could read it
                        self.feed(DenyListed(self.authority.denied))
                    self._take_up_held()
                    self.feed(TrustChanged())
            case Model.WAVE:
                waves = messages.decode(Waves, payload, DOWN_BYTES_MAX)
                if (error := self.authority.accept_waves(waves)) is not None:
                    self._refuse(kind, error.code, str(error))
                self.feed(TrustChanged())
            case Model.DENY:
                if self.authority.accept_deny(payload):
                    self._held.pop(Model.DENY, None)
                    self.feed(DenyListed(self.authority.denied))
            case _:
                raise MalformedMessageError(f"'{kind}' is nothing that a box is told.")

    def _keep_meta(self, payload: bytes) -> bool:
        """Return whether the metadata in *payload* is trusted and kept.

        Only here may the disk refuse in peace: a machine that can not store ends the agent.
        """
        meta = messages.decode(Meta, payload, DOWN_BYTES_MAX)
        self._held.pop(Model.META, None)
        self._store_at_ms = None
        try:
            against_head = self.authority.accept_meta(meta)
        except StorageError as error:
            self._held[Model.META] = payload
            self._store_failures += 1
            pause_ms = STORE_AGAIN.pause_ms(self._store_failures, self.below)
            self._store_at_ms = self.steady_ms() + pause_ms
            self._refuse(Model.META, "storage", str(error))
            return False
        self._store_failures = 0
        if isinstance(against_head, TrustError):
            self._refuse("audit-head", against_head.attack, str(against_head))
        elif against_head is not None:
            self._refuse("audit-head", against_head.code, str(against_head))
        return True

    def _obey(self, command: Cmd, payload: bytes) -> None:
        self._held.pop(Down.CMD, None)
        is_late = command.expires_ms <= self.now_ms()
        if is_late and self.authority.doubts(command.expires_ms):
            self._held[Down.CMD] = payload
            return
        self.refused_commands += not self.commands.obey(command, self.now_ms())

    def _take_up_held(self) -> None:
        for kind, payload in list(self._held.items()):
            if kind is not Model.META:  # the disk has its own time
                self._act(kind, payload)

    def _lease(self, payload: bytes) -> None:
        was_fresh = self.authority.time.is_fresh
        lease = self.authority.open_lease(payload)
        if lease is None:
            return
        if self.authority.time.is_fresh and not was_fresh:
            self._take_up_time()
        if not lease.assignment_id:
            return
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

    def _take_up_time(self) -> None:
        """Decide what the box's own clock alone could not decide."""
        if (error := self.authority.stale()) is not None:
            self._refuse(Model.META, error.attack, str(error))
        self._take_up_held()
        self.feed(TrustChanged())

    def _ack(self, ack: Ack) -> None:
        if self.hello_id and self.hello_id in ack.ids:
            self.is_hello_acked = True
            self.outbox.greet(ack.reads or ())
            self.probes.server_answered()
        for event in self.outbox.acknowledge(ack):
            self.feed(event)

    def _refuse(self, kind: str, code: str, detail: str) -> None:
        self.refused_commands += kind == Down.CMD
        self.refused[code] = self.refused.get(code, 0) + 1
        now_ms = self.steady_ms()
        told_ms = self._told_ms.get((kind, code))
        if told_ms is not None and now_ms - told_ms < TELL_AGAIN_MS:
            return
        self._told_ms[kind, code] = now_ms
        line = f"refused '{kind}' ({code}): {detail}"[:400]
        sys.stderr.write(f"oleada-agent: {line}\n")
        self.outbox.put_log([line])
