"""MQTT delivers twice and out of order: whatever it does, the same rows stand in the end.

Two boxes live the same story. One box's messages arrive once and as they were said, the
other's each up to three times, in any order and in batches of any size.
"""

import itertools
import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import Phase as Part
from hypothesis import strategies as st
from oleada_server.db import db
from oleada_server.devices.models import Device
from oleada_server.messaging import inbox
from oleada_server.messaging.inbox import Incoming
from oleada_server.rollouts import service as rollouts
from oleada_server.rollouts.models import BoxInWave, ReportRow
from oleada_server.telemetry.models import DeviceEvent, HealthSample
from oleada_wire import messages, topics
from oleada_wire.ids import BootId
from oleada_wire.messages import (
    Crash,
    Gone,
    Header,
    Health,
    LeaseRequest,
    Log,
    Look,
    Progress,
    Report,
    Result,
    Samples,
)
from oleada_wire.topics import Up
from oleada_wire.words import LeasePhase, Phase, Reason, ResultStatus
from sqlalchemy import select

from tests.server.rollouts.fleet import a_fleet, a_plan, a_release, row_of, started
from tests.support.fleet import SLOTS, a_hello

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
PAIRS = 60
"""More than a run needs; each example takes the next two boxes of one rollout."""
SPEECH = st.sampled_from([*Up])
VERDICTS = st.sampled_from([
    (Phase.UPDATED, None),
    (Phase.FAILED, Reason.UNBOOTABLE),
    (Phase.FAILED, Reason.DOWNLOAD),
    (Phase.ROLLED_BACK, Reason.HEALTH_CHECK),
    (Phase.DECLINED, Reason.TOO_LARGE),
])  # fmt: skip
WAY = (Phase.DOWNLOADING, Phase.INSTALLING, Phase.RESTARTING, Phase.CHECKING)


@pytest.fixture
def pairs(app: Flask) -> Iterator[tuple[str, str]]:
    """Boxes two by two, each with an assignment of a rollout that runs."""
    boxes = a_fleet(2 * PAIRS)
    a_release()
    started(a_plan(attempts_max=1), NOON)
    rollouts.tick(NOON)
    return itertools.cycle(zip(boxes[::2], boxes[1::2], strict=True))


@st.composite
def stories(draw: st.DrawFn) -> list[tuple[Up, Any]]:
    """Return what a box says over a boot or two; ``AS`` stands for its assignment."""
    boots = draw(st.lists(st.lists(SPEECH, min_size=1, max_size=8), min_size=1, max_size=2))
    phase, reason = draw(VERDICTS)
    steps = iter([*((one, None) for one in WAY), (phase, reason)])
    found: list[tuple[Up, Any]] = []
    for count, kinds in enumerate(boots, start=1):
        for seq, kind in enumerate(kinds, start=1):
            header = Header(f"{count:016x}{seq:016x}", 1_795_262_400_000, BootId(count, "ab" * 4),
                            seq)  # fmt: skip
            message = _said(kind, header, steps)
            if message is not None:
                found.append((kind, message))
    return found


def _said(kind: Up, header: Header, steps: Iterator[tuple[Phase, Reason | None]]) -> Any:
    version = f"1.0.{header.seq}"
    if kind is Up.REPORT:
        return _report(header, steps)
    if kind is Up.HELLO:
        return replace(a_hello(version=version, provides=(f"p{header.seq}",)), header=header)
    parameters: dict[str, bool | int | str] = {"Device.DeviceInfo.UpTime": header.seq}
    makes: dict[Up, Any] = {
        Up.HEALTH: Health(header, version, "A", SLOTS, parameters),
        Up.SAMPLES: Samples(
            header, version, "A", SLOTS, (Look(header.seq, header.at_ms, parameters),)
        ),
        Up.LEASE: LeaseRequest(header, "AS", 1, LeasePhase.START),
        Up.RESULT: Result(header, f"C-{header.seq}", ResultStatus.COMPLETE),
        Up.PROGRESS: Progress(header, "C-1", header.seq, output=f"{header.seq} back"),
        Up.LOG: Log(header, (f"line {header.seq}",)),
        Up.CRASH: Crash(header, "player", "SIGSEGV", version),
        Up.GONE: Gone(header),
    }
    return makes[kind]


def _report(header: Header, steps: Iterator[tuple[Phase, Reason | None]]) -> Report | None:
    """Return the next report; None when the box has given its verdict."""
    phase, reason = next(steps, (None, None))
    if phase is None:
        return None
    step = [*WAY, phase].index(phase) + 1
    version = "1.1.0" if phase is Phase.UPDATED else "1.0.0"
    return Report(header, "AS", 1, step, phase, version, "A", reason=reason)


@given(
    story=stories(),
    copies=st.lists(st.integers(1, 3), min_size=16, max_size=16),
    batch=st.integers(1, 20),
    seed=st.integers(0, 2**32),
)
@settings(
    max_examples=20,
    deadline=None,
    derandomize=True,
    phases=[Part.explicit, Part.generate],  # to shrink a story takes minutes of a database
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_whatever_arrives_twice_or_late_the_same_rows_stand_in_the_end(
    pairs: Iterator[tuple[str, str]],
    story: list[tuple[Up, Any]],
    copies: list[int],
    batch: int,
    seed: int,
) -> None:
    plain, mixed = next(pairs)
    told = [one for one, times in zip(story, copies, strict=False) for _ in range(times)]
    random.Random(seed).shuffle(told)

    _store(plain, story, 20)
    _store(mixed, told, batch)

    assert _rows(mixed) == _rows(plain)


def _store(device_id: str, said: list[tuple[Up, Any]], batch: int) -> None:
    assignment_id = f"AS-{row_of(device_id).id}"
    arrived = [
        Incoming(topics.up(device_id, kind), messages.encode(_about(message, assignment_id)))
        for kind, message in said
    ]
    for at in range(0, len(arrived), batch):
        stored = inbox.store(arrived[at : at + batch], NOON)
        assert not stored.refused


def _about(message: Any, assignment_id: str) -> Any:
    if isinstance(message, Report | LeaseRequest):
        return replace(message, assignment_id=assignment_id)
    return message


def _rows(device_id: str) -> dict[str, Any]:
    """Return everything that is kept of a box, but for numbers that are its own."""
    db.session.rollback()
    db.session.expire_all()
    device = db.session.get_one(Device, device_id)
    box = row_of(device_id)
    own = {"id", "serial", "assignment_seq", "connected"}  # the last: whatever came last hints at
    at = {"id", "device_id", "leased_at", "assignment_expires_at"}
    return {
        "device": _columns(device, own),
        "box": _columns(box, at),
        "reports": _all(ReportRow, ReportRow.box_id == box.id, {"id", "box_id"}),
        "samples": _all(HealthSample, HealthSample.device_id == device_id, {"id", "device_id"}),
        "events": _all(DeviceEvent, DeviceEvent.device_id == device_id, {"id", "device_id"}),
    }


def _all(model: Any, where: Any, without: set[str]) -> list[str]:
    return sorted(
        repr(_columns(row, without)) for row in db.session.scalars(select(model).where(where))
    )


def _columns(row: Device | BoxInWave | Any, without: set[str]) -> dict[str, Any]:
    return {c.key: getattr(row, c.key) for c in row.__table__.columns if c.key not in without}
