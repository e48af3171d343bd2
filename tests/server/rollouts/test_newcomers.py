"""Boxes that come later join a rollout on its way, and hold nothing before it is signed."""

from dataclasses import replace
from datetime import timedelta

import pytest
from flask import Flask
from oleada_server import config as settings
from oleada_server.db import db
from oleada_server.devices.models import Device
from oleada_server.releases import service as releases
from oleada_server.rollouts import newcomers, service
from oleada_server.rollouts.choosing import Member
from oleada_server.rollouts.cover import Where
from oleada_server.rollouts.models import BoxInWave, Rollout
from oleada_server.rollouts.spec import RolloutSpec, WaveSpec
from oleada_server.rollouts.states import RolloutState, WaveState
from oleada_wire.cohort import place
from oleada_wire.words import Phase
from sqlalchemy import select

from tests.server.rollouts.fleet import (
    ANA,
    EVERYBODY,
    MINUTE,
    NOON,
    a_fleet,
    a_newcomer,
    a_plan,
    a_release,
    ask,
    boxes_of,
    row_of,
    ruled,
    say,
    sqlite_only,
    started,
    told,
    waves_told,
)
from tests.support.releases import hold_ceremony

pytestmark = pytest.mark.usefixtures("app")
LATER = NOON + 20 * MINUTE
BRNO = replace(EVERYBODY, name="Brno", share_until=None, where=Where(region=("Brno",)))


def open_to_all(*waves: WaveSpec) -> RolloutSpec:
    return ruled(*waves, newcomers=True)


def waves_of(rollout_id: int) -> dict[int, int]:
    """Return how many boxes each wave really has."""
    return dict(enumerate(map(len, boxes_of(rollout_id)), start=1))


@sqlite_only
def test_a_newcomer_joins_the_wave_whose_signed_share_covers_it() -> None:
    a_fleet(20)
    a_release()
    rollout_id = started(open_to_all(replace(EVERYBODY, share_until=0.5), EVERYBODY))
    before = waves_of(rollout_id)
    new = [a_newcomer(number) for number in range(20)]

    joined = newcomers.tick(LATER)
    service.tick(LATER)

    first = [box for box in new if place("salt", box) < 5000]
    assert joined == 20
    assert waves_of(rollout_id) == {1: before[1] + len(first), 2: before[2] + 20 - len(first)}
    assert [wave.boxes for wave in service.get(rollout_id).waves] == list(
        waves_of(rollout_id).values()
    )
    assert told(first[0]) is not None
    assert all(told(box) is None for box in new if box not in first), "the second is not open"


@sqlite_only
def test_a_newcomer_that_another_rollout_takes_before_it_is_let_in_stays_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    a_fleet(3)
    a_release()
    first = started(open_to_all(EVERYBODY))
    new = a_newcomer(1)
    found = newcomers._newcomers

    def slowly(rollout: Rollout) -> dict[int, list[Member]]:
        late = found(rollout)
        started(a_plan(EVERYBODY))  # while that was read
        return late

    monkeypatch.setattr(newcomers, "_newcomers", slowly)

    assert newcomers.tick(LATER) == 0
    assert [box.rollout_id for box in db.session.scalars(
        select(BoxInWave).where(BoxInWave.device_id == new)
    )] == [first + 1]  # fmt: skip


def test_a_newcomer_of_a_filter_waits_for_a_wave_of_its_own() -> None:
    ids = a_fleet(3)
    a_release()
    db.session.get_one(Device, ids[0]).region = "Brno"
    db.session.commit()
    rollout_id = started(open_to_all(BRNO))
    late = a_newcomer(1, region="Brno")
    a_newcomer(2, region="Praha")

    assert newcomers.tick(LATER) == 1
    service.tick(LATER)
    waiting = service.get(rollout_id).waves[1]
    assert (waiting.name, waiting.state, waiting.boxes) == ("Newcomers", WaveState.WAITING, 1)
    assert told(late) is None

    ask(ids[0], now=LATER)
    say(ids[0], Phase.UPDATED, now=LATER)
    service.tick(LATER)
    service.tick(LATER + timedelta(seconds=61))

    assert told(late) is not None
    assert len({wave.cohort.merkle_root for wave in waves_told()}) == 2


@sqlite_only
def test_who_may_not_have_the_release_or_is_elsewhere_does_not_join() -> None:
    a_fleet(3)
    a_release()
    rollout_id = started(open_to_all())
    a_newcomer(1, version="1.1.0")
    a_newcomer(2, version=None)
    a_newcomer(3, security_version=9)

    assert newcomers.tick(LATER) == 0
    assert waves_of(rollout_id) == {1: 3}


@sqlite_only
@pytest.mark.parametrize("why", ["not asked for", "paused", "stopped", "looked just now"])
def test_nobody_joins_a_rollout_that_does_not_take_them(why: str) -> None:
    a_fleet(3)
    a_release()
    rollout_id = started(open_to_all() if why != "not asked for" else a_plan())
    if why == "paused":
        service.pause(rollout_id, "wait", actor=ANA, now=NOON)
    elif why == "stopped":
        service.stop(rollout_id, "enough", actor=ANA, now=NOON)
    elif why == "looked just now":
        newcomers.tick(NOON)
    box = a_newcomer(1)

    assert newcomers.tick(NOON + MINUTE) == 0
    assert db.session.scalars(select(BoxInWave).where(BoxInWave.device_id == box)).all() == []


@sqlite_only
def test_one_who_has_joined_does_not_join_again_and_is_counted_like_the_others() -> None:
    ids = a_fleet(2)
    a_release()
    rollout_id = started(open_to_all())
    late = a_newcomer(1)
    newcomers.tick(LATER)
    newcomers.tick(LATER + timedelta(hours=1))
    service.tick(LATER)

    for box in (*ids, late):
        say(box, Phase.UPDATED, now=LATER)
    service.tick(LATER)
    service.tick(LATER + timedelta(seconds=61))

    assert row_of(late, rollout_id).state == "updated"
    assert RolloutState(service.get(rollout_id).state) is RolloutState.FINISHED
    assert waves_of(rollout_id) == {1: 3}


@sqlite_only
def test_where_people_sign_waves_the_newcomers_wait_for_their_signatures(app: Flask) -> None:
    people = hold_ceremony(settings.current().keys_dir, NOON, waves_by_people=True)
    releases.install_trust(people.files, ANA, NOON)
    ids = a_fleet(2)
    a_release()
    for box in ids:
        db.session.get_one(Device, box).region = "Brno"
    db.session.commit()
    rollout_id = started(open_to_all(BRNO))
    late = a_newcomer(1, region="Brno")

    newcomers.tick(LATER)

    missing = service.missing_signatures(service.get(rollout_id))
    assert [(one.position, one.have, one.needed) for one in missing] == [(1, 0, 2), (2, 0, 2)]
    assert service.request_of(rollout_id).waves[1].device_ids == (late,)
    assert told(late) is None
