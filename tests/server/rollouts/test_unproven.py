"""A box that only says it has installed is unproven until it is heard running the release."""

import pytest
from oleada_server.db import db
from oleada_server.rollouts import service
from oleada_server.rollouts.evidence import ledger
from oleada_server.rollouts.states import BoxState, RolloutState, WaveState
from oleada_wire.words import Phase

from tests.server.rollouts.evidence.trials import judged
from tests.server.rollouts.fleet import (
    HOUR,
    MINUTE,
    NOON,
    a_plan,
    ask,
    greet,
    one_box,
    row_of,
    say,
    sqlite_only,
)

pytestmark = [pytest.mark.usefixtures("app"), sqlite_only]
SEEN = NOON + 2 * MINUTE


def closes(box: str) -> bool:
    """Let a box say through another protocol that it has installed what it was assigned."""
    found = service.record_closed(box, f"AS-{row_of(box).id}", NOON + MINUTE)
    db.session.commit()
    return found


def test_its_word_is_a_stage_of_its_own_and_opens_no_gate() -> None:
    rollout_id, box = one_box(a_plan())
    assert ask(box).granted

    assert closes(box)
    service.tick(SEEN)

    (wave,) = service.summary(rollout_id)
    assert wave.stages == {
        "installed": 1, "unproven": 1, "booted": 0, "healthy": 0, "soaked": 0
    }  # fmt: skip
    assert service.get(rollout_id).waves[0].state == WaveState.OPEN
    assert closes(box) is False, "said twice is said once"


def test_it_is_updated_when_it_is_heard_running_the_release_and_not_before() -> None:
    rollout_id, box = one_box(a_plan())
    ask(box)
    closes(box)

    greet(box, version="1.0.0", assignment_seq=1, now=SEEN)
    assert row_of(box).state == BoxState.UNPROVEN
    greet(box, version="1.1.0", assignment_seq=1, now=SEEN)
    assert row_of(box).state == BoxState.UPDATED
    service.tick(SEEN)
    service.tick(SEEN + HOUR)

    assert service.get(rollout_id).state == RolloutState.FINISHED


def test_one_that_is_never_heard_again_is_silence_in_its_trial() -> None:
    rollout_id, box = one_box(judged())
    ask(box)
    closes(box)

    service.tick(NOON + 2 * HOUR)

    assert row_of(box).state == BoxState.SILENT
    found = ledger.evidence(rollout_id, 500)
    assert found is not None
    assert (found.total.begun, found.total.silent, found.total.good) == (1, 1, 0)


def test_a_verdict_is_not_taken_back_by_such_a_word() -> None:
    _, box = one_box(a_plan())
    ask(box)
    say(box, Phase.FAILED)

    assert not closes(box)
    assert row_of(box).state == BoxState.FAILED
