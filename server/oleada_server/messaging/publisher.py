"""Publishes the outbox, if this worker has the lease, over a line of its own.

Only one process may write what the broker retains, and a lease alone can not see to it: a
process may be stopped after it has read a row and go on minutes later, when another one
has published a newer row. So all publishers are known to the broker by one name
(``CLIENT_ID``), and the broker ends the line of the one before when the next one comes
(MQTT 5.0, 3.1.4). The order is what makes it a fence: *connect, take the lease, read,
publish*. Whoever reads with a lease that was taken over meanwhile writes to a dead line.

A row is done when the broker's PUBACK has come. When a line is new the broker's memory is
judged (memory.py): one that has lost something gets every retained message again.
"""

import logging
import secrets
from typing import Any, Final

from paho.mqtt import client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from oleada_server import clock
from oleada_server.config import Config
from oleada_server.db import db
from oleada_server.messaging import leader, memory, outbox, services_door
from oleada_server.messaging.outbox import CANARY_TOPIC, ECHO_TOPIC, Sending
from oleada_server.system.service import database_now

log = logging.getLogger(__name__)

ROLE: Final = "outbox"
CLIENT_ID: Final = "oleada-publisher"
IN_FLIGHT_MAX: Final = 500
POLL_S: Final = 0.05
CONNECT_AGAIN_S: Final = 0.5
PACKETS_MAX: Final = 2 * IN_FLIGHT_MAX
"""Read in one turn: a PUBACK each, and a few more."""


class _Line:
    """One connection to the broker, and what is known over it.

    Attributes:
        is_accepted: The broker has said yes.
        canary: What it holds, as far as it has told us.
        is_echoed: It has told us what it holds.
        in_flight: What it has not acknowledged, by packet id.
        refused: What it never will; tried again over the next line, not in a circle.
        confirmed: What it has acknowledged, and the database does not know yet.
    """

    def __init__(self, config: Config) -> None:
        self.is_accepted = False
        self.canary: int | None = None
        self.is_echoed = False
        self.in_flight: dict[int, Sending] = {}
        self.refused: list[Sending] = []
        self.confirmed: list[Sending] = []
        self._echo = secrets.token_hex(8).encode()
        self.client = services_door.new_line(config, CLIENT_ID, self._heard)
        self.client.max_inflight_messages_set(config.inbox_batch_max)
        self.client.on_connect = self._on_connect
        self.client.on_publish = self._on_publish

    @property
    def on_their_way(self) -> list[Sending]:
        """What need not be read again."""
        return [*self.in_flight.values(), *self.refused]

    def publish(self, sending: Sending) -> None:
        """Queue *sending*; it leaves with the next turn of the client."""
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        if sending.expiry_s is not None:
            properties.MessageExpiryInterval = sending.expiry_s
        info = self.client.publish(
            sending.topic, sending.payload, qos=1, retain=sending.retain, properties=properties
        )
        self.in_flight[info.mid] = sending

    def _on_connect(
        self, client: mqtt.Client, _userdata: Any, _flags: Any, reason: Any, _properties: Any
    ) -> None:
        if reason.is_failure:
            log.error("the broker refuses the publisher: %s", reason)
            return  # it hangs up
        self.is_accepted = True
        client.subscribe([(CANARY_TOPIC, 1), (ECHO_TOPIC, 1)])
        client.publish(ECHO_TOPIC, self._echo, qos=1)

    def _heard(self, mid: int, qos: int, topic: str, payload: bytes) -> None:
        self.client.queue_pubacks([mid] if qos else [])
        if topic == CANARY_TOPIC:
            self.canary = int(payload) if payload.isdigit() else None
        elif payload == self._echo:
            self.is_echoed = True

    def _on_publish(
        self, _client: mqtt.Client, _userdata: Any, mid: int, reason: Any, _properties: Any
    ) -> None:
        sending = self.in_flight.pop(mid, None)
        if sending is None:
            return  # the canary, or the echo
        if reason is not None and reason.is_failure:
            log.error("the broker refuses %s: %s", sending.topic, reason)
            self.refused.append(sending)
            return
        self.confirmed.append(sending)


class Publisher:
    """The outbox half of a worker; called from the worker's one thread.

    Args:
        config: Of the server.
        owner: Names this process in the lease.
    """

    def __init__(self, config: Config, owner: str) -> None:
        self._config = config
        self._owner = owner
        self._lease: leader.Lease | None = None
        self._lease_at = 0.0
        self._poll_at = 0.0
        self._connect_at = 0.0
        self._line: _Line | None = None
        self._is_fenced = False
        self._broker_is_whole = False

    @property
    def leads(self) -> bool:
        """Whether this publisher has the lease, as far as it knows."""
        return self._lease is not None

    @property
    def on_their_way(self) -> list[Sending]:
        """What it has published and does not know to be with the broker."""
        return self._line.on_their_way if self._line else []

    def turn(self) -> None:
        """Renew the lease, mark what was confirmed, publish what is unsent."""
        now_s = clock.monotonic_s()
        if now_s >= self._lease_at:
            self._renew(now_s)
        if self._lease is None:
            return
        line = self._reached(now_s)
        if line is None:
            return
        try:
            with leader.only_as(self._lease):
                self._work(line, now_s)
        except leader.LeaseLostError as error:
            db.session.rollback()
            log.warning("publishing the outbox: %s", error)
            self._lease = None
            self.close()

    def close(self) -> None:
        """Drop the line; what was not confirmed is published again over the next one."""
        if self._line is not None:
            self._line.client.close()
        self._line = None
        self._is_fenced = self._broker_is_whole = False

    def give_up(self) -> None:
        """Let another worker publish at once."""
        line, lease = self._line, self._lease
        if lease is None:
            return
        if line is not None:
            try:
                with leader.only_as(lease):
                    _mark_confirmed(line)
            except leader.LeaseLostError:
                db.session.rollback()
            line.client.leave()
        leader.give_up(lease)
        self._lease = None

    def _renew(self, now_s: float) -> None:
        before, self._lease = self._lease, leader.take(ROLE, self._owner, database_now())
        self._lease_at = now_s + leader.RENEW_S
        if self._lease != before:
            self.close()
            log.info("publishing the outbox: %s", self._lease is not None)

    def _reached(self, now_s: float) -> _Line | None:
        """Return the line if it stands and the lease was taken since; move its bytes."""
        if self._line is None and not self._connect(now_s):
            return None
        assert self._line is not None, "it was made just now"  # noqa: S101
        if not self._line.client.turn(0.0, PACKETS_MAX):
            self.close()
            self._lease_at = 0.0  # somebody else may be the reason: ask before we turn them out
            return None
        if self._line.is_accepted and not self._is_fenced:
            self._renew(now_s)
            self._is_fenced = True
        return self._line if self._is_fenced else None

    def _connect(self, now_s: float) -> bool:
        if now_s < self._connect_at:
            return False
        self._connect_at = now_s + CONNECT_AGAIN_S
        line = _Line(self._config)
        try:
            services_door.open_line(line.client, self._config)
        except OSError as error:
            log.warning("the publisher does not reach the broker: %s", error)
            return False
        self._line = line
        return True

    def _work(self, line: _Line, now_s: float) -> None:
        if _mark_confirmed(line):
            self._poll_at = 0.0
        if now_s < self._poll_at or not self._knows_broker(line):
            return
        self._poll_at = now_s + POLL_S
        room = IN_FLIGHT_MAX - len(line.in_flight)
        if room > 0:
            for sending in outbox.unsent(clock.now_utc(), room, line.on_their_way):
                line.publish(sending)

    def _knows_broker(self, line: _Line) -> bool:
        """Return whether the broker's memory was judged, and what it lost goes again."""
        if self._broker_is_whole:
            return True
        found = memory.judge(outbox.canary(), line.canary, is_echoed=line.is_echoed)
        if found is memory.Memory.UNKNOWN:
            return False
        if found is memory.Memory.LOST:
            count = outbox.send_all_again()
            log.warning("the broker has lost its memory; %s retained messages go again", count)
        self._broker_is_whole = True
        return True


def _mark_confirmed(line: _Line) -> bool:
    """Store what the broker has; return whether there was anything."""
    if not line.confirmed:
        return False
    canary = outbox.mark_sent(line.confirmed)
    line.confirmed.clear()
    if canary is not None:
        line.client.publish(CANARY_TOPIC, str(canary), qos=1, retain=True)
    return True
