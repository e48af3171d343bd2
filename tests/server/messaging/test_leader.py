"""Leases: one acts, the others stand by, and who was asleep can do no harm."""

from datetime import UTC, datetime, timedelta

import pytest
from flask import Flask
from oleada_server.clock import to_ms
from oleada_server.db import db
from oleada_server.devices.models import HardwareModel
from oleada_server.messaging import leader
from oleada_server.messaging.leader import LeaseLostError
from oleada_server.messaging.service import record_restore
from sqlalchemy import select

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
LATE = NOON + leader.LEASE + timedelta(seconds=1)


def _models() -> list[str]:
    return list(db.session.scalars(select(HardwareModel.name)))


def test_only_one_leads_until_its_lease_runs_out(app: Flask) -> None:
    first = leader.take("tick", "a", NOON)

    assert first is not None
    assert leader.take("tick", "b", NOON) is None
    assert leader.take("tick", "a", NOON) == first
    second = leader.take("tick", "b", LATE)
    assert second is not None
    assert second.epoch == first.epoch + 1


def test_after_the_clock_was_set_back_nobody_waits_for_a_dead_leader(app: Flask) -> None:
    dead = leader.take("tick", "a", NOON)
    assert dead is not None

    earlier = NOON - timedelta(minutes=5)
    heir = leader.take("tick", "b", earlier)

    assert heir is not None
    assert heir.epoch == dead.epoch + 1
    assert leader.take("tick", "a", earlier + timedelta(seconds=1)) is None, "it leads for good"


def test_roles_do_not_know_each_other(app: Flask) -> None:
    assert leader.take("tick", "a", NOON)
    assert leader.take("outbox", "b", NOON)


def test_who_lost_the_lease_without_knowing_can_not_commit(app: Flask) -> None:
    asleep = leader.take("tick", "a", NOON)
    assert asleep is not None
    assert leader.take("tick", "b", LATE)

    with leader.only_as(asleep):
        db.session.add(HardwareModel(name="VX-410"))
        with pytest.raises(LeaseLostError):
            db.session.commit()
    db.session.rollback()

    assert _models() == []


def test_after_a_restore_an_epoch_that_comes_again_is_not_taken_for_the_old_one(app: Flask) -> None:
    asleep = leader.take("tick", "a", NOON)
    record_restore(to_ms(NOON))
    db.session.commit()
    heir = leader.take("tick", "b", NOON)
    assert asleep is not None
    assert heir is not None
    assert asleep.epoch == heir.epoch

    with leader.only_as(asleep), pytest.raises(LeaseLostError):
        db.session.commit()
    db.session.rollback()


def test_who_leads_commits_also_through_savepoints(app: Flask) -> None:
    lease = leader.take("tick", "a", NOON)
    assert lease is not None

    with leader.only_as(lease):
        with db.session.begin_nested():
            db.session.add(HardwareModel(name="VX-410"))
        db.session.commit()
    db.session.add(HardwareModel(name="VX-240"))
    db.session.commit()

    assert sorted(_models()) == ["VX-240", "VX-410"]


def test_a_lease_that_is_given_up_is_free_at_once_and_only_by_its_owner(app: Flask) -> None:
    first = leader.take("tick", "a", NOON)
    assert first is not None
    leader.give_up(first)
    second = leader.take("tick", "b", NOON)
    assert second is not None

    leader.give_up(first)
    assert leader.take("tick", "c", NOON) is None
