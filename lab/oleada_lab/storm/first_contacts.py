"""A thousand boxes that were never seen, at the same moment: enrolment, then hello.

Every tenth box asks twice at once with the same claim, as one does whose answer was lost:
both answers must be the same certificate, and one row.
"""

import asyncio
import random
from typing import Any

from oleada_server.audit.models import AuditEvent
from oleada_server.db import db
from oleada_server.devices.models import Device
from oleada_server.enrolment.models import Certificate, ClaimToken
from oleada_wire import topics
from sqlalchemy import func, select

from oleada_lab.bench.report import quantile
from oleada_lab.clock import monotonic_s
from oleada_lab.storm import enrolling, speech
from oleada_lab.storm.crowd import Crowd, Member
from oleada_lab.storm.enrolling import Applicant, Door, Tally
from oleada_lab.storm.ground import Ground

TWICE_EVERY = 10
LIMIT_S = 600.0


def run(ground: Ground, count: int, seed: int) -> dict[str, Any]:
    """Return what became of *count* first contacts at once.

    Raises:
        LabError: Not every box was heard in time.
    """
    dice = random.Random(f"{seed}/first")
    applicants = enrolling.make_applicants(ground, count)
    twice = applicants[::TWICE_EVERY]
    tally, before = Tally(), _rows(ground)
    began_s = monotonic_s()
    answers = asyncio.run(enrolling.all_at_once(Door(ground, dice), [*applicants, *twice], tally))
    enrolled_s = monotonic_s() - began_s
    pairs = zip(answers[::TWICE_EVERY][: len(twice)], answers[count:], strict=True)
    found = {
        "asked": len(answers),
        "answered": sum(answer is not None for answer in answers),
        "statuses": {str(status): number for status, number in sorted(tally.statuses.items())},
        "same_answer_twice": sum(a == b and a is not None for a, b in pairs),
        "asked_twice": len(twice),
        "enrolled_all_s": round(enrolled_s, 3),
        "enrolled_p95_s": round(quantile(tally.waits_s or [0.0], 0.95), 3),
        **_greet(ground, list(zip(applicants, answers[:count], strict=True)), dice),
    }
    found |= {name: number - before[name] for name, number in _rows(ground).items()}
    wanted = {"boxes": count, "certificates": count, "claims_used": count, "enrol_entries": count,
              "hellos_counted": count, "said_hello": count, "same_answer_twice": len(twice),
              "answered": len(answers)}  # fmt: skip
    wrong = {name: found[name] for name, number in wanted.items() if found[name] != number}
    errors = sum(number for status, number in tally.statuses.items() if status != 200)
    return {"first_contacts": count, **found, "errors": errors, "wrong": wrong,
            "met": not wrong and not errors}  # fmt: skip


def _greet(
    ground: Ground, enrolled: list[tuple[Applicant, dict[str, Any] | None]], dice: random.Random
) -> dict[str, Any]:
    """Let every box that was enrolled connect and say hello, all at once."""
    config = ground.config
    crowd = Crowd(config.broker_host, config.broker_port, ground.ca_file)
    folder = ground.home / "identities"
    members = [
        Member(enrolling.keep(folder, applicant, answer))
        for applicant, answer in enrolled
        if answer is not None
    ]
    for member in members:
        hello = speech.Tongue(dice, 1).hello(member.identity)
        member.say(topics.Up.HELLO, speech.spelt(hello))
    began_s = monotonic_s()
    try:
        crowd.come(members)
        crowd.run_until(
            lambda: all(member.acked for member in members), LIMIT_S, "every hello is counted"
        )
    finally:
        crowd.close()
    return {
        "said_hello": len(members),
        "hellos_counted": sum(sum(member.acked.values()) for member in members),
        "turned_away": sum(member.turned_away for member in members),
        "hello_all_s": round(monotonic_s() - began_s, 3),
    }


def _rows(ground: Ground) -> dict[str, int]:
    with ground.rows():
        counts = {
            "boxes": select(func.count(Device.id)).where(Device.boot_count == 1),
            "certificates": select(func.count()).select_from(Certificate),
            "claims_used": select(func.count()).where(ClaimToken.used_at.is_not(None)),
            "enrol_entries": select(func.count()).where(AuditEvent.action == "device.enrol"),
        }
        return {name: db.session.scalar(query) or 0 for name, query in counts.items()}
