from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pytest
from oleada_server.db import db
from oleada_server.devices.models import Device
from oleada_server.releases.models import ReleaseState
from oleada_server.rollouts import service
from oleada_server.rollouts.errors import (
    BadPlanError,
    EmptyWaveError,
    NoSuchReleaseError,
    NothingToRetryError,
    ReleaseWithdrawnError,
    RolloutNotFoundError,
    RolloutStateError,
)
from oleada_server.rollouts.models import BoxInWave
from oleada_server.rollouts.preview import LeftOut
from oleada_server.rollouts.spec import RolloutSpec, WaveSpec, with_hold_back
from sqlalchemy import select

from tests.server.rollouts.fleet import (
    ANA,
    EVERYBODY,
    HOUR,
    NOON,
    a_fleet,
    a_plan,
    a_release,
    started,
    told,
)

pytestmark = pytest.mark.usefixtures("app")


def stored(rollout_id: int) -> list[int]:
    """Return how many boxes each wave really has."""
    query = select(BoxInWave.wave_id).where(BoxInWave.rollout_id == rollout_id)
    found = Counter(db.session.scalars(query))
    return [found[wave.id] for wave in service.get(rollout_id).waves]


@pytest.mark.parametrize("salt", ["salt", None])
def test_what_is_previewed_is_what_is_stored(salt: str | None) -> None:
    boxes = a_fleet(200)
    a_release()
    waves = (
        replace(EVERYBODY, name="list", share_until=None, device_ids=tuple(boxes[:3])),
        replace(EVERYBODY, name="few", share_until=0.05),
        replace(EVERYBODY, name="more", share_until=0.5),
    )
    shown = service.preview(a_plan(*waves, salt=salt))
    rollout_id = started(a_plan(*waves, salt=shown.salt))

    assert stored(rollout_id) == [wave.boxes for wave in shown.waves]
    assert [wave.boxes for wave in service.get(rollout_id).waves] == stored(rollout_id)
    assert shown.boxes + shown.left_out[LeftOut.NO_WAVE] == 200


def test_the_preview_says_why_boxes_are_left_out() -> None:
    a_fleet(9, version="1.0.0")
    a_release(security_version=2, min_version="0.9")
    odd: dict[int, dict[str, object]] = {
        0: {"version": None},
        1: {"version": "1.1"},
        2: {"version": "1.2.0"},
        3: {"version": "0.8.7"},
        4: {"security_version": 3},
    }
    for number, values in odd.items():
        device = db.session.get(Device, f"VX410{number:06d}")
        for name, value in values.items():
            setattr(device, name, value)
    db.session.commit()
    a_release("1.0.5", security_version=2)
    started(
        a_plan(
            replace(EVERYBODY, share_until=None, device_ids=("VX410000005",)),
        )
    )

    shown = service.preview(
        a_plan(replace(EVERYBODY, share_until=None, device_ids=("VX410000006", "VX240000000")))
    )

    assert shown.left_out == {
        LeftOut.NEVER_HEARD: 1,
        LeftOut.ALREADY_THERE: 1,
        LeftOut.RUNS_NEWER: 1,
        LeftOut.BELOW_MINIMUM_VERSION: 1,
        LeftOut.BELOW_SECURITY_FLOOR: 1,
        LeftOut.IN_ANOTHER_ROLLOUT: 1,
        LeftOut.OTHER_MODEL: 1,
        LeftOut.NO_WAVE: 2,
    }
    assert shown.boxes == 1


def test_in_a_small_fleet_no_wave_is_left_empty_by_chance() -> None:
    a_fleet(6)
    a_release()
    waves = (replace(EVERYBODY, name="one", share_until=0.2), EVERYBODY)

    sizes = [service.preview(a_plan(*waves, salt=None)).waves[0].boxes for _ in range(10)]

    assert set(sizes) <= {1, 2}


def test_a_wave_that_covers_no_box_can_not_start() -> None:
    a_fleet(3, version="1.1.0")
    a_release()
    rollout_id = service.create(a_plan(), actor=ANA, now=NOON)

    with pytest.raises(EmptyWaveError):
        service.start(rollout_id, actor=ANA, now=NOON)
    db.session.rollback()

    assert service.get(rollout_id).state == "draft"


def test_a_scheduled_rollout_holds_its_boxes_and_opens_at_its_time() -> None:
    (box,) = a_fleet(1)
    a_release()
    rollout_id = started(a_plan(start_at=NOON + HOUR))

    service.tick(NOON + HOUR - timedelta(seconds=1))
    assert service.get(rollout_id).state == "scheduled"
    assert told(box) is None
    assert service.preview(a_plan()).left_out == {LeftOut.IN_ANOTHER_ROLLOUT: 1}
    service.tick(NOON + HOUR)
    assert service.get(rollout_id).state == "running"
    assert told(box) is not None


def test_a_release_that_is_unknown_or_taken_back_can_not_be_planned() -> None:
    a_fleet(1)
    release = a_release()
    rollout_id = service.create(a_plan(), actor=ANA, now=NOON)
    release.state = ReleaseState.WITHDRAWN
    db.session.commit()

    with pytest.raises(NoSuchReleaseError):
        service.create(replace(a_plan(), version="9"), actor=ANA, now=NOON)
    with pytest.raises(ReleaseWithdrawnError):
        service.create(a_plan(), actor=ANA, now=NOON)
    with pytest.raises(ReleaseWithdrawnError):
        service.start(rollout_id, actor=ANA, now=NOON)
    db.session.rollback()


def test_verbs_are_refused_in_the_wrong_state() -> None:
    a_fleet(1)
    a_release()
    rollout_id = started(a_plan())

    with pytest.raises(RolloutStateError, match="is running; to start a rollout it must be draft"):
        service.start(rollout_id, actor=ANA, now=NOON)
    with pytest.raises(RolloutStateError):
        service.resume(rollout_id, actor=ANA, now=NOON)
    with pytest.raises(NothingToRetryError):
        service.retry(rollout_id, actor=ANA, now=NOON, ended_for="silent")
    with pytest.raises(BadPlanError):
        service.retry(rollout_id, actor=ANA, now=NOON)
    service.stop(rollout_id, "enough", actor=ANA, now=NOON)
    with pytest.raises(RolloutStateError):
        service.pause(rollout_id, "too late", actor=ANA, now=NOON)
    with pytest.raises(RolloutNotFoundError):
        service.stop(99, "no such", actor=ANA, now=NOON)
    db.session.rollback()


@pytest.mark.parametrize(
    "changed",
    [
        {"share_until": 0.0},
        {"share_until": 1.5},
        {"share_until": float("nan")},
        {"share_until": 0.12345},
        {"share_until": None},
        {"device_ids": ("VX410000001",)},
        {"share_until": None, "device_ids": ()},
        {"share_until": None, "device_ids": ("not an id",)},
        {"failed_share_max": float("nan")},
        {"failed_share_max": 2},
        {"success_share_min": -1},
        {"silent_share_max": float("inf")},
        {"sample_min": 0},
        {"soak_s": -1},
        {"name": ""},
        {"name": "a\x00b"},
    ],
)
def test_a_limit_that_can_not_be_read_is_refused_when_it_is_typed(
    changed: dict[str, object],
) -> None:
    with pytest.raises(BadPlanError):
        replace(EVERYBODY, **changed)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "changed",
    [
        {"waves": ()},
        {"waves": (EVERYBODY,) * 21},
        {"waves": (EVERYBODY, EVERYBODY)},
        {"silent_after_s": 0},
        {"attempts_max": 0},
        {"in_flight_max": 0},
        {"spread_s": -1},
        {"lease_s": 1},
        {"salt": "a b"},
        {"name": "n" * 81},
        {"start_at": NOON.replace(tzinfo=None)},
    ],
)
def test_a_plan_that_makes_no_sense_is_refused(changed: dict[str, object]) -> None:
    with pytest.raises(BadPlanError):
        replace(a_plan(), **changed)  # type: ignore[arg-type]


def test_the_defaults_are_a_plan() -> None:
    wave = WaveSpec(name="all", share_until=1.0)

    assert RolloutSpec(hardware_model="VX-410", version="1", waves=(wave,)).attempts_max == 3


def test_boxes_are_kept_back_in_a_wave_of_their_own_at_the_end() -> None:
    planned = (replace(EVERYBODY, share_until=0.2), EVERYBODY)

    found = with_hold_back(planned, 0.05)

    assert [(wave.name, wave.share_until) for wave in found] == [
        ("everybody", 0.2), ("everybody", 0.95), ("Hold-back", 1.0)
    ]  # fmt: skip
    assert found[-1].soak_s == 0


@pytest.mark.parametrize("share", [0, -0.1, 0.51, 0.00001, float("nan")])
def test_a_share_to_keep_back_that_can_not_be_is_refused(share: float) -> None:
    with pytest.raises(BadPlanError, match="hold_back is"):
        with_hold_back((EVERYBODY,), share)


def test_only_of_a_last_wave_by_share_that_is_large_enough_boxes_are_kept_back() -> None:
    listed = replace(EVERYBODY, share_until=None, device_ids=("VX410000000",))
    with pytest.raises(BadPlanError, match="last wave by share"):
        with_hold_back((EVERYBODY, listed), 0.05)
    with pytest.raises(BadPlanError, match=r"can not be kept back"):
        with_hold_back((replace(EVERYBODY, share_until=0.96), EVERYBODY), 0.05)
