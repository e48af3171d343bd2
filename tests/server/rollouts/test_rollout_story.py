from dataclasses import replace

import pytest
from oleada_server.rollouts import service
from oleada_server.rollouts.states import BoxState
from oleada_wire.words import LeasePhase, Phase

from tests.server.rollouts.fleet import (
    EVERYBODY,
    MINUTE,
    NOON,
    a_fleet,
    a_plan,
    a_release,
    ask,
    say,
    started,
    waves_told,
)

pytestmark = pytest.mark.usefixtures("app")


def states(rollout_id: int) -> dict[str, int]:
    found = [wave.states for wave in service.summary(rollout_id)]
    return {str(s): n for s in BoxState if (n := sum(wave[s] for wave in found))}


def test_a_release_reaches_every_box_wave_by_wave() -> None:
    boxes = a_fleet(10)
    a_release()
    few = replace(EVERYBODY, name="few", device_ids=tuple(boxes[:2]), share_until=None)
    rollout_id = started(a_plan(few, EVERYBODY))

    assert states(rollout_id) == {"assigned": 2, "queued": 8}
    for box in boxes[:2]:
        assert ask(box).granted
        say(box, Phase.DOWNLOADING, done_bytes=500)
        assert ask(box, phase=LeasePhase.ARM).granted
        say(box, Phase.UPDATED)
    service.tick(NOON)
    assert service.get(rollout_id).waves[0].state == "soaking"
    service.tick(NOON + MINUTE)
    assert states(rollout_id) == {"assigned": 8, "updated": 2}
    for box in boxes[2:]:
        say(box, Phase.UPDATED, now=NOON + 2 * MINUTE)
    service.tick(NOON + 2 * MINUTE)
    service.tick(NOON + 3 * MINUTE)

    assert service.get(rollout_id).state == "finished"
    assert states(rollout_id) == {"updated": 10}
    assert waves_told() == []
