"""Boxes that have kept a release go back when its rollout ends badly and the plan says so."""

from dataclasses import replace
from typing import Any

import pytest
from oleada_server.db import db
from oleada_server.releases.models import Release, ReleaseState
from oleada_server.rollouts import freezing, going_back, preparing, service
from oleada_server.rollouts.models import BoxInWave, GoneBack
from oleada_server.rollouts.rules import rules_from
from oleada_server.rollouts.states import RolloutState
from oleada_wire.words import Phase, Reason
from sqlalchemy import select

from tests.server.rollouts.fleet import (
    ANA,
    EVERYBODY,
    HOUR,
    MINUTE,
    NOON,
    a_fleet,
    a_plan,
    a_release,
    ask,
    say,
    set_of,
    sqlite_only,
    started,
    told,
)

pytestmark = [pytest.mark.usefixtures("app"), sqlite_only]
LATER = NOON + MINUTE
FINE: dict[str, Any] = {}


def two_of_three_keep_it(
    *, goes_back: bool = True, older: dict[str, Any] | None = FINE, security_version: int = 1
) -> int:
    """Let two boxes keep release 1.1.0 and one stay; return the rollout."""
    boxes = a_fleet(3)
    if older is not None:
        a_release("1.0.0", **older)
    a_release(security_version=security_version)
    rules = rules_from({"goes_back": True} if goes_back else {})
    rollout_id = started(a_plan(replace(EVERYBODY, failed_share_max=1.0), rules=rules))
    for box in boxes[:2]:
        ask(box)
        say(box, Phase.UPDATED)
        set_of(box, version="1.1.0")
    return rollout_id


def notes() -> list[tuple[str, int, int | None, str | None]]:
    rows = db.session.scalars(select(GoneBack).order_by(GoneBack.version))
    return [(row.version, row.boxes, row.back_id, row.refused) for row in rows]


def test_the_boxes_that_kept_it_are_assigned_what_they_ran_before_and_no_others() -> None:
    rollout_id = two_of_three_keep_it()
    service.stop(rollout_id, "colours are wrong", actor=ANA, now=NOON)

    assert going_back.tick(LATER) == 1
    assert going_back.tick(LATER) == 0, "once is enough"

    ((version, boxes, back_id, refused),) = notes()
    assert (version, boxes, refused) == ("1.0.0", 2, None)
    assert back_id is not None
    back = service.get(back_id)
    assert (back.state, back.release.version) == (RolloutState.RUNNING, "1.0.0")
    query = select(BoxInWave.device_id).where(BoxInWave.rollout_id == back_id)
    assert sorted(db.session.scalars(query)) == ["VX410000000", "VX410000001"]
    word = told("VX410000000")
    assert word is not None
    assert word.assignment is not None
    assert word.assignment.version == "1.0.0"
    assert ask("VX410000000", LATER).granted


def test_who_has_left_the_release_by_other_means_is_not_sent_anywhere() -> None:
    rollout_id = two_of_three_keep_it()
    set_of("VX410000000", version="1.0.0")
    service.stop(rollout_id, "colours are wrong", actor=ANA, now=NOON)

    going_back.tick(LATER)

    assert [note[:2] for note in notes()] == [("1.0.0", 1)]


def test_a_plan_that_does_not_say_so_sends_nobody_back() -> None:
    rollout_id = two_of_three_keep_it(goes_back=False)
    service.stop(rollout_id, "colours are wrong", actor=ANA, now=NOON)

    assert going_back.tick(LATER) == 0
    assert notes() == []


def test_a_box_in_its_trial_is_waited_for_but_not_for_ever() -> None:
    rollout_id = two_of_three_keep_it()
    ask("VX410000002")
    say("VX410000002", Phase.RESTARTING)
    service.stop(rollout_id, "colours are wrong", actor=ANA, now=NOON)

    assert going_back.tick(LATER) == 0
    assert going_back.tick(NOON + HOUR) == 1


@pytest.mark.parametrize(
    ("older", "says"),
    [
        (None, "1.0.0 is no release that is known here"),
        ({"state": ReleaseState.WITHDRAWN}, "1.0.0 is withdrawn or denied"),
        ({"denied_at": NOON}, "1.0.0 is withdrawn or denied"),
        ({"security_version": 1}, "take nothing below 2"),
    ],
)
def test_it_fails_closed_and_says_why(older: dict[str, Any] | None, says: str) -> None:
    rollout_id = two_of_three_keep_it(older=older, security_version=2)
    service.stop(rollout_id, "colours are wrong", actor=ANA, now=NOON)

    going_back.tick(LATER)

    ((version, boxes, back_id, refused),) = notes()
    assert (version, boxes, back_id) == ("1.0.0", 2, None)
    assert says in (refused or "")
    assert len(service.list_rollouts()) == 1


def test_a_halt_sends_them_back_too() -> None:
    rollout_id = two_of_three_keep_it()
    rollout = service.get(rollout_id)
    rollout.waves[0].failed_share_max = 0.2
    db.session.commit()
    say("VX410000002", Phase.ROLLED_BACK, Reason.HEALTH_CHECK)

    service.tick(LATER)
    going_back.tick(LATER)

    assert service.get(rollout_id).state == RolloutState.HALTED
    assert [note[:2] for note in notes()] == [("1.0.0", 2)]
    assert db.session.scalar(select(Release.state).where(Release.version == "1.0.0"))


def all_keep_it(*versions: str) -> int:
    """Let boxes that ran *versions* keep release 1.1.0, and stop its rollout; return it."""
    boxes = a_fleet(len(versions))
    for version in sorted(set(versions)):
        a_release(version)
    a_release()
    for box, version in zip(boxes, versions, strict=True):
        set_of(box, version=version)
    rollout_id = started(
        a_plan(replace(EVERYBODY, failed_share_max=1.0), rules=rules_from({"goes_back": True}))
    )
    for box in boxes:
        ask(box)
        say(box, Phase.UPDATED)
        set_of(box, version="1.1.0")
    service.stop(rollout_id, "colours are wrong", actor=ANA, now=NOON)
    return rollout_id


def test_many_go_back_after_some_that_are_drawn_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(going_back, "DRAWN_FIRST", 2)
    all_keep_it(*["1.0.0"] * 5)

    going_back.tick(LATER)

    ((_, boxes, back_id, refused),) = notes()
    assert (boxes, refused) == (5, None)
    assert back_id is not None
    assert [wave.boxes for wave in service.get(back_id).waves] == [2, 3]


def test_while_the_boxes_of_one_version_are_written_down_those_of_the_next_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    all_keep_it("1.0.0", "1.0.0", "1.0.1", "1.0.1", "1.0.1")
    monkeypatch.setattr(freezing, "PART_BOXES", 2)

    assert going_back.tick(LATER) == 0
    assert notes() == []
    preparing.tick(LATER)
    assert going_back.tick(LATER) == 1
    preparing.tick(LATER)

    assert [note[:2] for note in notes()] == [("1.0.0", 2), ("1.0.1", 3)]
    states = {one.state for one in service.list_rollouts()}
    assert states == {RolloutState.STOPPED, RolloutState.RUNNING}
