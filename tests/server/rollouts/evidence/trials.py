"""Rollouts with evidence, and boxes that go into their trial."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from oleada_server.db import db
from oleada_server.devices.models import Device
from oleada_server.rollouts import service
from oleada_server.rollouts.evidence import looks
from oleada_server.rollouts.evidence.models import BoxOutcome, Incident
from oleada_server.rollouts.evidence.spec import EvidenceSpec
from oleada_server.rollouts.spec import RolloutSpec, WaveSpec
from oleada_server.telemetry.models import HealthSample
from oleada_wire import messages, topics
from oleada_wire.words import LeasePhase, Phase, Reason
from sqlalchemy import insert, select, update

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
HUSH = RIPE + looks.QUIET
"""Who says nothing in a trial counts as silent then: a region that is dark is known by now."""
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
    """Let *boxes* be heard from now on, some with all that they say, or be dark."""
    seen_at = NOON + timedelta(days=1 if connected else -1)
    for at in range(0, len(boxes), 500):
        chosen = Device.id.in_(boxes[at : at + 500])
        db.session.execute(update(Device).where(chosen).values(last_seen_at=seen_at))
    if connected:
        speak(boxes)
    db.session.commit()


def speak(boxes: list[str], every: timedelta = 5 * MINUTE) -> None:
    """Let *boxes* have said how they are *every* so often, before noon and after."""
    samples = [
        {"device_id": box, "boot": "00000001-00000000", "seq": seq, "version": "1.0.0",
         "parameters": {}, "box_at": at, "received_at": at}
        for seq, at in enumerate(NOON + every * n for n in range(-6, 8)) for box in boxes
    ]  # fmt: skip
    for chunk in range(0, len(samples), 3000):
        db.session.execute(insert(HealthSample), samples[chunk : chunk + 3000])


def ticks(start: datetime, end: datetime) -> None:
    """Tick every two minutes: a server that looks so often is never away."""
    now = start
    while now < end:
        service.tick(now)
        now += looks.AWAY
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
