"""Which boxes a wave takes: by number, attribute and group, mixed with shares and lists."""

from dataclasses import replace

import pytest
from oleada_server.db import db
from oleada_server.rollouts import groups, service
from oleada_server.rollouts.cover import Where
from oleada_server.rollouts.errors import (
    BadPlanError,
    EmptyWaveError,
    GroupInUseError,
    GroupThereError,
    NoSuchGroupError,
)
from oleada_server.rollouts.preview import LeftOut
from oleada_server.rollouts.reading import spec_of
from oleada_wire.cohort import merkle_covers

from tests.server.rollouts.fleet import (
    ANA,
    BRNO,
    EVERYBODY,
    HOUR,
    NOON,
    a_fleet,
    a_fleet_partly_in_brno,
    a_plan,
    a_release,
    boxes_of,
    by,
    set_of,
    sqlite_only,
    started,
    told,
    waves_told,
)

pytestmark = pytest.mark.usefixtures("app")


@pytest.fixture
def fleet(app: object) -> list[str]:
    """Forty boxes, ten of them in Brno, and a release for them."""
    return a_fleet_partly_in_brno(slice(10))


def test_share_number_filter_group_and_list_stand_in_one_rollout(fleet: list[str]) -> None:
    groups.create("staff", note="", rule=None, actor=ANA, now=NOON)
    groups.change("staff", add=fleet[20:23], remove=[], actor=ANA, now=NOON)
    plan = a_plan(
        by(name="list", device_ids=tuple(fleet[30:32])),
        by(name="staff", where=Where(group=("staff",))),
        by(4, BRNO, name="four of Brno"),
        by(5, name="five of all"),
        replace(EVERYBODY, name="half", share_until=0.5),
        EVERYBODY,
    )
    shown = service.preview(plan)

    found = boxes_of(started(plan))

    assert [len(boxes) for boxes in found] == [wave.boxes for wave in shown.waves]
    assert found[0] == fleet[30:32]
    assert found[1] == fleet[20:23]
    assert len(found[2]) == 4
    assert set(found[2]) <= set(fleet[:10])
    assert len(found[3]) == 5
    assert sorted(box for boxes in found for box in boxes) == fleet, "each box is in one wave"


@sqlite_only
def test_who_is_drawn_depends_on_the_salt_alone(fleet: list[str]) -> None:
    plan = a_plan(by(7), EVERYBODY)
    drawn = boxes_of(started(plan))[0]
    db.session.rollback()

    again = service.preview(replace(plan, salt="other"))

    assert len(drawn) == 7
    assert drawn != fleet[:7], "the first by name would be no draw"
    assert again.left_out == {LeftOut.IN_ANOTHER_ROLLOUT: 40}


@sqlite_only
def test_a_wave_by_attribute_is_signed_as_the_list_that_it_came_to(fleet: list[str]) -> None:
    started(a_plan(by(where=BRNO)))

    wave, assign = waves_told()[0], told(fleet[0])

    assert wave.cohort.merkle_root is not None
    assert assign is not None
    assert assign.assignment is not None
    assert merkle_covers(wave.cohort.merkle_root, fleet[0], assign.assignment.proof)
    assert not merkle_covers(wave.cohort.merkle_root, fleet[15], assign.assignment.proof)
    assert told(fleet[15]) is None


@sqlite_only
def test_fewer_boxes_than_the_number_are_all_of_them(fleet: list[str]) -> None:
    assert [wave.boxes for wave in service.preview(a_plan(by(500, BRNO))).waves] == [10]


@sqlite_only
def test_a_filter_that_no_box_fits_is_an_empty_wave(fleet: list[str]) -> None:
    rollout_id = service.create(a_plan(by(where=Where(region=("Olomouc",)))), actor=ANA, now=NOON)

    with pytest.raises(EmptyWaveError):
        service.start(rollout_id, actor=ANA, now=NOON)


@sqlite_only
def test_a_plan_is_read_back_as_it_was_stored(fleet: list[str]) -> None:
    plan = a_plan(by(3, BRNO), EVERYBODY)

    rollout_id = service.create(plan, actor=ANA, now=NOON)

    assert spec_of(service.get(rollout_id)).waves == plan.waves


@sqlite_only
def test_a_wave_says_one_thing_about_whom_it_takes() -> None:
    for wrong in ({"count": 3}, {"where": BRNO}, {"device_ids": ("VX410000000",)}):
        with pytest.raises(BadPlanError, match="one of"):
            replace(EVERYBODY, **wrong)
    with pytest.raises(BadPlanError, match="one of"):
        replace(EVERYBODY, share_until=None)
    with pytest.raises(BadPlanError, match="count"):
        by(0)


@sqlite_only
def test_a_group_by_rule_follows_what_boxes_say(fleet: list[str]) -> None:
    groups.create("south", note="by region", rule=BRNO, actor=ANA, now=NOON)
    plan = a_plan(by(where=Where(group=("south",))))
    before = service.preview(plan).boxes

    set_of(fleet[0], region="Praha")
    set_of(fleet[35], region="Brno")
    set_of(fleet[36], region="Brno")

    assert (before, service.preview(plan).boxes) == (10, 11)
    with pytest.raises(BadPlanError, match="follow its rule"):
        groups.change("south", add=[fleet[1]], remove=[], actor=ANA, now=NOON)


@sqlite_only
def test_a_group_that_is_not_there_stops_the_plan_and_is_not_an_empty_one(
    fleet: list[str],
) -> None:
    plan = a_plan(by(where=Where(group=("nobody",))))

    with pytest.raises(NoSuchGroupError):
        service.preview(plan)
    with pytest.raises(NoSuchGroupError):
        service.create(replace(plan, salt=None), actor=ANA, now=NOON)


def test_a_group_is_changed_and_removed_and_each_is_kept(fleet: list[str]) -> None:
    groups.create("staff", note="ours", rule=None, actor=ANA, now=NOON)

    assert groups.change("staff", add=fleet[:3], remove=[], actor=ANA, now=NOON).boxes == 3
    found = groups.change("staff", add=fleet[:1], remove=fleet[1:2], actor=ANA, now=NOON)
    assert found.boxes == 2
    assert list(groups.members("staff", after=fleet[0])) == [fleet[2]]
    with pytest.raises(GroupThereError):
        groups.create("staff", note="", rule=None, actor=ANA, now=NOON)
    with pytest.raises(BadPlanError, match="no box"):
        groups.change("staff", add=["ZZZZ00000000"], remove=[], actor=ANA, now=NOON)

    groups.remove("staff", actor=ANA, now=NOON)
    assert groups.list_groups() == []
    with pytest.raises(NoSuchGroupError):
        groups.get("staff")


@sqlite_only
def test_a_group_that_a_rollout_chooses_by_stays_until_it_has_ended(fleet: list[str]) -> None:
    groups.create("south", note="", rule=BRNO, actor=ANA, now=NOON)
    rollout_id = started(a_plan(by(where=Where(group=("south",)))))

    with pytest.raises(GroupInUseError, match=f"R-{rollout_id}"):
        groups.remove("south", actor=ANA, now=NOON)
    service.stop(rollout_id, "enough", actor=ANA, now=NOON + HOUR)
    groups.remove("south", actor=ANA, now=NOON + HOUR)
    assert groups.list_groups() == []


@sqlite_only
@pytest.mark.parametrize("name", ["", "Staff", "a b", "-a", "a" * 41, "sta\u0301ff"])
def test_a_group_has_a_plain_name(name: str) -> None:
    with pytest.raises(BadPlanError):
        groups.create(name, note="", rule=None, actor=ANA, now=NOON)


@sqlite_only
def test_the_preview_says_how_many_more_there_would_be_without_one_rule(fleet: list[str]) -> None:
    set_of(fleet[0], version="2.0.0")
    set_of(fleet[1], version="2.0.0", security_version=9)
    set_of(fleet[2], security_version=9)
    set_of(fleet[3], version=None)  # no rule of a plan keeps it out, so none gains it

    shown = service.preview(a_plan(EVERYBODY))

    assert shown.left_out == {
        LeftOut.BELOW_SECURITY_FLOOR: 2,
        LeftOut.RUNS_NEWER: 1,
        LeftOut.NEVER_HEARD: 1,
    }
    assert shown.gains == {LeftOut.BELOW_SECURITY_FLOOR: 1, LeftOut.RUNS_NEWER: 1}
    assert shown.regions == {"Brno": 6, "": 30}


@sqlite_only
def test_a_box_goes_through_the_version_that_nobody_may_skip(fleet: list[str]) -> None:
    a_release("1.0.5", must_pass=True)
    a_release("1.2.0", must_pass=True)
    set_of(fleet[0], version="1.0.5")

    shown = service.preview(a_plan(EVERYBODY))

    assert shown.left_out == {LeftOut.MUST_PASS: 39}
    assert shown.boxes == 1


@sqlite_only
def test_a_box_that_can_not_do_what_the_release_needs_is_left_out() -> None:
    ids = a_fleet(3)
    a_release(depends=["drm:widevine-l1"])
    set_of(ids[0], provides=["codec:h264", "drm:widevine-l1"])
    set_of(ids[1], provides=["codec:h264"])

    shown = service.preview(a_plan(EVERYBODY))

    assert shown.left_out == {LeftOut.LACKS_DEPENDENCY: 2}
    assert shown.boxes == 1
