"""A person opens the next wave early: with its number typed, a reason, and one good box."""

import pytest
from flask import Flask
from oleada_server.audit import service as audit
from oleada_server.errors import BadInputError
from oleada_server.rollouts import service
from oleada_server.rollouts.errors import (
    NothingProvenError,
    RolloutNotFoundError,
    RolloutStateError,
    WaveNotNextError,
)
from oleada_server.rollouts.states import RolloutState, WaveState
from oleada_wire.words import Phase, Reason

from tests.server.rollouts.fleet import (
    ANA,
    HOUR,
    NOON,
    a_fleet,
    a_plan,
    a_release,
    ask,
    one_each,
    row_of,
    say,
    started,
    told,
)

BEN = "user:ben"


@pytest.fixture
def boxes(sqlite_app: Flask) -> list[str]:
    """Three boxes of a rollout with three waves, one box each; none has answered yet."""
    ids = a_fleet(3)
    a_release()
    started(a_plan(*one_each(ids, soak_s=7 * 86_400)))
    return ids


def opened(position: int = 2, boxes: int = 1, reason: str = "it fixes the outage") -> RolloutState:
    return service.open_early(1, position, reason, boxes=boxes, actor=BEN, now=NOON + HOUR)


def states() -> list[str]:
    return [str(wave.state) for wave in service.get(1).waves]


def test_the_next_wave_opens_before_the_one_in_front_has_soaked(boxes: list[str]) -> None:
    ask(boxes[0])
    say(boxes[0], Phase.UPDATED)
    service.tick(NOON)
    assert states() == [WaveState.SOAKING, WaveState.WAITING, WaveState.WAITING]

    opened()

    assert states() == [WaveState.PASSED, WaveState.OPEN, WaveState.WAITING]
    assert told(boxes[1]) is not None
    event = audit.events_about("R-1", 8)
    kept = next(one for one in event if one.action == "wave.open_early")
    assert (kept.actor, kept.reason) == (BEN, "it fixes the outage")


def test_harm_in_the_wave_that_opened_early_halts_all_the_same(boxes: list[str]) -> None:
    ask(boxes[0])
    say(boxes[0], Phase.UPDATED)
    service.tick(NOON)
    opened()
    ask(boxes[1])
    say(boxes[1], Phase.ROLLED_BACK, Reason.HEALTH_CHECK)
    service.tick(NOON + HOUR)

    assert RolloutState(service.get(1).state) is RolloutState.HALTED
    assert told(boxes[2]) is None


def test_without_one_good_box_nothing_opens(boxes: list[str]) -> None:
    with pytest.raises(NothingProvenError):
        opened()
    assert states() == [WaveState.OPEN, WaveState.WAITING, WaveState.WAITING]


def test_only_the_next_wave_opens_and_only_with_its_number_and_a_reason(boxes: list[str]) -> None:
    say(boxes[0], Phase.UPDATED)
    for wrong, error in (
        ({"position": 3}, WaveNotNextError),
        ({"position": 1}, WaveNotNextError),
        ({"position": 9}, RolloutNotFoundError),
        ({"boxes": 2}, BadInputError),
        ({"reason": "  "}, BadInputError),
    ):
        with pytest.raises(error):
            opened(**wrong)
    assert states()[1] == WaveState.WAITING
    assert row_of(boxes[1]).state == "queued"


def test_a_paused_rollout_opens_nothing(boxes: list[str]) -> None:
    say(boxes[0], Phase.UPDATED)
    service.pause(1, "wait", actor=ANA, now=NOON)

    with pytest.raises(RolloutStateError):
        opened()
