"""Hears everything at the real broker, as one more process of the server; may say it again.

What boxes say becomes facts; what was ever said to them is kept, so that somebody who has
recorded it can publish it once more.
"""

from collections import deque
from collections.abc import Iterable
from types import TracebackType
from typing import Any, Final, Self

from oleada_server import broker
from oleada_server.config import Config
from oleada_wire import topics
from oleada_wire.errors import UnknownTopicError
from oleada_wire.topics import PREFIX, DeviceTopic, Up
from paho.mqtt import client as mqtt

from oleada_lab.chaos.retained import service_client

KEEPALIVE_S: Final = 30
KEPT_MAX: Final = 5_000
BACK_S: Final = 1
ORDERS: Final = frozenset({topics.Down.ASSIGN, topics.Down.LEASE, topics.Down.CMD})


class Ear:
    """A subscriber to all that boxes and server say.

    Attributes:
        heard: What boxes said and nobody has taken yet: box, kind, payload.
        commanded: What was said to boxes and models: topic and payload.
    """

    def __init__(self, config: Config) -> None:
        self._port = config.broker_services_port
        self.heard: deque[tuple[str, Up, bytes]] = deque()
        self.commanded: deque[tuple[str, bytes]] = deque(maxlen=KEPT_MAX)
        self._client = service_client(config)
        self._client.reconnect_delay_set(BACK_S, BACK_S)
        self._client.on_connect = self._on_connect
        self._client.on_message = self._on_message

    def __enter__(self) -> Self:
        self._client.connect(broker.SERVICES_HOST, self._port, KEEPALIVE_S)
        self._client.loop_start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._client.disconnect()
        self._client.loop_stop()
        if (sock := self._client.socket()) is not None:
            sock.close()

    def say_again(self, messages: Iterable[tuple[str, bytes]]) -> None:
        """Publish *messages* as they were, to whoever listens now."""
        for topic, payload in messages:
            self._client.publish(topic, payload, qos=1)

    def orders(self) -> list[tuple[str, bytes]]:
        """Return the signed words that were ever said to boxes and models, oldest first."""
        return [(topic, payload) for topic, payload in list(self.commanded) if _is_order(topic)]

    def _on_connect(self, client: mqtt.Client, *_: Any) -> None:
        client.subscribe(f"{PREFIX}/#", qos=1)

    def _on_message(self, _client: mqtt.Client, _userdata: Any, message: mqtt.MQTTMessage) -> None:
        try:
            parsed = topics.parse(message.topic)
        except UnknownTopicError:
            return
        if isinstance(parsed, DeviceTopic) and isinstance(parsed.kind, Up):
            self.heard.append((parsed.device_id, parsed.kind, bytes(message.payload)))
        else:
            self.commanded.append((message.topic, bytes(message.payload)))


def _is_order(topic: str) -> bool:
    parsed = topics.parse(topic)
    return not isinstance(parsed, DeviceTopic) or parsed.kind in ORDERS
