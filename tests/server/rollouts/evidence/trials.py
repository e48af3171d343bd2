"""Rollouts with evidence, and boxes that go into their trial."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from oleada_server.db import db
from oleada_server.devices.models import Device
from oleada_server.rollouts import service
from oleada_server.rollouts.evidence.models import BoxOutcome, Incident
from oleada_server.rollouts.evidence.spec import EvidenceSpec
from oleada_server.rollouts.spec import RolloutSpec, WaveSpec
from oleada_wire import messages, topics
from oleada_wire.words import LeasePhase, Phase, Reason
from sqlalchemy import select, update

from tests.server.rollouts.fleet import (
    EVERYBODY,
    MINUTE,
    MODEL,
    NOON,
    a_plan,
    ask,
    director,
    retained,
    row_of,
    say,
)

SECOND = timedelta(seconds=1)
RIPE = timedelta(minutes=15)
LOOSE = replace(EVERYBODY, failed_share_max=1.0, silent_share_max=1.0, soak_s=0)


def judged(*waves: WaveSpec, **terms: Any) -> RolloutSpec:
    return a_plan(*(waves or (LOOSE,)), evidence=EvidenceSpec(ripe_after_s=900, **terms))


def listed(name: str, boxes: list[str]) -> WaveSpec:
    return replace(LOOSE, name=name, device_ids=tuple(boxes), share_until=None)


def on_trial(box: str, now: datetime = NOON) -> None:
    """Let a box begin, and restart into the release."""
    assert ask(box, now).granted
    say(box, Phase.DOWNLOADING, now=now)
    assert ask(box, now, LeasePhase.ARM).granted
    say(box, Phase.RESTARTING, now=now)


def breaks(box: str, now: datetime = NOON) -> None:
    say(box, Phase.ROLLED_BACK, Reason.HEALTH_CHECK, now=now)


def connect(boxes: list[str], connected: bool = True) -> None:
    for at in range(0, len(boxes), 500):
        chosen = Device.id.in_(boxes[at : at + 500])
        db.session.execute(update(Device).where(chosen).values(connected=connected))
    db.session.commit()


def ticks(start: datetime, end: datetime) -> None:
    """Tick every minute, as a server does that is never away."""
    now = start
    while now < end:
        service.tick(now)
        now += MINUTE
    service.tick(end)


def denied() -> tuple[str, ...]:
    payload = retained(topics.model(MODEL, topics.Model.DENY))
    return () if payload is None else messages.open_message(
        messages.Deny, payload, director()
    ).digests  # fmt: skip


def incidents() -> list[Incident]:
    db.session.rollback()
    return list(db.session.scalars(select(Incident).order_by(Incident.id)))


def log_of(device_id: str) -> list[BoxOutcome]:
    row = row_of(device_id)
    query = select(BoxOutcome).where(BoxOutcome.box_id == row.id)
    return list(db.session.scalars(query.order_by(BoxOutcome.id)))
