"""The curve of a wave counts on both databases what the boxes' rows say."""

import pytest
from oleada_server.rollouts import service
from oleada_wire.words import Phase, Reason

from tests.server.rollouts.fleet import (
    EVERYBODY,
    HOUR,
    MINUTE,
    NOON,
    a_fleet,
    a_plan,
    a_release,
    say,
    started,
)

pytestmark = pytest.mark.usefixtures("app")


def test_each_update_counts_from_its_moment_on() -> None:
    boxes = a_fleet(4)
    a_release()
    rollout_id = started(a_plan(EVERYBODY))
    for box, minute in zip(boxes, (5, 25, 25, 55), strict=True):
        say(box, Phase.UPDATED, now=NOON + minute * MINUTE)
    wave_id = service.get(rollout_id).waves[0].id

    assert service.updated_by_time(wave_id, NOON, NOON + HOUR, 6) == [0, 1, 1, 3, 3, 3, 4]


def test_what_is_updated_counts_at_the_end_even_if_it_came_later() -> None:
    boxes = a_fleet(3)
    a_release()
    rollout_id = started(a_plan(EVERYBODY))
    say(boxes[0], Phase.UPDATED, now=NOON + 2 * HOUR)
    say(boxes[1], Phase.ROLLED_BACK, Reason.HEALTH_CHECK, now=NOON + MINUTE)
    wave_id = service.get(rollout_id).waves[0].id

    assert service.updated_by_time(wave_id, NOON, NOON + HOUR, 2) == [0, 0, 1]


def test_a_wave_without_an_update_is_a_flat_line() -> None:
    a_fleet(2)
    a_release()
    rollout_id = started(a_plan(EVERYBODY))
    wave_id = service.get(rollout_id).waves[0].id

    assert service.updated_by_time(wave_id, NOON, NOON, 3) == [0, 0, 0, 0]
