"""Health samples, logs, crashes and results as they came; each counted once.

The unique (device, boot, sequence number) tells duplicates: MQTT delivers at least
once, and a box sends again what was not acknowledged.
"""

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from oleada_wire import codec
from oleada_wire.messages import Crash, Health, Log, Progress, Result
from sqlalchemy import delete, select

from oleada_server import config as settings
from oleada_server.clock import box_time
from oleada_server.db import TIME_TEXT, db, insert, run_on_rows, time_text
from oleada_server.devices.service import parameters_of
from oleada_server.live import service as live
from oleada_server.telemetry import troubles
from oleada_server.telemetry.models import DeviceEvent, HealthSample

PRUNE_ROWS: Final = 5_000
"""Rows deleted in one transaction, so that writers never wait long."""
_SAMPLE_TYPES: Final = {
    "device_id": "text",
    "boot": "text",
    "seq": "integer",
    "version": "text",
    "parameters": "jsonb",
    "box_at": TIME_TEXT,
    "received_at": TIME_TEXT,
}
_ADD_SAMPLES: Final = """
    INSERT INTO health_sample
        (device_id, boot, seq, version, parameters, box_at, received_at)
    SELECT device_id, boot, seq, version, parameters, box_at, received_at
    FROM new WHERE true ON CONFLICT DO NOTHING
"""


def record_health(items: Sequence[tuple[str, Health]], now: datetime) -> None:
    """Add a sample for each of *items*; one that is there already is left as it is.

    Call it before the rows of the boxes are written: what has gone wrong since is noted too.
    """
    troubles.record_health(items, now)
    received_at = time_text(now)
    rows: list[dict[str, str | int]] = [
        {
            "device_id": device_id,
            "boot": str(health.header.boot),
            "seq": health.header.seq,
            "version": health.version,
            "parameters": json.dumps(parameters_of(health)),
            "box_at": time_text(box_time(health.header.at_ms, now)),
            "received_at": received_at,
        }
        for device_id, health in items
    ]
    run_on_rows(_ADD_SAMPLES, _SAMPLE_TYPES, rows)


def record_event(
    device_id: str, kind: str, message: Result | Progress | Log | Crash, now: datetime
) -> None:
    """Add the log, crash, result or progress *message* of a box, once."""
    body = codec.to_json(message)
    header = message.header
    del body["header"]
    row = {
        "device_id": device_id,
        "boot": str(header.boot),
        "seq": header.seq,
        "kind": kind,
        "body": body,
        "box_at": box_time(header.at_ms, now),
        "received_at": now,
    }
    db.session.execute(insert(DeviceEvent).values(row).on_conflict_do_nothing())
    if isinstance(message, Crash):
        troubles.record_crash(device_id, message, now)
    live.touch(f"device:{device_id}", now)


def events_of(device_id: str, limit: int = 50) -> list[DeviceEvent]:
    """Return the newest events of a box, newest first."""
    query = select(DeviceEvent).where(DeviceEvent.device_id == device_id)
    newest = query.order_by(DeviceEvent.received_at.desc(), DeviceEvent.id.desc())
    return list(db.session.scalars(newest.limit(limit)))


def prune(now: datetime) -> int:
    """Delete what is older than the settings keep; return how many rows went."""
    config = settings.current()
    events_before = now - timedelta(days=config.event_keep_days)
    return (
        _prune(HealthSample, now - timedelta(days=config.health_keep_days))
        + _prune(DeviceEvent, events_before)
        + troubles.prune(events_before, PRUNE_ROWS)
    )


def _prune(model: type[HealthSample] | type[DeviceEvent], before: datetime) -> int:
    gone = 0
    while True:
        old = select(model.id).where(model.received_at < before).limit(PRUNE_ROWS)
        deleted: Any = db.session.execute(delete(model).where(model.id.in_(old)))
        db.session.commit()
        gone += int(deleted.rowcount)
        if deleted.rowcount < PRUNE_ROWS:
            return gone
