"""A box that is revoked is in no plan, and no rollout that has it waits for it."""

from dataclasses import replace
from datetime import datetime

import pytest
from oleada_server.db import db
from oleada_server.devices.models import Device
from oleada_server.enrolment import revocations
from oleada_server.rollouts import service
from oleada_server.rollouts.errors import NothingProvenError, NothingToRetryError
from oleada_server.rollouts.preview import LeftOut
from oleada_server.rollouts.states import RolloutState
from oleada_wire.words import Phase, Reason

from tests.server.rollouts.fleet import (
    ANA,
    EVERYBODY,
    HOUR,
    MINUTE,
    NOON,
    a_fleet,
    a_plan,
    a_release,
    row_of,
    say,
    started,
    told,
)


@pytest.fixture
def fleet(sqlite_app: object) -> list[str]:
    """Five boxes and a release for them."""
    ids = a_fleet(5)
    a_release()
    return ids


def revoke(device_id: str, at: datetime = NOON) -> None:
    revocations.revoke(device_id, "stolen", actor=ANA, now=at)


def left_out(device_id: str) -> tuple[str, str | None, str | None]:
    row = row_of(device_id)
    return str(row.state), row.reason, row.detail


def test_a_plan_leaves_it_out_and_says_why(fleet: list[str]) -> None:
    revoke(fleet[0])

    preview = service.preview(a_plan())

    assert preview.boxes == 4
    assert preview.left_out == {LeftOut.REVOKED: 1}


def test_one_that_was_never_heard_and_is_revoked_is_revoked_first_of_all(fleet: list[str]) -> None:
    device = db.session.get_one(Device, fleet[0])
    device.version = None
    db.session.commit()
    revoke(fleet[0])

    assert service.preview(a_plan()).left_out == {LeftOut.REVOKED: 1}


@pytest.mark.parametrize("phase", [None, Phase.DOWNLOADING, Phase.CHECKING])
def test_in_an_open_wave_it_is_left_out_at_once_and_not_silent_later(
    fleet: list[str], phase: Phase | None
) -> None:
    rollout_id = started(a_plan())
    service.tick(NOON)
    if phase is not None:
        say(fleet[0], phase)

    revoke(fleet[0], NOON + MINUTE)
    service.tick(NOON + 3 * HOUR)

    was = "assigned" if phase is None else str(phase)
    assert left_out(fleet[0]) == ("declined", "revoked", f"last state: {was}")
    assert row_of(fleet[0]).ended_at == NOON + MINUTE
    assert row_of(fleet[1]).state == "silent"
    assert not told(fleet[0])
    assert service.get(rollout_id).state in {RolloutState.RUNNING, RolloutState.HALTED}


def test_revoked_boxes_halt_no_good_release(fleet: list[str]) -> None:
    rollout_id = started(a_plan())
    service.tick(NOON)
    for device_id in fleet[:2]:
        revoke(device_id)
    for device_id in fleet[2:]:
        say(device_id, Phase.UPDATED)

    for after in (MINUTE, 5 * MINUTE, 10 * MINUTE):
        service.tick(NOON + after)

    assert service.get(rollout_id).state == RolloutState.FINISHED


def test_in_a_wave_that_waits_it_is_left_out_before_its_turn(fleet: list[str]) -> None:
    started(a_plan(start_at=NOON + HOUR))

    revoke(fleet[0])

    assert left_out(fleet[0]) == ("declined", "revoked", "last state: queued")


def test_in_a_wave_that_is_not_open_yet_the_rest_has_its_turn(fleet: list[str]) -> None:
    first = replace(EVERYBODY, share_until=None, device_ids=tuple(fleet[:1]))
    rollout_id = started(a_plan(first, EVERYBODY))
    service.tick(NOON)
    revoke(fleet[4])
    say(fleet[0], Phase.UPDATED)

    for after in (MINUTE, 5 * MINUTE, 10 * MINUTE):
        service.tick(NOON + after)

    assert service.get(rollout_id).state == RolloutState.RUNNING
    assert [str(row_of(one).state) for one in fleet] == ["updated", *["assigned"] * 3, "declined"]


def test_a_wave_of_which_every_box_is_revoked_waits_for_a_person(fleet: list[str]) -> None:
    first = replace(EVERYBODY, share_until=None, device_ids=tuple(fleet[:1]))
    rollout_id = started(a_plan(first, EVERYBODY))
    service.tick(NOON)
    revoke(fleet[0])

    for after in (MINUTE, 5 * MINUTE):
        service.tick(NOON + after)

    assert [str(wave.state) for wave in service.get(rollout_id).waves] == ["held", "waiting"]
    with pytest.raises(NothingProvenError):
        service.go_on(rollout_id, 1, actor="user:eva", now=NOON + HOUR, reason="nobody is left")


def test_one_that_counted_as_silent_counts_as_revoked(fleet: list[str]) -> None:
    started(a_plan())
    service.tick(NOON)
    for device_id in fleet[1:]:
        say(device_id, Phase.DOWNLOADING, now=NOON + 2 * HOUR)
    service.tick(NOON + 2 * HOUR)
    assert row_of(fleet[0]).state == "silent"

    revoke(fleet[0], NOON + 2 * HOUR)

    assert left_out(fleet[0]) == ("declined", "revoked", "last state: silent")


def test_what_it_had_said_before_stays(fleet: list[str]) -> None:
    started(a_plan())
    service.tick(NOON)
    say(fleet[0], Phase.UPDATED)
    say(fleet[1], Phase.FAILED, Reason.TOO_LARGE)

    revoke(fleet[0])
    revoke(fleet[1])

    assert row_of(fleet[0]).state == "updated"
    assert left_out(fleet[1])[:2] == ("failed", "too-large")


@pytest.mark.usefixtures("app")
def test_on_either_database_it_is_left_out_of_every_rollout_that_waits_for_it() -> None:
    ids = a_fleet(2)
    a_release()
    started(a_plan())
    service.tick(NOON)

    revoke(ids[0])

    assert left_out(ids[0]) == ("declined", "revoked", "last state: assigned")
    assert str(row_of(ids[1]).state) == "assigned"


def test_revoking_twice_or_nobody_changes_no_row(fleet: list[str]) -> None:
    started(a_plan())
    service.tick(NOON)
    revoke(fleet[0])

    revoke(fleet[0], NOON + HOUR)

    assert row_of(fleet[0]).ended_at == NOON


def test_a_retry_gives_it_nothing_and_it_is_left_out_again(fleet: list[str]) -> None:
    rollout_id = started(a_plan())
    service.tick(NOON)
    revoke(fleet[0])

    service.retry(rollout_id, actor=ANA, now=NOON + MINUTE, device_ids=[fleet[0]])
    service.tick(NOON + MINUTE)

    assert left_out(fleet[0])[:2] == ("declined", "revoked")
    assert not told(fleet[0])
    with pytest.raises(NothingToRetryError):
        service.retry(rollout_id, actor=ANA, now=NOON + HOUR, ended_for="health-check")
