"""Boxes that come while a rollout is written down, part after part, and those they displace."""

import hashlib

import pytest
from oleada_server.db import db
from oleada_server.devices.models import Device
from oleada_server.rollouts import service
from oleada_server.rollouts.choosing import draw_prefix
from sqlalchemy import select

from tests.server.rollouts.fleet import (
    BRNO,
    EVERYBODY,
    a_fleet,
    a_fleet_partly_in_brno,
    a_newcomer,
    a_plan,
    a_release,
    boxes_of,
    by,
    in_parts,
    prepare,
    sqlite_only,
    started,
)

pytestmark = pytest.mark.usefixtures("app")


def test_who_gives_its_place_by_number_to_one_that_came_meanwhile_is_in_the_next_wave(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ids = a_fleet(40)
    a_release()
    in_parts(monkeypatch, boxes=30)
    rollout_id = started(a_plan(by(14), by(5), EVERYBODY))
    for number in range(30):
        a_newcomer(number)

    prepare()

    first, second, others = boxes_of(rollout_id)
    assert (len(first), len(second), len(others)) == (14, 5, 51)
    assert set(ids) < {*first, *second, *others}
    assert not set(first) & set(others)


@sqlite_only
def test_who_gives_its_place_by_number_goes_into_no_earlier_wave(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    a_fleet_partly_in_brno(slice(None, None, 3))
    in_parts(monkeypatch, boxes=30)
    rollout_id = started(a_plan(by(6), by(5, BRNO), EVERYBODY))
    for number in range(20):
        a_newcomer(number, region="Brno", version="9.0")  # none for the first wave yet
    taken = 0
    for device in db.session.scalars(select(Device).where(Device.version == "9.0")):
        if digest_of(device.id) > last_drawn(rollout_id, 0):
            device.version, taken = "1.0.0", taken + 1
    db.session.commit()

    prepare()

    assert [len(boxes) for boxes in boxes_of(rollout_id)] == [6, 5, 40 + taken - 11]


def digest_of(device_id: str) -> str:
    return hashlib.sha256(draw_prefix("salt") + device_id.encode()).hexdigest()


def last_drawn(rollout_id: int, at: int) -> str:
    return str((service.get(rollout_id).preparing or {})["draws"][str(at)])
