"""MQTT 5 over TLS: one network thread that does nothing but move messages.

Everything that paho does happens in this thread; the agent's thread hands messages over
and is handed what came. A connection that is lost is sought again with full jitter, so
that ten thousand boxes do not come back in the same second after a blackout.
Source: MQTT 5.0; trust design 6 (client id and user name are the certificate's name).
"""

import os
import select
import ssl
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Final

from oleada_wire import topics
from oleada_wire.messages import DOWN_BYTES_MAX
from oleada_wire.topics import Up
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from oleada_agent import clock
from oleada_agent.reconnect import BACKOFF_MS, Reconnect

SESSION_EXPIRY_S: Final = 7 * 24 * 3600
PACKET_BYTES_MAX: Final = DOWN_BYTES_MAX + 4096
IN_FLIGHT_MAX: Final = 20
QUEUED_MAX: Final = 100
EXPIRY_S: Final = {
    Up.HELLO: 300,
    Up.LEASE: 60,
    Up.HEALTH: 24 * 3600,
    Up.SAMPLES: 24 * 3600,
    Up.LOG: 7 * 24 * 3600,
    Up.CRASH: 7 * 24 * 3600,
}
"""What has grown stale in the broker is not delivered; verdicts never grow stale."""


@dataclass(frozen=True, slots=True)
class Connected:
    """The broker has accepted this box, and what is for it is subscribed to."""


@dataclass(frozen=True, slots=True)
class Disconnected:
    """There is no connection; another is being sought.

    Attributes:
        was_refused: The broker was reached, and did not let this box in.
    """

    detail: str
    was_refused: bool = False


@dataclass(frozen=True, slots=True)
class Received:
    """A message has come."""

    topic: str
    payload: bytes


News = Connected | Disconnected | Received


@dataclass(frozen=True, slots=True)
class Address:
    """Where the broker is and who calls.

    Attributes:
        context: TLS with this box's certificate; None on a bench without TLS.
        last_will: What the broker says for the box that took no leave; nothing if empty.
    """

    host: str
    port: int
    device_id: str
    hardware_model: str
    context: ssl.SSLContext | None
    keepalive_s: int = 60
    last_will: bytes = b""


class Transport:
    """The connection to the broker.

    Args:
        post: Brings news to the agent's thread; called from the network thread.
        below: Chance, for the pauses.
        spread_ms: The first connection waits a random part of this.
    """

    def __init__(
        self,
        address: Address,
        *,
        post: Callable[[News], None],
        below: Callable[[int], int],
        spread_ms: int = 0,
        backoff_ms: int = BACKOFF_MS,
    ) -> None:
        self._address = address
        self._post = post
        self._reconnect = Reconnect(below, backoff_ms)
        self._spread_ms = spread_ms
        self._outgoing: deque[tuple[Up, bytes]] = deque(maxlen=QUEUED_MAX)
        self._stopping = threading.Event()
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)
        self._said = ""
        self._is_accepted = self._was_refused = False
        self._next: ssl.SSLContext | None = None
        self._is_anew = False
        self._client = self._new_client()
        self._thread = threading.Thread(target=self._run, name="mqtt", daemon=True)

    def start(self) -> None:
        """Seek a connection, and keep one."""
        self._thread.start()

    def send(self, kind: Up, payload: bytes) -> None:
        """Publish *payload*, if there is a connection; what matters is in the outbox."""
        self._outgoing.append((kind, payload))
        self._wake()

    def use(self, context: ssl.SSLContext) -> None:
        """Show another certificate from the next connection on."""
        self._next = context

    def keep_alive(self, keepalive_s: int) -> None:
        """Have another keep-alive from now on; a broker is told of it by a new connection."""
        if keepalive_s != self._address.keepalive_s:
            self._address = replace(self._address, keepalive_s=keepalive_s)
            self._is_anew = True
            self._wake()

    def stop(self) -> None:
        """Take leave of the broker and end the thread."""
        self._stopping.set()
        self._wake()
        if self._thread.is_alive():
            self._thread.join()
        os.close(self._wake_read)
        os.close(self._wake_write)

    def _new_client(self) -> Client:
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=self._address.device_id,
            protocol=MQTTProtocolVersion.MQTTv5,
            reconnect_on_failure=False,
        )
        if self._address.context is not None:
            client.tls_set_context(self._address.context)
        if self._address.last_will:
            topic = topics.up(self._address.device_id, Up.GONE)
            client.will_set(topic, self._address.last_will)
        client.max_inflight_messages_set(IN_FLIGHT_MAX)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        return client

    def _run(self) -> None:
        self._pause(self._reconnect.first_ms(self._spread_ms))
        while not self._stopping.is_set():
            self._is_accepted = self._was_refused = False
            self._take_up_context()
            began_ms = clock.steady_ms()
            self._said = "the broker hung up"
            try:
                self._connect()
                self._was_refused = True  # unless it says yes
                self._pump()
            except (OSError, ValueError) as error:
                self._said = f"{type(error).__name__}: {error}"[:200]
                self._was_refused = _is_refusal(error)
                self._client.loop_misc()
            lasted_ms = clock.steady_ms() - began_ms
            self._outgoing.clear()
            was_refused = self._was_refused and not self._is_accepted
            self._post(Disconnected(self._said, was_refused))
            self._pause(
                self._reconnect.next_ms(was_accepted=self._is_accepted, lasted_ms=lasted_ms)
            )

    def _take_up_context(self) -> None:
        if self._next is not None:
            self._address = replace(self._address, context=self._next)
            self._client, self._next = self._new_client(), None

    def _connect(self) -> None:
        self._is_anew = False
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = SESSION_EXPIRY_S
        properties.MaximumPacketSize = PACKET_BYTES_MAX
        properties.ReceiveMaximum = IN_FLIGHT_MAX
        self._client.connect(
            self._address.host,
            self._address.port,
            self._address.keepalive_s,
            clean_start=False,
            properties=properties,
        )

    def _pump(self) -> None:
        """Move messages until the connection ends or the agent does."""
        wait_ms = min(self._address.keepalive_s, 40) * 250
        while (sock := self._client.socket()) is not None:
            if self._stopping.is_set() or self._is_anew:
                self._take_leave()
                return
            poll = select.poll()
            writing = select.POLLOUT if self._client.want_write() else 0
            poll.register(sock, select.POLLIN | writing)
            poll.register(self._wake_read, select.POLLIN)
            # What TLS has decrypted already is no longer in the socket for poll to see.
            pending = isinstance(sock, ssl.SSLSocket) and sock.pending() > 0
            ready = dict(poll.poll(0 if pending else wait_ms))
            if pending or ready.get(sock.fileno(), 0) & ~select.POLLOUT:
                self._client.loop_read()
            if self._client.want_write():
                self._client.loop_write()
            if self._wake_read in ready:
                self._send_all()
            self._client.loop_misc()

    def _send_all(self) -> None:
        with suppress(BlockingIOError):
            while os.read(self._wake_read, 4096):
                pass
        while self._outgoing and self._client.is_connected():
            kind, payload = self._outgoing.popleft()
            properties = None
            if kind in EXPIRY_S:
                properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
                properties.MessageExpiryInterval = EXPIRY_S[kind]
            topic = topics.up(self._address.device_id, kind)
            self._client.publish(topic, payload, qos=1, properties=properties)

    def _take_leave(self) -> None:
        self._send_all()
        self._client.disconnect()
        while self._client.socket() is not None and self._client.want_write():
            self._client.loop_write()
        self._client.loop_misc()

    def _on_connect(
        self, client: Client, userdata: Any, flags: Any, reason: Any, properties: Any
    ) -> None:
        if reason.is_failure:
            self._said = f"the broker refused: {reason}"
            client.disconnect()
            return
        self._is_accepted = True
        client.subscribe([
            (topics.down_filter(self._address.device_id), 1),
            (topics.model_filter(self._address.hardware_model), 1),
        ])  # fmt: skip
        self._post(Connected())

    def _on_disconnect(
        self, client: Client, userdata: Any, flags: Any, reason: Any, properties: Any
    ) -> None:
        if reason.is_failure:
            self._said = str(reason)[:200]

    def _on_message(self, client: Client, userdata: Any, message: MQTTMessage) -> None:
        self._post(Received(message.topic, bytes(message.payload)))

    def _wake(self) -> None:
        with suppress(BlockingIOError):
            os.write(self._wake_write, b"!")

    def _pause(self, pause_ms: int) -> None:
        self._stopping.wait(pause_ms / 1000)


def _is_refusal(error: Exception) -> bool:
    """Return whether *error* is the broker's no in TLS, not ours to a broker of somebody else."""
    return isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLCertVerificationError)
