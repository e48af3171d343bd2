"""A box that records, or whose case is critical, is left alone; forcing goes over that alone."""

from datetime import timedelta

import pytest
from oleada_server.audit.models import AuditEvent
from oleada_server.db import db
from oleada_server.errors import BadInputError
from oleada_server.rollouts import cli_force, left_alone, service
from oleada_server.rollouts.errors import BadPlanError, MiscountedError, RolloutStateError
from oleada_server.rollouts.left_alone import Because
from oleada_server.rollouts.rules import Rules
from oleada_server.rollouts.schedule import Blackout, Schedule
from oleada_wire.words import LeasePhase, Phase
from sqlalchemy import select

from tests.server.rollouts.fleet import (
    ANA,
    DAY,
    HOUR,
    MINUTE,
    NOON,
    a_fleet,
    a_plan,
    a_release,
    ask,
    say,
    sqlite_only,
    started,
    told,
)

pytestmark = [pytest.mark.usefixtures("app"), sqlite_only]
SECOND = timedelta(seconds=1)


def test_the_command_line_knows_every_kind() -> None:
    assert list(cli_force.KINDS) == list(Because)


def keep_off(box: str, because: Because = Because.RECORDING, until: timedelta = HOUR) -> None:
    left_alone.note(box, because, until=NOON + until, ref="C-9", actor=ANA, now=NOON)


def deeds() -> list[str]:
    return list(db.session.scalars(select(AuditEvent.action).order_by(AuditEvent.id)))


@pytest.mark.parametrize("because", list(Because))
def test_a_box_that_is_left_alone_neither_begins_nor_arms_and_is_told_when_to_ask(
    because: Because,
) -> None:
    beginner, loaded, other = a_fleet(3)
    a_release()
    started(a_plan())
    assert ask(loaded).granted
    say(loaded, Phase.DOWNLOADING)
    keep_off(beginner, because, 10 * MINUTE)
    keep_off(loaded, because, 10 * MINUTE)

    refused = ask(beginner)
    assert (refused.granted, refused.reason, refused.retry_after_s) == (False, "busy", 600)
    assert ask(loaded, phase=LeasePhase.ARM).reason == "busy"
    assert ask(other).granted

    assert ask(beginner, NOON + 11 * MINUTE).granted, "a note that is over keeps nobody"
    left_alone.lift(loaded, because, actor=ANA, now=NOON)
    assert ask(loaded, phase=LeasePhase.ARM).granted
    assert deeds().count("device.leave_alone") == 2
    assert deeds()[-1] == "device.leave_alone_no_more"


def test_force_goes_over_what_is_left_alone_and_over_nothing_else() -> None:
    box, late = a_fleet(2)
    a_release()
    christmas = Schedule((), (Blackout((NOON + DAY).date(), (NOON + DAY).date()),))
    rollout_id = started(a_plan(rules=Rules(schedule=christmas), in_flight_max=1))
    keep_off(box, Because.CRITICAL_CASE, 2 * DAY)
    keep_off(late, Because.CRITICAL_CASE, 2 * DAY)
    with pytest.raises(BadInputError, match="Say why"):
        service.force(rollout_id, " ", boxes=2, actor=ANA, now=NOON)
    with pytest.raises(MiscountedError, match="reaches 2 boxes, not 3"):
        service.force(rollout_id, "a fire", boxes=3, actor=ANA, now=NOON)
    assert ask(box).reason == "busy"

    service.force(rollout_id, "a fire", boxes=2, actor=ANA, now=NOON)
    assert ask(box, NOON + DAY).reason == "window", "the blackout stays"
    assert ask(box).granted
    assert ask(late).reason == "full", "the limit stays"
    service.unforce(rollout_id, actor=ANA, now=NOON)
    assert ask(box, phase=LeasePhase.ARM).reason == "busy"
    service.pause(rollout_id, "wait", actor=ANA, now=NOON)
    service.force(rollout_id, "a fire", boxes=2, actor=ANA, now=NOON)
    assert ask(box).reason == "paused", "the pause stays"
    service.stop(rollout_id, "over", actor=ANA, now=NOON)
    with pytest.raises(RolloutStateError):
        service.force(rollout_id, "a fire", boxes=2, actor=ANA, now=NOON)
    forced = [deed for deed in deeds() if "force" in deed]
    assert forced == ["rollout.force", "rollout.unforce", "rollout.force"]


@pytest.mark.parametrize("until", [timedelta(0), -HOUR, timedelta(days=1, seconds=1)])
def test_nobody_is_left_alone_for_ever_or_in_the_past(until: timedelta) -> None:
    (box,) = a_fleet(1)

    with pytest.raises(BadPlanError, match="until is"):
        keep_off(box, Because.RECORDING, until)
    assert left_alone.of(box, NOON) == []


def test_boxes_are_told_that_a_person_forces_it_and_that_it_ended() -> None:
    holder, other = a_fleet(2)
    a_release()
    rollout_id = started(a_plan())
    say(other, Phase.UPDATED)
    service.tick(NOON)
    said = [told(holder)]

    service.force(rollout_id, "the picture is gone", boxes=2, actor=ANA, now=NOON + HOUR)
    said.append(told(holder))
    service.tick(NOON + HOUR)
    service.tick(NOON + HOUR + MINUTE)
    said.append(told(holder))
    service.unforce(rollout_id, actor=ANA, now=NOON + 2 * HOUR)
    service.tick(NOON + 2 * HOUR)
    said.append(told(holder))

    assert [one and one.is_forced for one in said] == [None, True, True, None]
    assert [one and one.assignment_seq for one in said] == [1, 2, 2, 3], "once each time"
    done = told(other)
    assert done is not None
    assert done.assignment is None


def test_who_is_assigned_by_a_clock_that_is_ahead_is_told_of_each_force_all_the_same() -> None:
    (box,) = a_fleet(1)
    a_release()
    rollout_id = started(a_plan(), NOON + SECOND)
    said = []

    service.force(rollout_id, "the picture is gone", boxes=1, actor=ANA, now=NOON)
    said.append(told(box))
    service.unforce(rollout_id, actor=ANA, now=NOON - SECOND)
    said.append(told(box))
    service.tick(NOON + MINUTE)
    said.append(told(box))

    assert [one and one.is_forced for one in said] == [True, None, None]
    assert [one and one.assignment_seq for one in said] == [2, 3, 3], "once each time"
