"""A small fleet in the database, and boxes that speak as an agent would."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from flask import current_app
from oleada_server.db import db
from oleada_server.devices.models import Device, HardwareModel
from oleada_server.messaging.models import OutboxMessage, RetainedMessage
from oleada_server.releases.models import Release, ReleaseState
from oleada_server.rollouts import freezing, preparing, service
from oleada_server.rollouts.cover import Where
from oleada_server.rollouts.models import BoxInWave
from oleada_server.rollouts.rules import rules_from
from oleada_server.rollouts.spec import RolloutSpec, WaveSpec
from oleada_wire import envelope, messages, topics
from oleada_wire.ids import BootId
from oleada_wire.words import BootReason, LeasePhase, Phase, Reason
from sqlalchemy import select

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
ANA = "user:ana"
MODEL = "VX-410"
sqlite_only = pytest.mark.parametrize("database_config", ["sqlite"], indirect=True)
"""For what has no SQL of its own beside the tests that run on both databases."""


def a_fleet(boxes: int, version: str = "1.0.0", model: str = MODEL) -> list[str]:
    """Store *boxes* boxes of *model* that run *version*; return their ids, sorted."""
    if db.session.get(HardwareModel, model) is None:
        db.session.add(HardwareModel(name=model, title=model))
        db.session.flush()
    prefix = model.replace("-", "")
    ids = [f"{prefix}{number:06d}" for number in range(boxes)]
    db.session.add_all(
        Device(
            id=device_id,
            serial=f"S{device_id}",
            hardware_model=model,
            zone="UTC",
            enrolled_at=NOON,
            version=version,
            security_version=1,
        )
        for device_id in ids
    )
    db.session.commit()
    return ids


def a_release(version: str = "1.1.0", model: str = MODEL, **changed: Any) -> Release:
    """Store a published release."""
    fields: dict[str, Any] = {
        "hardware_model": model,
        "version": version,
        "security_version": 1,
        "target_path": f"{model}/{version}.img",
        "sha256": "ab" * 32,
        "size_bytes": 1000,
        "provides": [],
        "fixes": [],
        "notes": {"en": "Better."},
        "signed_by": [],
        "state": ReleaseState.PUBLISHED,
        "published_at": NOON,
        "published_by": ANA,
    }
    found = Release(**{**fields, **changed})
    db.session.add(found)
    db.session.commit()
    return found


EVERYBODY = WaveSpec(
    name="everybody",
    share_until=1.0,
    success_share_min=1.0,
    failed_share_max=0.2,
    silent_share_max=0.1,
    sample_min=1,
    soak_s=60,
)


BRNO, PRAHA = Where(region=("Brno",)), Where(region=("Praha",))


def by(count: int | None = None, where: Where | None = None, **changed: Any) -> WaveSpec:
    """Return a wave by number, by attribute, or by both."""
    return replace(EVERYBODY, share_until=None, count=count, where=where, **changed)


def a_fleet_partly_in_brno(those: slice) -> list[str]:
    """Store forty boxes, *those* of them in Brno, and a release for them; return their ids."""
    ids = a_fleet(40)
    for device_id in ids[those]:
        set_of(device_id, region="Brno")
    a_release()
    return ids


def in_parts(monkeypatch: pytest.MonkeyPatch, boxes: int = 9, parts_a_tick: int = 2) -> None:
    """Let boxes be written down so many at a time."""
    monkeypatch.setattr(freezing, "PART_BOXES", boxes)
    monkeypatch.setattr(preparing, "PARTS_A_TICK", parts_a_tick)


def prepare(minutes: int = 3) -> None:
    """Let the scheduler write boxes down, once in each of so many minutes."""
    for minute in range(minutes):
        preparing.tick(NOON + minute * MINUTE)
    db.session.expire_all()


def a_plan(*waves: WaveSpec, **changed: Any) -> RolloutSpec:
    """Return a plan for the release; one wave for everybody unless *waves* are given."""
    fields: dict[str, Any] = {"silent_after_s": 3600, "spread_s": 0, "salt": "salt"}
    return RolloutSpec(
        hardware_model=MODEL, version="1.1.0", waves=waves or (EVERYBODY,), **{**fields, **changed}
    )


def started(spec: RolloutSpec, now: datetime = NOON) -> int:
    """Create and start *spec*; return the rollout's number."""
    rollout_id = service.create(spec, actor=ANA, now=now)
    service.start(rollout_id, actor=ANA, now=now)
    return rollout_id


def one_box(spec: RolloutSpec) -> tuple[int, str]:
    """Start *spec* to the one box that there is; return the rollout's number and the box."""
    (box,) = a_fleet(1)
    a_release()
    return started(spec), box


def ruled(*waves: WaveSpec, **rules: Any) -> RolloutSpec:
    """Return a plan with these rules, as JSON spells them."""
    return a_plan(*waves, rules=rules_from(rules))


def a_started(boxes: int, *waves: WaveSpec, **rules: Any) -> list[str]:
    """Start a rollout with these rules to so many boxes; return their ids."""
    ids = a_fleet(boxes)
    a_release()
    started(ruled(*waves, **rules))
    return ids


def one_each(boxes: Sequence[str], **changed: Any) -> list[WaveSpec]:
    """Return one wave for each of *boxes*."""
    return [
        replace(EVERYBODY, name=box, share_until=None, device_ids=(box,), **changed)
        for box in boxes
    ]


def a_newcomer(number: int, **values: Any) -> str:
    """Store one more box, which runs the older version; return its id."""
    device_id = f"VX410{900000 + number:06d}"
    fields = {"zone": "UTC", "version": "1.0.0", "security_version": 1, **values}
    db.session.add(
        Device(id=device_id, serial=f"S{device_id}", hardware_model=MODEL, enrolled_at=NOON,
               **fields)
    )  # fmt: skip
    db.session.commit()
    return device_id


def set_of(device_id: str, **values: Any) -> None:
    """Change what is known of a box."""
    device = db.session.get_one(Device, device_id)
    for name, value in values.items():
        setattr(device, name, value)
    db.session.commit()


def boxes_of(rollout_id: int) -> list[list[str]]:
    """Return the boxes that each wave really has, sorted."""
    query = select(BoxInWave.wave_id, BoxInWave.device_id).where(BoxInWave.rollout_id == rollout_id)
    rows = [(row[0], row[1]) for row in db.session.execute(query)]
    waves = service.get(rollout_id).waves
    return [sorted(box for of, box in rows if of == wave.id) for wave in waves]


def row_of(device_id: str, rollout_id: int | None = None) -> BoxInWave:
    """Return the newest row of a box, or that of one rollout, fresh from the database."""
    db.session.rollback()
    db.session.expire_all()
    query = select(BoxInWave).where(BoxInWave.device_id == device_id)
    if rollout_id is not None:
        query = query.where(BoxInWave.rollout_id == rollout_id)
    return db.session.scalars(query.order_by(BoxInWave.id.desc()).limit(1)).one()


def header(seq: int = 1, now: datetime = NOON) -> messages.Header:
    """Return a header that a box could have written."""
    at_ms = int(now.timestamp() * 1000)
    return messages.Header(f"{seq:032x}", at_ms, BootId(1, "0badcafe"), seq)


def a_report(
    device_id: str, phase: Phase, reason: Reason | None = None, **changed: Any
) -> messages.Report:
    """Return a report about the box's newest assignment, one step after what was counted."""
    row = row_of(device_id)
    report = messages.Report(
        header=header(),
        assignment_id=f"AS-{row.id}",
        attempt=row.attempt,
        step=row.step + 1,
        phase=phase,
        version="1.1.0" if phase is Phase.UPDATED else "1.0.0",
        running_slot="A",
        reason=reason,
    )
    return replace(report, **changed)


def say(
    device_id: str, phase: Phase, reason: Reason | None = None, now: datetime = NOON, **changed: Any
) -> None:
    """Let a box report, as the worker would hand it on."""
    report = a_report(device_id, phase, reason, **changed)
    service.record_report(device_id, report, now)
    db.session.commit()


def ask(
    device_id: str, now: datetime = NOON, phase: LeasePhase = LeasePhase.START, **changed: Any
) -> messages.Lease:
    """Let a box ask for a lease; return the answer it is sent."""
    row = row_of(device_id)
    request = messages.LeaseRequest(header(), f"AS-{row.id}", row.attempt, phase)
    service.record_lease_request(device_id, replace(request, **changed), now)
    db.session.commit()
    topic = topics.down(device_id, topics.Down.LEASE)
    query = select(OutboxMessage.payload).where(OutboxMessage.topic == topic)
    newest = db.session.scalars(query.order_by(OutboxMessage.id.desc()).limit(1)).one()
    return messages.open_message(messages.Lease, newest, director())


def greet(device_id: str, *, version: str = "1.0.0", assignment_seq: int, now: datetime) -> None:
    """Let a box say hello."""
    hello = messages.Hello(
        header=header(),
        hardware_model=MODEL,
        serial="S",
        running_slot="A",
        version=version,
        security_version=1,
        slots=(),
        agent_version="1",
        zone="UTC",
        boot_reason=BootReason.POWER_ON,
        assignment_seq=assignment_seq,
        security_floor=1,
    )
    service.record_hello(device_id, hello, now)
    db.session.commit()


def told(device_id: str) -> messages.Assign | None:
    """Return what the broker is to hold for a box, None if nothing was ever said."""
    payload = retained(topics.down(device_id, topics.Down.ASSIGN))
    return payload and messages.open_message(messages.Assign, payload, director())


def waves_told(model: str = MODEL) -> list[messages.Wave]:
    """Return the signed waves that the broker is to hold for a model."""
    payload = retained(topics.model(model, topics.Model.WAVE))
    assert payload is not None, "nothing was ever said of waves"
    found = messages.decode(messages.Waves, payload)
    return [messages.open_message(messages.Wave, w.encode(), director()) for w in found.waves]


def director() -> envelope.RoleKeys:
    """Return the public side of the server's online key."""
    path = current_app.extensions["oleada_config"].keys_dir / "director.pem"
    key = load_pem_private_key(path.read_bytes(), None)
    assert isinstance(key, Ed25519PrivateKey)
    return envelope.RoleKeys({envelope.keyid_of(key.public_key()): key.public_key()}, 1)


def retained(topic: str) -> Any:
    db.session.rollback()
    query = select(RetainedMessage.payload).where(RetainedMessage.topic == topic)
    return db.session.scalars(query).one_or_none()


def a_verdict(box_id: int, bad: bool) -> messages.Report:
    """Return the final report about row *box_id*, in its first attempt."""
    return messages.Report(
        header=header(box_id),
        assignment_id=f"AS-{box_id}",
        attempt=1,
        step=1,
        phase=Phase.ROLLED_BACK if bad else Phase.UPDATED,
        version="1.0.0" if bad else "1.1.0",
        running_slot="A",
        reason=Reason.HEALTH_CHECK if bad else None,
    )
