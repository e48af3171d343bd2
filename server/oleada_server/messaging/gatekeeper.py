"""Shuts out who was revoked: the broker's lists follow the database, then lines are ended.

A line in the broker's access list makes a connection mute, but does not end it. So the
server takes the box's name over at its own door, which ends the session that has it and
all that waits in it; a certificate that is on the list does not open another one.
"""

import logging
from typing import Final

from oleada_server import clock, gate
from oleada_server.config import Config
from oleada_server.db import db, read_only
from oleada_server.enrolment.service import gate_changes
from oleada_server.errors import ServerError
from oleada_server.messaging import services_door

log = logging.getLogger(__name__)

LOOK_S: Final = 0.5
LOOK_ANYWAY_S: Final = 3600.0
"""What has expired leaves the list."""
TAKE_OVER_S: Final = 1.5
"""After the lists are written: the broker reads them a moment later."""
AT_ONCE_MAX: Final = 20
ANSWER_TURNS: Final = 100
TURN_S: Final = 0.02


class Gatekeeper:
    """One worker's part of it; called from the worker's one thread."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._seen: int | None = None
        self._look_at = 0.0
        self._anyway_at = 0.0
        self._out: frozenset[str] = frozenset()
        self._to_end: list[str] = []
        self._end_at = 0.0

    def turn(self) -> None:
        """Do what is due; cheap when nothing has changed."""
        now_s = clock.monotonic_s()
        if now_s < self._look_at:
            return
        self._look_at = now_s + LOOK_S
        read_only()
        changes = gate_changes()
        db.session.rollback()
        if changes != self._seen or now_s >= self._anyway_at:
            self._keep(changes, now_s)
        if self._to_end and now_s >= self._end_at:
            now_out, self._to_end = self._to_end[:AT_ONCE_MAX], self._to_end[AT_ONCE_MAX:]
            for device_id in now_out:
                self._take_over(device_id)

    def _keep(self, changes: int, now_s: float) -> None:
        now = clock.now_utc()
        try:
            is_new = gate.keep(self._config, now)
        except (ServerError, OSError) as error:
            log.error("who is revoked can not be told to the broker: %s", error)
            return  # tried again with the next look
        out = frozenset(gate.revoked(now).device_ids)
        if self._seen is not None or is_new:
            self._to_end += sorted(out - self._out)
            self._end_at = now_s + TAKE_OVER_S
        self._out, self._seen, self._anyway_at = out, changes, now_s + LOOK_ANYWAY_S

    def _take_over(self, device_id: str) -> None:
        """End the session of a box: who comes under its name takes it over (MQTT 5.0, 3.1.4)."""
        line = services_door.new_line(self._config, device_id, _nothing)
        try:
            services_door.open_line(line, self._config)
            for _ in range(ANSWER_TURNS):
                if line.is_connected() or not line.turn(TURN_S, 1):
                    break
            line.leave()
        except OSError as error:
            log.warning("the session of revoked box %s can not be ended: %s", device_id, error)
            line.close()
            return
        log.info("box %s is revoked and shut out", device_id)


def _nothing(mid: int, qos: int, topic: str, payload: bytes) -> None:
    """Hear nothing: the name is taken over, not the mail."""
