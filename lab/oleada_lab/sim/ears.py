"""How a simulated box hears: by its own eyes for signatures, or told plainly.

``SignedEars`` is what the agent's service has: the real reader of messages, the real
authority over signed metadata, and commands. ``PlainEars`` believes values, for fleets
so large that a signature for each message is all that one would measure.
"""

import io
from collections.abc import Callable
from contextlib import redirect_stderr
from dataclasses import dataclass
from typing import Final, Protocol

from oleada_agent import enrol
from oleada_agent.commands import Commands
from oleada_agent.inbound import Contact, Inbound
from oleada_agent.machine_events import (
    AssignReceived,
    DenyListed,
    Event,
    LeaseAnswered,
    TrustChanged,
)
from oleada_agent.machine_states import State
from oleada_agent.outbox import DiskOutbox
from oleada_agent.ports import Disk, Verifier
from oleada_agent.questions import Questions
from oleada_agent.trust.authority import Authority, Box
from oleada_agent.trust.errors import TrustError
from oleada_wire import messages
from oleada_wire.messages import Ack, Header, Hello, Lease, LeaseRequest
from oleada_wire.topics import Up

from oleada_lab.sim.authority import SimAuthority
from oleada_lab.sim.plain import PLAIN_BYTES, Assigned, Covered, Denied

MQTT_BYTES: Final = 60
"""Topic, properties and headers of a PUBLISH."""


@dataclass(frozen=True, slots=True)
class Around:
    """What ears need of the agent that they belong to.

    Attributes:
        header: Makes the header of a message.
        publish: Sends a payload of so many bytes, if there is a connection.
        state: Of the machine, once it has started.
        wall_ms: The box's clock, UTC, which may be wrong.
        steady_ms: A clock that never jumps.
        below: Draws a number.
        room_bytes: Of the spare slot.
        put_health: Makes a health message now.
        note: Adds a line to the trace.
    """

    device_id: str
    model: str
    disk: Disk
    outbox: DiskOutbox
    contact: Contact
    feed: Callable[[Event], None]
    header: Callable[[], Header]
    publish: Callable[[Up, object, int], None]
    state: Callable[[], State]
    wall_ms: Callable[[], int]
    steady_ms: Callable[[], int]
    below: Callable[[int], int]
    room_bytes: Callable[[], int]
    put_health: Callable[[], None]
    note: Callable[[str], None]


class Ears(Protocol):
    """What the agent of a box hears with.

    Attributes:
        verifier: The port of the machine.
        questions: The ``Link`` port of the machine.
    """

    verifier: Verifier
    questions: Questions

    def load(self) -> None:
        """Take up what was heard and kept before this start."""
        ...

    def after_start(self) -> None:
        """Tell the machine, which has started, what it must know at once."""
        ...

    def connected(self) -> None:
        """Take note that there is a connection; its hello is not answered yet."""
        ...

    def disconnected(self) -> None:
        """Take note that nothing can come."""
        ...

    def greet(self, hello: Hello) -> None:
        """Publish *hello*; its acknowledgement proves that the server hears."""
        ...

    @property
    def is_heard(self) -> bool:
        """Whether the server has counted the hello of this connection."""
        ...

    def take(self, topic: str, payload: object) -> None:
        """Act on one message."""
        ...

    def now_ms(self) -> int:
        """Return UTC ms, as far as the box can know them."""
        ...

    def next_due_ms(self) -> int | None:
        """Return in how many milliseconds ``do_what_is_due`` wants to be called."""
        ...

    def do_what_is_due(self) -> None:
        """Ask again, or try again, whatever it is time for."""
        ...


class SignedEars:
    """The agent's own reader, authority, questions and commands, as its service has them."""

    def __init__(self, around: Around) -> None:
        self._around = around
        self._authority = Authority(
            Box(around.device_id, around.model),
            around.disk,
            enrol.TRUST,
            now_ms=around.wall_ms,
            steady_ms=around.steady_ms,
            capacity_bytes=around.room_bytes,
        )
        self.questions = Questions(
            around.header,
            self._send_question,
            self._authority.time,
            steady_ms=around.steady_ms,
            below=around.below,
        )
        self._authority.ask_time = self.questions.ask_time
        self._authority.is_listening = False
        self.verifier: Verifier = self._authority
        verbs = {"ping": lambda: "pong", "report_health": self._report_health}
        self._inbound = Inbound(
            self._authority,
            around.outbox,
            around.contact,
            Commands(around.disk, verbs, around.outbox.put_result),
            around.feed,
            now_ms=self.now_ms,
            steady_ms=around.steady_ms,
            below=around.below,
        )

    @property
    def is_heard(self) -> bool:
        """Whether the server has counted the hello of this connection."""
        return self._inbound.is_hello_acked

    def load(self) -> None:
        """Take up the metadata on the disk, if it is still fresh."""
        try:
            self._authority.load()
        except TrustError:
            return  # as the agent: newer metadata comes with the connection

    def after_start(self) -> None:
        """Tell the machine of the deny list that is kept."""
        if self._authority.denied:
            self._around.feed(DenyListed(self._authority.denied))

    def connected(self) -> None:
        """Take note that there is a connection; its hello is not answered yet."""
        self._authority.is_listening = True
        self._inbound.is_hello_acked = False
        self.questions.connected()

    def disconnected(self) -> None:
        """Take note that nothing can come."""
        self._authority.is_listening = self._inbound.is_hello_acked = False
        self.questions.disconnected()

    def greet(self, hello: Hello) -> None:
        """Publish *hello*; its acknowledgement proves that the server hears."""
        self._inbound.hello_id = hello.header.id
        self._say(Up.HELLO, messages.encode(hello))

    def take(self, topic: str, payload: object) -> None:
        """Act on one message."""
        assert isinstance(payload, bytes), "what is signed is bytes"  # noqa: S101
        was_heard = self.is_heard
        with redirect_stderr(io.StringIO()) as log:
            self._inbound.take(topic, payload)
        for line in log.getvalue().splitlines():
            self._around.note(line)
        if self.is_heard and not was_heard:
            self.questions.heard(self._around.state())

    def now_ms(self) -> int:
        """Return UTC ms, as far as the box can know them."""
        return self._authority.time.now_ms()

    def next_due_ms(self) -> int | None:
        """Return in how many milliseconds ``do_what_is_due`` wants to be called."""
        due = (self.questions.next_due_ms(), self._inbound.next_due_ms())
        return min((one for one in due if one is not None), default=None)

    def do_what_is_due(self) -> None:
        """Ask what time it is, or take up metadata that the disk has refused."""
        if self.questions.next_due_ms() == 0:
            self.questions.ask_again()
        if self._inbound.next_due_ms() == 0:
            self._inbound.store_again()

    def _send_question(self, asked: LeaseRequest) -> None:
        self._say(Up.LEASE, messages.encode(asked))

    def _say(self, kind: Up, data: bytes) -> None:
        self._around.publish(kind, data, len(data) + MQTT_BYTES)

    def _report_health(self) -> str:
        self._around.put_health()
        return "a health message is on its way"


class PlainEars:
    """Believes what it is told: values, that their bytes would be read into."""

    def __init__(self, around: Around) -> None:
        self._around = around
        self._authority = SimAuthority(
            around.device_id,
            around.header,
            lambda asked: around.publish(Up.LEASE, asked, PLAIN_BYTES),
            wall_ms=around.wall_ms,
            steady_ms=around.steady_ms,
            below=around.below,
        )
        self.verifier: Verifier = self._authority
        self.questions = self._authority.questions
        self._hello_id = ""
        self._is_heard = False

    @property
    def is_heard(self) -> bool:
        """Whether the server has counted the hello of this connection."""
        return self._is_heard

    def load(self) -> None:
        """There is nothing that was kept."""

    def after_start(self) -> None:
        """There is nothing to tell."""

    def connected(self) -> None:
        """Take note that there is a connection; its hello is not answered yet."""
        self._is_heard = False
        self.questions.connected()

    def disconnected(self) -> None:
        """Take note that nothing can come."""
        self._is_heard = False
        self.questions.disconnected()

    def greet(self, hello: Hello) -> None:
        """Publish *hello*; its acknowledgement proves that the server hears."""
        self._hello_id = hello.header.id
        self._around.publish(Up.HELLO, hello, PLAIN_BYTES)

    def take(self, topic: str, payload: object) -> None:
        """Act on one message."""
        del topic
        feed = self._around.feed
        match payload:
            case Ack():
                self._acked(payload)
            case Assigned(number, assignment):
                if assignment is not None:
                    self._authority.saw(assignment.issued_ms)
                feed(AssignReceived(number, assignment))
            case Covered():
                self._authority.covered = payload
                feed(TrustChanged())
            case Denied(digests):
                feed(DenyListed(digests))
            case Lease():
                self._answered(payload)
            case _:
                pass

    def now_ms(self) -> int:
        """Return UTC ms, as far as the box can know them."""
        return self._authority.now_ms()

    def next_due_ms(self) -> int | None:
        """Return in how many milliseconds ``do_what_is_due`` wants to be called."""
        return self.questions.next_due_ms()

    def do_what_is_due(self) -> None:
        """Ask what time it is."""
        if self.questions.next_due_ms() == 0:
            self.questions.ask_again()

    def _acked(self, ack: Ack) -> None:
        if self._hello_id in ack.ids and not self._is_heard:
            self._is_heard = True
            self._around.contact.server_answered()
            self.questions.heard(self._around.state())
        for event in self._around.outbox.acknowledge(ack):
            self._around.feed(event)

    def _answered(self, lease: Lease) -> None:
        is_news = self._authority.told(lease)
        if is_news is None:
            return
        if is_news:
            self._around.feed(TrustChanged())
        self._around.feed(
            LeaseAnswered(
                lease.assignment_id, lease.attempt, lease.phase, lease.granted,
                lease.expires_ms, lease.retry_after_s, lease.reason,
            )
        )  # fmt: skip
