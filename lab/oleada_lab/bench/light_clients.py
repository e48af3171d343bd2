"""Many light boxes in one process: real certificates and paho clients on one selector.

A light box connects, subscribes and notes when each topic reached it. It installs
nothing; what it proves is how the server and the broker carry a thousand of them.
"""

import resource
import selectors
import socket
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import paho.mqtt.client as mqtt
from oleada_wire import topics
from paho.mqtt.enums import CallbackAPIVersion

from oleada_lab.bench.identities import Identity
from oleada_lab.clock import monotonic_s
from oleada_lab.errors import LabError

KEEPALIVE_S: Final = 300
POLL_S: Final = 0.05


@dataclass(slots=True)
class LightBox:
    """One client of the fleet.

    Attributes:
        heard: When (steady clock, seconds) and what came, oldest first.
    """

    identity: Identity
    client: mqtt.Client
    ready: bool = False
    heard: list[tuple[float, str, bytes]] = field(default_factory=list)


class LightFleet:
    """All light boxes of one process; nothing happens outside ``run_until``."""

    def __init__(self, identities: Sequence[Identity], ca_file: Path) -> None:
        self._selector = selectors.DefaultSelector()
        self.boxes = [self._make(identity, ca_file) for identity in identities]

    def connect(self, host: str, port: int, limit_s: float) -> None:
        """Connect and subscribe every box.

        Lets this process open as many files as it may, and more than there are boxes.

        Raises:
            LabError: Not all are subscribed after *limit_s* seconds.
        """
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, hard), hard))
        for box in self.boxes:
            box.client.connect(host, port, keepalive=KEEPALIVE_S, clean_start=True)
            self.turn(0)
        self.run_until(lambda: all(box.ready for box in self.boxes), limit_s, "are subscribed")

    def publish(self, box: LightBox, kind: topics.Up, payload: bytes) -> mqtt.MQTTMessageInfo:
        """Hand *payload* to the client of *box*; it leaves in the next turns."""
        return box.client.publish(topics.up(box.identity.device_id, kind), payload, qos=1)

    def run_until(self, done: Callable[[], bool], limit_s: float, what: str) -> None:
        """Turn the loop until *done*.

        Raises:
            LabError: It is not done after *limit_s* seconds; *what* says what is missing.
        """
        end_s = monotonic_s() + limit_s
        while not done():
            if monotonic_s() > end_s:
                raise LabError(f"After {limit_s} s not all light boxes {what}.")
            self.turn(POLL_S)

    def turn(self, wait_s: float) -> None:
        """Serve every socket that is ready, waiting at most *wait_s* seconds for one."""
        for key, events in self._selector.select(wait_s):
            client: mqtt.Client = key.data
            if events & selectors.EVENT_READ:
                client.loop_read()
            if events & selectors.EVENT_WRITE and client.want_write():
                client.loop_write()

    def close(self) -> None:
        """Disconnect every box and free its socket."""
        for box in self.boxes:
            client = box.client
            client.on_socket_open = client.on_socket_close = None
            client.on_socket_register_write = client.on_socket_unregister_write = None
            client.disconnect()
            client.loop_misc()
        self._selector.close()

    def _make(self, identity: Identity, ca_file: Path) -> LightBox:
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2, client_id=identity.device_id, protocol=mqtt.MQTTv5
        )
        context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=str(ca_file))
        context.load_cert_chain(str(identity.certificate_file), str(identity.key_file))
        client.tls_set_context(context)
        box = LightBox(identity, client)
        self._watch(client)

        def subscribe(*_: Any) -> None:
            client.subscribe(topics.down_filter(identity.device_id), qos=1)

        def subscribed(*_: Any) -> None:
            box.ready = True

        def hear(_client: mqtt.Client, _userdata: Any, message: mqtt.MQTTMessage) -> None:
            box.heard.append((monotonic_s(), message.topic, bytes(message.payload)))

        client.on_connect, client.on_subscribe, client.on_message = subscribe, subscribed, hear
        return box

    def _watch(self, client: mqtt.Client) -> None:
        """Let the selector follow the socket of *client*."""

        def opened(_client: mqtt.Client, _userdata: Any, sock: socket.socket) -> None:
            self._selector.register(sock, selectors.EVENT_READ, client)

        def closed(_client: mqtt.Client, _userdata: Any, sock: socket.socket) -> None:
            self._selector.unregister(sock)

        def wants_write(_client: mqtt.Client, _userdata: Any, sock: socket.socket) -> None:
            both = selectors.EVENT_READ | selectors.EVENT_WRITE
            self._selector.modify(sock, both, client)

        def wrote(_client: mqtt.Client, _userdata: Any, sock: socket.socket) -> None:
            self._selector.modify(sock, selectors.EVENT_READ, client)

        client.on_socket_open, client.on_socket_close = opened, closed  # type: ignore[assignment]
        client.on_socket_register_write = wants_write  # type: ignore[assignment]
        client.on_socket_unregister_write = wrote  # type: ignore[assignment]
