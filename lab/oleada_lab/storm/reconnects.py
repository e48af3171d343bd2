"""Ten thousand boxes whose line was cut, back in the same second, to sessions that were kept.

A box takes an open file here and one in the broker. Where the limit of open files is
below the number of boxes they come in waves, each as large as the limit allows.
"""

import random
from collections.abc import Sequence
from typing import Any, Final

from oleada_server.db import db
from oleada_server.devices.models import Device
from oleada_wire import topics
from sqlalchemy import func, select

from oleada_lab.bench.identities import Identity
from oleada_lab.clock import monotonic_s
from oleada_lab.storm import fleet, speech
from oleada_lab.storm.crowd import Crowd, Member, files_max
from oleada_lab.storm.ground import Ground

LIMIT_S: Final = 1800.0
"""A limit, not a promise: so long on a machine that is busy with other things too."""
PREFIX: Final = "BACK"
FIRST_AT_ONCE: Final = 500
"""The first contact of a box is not this storm; so many at a time make it."""


def run(ground: Ground, count: int, seed: int) -> dict[str, Any]:
    """Return what became of *count* boxes that came back at once.

    Raises:
        LabError: Not every box was back in time.
    """
    dice = random.Random(f"{seed}/back")
    identities = fleet.enrolled(ground, PREFIX, count)
    size = min(count, files_max())
    waves = [identities[at : at + size] for at in range(0, count, size)]
    found = [_wave(ground, wave, dice) for wave in waves]
    summed = {
        name: sum(one[name] for one in found)
        for name in ("were_known", "turned_away", "unanswered", "hellos_sent", "hellos_counted")
    }
    rows = _rows(ground)
    wanted = {"were_known": count, "turned_away": 0, "hellos_counted": 2 * count}
    wrong = {name: summed[name] for name, number in wanted.items() if summed[name] != number}
    return {
        "reconnects": count,
        "waves": len(waves),
        "files_max": files_max(),
        **summed,
        "rows_with_the_second_hello": rows,
        "back_all_s": round(max(one["back_s"] for one in found), 3),
        "wrong": wrong,
        "met": not wrong and rows == count,
    }


def _wave(ground: Ground, identities: Sequence[Identity], dice: random.Random) -> dict[str, Any]:
    config = ground.config
    crowd = Crowd(config.broker_host, config.broker_port, ground.ca_file)
    members = [Member(identity) for identity in identities]
    tongues = [speech.Tongue(dice, 1) for _ in members]
    try:
        for at in range(0, len(members), FIRST_AT_ONCE):
            _come(crowd, members[at : at + FIRST_AT_ONCE], tongues[at : at + FIRST_AT_ONCE], 1)
        for member in members:
            member.turned_away = member.unanswered = 0
        crowd.drop(members)
        began_s = monotonic_s()
        _come(crowd, members, tongues, 2)
        return {
            "were_known": sum(member.was_known for member in members),
            "turned_away": sum(member.turned_away for member in members),
            "unanswered": sum(member.unanswered for member in members),
            "hellos_sent": 2 * len(members),
            "hellos_counted": sum(sum(member.acked.values()) for member in members),
            "back_s": monotonic_s() - began_s,
        }
    finally:
        crowd.close()


def _come(
    crowd: Crowd, members: Sequence[Member], tongues: Sequence[speech.Tongue], hellos: int
) -> None:
    """Let *members* connect at once and say hello; return when each has *hellos* counted."""
    for member, tongue in zip(members, tongues, strict=True):
        member.say(topics.Up.HELLO, speech.spelt(tongue.hello(member.identity)))
    crowd.come(members)
    crowd.run_until(
        lambda: all(len(member.acked) >= hellos for member in members),
        LIMIT_S,
        f"{len(members)} boxes are back and have their hello counted",
    )


def _rows(ground: Ground) -> int:
    """Return how many boxes stand in the database with their second hello of one boot."""
    with ground.rows():
        query = select(func.count()).where(
            Device.serial.like(f"{PREFIX}%"), Device.boot_count == 1, Device.seq == 2
        )
        return db.session.scalar(query) or 0
