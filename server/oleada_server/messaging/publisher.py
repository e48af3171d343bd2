"""Publishes the outbox over a worker's connection, if this worker has the lease.

A row is done when the broker's PUBACK has come. After each (re)connection, and when the
lease is new, the canary is compared: a broker that has lost it gets every retained
message again (outbox.py).
"""

import logging
from typing import Any, Final

from paho.mqtt import client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from oleada_server import clock
from oleada_server.messaging import leader, outbox
from oleada_server.messaging.outbox import CANARY_TOPIC, Sending
from oleada_server.system.service import database_now

log = logging.getLogger(__name__)

ROLE: Final = "outbox"
IN_FLIGHT_MAX: Final = 500
POLL_S: Final = 0.05
CANARY_WAIT_S: Final = 1.0
"""How long after the subscription a missing canary counts as lost."""


class Publisher:
    """The outbox half of a worker, for one connection; called from the worker's one thread.

    Args:
        client: The worker's connection.
        owner: Names this process in the lease.
    """

    def __init__(self, client: mqtt.Client, owner: str) -> None:
        self._client = client
        self._owner = owner
        self._lease: leader.Lease | None = None
        self._lease_at = 0.0
        self._poll_at = 0.0
        self._in_flight: dict[int, Sending] = {}
        self._refused: list[Sending] = []
        self._confirmed: list[Sending] = []
        self._canary: int | None = None
        self._connected_at: float | None = None
        self._broker_is_whole = False
        client.on_publish = self._on_publish

    def connected(self) -> None:
        """Ask the broker for the canary; a connection is made once."""
        self._connected_at = clock.monotonic_s()
        self._client.subscribe(CANARY_TOPIC, qos=1)

    def heard(self, topic: str, payload: bytes) -> bool:
        """Return whether a message was the canary, and remember it."""
        if topic != CANARY_TOPIC:
            return False
        self._canary = int(payload) if payload.isdigit() else None
        return True

    def turn(self) -> None:
        """Renew the lease, mark what was confirmed, publish what is unsent."""
        now_s = clock.monotonic_s()
        if self._connected_at is None:
            return
        if now_s >= self._lease_at:
            self._renew(now_s)
        if self._confirmed:
            self._mark_confirmed()
            self._poll_at = 0.0
        if self._lease is None or now_s < self._poll_at or not self._check_broker(now_s):
            return
        self._poll_at = now_s + POLL_S
        self._publish_unsent()

    def give_up(self) -> None:
        """Let another worker publish at once."""
        if self._confirmed:
            self._mark_confirmed()
        if self._lease is not None:
            leader.give_up(self._lease)
            self._lease = None

    def _renew(self, now_s: float) -> None:
        before, self._lease = self._lease, leader.take(ROLE, self._owner, database_now())
        self._lease_at = now_s + leader.RENEW_S
        if self._lease != before:
            self._broker_is_whole = False
            log.info("publishing the outbox: %s", self._lease is not None)

    def _check_broker(self, now_s: float) -> bool:
        """Return whether the broker's memory was compared with ours since it connected."""
        if self._broker_is_whole:
            return True
        assert self._connected_at is not None, "asked only while connected"  # noqa: S101
        wanted = outbox.canary()
        if self._canary is None and wanted and now_s < self._connected_at + CANARY_WAIT_S:
            return False
        if wanted != (self._canary or 0):
            count = outbox.send_all_again()
            log.warning("the broker has lost its memory; %s retained messages go again", count)
        self._broker_is_whole = True
        return True

    def _publish_unsent(self) -> None:
        on_their_way = [*self._in_flight.values(), *self._refused]
        room = IN_FLIGHT_MAX - len(self._in_flight)
        if room <= 0:
            return
        found = outbox.unsent(clock.now_utc(), room, on_their_way)
        for sending in found:
            properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
            if sending.expiry_s is not None:
                properties.MessageExpiryInterval = sending.expiry_s
            info = self._client.publish(
                sending.topic, sending.payload, qos=1, retain=sending.retain, properties=properties
            )
            self._in_flight[info.mid] = sending

    def _mark_confirmed(self) -> None:
        canary = outbox.mark_sent(self._confirmed)
        self._confirmed.clear()
        if canary is not None:
            self._client.publish(CANARY_TOPIC, str(canary), qos=1, retain=True)

    def _on_publish(
        self, _client: mqtt.Client, _userdata: Any, mid: int, reason: Any, _properties: Any
    ) -> None:
        sending = self._in_flight.pop(mid, None)
        if sending is None:
            return  # an acknowledgement, the canary, or of a connection before this one
        if reason is not None and reason.is_failure:
            log.error("the broker refuses %s: %s", sending.topic, reason)
            self._refused.append(sending)  # again after the next connection, not in a circle
            return
        self._confirmed.append(sending)
