"""The worker of a story: takes batches from the broker, acknowledges, sends what is queued.

What is killed between a batch and its acknowledgement comes again; what was to be sent
while the broker was away is sent when it is back, and everything retained is given to a
broker that has lost its store.
"""

from collections import deque
from collections.abc import Callable
from typing import Final

from oleada_wire import topics
from oleada_wire.ids import BootId
from oleada_wire.messages import Header

from oleada_lab.sim.broker import Delivery, Message, RefusedError, SimBroker
from oleada_lab.sim.plain import PLAIN_BYTES, UP_FILTER
from oleada_lab.sim.world import START_MS, World

NAME: Final = "server"
BATCH_MS: Final = 50
RECONNECT_MS: Final = 500
SESSION_S: Final = 600
BATCH_MAX: Final = 500
OLDER_MAX: Final = 1_000
NOTICE_MS: Final = 5_000
"""The worker looks at the canary that it has retained about so often."""
Store = Callable[[list[Message]], dict[str, object]]
MQTT_BYTES: Final = 60
"""Topic, properties and headers of a PUBLISH."""


class Desk:
    """One worker.

    Args:
        store: Takes a batch; returns the acknowledgement for each box that it is of.
        refill: Called on each connection instead of giving a broker that has lost its store
            what was retained: whoever keeps messages itself knows what is not there.

    Attributes:
        is_up: Whether the server's processes run.
        slow_ms: How much longer than usual a batch takes.
        boots: How often the server's processes were started.
    """

    def __init__(
        self,
        world: World,
        broker: SimBroker,
        store: Store,
        refill: Callable[[], None] | None = None,
    ) -> None:
        self.is_up = True
        self.slow_ms = 0
        self._world, self._broker, self._store = world, broker, store
        self._refill = refill
        self._life = 0
        self.boots = 1
        self._numbers = 0
        self._is_connected = False
        self._batch: list[Delivery] = []
        self._unsent: list[Message] = []
        self._retained: dict[str, Message] = {}
        self._older: deque[Message] = deque(maxlen=OLDER_MAX)

    def begin(self) -> None:
        """Connect for the first time."""
        self._connect()

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection to the broker."""
        return self._is_connected

    def header(self) -> Header:
        """Return the header of the server's next message."""
        self._numbers += 1
        at_ms = START_MS + self._world.now_ms
        return Header(f"{self._numbers:032x}", at_ms, BootId(self.boots, "0badc0de"), self._numbers)

    def retain(self, topic: str, payload: object, expires_ms: int | None = None) -> None:
        """Let the broker hold *payload* for *topic*, until *expires_ms* of the world's time."""
        message = Message(topic, payload, _size_bytes(payload), 1, True, expires_ms)
        if topic in self._retained:
            self._older.append(self._retained[topic])
        self._retained[topic] = message
        self._publish(message)

    def send(
        self, topic: str, payload: object, *, qos: int = 1, expires_ms: int | None = None
    ) -> None:
        """Send *payload* once."""
        self._publish(Message(topic, payload, _size_bytes(payload), qos, False, expires_ms))

    def replay(self) -> None:
        """Publish again what was retained before the newest, as a broker from a backup would.

        The worker notices that the broker has not what it should have, and gives it everything.
        """
        for message in self._older:
            self._publish(message)
        self._later(NOTICE_MS, self._refill or self._publish_retained)

    def go_down(self) -> None:
        """Kill every process of the server; what was not stored is forgotten."""
        self.is_up = False
        self._life += 1
        self._batch.clear()
        if self._is_connected:
            self._is_connected = False
            self._broker.lose(NAME, self)

    def come_up(self) -> None:
        """Start again on what was stored."""
        self.is_up = True
        self.boots += 1
        self._connect()

    # -- the broker's peer -------------------------------------------------------------

    def deliver(self, delivery: Delivery) -> None:
        """Take a message into the batch."""
        self._batch.append(delivery)
        if len(self._batch) == 1:
            self._later(BATCH_MS + self.slow_ms, self._finish_batch)

    def closed(self, why: str) -> None:
        """Seek a connection again."""
        del why
        self._is_connected = False
        self._batch.clear()
        self._later(RECONNECT_MS, self._connect)

    # -- inside ------------------------------------------------------------------------

    def _connect(self) -> None:
        if self._is_connected or not self.is_up:
            return
        try:
            was_known = self._broker.connect(self, NAME, expiry_s=SESSION_S, receive_max=BATCH_MAX)
        except RefusedError:
            self._later(RECONNECT_MS, self._connect)
            return
        self._is_connected = True
        self._broker.subscribe(NAME, [UP_FILTER])
        if self._refill is not None:
            self._refill()
        elif not was_known:
            self._publish_retained()
        unsent, self._unsent = self._unsent, []
        for message in unsent:
            self._broker.publish(NAME, message)
        self._broker.resume(NAME)

    def _finish_batch(self) -> None:
        batch, self._batch = self._batch[:BATCH_MAX], self._batch[BATCH_MAX:]
        acks = self._store([delivery.message for delivery in batch])
        for device_id, ack in acks.items():
            self.send(topics.down(device_id, topics.Down.ACK), ack, qos=0)
        for delivery in batch:
            if delivery.mid:
                self._broker.acknowledge(NAME, delivery.mid)
        if self._batch:
            self._later(BATCH_MS + self.slow_ms, self._finish_batch)

    def _publish_retained(self) -> None:
        for message in list(self._retained.values()):
            self._publish(message)

    def _publish(self, message: Message) -> None:
        if self._is_connected:
            self._broker.publish(NAME, message)
        elif not message.is_retained and message.qos:
            self._unsent.append(message)
        elif message.is_retained:
            self._unsent = [one for one in self._unsent if one.topic != message.topic]
            self._unsent.append(message)

    def _later(self, delay_ms: int, act: Callable[[], None]) -> None:
        life = self._life

        def happen() -> None:
            if life == self._life:
                act()

        self._world.after(delay_ms, happen)


def _size_bytes(payload: object) -> int:
    return len(payload) + MQTT_BYTES if isinstance(payload, bytes) else PLAIN_BYTES
