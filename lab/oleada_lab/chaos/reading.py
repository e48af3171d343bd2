"""Reads the facts: rows through the server's own models, boxes from their directories."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from oleada_agent import identity
from oleada_agent.boot.control import FileBootControl
from oleada_agent.boot.disk import RealDisk
from oleada_agent.boot.errors import AgentError
from oleada_agent.machine_states import ReportDraft
from oleada_agent.outbox import DIRECTORY
from oleada_server.audit import service as audit
from oleada_server.audit.models import AuditEvent
from oleada_server.db import db, read_only
from oleada_server.devices.models import Device
from oleada_server.messaging.models import OutboxMessage, RetainedMessage
from oleada_server.messaging.outbox import CANARY_TOPIC
from oleada_server.rollouts import service as rollouts
from oleada_server.rollouts.authorise import assignment_id
from oleada_server.rollouts.models import BoxInWave, ReportRow, Rollout
from sqlalchemy import func, select

from oleada_lab.boxes import Box
from oleada_lab.chaos.facts import BoxFacts, Facts, Row, Told, Verdict

PLANNED_BY_A_PERSON: Final = ("rollout.create", "rollout.start")
EXPIRES_SOON: Final = timedelta(minutes=5)
BOOTED: Final = re.compile(
    r"^oleada-boot: slot [AB]: (\S+), boot \d{8}-[0-9a-f]{8}, ", re.MULTILINE
)


@dataclass(frozen=True, slots=True)
class Built:
    """What the lab has made, and what it expects of it; see ``Facts`` for the shapes."""

    planned: Mapping[str, str]
    images: Mapping[str, str]


def device_id_of(box: Box) -> str | None:
    """Return the id that the server gave *box*; None before it is enrolled."""
    try:
        return identity.load(RealDisk(box.directory)).device_id
    except AgentError:
        return None


def state_of(rollout_id: int) -> str:
    """Return where the rollout is."""
    read_only()
    found = str(db.session.scalars(select(Rollout.state).where(Rollout.id == rollout_id)).one())
    db.session.rollback()
    return found


def read(
    rollout_id: int,
    built: Built,
    boxes: Sequence[Box],
    broker: Mapping[str, str],
    now: datetime,
) -> Facts:
    """Return everything about a rollout and *boxes* as it is now.

    Args:
        rollout_id: The rollout, without its letter.
        built: What must come out.
        boxes: All that are enrolled.
        broker: What the broker holds (``retained.held_by_broker``).
        now: Aware time.
    """
    read_only()
    rollout = db.session.get_one(Rollout, rollout_id)
    release = rollout.release
    held, passing = _held(now)
    left = select(func.count()).select_from(OutboxMessage)
    unsent = select(func.count()).where(RetainedMessage.sent_revision < RetainedMessage.revision)
    same = select(func.count()).where(Rollout.release_id == release.id)
    on_boxes = (_box(box, release.version) for box in boxes)
    found = Facts(
        rollout=f"R-{rollout_id}",
        state=str(rollout.state),
        rollouts_of_release=db.session.scalar(same) or 0,
        version=release.version,
        sha256=release.sha256,
        images=built.images,
        planned=built.planned,
        rows=rows_of(rollout_id),
        reports=_reports(rollout_id),
        counts=_counts(rollout_id),
        boxes={box.device_id: box for box in on_boxes},
        people=_people(rollout_id),
        outbox_left=(db.session.scalar(left) or 0) + (db.session.scalar(unsent) or 0),
        held=held,
        broker={topic: digest for topic, digest in broker.items() if topic not in passing},
        first_broken_audit=audit.first_broken(),
    )
    db.session.rollback()
    return found


def rows_of(rollout_id: int) -> tuple[Row, ...]:
    """Return the row of each box of a rollout, by device id."""
    query = (
        select(BoxInWave, Device.version)
        .join(Device, Device.id == BoxInWave.device_id)
        .where(BoxInWave.rollout_id == rollout_id)
        .order_by(BoxInWave.device_id)
    )
    return tuple(
        Row(
            device_id=row.device_id,
            assignment_id=assignment_id(row.id),
            state=str(row.state),
            reason=row.reason,
            attempt=row.attempt,
            step=row.step,
            is_waited_for=any((row.deadline_at, row.lease_expires_at, row.assignment_expires_at)),
            version=version,
        )
        for row, version in db.session.execute(query)
    )


def _reports(rollout_id: int) -> tuple[Told, ...]:
    query = (
        select(BoxInWave.device_id, ReportRow)
        .join(BoxInWave, BoxInWave.id == ReportRow.box_id)
        .where(BoxInWave.rollout_id == rollout_id)
        .order_by(ReportRow.id)
    )
    return tuple(
        Told(device_id, one.attempt, one.step, one.phase, one.reason, one.message_id)
        for device_id, one in db.session.execute(query)
    )


def _counts(rollout_id: int) -> dict[str, int]:
    found: dict[str, int] = {}
    for wave in rollouts.summary(rollout_id):
        for state, boxes in wave.states.items():
            found[str(state)] = found.get(str(state), 0) + boxes
    return found


def _people(rollout_id: int) -> tuple[str, ...]:
    query = select(AuditEvent.action).where(
        AuditEvent.object_ref == f"R-{rollout_id}",
        AuditEvent.actor.like("user:%"),
        AuditEvent.action.not_in(PLANNED_BY_A_PERSON),
    )
    return tuple(db.session.scalars(query))


def _held(now: datetime) -> tuple[dict[str, str], set[str]]:
    """Return what the broker must hold, and topics of which that is about to change."""
    held: dict[str, str] = {}
    passing = {CANARY_TOPIC}
    for row in db.session.scalars(select(RetainedMessage)):
        if row.expires_at is not None and row.expires_at < now + EXPIRES_SOON:
            passing.add(row.topic)
        elif row.payload:
            held[row.topic] = hashlib.sha256(row.payload).hexdigest()
    return held, passing


def _box(box: Box, version: str) -> BoxFacts:
    booted, state = box.booted() or {}, box.journal()
    slot = str(booted.get("slot", ""))
    sha256, is_committed = "", False
    with suppress(AgentError, OSError):
        sha256 = box.slot_sha256(slot) if slot else ""
        control = FileBootControl(RealDisk(box.directory)).load()
        is_committed = bool(slot and control is not None and control.of(slot).successful)
    return BoxFacts(
        device_id=device_id_of(box) or box.name,
        stage="nothing" if state is None else type(state.stage).__name__,
        verdict=None if state is None else _verdict(state.last),
        version=str(booted.get("version", "")),
        slot_sha256=sha256,
        is_committed=is_committed,
        kept_reports=tuple(
            path.name for path in (box.directory / DIRECTORY).glob("*-report-*") if path.is_file()
        ),
        installs=installs_in(box.console(), version),
    )


def installs_in(console: str, version: str) -> int:
    """Return how often *console*, all that the boot program said, changes to *version*."""
    booted = BOOTED.findall(console)
    return sum(
        one == version and (at == 0 or booted[at - 1] != version) for at, one in enumerate(booted)
    )


def _verdict(last: ReportDraft | None) -> Verdict | None:
    if last is None:
        return None
    reason = None if last.reason is None else str(last.reason)
    return Verdict(last.assignment_id, last.attempt, last.step, str(last.phase), reason)
