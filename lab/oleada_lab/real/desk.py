"""The desk of a small house: the server by the wire alone.

It counts what a box says, acknowledges it, grants leases, and assigns a signed release;
it holds no database and decides nothing.
"""

import json
import queue
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, Self, TypeVar

from oleada_agent import clock
from oleada_wire import messages, topics
from oleada_wire.ids import BootId
from oleada_wire.messages import (
    KINDS,
    Ack,
    Assign,
    Assignment,
    AuditHead,
    Cohort,
    Deny,
    Header,
    Lease,
    LeaseRequest,
    Message,
    Meta,
    Wave,
    Waves,
)
from oleada_wire.topics import DeviceTopic, Down, Model, Up
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from oleada_lab.errors import OperatorError
from oleada_lab.real.house import House
from oleada_lab.real.repository import MODEL

HOUR_MS: Final = 3_600_000
WAIT_MS: Final = 60_000
TURN_WAIT_S: Final = 600
ENTRIES: Final = 10
"""By so many the audit trail has grown whenever metadata is told."""
SOME_DIGEST: Final = "5b" * 32
TURN: Final = "oleada-lab/turn"
"""Where the desk talks to itself, to learn that it has heard all that came before."""
M = TypeVar("M", bound=Message)


class Desk:
    """The server by the wire alone: counts, acknowledges, grants and assigns.

    Attributes:
        device_id: Of the box that it talks to; what another one says is not heard.
        heard: Every message of the box, in order of arrival.
        grants: Whether a question for a lease is answered; else it is lost.
    """

    def __init__(self, house: House) -> None:
        self.house = house
        self.repository = house.repository
        self.device_id = house.device_id
        self.heard: queue.Queue[tuple[Up, bytes]] = queue.Queue()
        self.acknowledges = True
        self.grants = True
        self._seq = 0
        self._entries = 0
        self._client = Client(
            CallbackAPIVersion.VERSION2, client_id="desk", protocol=MQTTProtocolVersion.MQTTv5
        )
        self._client.on_message = self._on_message
        self._turns: queue.Queue[bytes] = queue.Queue()
        self._client.on_connect = lambda client, *_: client.subscribe(
            [("oleada/v1/d/+/up/+", 1), (TURN, 1)]
        )

    def __enter__(self) -> Self:
        self._client.connect("127.0.0.1", self.house.desk_port)
        self._client.loop_start()
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def wait_for(self, shape: type[M], accept: Callable[[M], bool] = lambda _: True) -> M:
        """Return the next message of *shape* that *accept* likes; 60 s at most."""
        until = clock.steady_ms() + WAIT_MS
        seen = []
        while (left_ms := until - clock.steady_ms()) > 0:
            with suppress(queue.Empty):
                kind, data = self.heard.get(timeout=left_ms / 1000)
                seen.append(data[-300:])
                if kind == KINDS[shape].replace("lease-request", "lease"):
                    message = messages.decode(shape, data)
                    if accept(message):
                        return message
        raise OperatorError(f"No {shape.__name__} came in {WAIT_MS // 1000} s, but {seen}.")

    def catch_up(self) -> None:
        """Return when everything has been heard that the broker had taken until now.

        Raises:
            OperatorError: the broker does not answer.
        """
        turn = clock.hex_id(8).encode()
        self.publish_raw(TURN, turn)
        try:
            while self._turns.get(timeout=TURN_WAIT_S) != turn:
                pass
        except queue.Empty as error:
            raise OperatorError("The broker of the small house does not answer.") from error

    def header(self) -> Header:
        """Return the header of the next message."""
        self._seq += 1
        return Header(clock.hex_id(32), clock.now_ms(), BootId(1, "0badc0de"), self._seq)

    def publish_trust(self, image: bytes) -> None:
        """Publish metadata and a wave that covers everybody, both retained."""
        self._publish(topics.model(MODEL, Model.META), self._meta())
        target = next(iter(self.repository.signed[MODEL].signed.targets.values()))
        wave = Wave(
            self.header(), 31, "R-107", MODEL, target.path, target.hashes["sha256"], len(image), 3,
            Cohort(salt="s", share_parts=10_000), clock.now_ms() - HOUR_MS,
            clock.now_ms() + HOUR_MS,
        )  # fmt: skip
        sealed = messages.seal(wave, list(self.repository.approvers)).decode()
        waves = Waves(self.header(), (sealed,))
        self._publish(topics.model(MODEL, Model.WAVE), messages.encode(waves))

    def assign(self, image: bytes, seq: int = 1, attempt: int = 1) -> None:
        """Assign the release to the box, retained."""
        target = next(iter(self.repository.signed[MODEL].signed.targets.values()))
        assignment = Assignment(
            "A-20418", attempt, "R-107", 31, target.path, target.hashes["sha256"], len(image),
            "5.8.2", 3, clock.now_ms(), clock.now_ms() + HOUR_MS,
        )  # fmt: skip
        self.send(Down.ASSIGN, Assign(self.header(), self.device_id, seq, assignment), retain=True)

    def send(self, kind: Down, message: Message, *, retain: bool = False) -> None:
        """Publish *message*, signed by the director, to the box."""
        sealed = messages.seal(message, [self.repository.director])
        self._publish(topics.down(self.device_id, kind), sealed, retain=retain)

    def publish_deny(self, digest: str) -> None:
        """Publish a list of images that must not be installed, retained."""
        deny = Deny(self.header(), MODEL, 1, (digest,))
        sealed = messages.seal(deny, [self.repository.director])
        self._publish(topics.model(MODEL, Model.DENY), sealed)

    def publish_raw(self, topic: str, payload: bytes) -> None:
        """Publish whatever bytes."""
        self._publish(topic, payload, retain=False)

    def _meta(self) -> bytes:
        """Return the metadata with a head of the audit trail, which has grown since."""
        self._entries += ENTRIES
        head = AuditHead(
            self.header(), self._entries, SOME_DIGEST, SOME_DIGEST, 0, clock.now_ms()
        )  # fmt: skip
        sealed = messages.seal(head, [self.repository.director]).decode()
        return messages.encode(Meta(self.header(), self.repository.plain_files(), sealed))

    def _publish(self, topic: str, payload: bytes, *, retain: bool = True) -> None:
        self._client.publish(topic, payload, qos=1, retain=retain)

    def _on_message(self, client: Client, userdata: Any, message: MQTTMessage) -> None:
        if message.topic == TURN:
            self._turns.put(bytes(message.payload))
            return
        topic = topics.parse(message.topic)
        if not isinstance(topic, DeviceTopic) or not isinstance(topic.kind, Up):
            return
        if topic.device_id != self.device_id:
            return
        payload = bytes(message.payload)
        self.note(topic.kind, payload)
        if topic.kind is Up.LEASE:
            if self.grants:
                self._grant(messages.decode(LeaseRequest, payload))
        elif self.acknowledges:
            ack = Ack(self.header(), (json.loads(payload)["id"],))
            client.publish(topics.down(self.device_id, Down.ACK), messages.encode(ack), qos=0)
        self.answer(topic.kind, payload)
        self.heard.put((topic.kind, payload))

    def note(self, kind: Up, payload: bytes) -> None:
        """Take note of a message before the box can know that it was heard."""

    def answer(self, kind: Up, payload: bytes) -> None:
        """Do more about a message than to acknowledge it; this desk does not."""

    def _grant(self, request: LeaseRequest) -> None:
        lease = Lease(
            self.header(), self.device_id, request.assignment_id, request.attempt, request.phase,
            granted=True, expires_ms=self.lease_until_ms(request), request_id=request.header.id,
        )  # fmt: skip
        self.send(Down.LEASE, lease)

    def lease_until_ms(self, request: LeaseRequest) -> int:
        """Return until when the lease that *request* asks for is good."""
        return clock.now_ms() + HOUR_MS
