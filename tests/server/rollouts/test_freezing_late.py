"""Boxes that come while a rollout is written down, part after part, and those they displace."""

import hashlib
from dataclasses import replace

import pytest
from oleada_server.db import db
from oleada_server.devices.models import Device
from oleada_server.rollouts import freezing, preparing, service
from oleada_server.rollouts.choosing import draw_prefix
from oleada_server.rollouts.cover import Where
from oleada_server.rollouts.spec import WaveSpec
from sqlalchemy import select

from tests.server.rollouts.fleet import (
    EVERYBODY,
    NOON,
    a_fleet,
    a_newcomer,
    a_plan,
    a_release,
    boxes_of,
    set_of,
    sqlite_only,
    started,
)

pytestmark = pytest.mark.usefixtures("app")
BRNO = Where(region=("Brno",))


def by(count: int, where: Where | None = None) -> WaveSpec:
    return replace(EVERYBODY, share_until=None, count=count, where=where)


def test_who_gives_its_place_by_number_to_one_that_came_meanwhile_is_in_the_next_wave(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ids = a_fleet(40)
    a_release()
    monkeypatch.setattr(freezing, "PART_BOXES", 30)
    rollout_id = started(a_plan(by(14), by(5), EVERYBODY))
    for number in range(30):
        a_newcomer(number)

    preparing.tick(NOON)
    db.session.expire_all()

    first, second, others = boxes_of(rollout_id)
    assert (len(first), len(second), len(others)) == (14, 5, 51)
    assert set(ids) < {*first, *second, *others}
    assert not set(first) & set(others)


@sqlite_only
def test_who_gives_its_place_by_number_goes_into_no_earlier_wave(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for device_id in a_fleet(40)[::3]:
        set_of(device_id, region="Brno")
    a_release()
    monkeypatch.setattr(freezing, "PART_BOXES", 30)
    rollout_id = started(a_plan(by(6), by(5, BRNO), EVERYBODY))
    for number in range(20):
        a_newcomer(number, region="Brno", version="9.0")  # none for the first wave yet
    taken = 0
    for device in db.session.scalars(select(Device).where(Device.version == "9.0")):
        if digest_of(device.id) > last_drawn(rollout_id, 0):
            device.version, taken = "1.0.0", taken + 1
    db.session.commit()

    preparing.tick(NOON)
    db.session.expire_all()

    assert [len(boxes) for boxes in boxes_of(rollout_id)] == [6, 5, 40 + taken - 11]


def digest_of(device_id: str) -> str:
    return hashlib.sha256(draw_prefix("salt") + device_id.encode()).hexdigest()


def last_drawn(rollout_id: int, at: int) -> str:
    return str((service.get(rollout_id).preparing or {})["draws"][str(at)])
