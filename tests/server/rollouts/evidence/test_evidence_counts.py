"""What boxes say is counted once, by what it means, and can be counted again from the log."""

import json

import pytest
from oleada_server.db import db
from oleada_server.devices.models import Device
from oleada_server.rollouts import service
from oleada_server.rollouts.evidence import ledger
from oleada_server.rollouts.evidence.counts import Counted
from oleada_server.rollouts.evidence.models import BoxOutcome
from oleada_wire import messages
from oleada_wire.words import BootReason, Phase, Reason
from sqlalchemy import select, update

from tests.server.rollouts.evidence.trials import (
    HUSH,
    RIPE,
    SECOND,
    breaks,
    judged,
    log_of,
    on_trial,
    ticks,
)  # fmt: skip
from tests.server.rollouts.fleet import (
    ANA,
    MINUTE,
    MODEL,
    NOON,
    a_fleet,
    a_release,
    ask,
    greet,
    header,
    row_of,
    say,
    started,
)  # fmt: skip

pytestmark = pytest.mark.usefixtures("sqlite_app")
on_both = pytest.mark.usefixtures("app")


@on_both
def test_a_late_healthy_report_takes_the_silence_back() -> None:
    boxes = a_fleet(10)
    a_release()
    rollout_id = started(judged())
    for box in boxes[:2]:
        on_trial(box)
    service.tick(NOON + HUSH)
    say(boxes[0], Phase.UPDATED, now=NOON + 2 * RIPE)
    service.tick(NOON + 2 * RIPE)

    evidence = ledger.evidence(rollout_id, 500)
    assert evidence is not None
    total = evidence.total
    assert (total.begun, total.silent, total.good) == (2, 1, 1)
    assert [(row.was, row.now) for row in log_of(boxes[0])] == [
        (None, "open"), ("open", "silent"), ("silent", "good"),
    ]  # fmt: skip


def test_a_bad_end_that_a_person_retries_is_not_forgotten() -> None:
    boxes = a_fleet(30)
    a_release()
    rollout_id = started(judged())
    on_trial(boxes[0])
    breaks(boxes[0])
    service.retry(rollout_id, actor=ANA, now=NOON, device_ids=[boxes[0]])
    on_trial(boxes[0])
    say(boxes[0], Phase.UPDATED)
    service.tick(NOON + RIPE)

    evidence = ledger.evidence(rollout_id, 500)
    assert evidence is not None
    assert (evidence.total.begun, evidence.total.bad, evidence.total.good) == (2, 1, 1)


def test_a_power_cut_in_the_trial_says_nothing() -> None:
    (box, *_) = a_fleet(5)
    a_release()
    rollout_id = started(judged())
    on_trial(box)
    say(box, Phase.ROLLED_BACK, Reason.POWER_CUT_IN_TRIAL)

    assert [row.now for row in log_of(box)] == [Counted.OPEN, Counted.VOID]
    evidence = ledger.evidence(rollout_id, 500)
    assert evidence is not None
    assert (evidence.total.begun, evidence.total.bad) == (0, 0)


def test_a_server_that_was_away_counts_nobody_as_silent_for_it() -> None:
    boxes = a_fleet(10)
    a_release()
    rollout_id = started(judged(start_boxes=5))
    for box in boxes[:5]:
        on_trial(box)
    service.tick(NOON)

    back = NOON + 2 * RIPE
    service.tick(back)
    assert {row_of(box).state for box in boxes[:5]} == {"restarting"}
    for box in boxes[:5]:
        say(box, Phase.UPDATED, now=back + SECOND)
    service.tick(back + 2 * SECOND)
    assert service.get(rollout_id).waves[0].state != "held"


def test_a_box_that_waits_with_its_download_is_not_silent() -> None:
    boxes = a_fleet(10)
    a_release()
    rollout_id = started(judged())
    assert ask(boxes[0]).granted
    say(boxes[0], Phase.INSTALLING)
    ticks(NOON, NOON + 2 * RIPE)

    assert row_of(boxes[0]).state == "installing"
    evidence = ledger.evidence(rollout_id, 500)
    assert evidence is not None
    assert evidence.total.silent == 0


def test_the_log_alone_gives_every_number_again() -> None:
    boxes = a_fleet(20)
    a_release()
    rollout_id = started(judged())
    for box in boxes[:6]:
        on_trial(box)
    breaks(boxes[0])
    say(boxes[1], Phase.UPDATED)
    service.tick(NOON + HUSH)
    say(boxes[2], Phase.UPDATED, now=NOON + HUSH)
    service.tick(NOON + HUSH + SECOND)

    stands_for: dict[tuple[int, int], str] = {}
    for row in db.session.scalars(select(BoxOutcome).order_by(BoxOutcome.id)):
        assert stands_for.get((row.box_id, row.attempt)) == row.was
        stands_for[row.box_id, row.attempt] = row.now
    counted = {name: list(stands_for.values()).count(name) for name in set(stands_for.values())}
    evidence = ledger.evidence(rollout_id, 500)
    assert evidence is not None
    total = evidence.total
    assert counted == {"bad": total.bad, "silent": total.silent, "good": total.good}
    assert json.dumps(counted, sort_keys=True) == '{"bad": 1, "good": 2, "silent": 3}'


def test_how_far_boxes_have_come_is_four_counts_and_only_the_last_is_evidence() -> None:
    boxes = a_fleet(8)
    a_release()
    rollout_id = started(judged())
    for box in boxes[:4]:
        on_trial(box)
    say(boxes[1], Phase.CHECKING)
    say(boxes[2], Phase.UPDATED)
    say(boxes[3], Phase.UPDATED)

    def stages() -> dict[str, int]:
        return service.summary(rollout_id)[0].stages

    assert stages() == {
        "installed": 4, "unproven": 0, "booted": 3, "healthy": 2, "soaked": 0
    }  # fmt: skip
    say(boxes[0], Phase.CHECKING, now=NOON + RIPE - MINUTE)
    service.tick(NOON + RIPE)
    assert stages()["soaked"] == 2


@pytest.mark.parametrize("version", ["1.0.0", "1.1.0", "1.2.0"])
def test_a_box_that_said_it_was_updated_and_runs_older_again_speaks_against(version: str) -> None:
    (box, *_) = a_fleet(5)
    a_release()
    rollout_id = started(judged())
    on_trial(box)
    say(box, Phase.UPDATED)
    service.tick(NOON + RIPE)
    db.session.execute(update(Device).values(boot_count=1, seq=1))
    db.session.commit()

    greet(box, version=version, assignment_seq=0, now=NOON + RIPE)
    assert row_of(box).state == "updated", "that hello is as old as the verdict"
    hello_later(box, version)

    fell = version == "1.0.0"
    assert row_of(box).state == ("rolled_back" if fell else "updated")
    evidence = ledger.evidence(rollout_id, 500)
    assert evidence is not None
    assert (evidence.total.good, evidence.total.bad) == ((0, 1) if fell else (1, 0))


def hello_later(box: str, version: str) -> None:
    """Let a box say hello a minute after its verdict."""
    later = NOON + MINUTE
    hello = messages.Hello(
        header=header(now=later), hardware_model=MODEL, serial="S", running_slot="A",
        version=version, security_version=1, slots=(), agent_version="1", zone="UTC",
        boot_reason=BootReason.FALLBACK, assignment_seq=0, security_floor=1,
    )  # fmt: skip
    service.record_hello(box, hello, later)
    db.session.commit()
