"""Ten thousand reports at once; half of the boxes say everything twice and in any order.

The boxes come in pairs that tell the same story, one as it happened, the other doubled
and shuffled; in the end nothing in their rows may tell them apart.
"""

import random
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

from oleada_server.db import db
from oleada_server.rollouts.models import BoxInWave, ReportRow
from oleada_wire import topics
from oleada_wire.words import Phase
from sqlalchemy import select

from oleada_lab.clock import monotonic_s
from oleada_lab.errors import LabError
from oleada_lab.firmware.image import ImageSpec, build_small_image
from oleada_lab.storm import fleet, speech
from oleada_lab.storm.crowd import Crowd, Member
from oleada_lab.storm.ground import MODEL, Ground

LIMIT_S: Final = 600.0
EVERYONE: Final = {
    "name": "Everyone",
    "share_until": 1.0,
    "failed_share_max": 1.0,
    "silent_share_max": 1.0,
    "success_share_min": 0.0,
}
"""No limit stops it: what is counted here is reports, not whether the release is good."""


def run(ground: Ground, count: int, seed: int) -> dict[str, Any]:
    """Return what became of *count* reports, rounded down to whole stories of pairs of boxes.

    Raises:
        LabError: Not every report was counted in time.
    """
    dice = random.Random(f"{seed}/reports")
    boxes = 2 * max(1, count // (2 * speech.STEPS))
    image = build_small_image(ImageSpec(MODEL, speech.NEW), ground.home / "new.img")
    ground.operator.publish(image.path, MODEL, speech.NEW, {"en": "A release for a storm."})
    config = ground.config
    crowd = Crowd(config.broker_host, config.broker_port, ground.ca_file)
    members = [Member(one) for one in fleet.enrolled(ground, "TELLS", boxes)]
    try:
        tongues = _greet(crowd, members, dice)
        numbers = _start(ground, members)
        began_s = monotonic_s()
        sent = _tell(crowd, members, tongues, numbers, dice)
        elapsed_s = monotonic_s() - began_s
    finally:
        crowd.close()
    return {
        **_summary(_facts(ground, list(numbers.values())), members, sent),
        "all_counted_s": round(elapsed_s, 3),
    }


def _greet(crowd: Crowd, members: Sequence[Member], dice: random.Random) -> list[speech.Tongue]:
    tongues = [speech.Tongue(dice, 7) for _ in members]
    for member, tongue in zip(members, tongues, strict=True):
        member.say(topics.Up.HELLO, speech.spelt(tongue.hello(member.identity)))
    crowd.come(members)
    crowd.run_until(lambda: all(m.acked for m in members), LIMIT_S, "every hello is counted")
    for member in members:
        member.acked.clear()
    return tongues


def _start(ground: Ground, members: Sequence[Member]) -> dict[str, int]:
    """Start a rollout to everybody; return the row's number of each box's assignment."""
    client = ground.operator.server.client
    plan = {"hardware_model": MODEL, "version": speech.NEW, "waves": [EVERYONE], "evidence": None}
    rollout = client.post("/api/v1/rollouts", plan)["id"]
    client.post(f"/api/v1/rollouts/{rollout}/start")
    ids = [member.identity.device_id for member in members]
    end_s = monotonic_s() + LIMIT_S
    while monotonic_s() < end_s:
        with ground.rows():
            query = select(BoxInWave.device_id, BoxInWave.id).where(BoxInWave.attempt == 1)
            found = {row[0]: row[1] for row in db.session.execute(query)}
        if found.keys() >= set(ids):
            return {device_id: found[device_id] for device_id in ids}
    raise LabError(f"After {LIMIT_S} s not every box has its assignment.")


def _tell(
    crowd: Crowd,
    members: Sequence[Member],
    tongues: Sequence[speech.Tongue],
    numbers: dict[str, int],
    dice: random.Random,
) -> int:
    """Let every box tell its story; return how many messages the server has answered."""
    sent = 0
    for place, (member, tongue) in enumerate(zip(members, tongues, strict=True)):
        story = tongue.story(f"AS-{numbers[member.identity.device_id]}", place // 2)
        told = story if place % 2 == 0 else speech.doubled_and_shuffled(story, dice)
        for report in told:
            member.say(topics.Up.REPORT, speech.spelt(report))
        sent += len(told)
    crowd.flush(members)
    crowd.run_until(
        lambda: sum(sum(member.acked.values()) for member in members) >= sent,
        LIMIT_S,
        f"{sent} reports are acknowledged",
    )
    return sent


def _facts(ground: Ground, numbers: Sequence[int]) -> list[tuple[Any, ...]]:
    """Return of each row in *numbers* where its box is, and every report that counted."""
    with ground.rows():
        box = select(BoxInWave.id, BoxInWave.state, BoxInWave.attempt, BoxInWave.step,
                     BoxInWave.reason, BoxInWave.detail, BoxInWave.done_bytes)  # fmt: skip
        states = {row[0]: tuple(row[1:]) for row in db.session.execute(box)}
        kept: dict[int, list[tuple[Any, ...]]] = {number: [] for number in numbers}
        row = select(ReportRow.box_id, ReportRow.attempt, ReportRow.step, ReportRow.phase,
                     ReportRow.reason, ReportRow.version)  # fmt: skip
        for box_id, *said in db.session.execute(row):
            if box_id in kept:
                kept[box_id].append(tuple(said))
    return [(states[number], sorted(kept[number], key=repr)) for number in numbers]


def _summary(
    facts: Sequence[tuple[Any, ...]], members: Sequence[Member], sent: int
) -> dict[str, Any]:
    boxes = len(members)
    rows = [report for _, reports in facts for report in reports]
    different = sum(a != b for a, b in zip(facts[::2], facts[1::2], strict=True))
    verdicts = Counter(str(state[0]) for state, _ in facts)
    expected = Counter(
        str(speech.VERDICTS[(place // 2) % len(speech.VERDICTS)][0]) for place in range(boxes)
    )
    found = {
        "reports": boxes * speech.STEPS,
        "boxes": boxes,
        "messages_sent": sent,
        "messages_acknowledged": sum(sum(member.acked.values()) for member in members),
        "reports_counted": len(rows),
        "verdicts_counted": sum(Phase(report[2]).is_final for report in rows),
        "verdicts": dict(sorted(verdicts.items())),
        "pairs_that_differ": different,
    }
    is_right = (
        len(rows) == boxes * speech.STEPS
        and found["verdicts_counted"] == boxes
        and verdicts == expected
        and not different
        and found["messages_acknowledged"] == sent
    )
    return {**found, "met": is_right}
