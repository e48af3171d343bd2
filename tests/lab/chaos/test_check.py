"""The check finds every lie that is planted in facts that agree, and names it."""

from dataclasses import replace
from typing import Any

import pytest
from oleada_lab.chaos.check import RULES, disagreements
from oleada_lab.chaos.facts import BoxFacts, Facts, Row, Told, Verdict

NEW, OLD = "1.1.0", "1.0.0"
NEW_SHA256, OLD_SHA256 = "a" * 64, "b" * 64
GOOD, FAILS = "VX24AAAAAAAA", "VX24BBBBBBBB"
TOPIC = "oleada/v1/m/VX-240/meta"


def a_row(device_id: str, **changes: Any) -> Row:
    """Return the row of a box: *GOOD* is updated, any other rolled back."""
    is_good = device_id == GOOD
    row = Row(
        device_id=device_id,
        assignment_id="AS-1" if is_good else "AS-2",
        state="updated" if is_good else "rolled_back",
        reason=None if is_good else "health-check",
        attempt=1,
        step=7,
        is_waited_for=False,
        version=NEW if is_good else OLD,
    )
    return replace(row, **changes)


def a_box(device_id: str, **changes: Any) -> BoxFacts:
    """Return the box of :func:`a_row`."""
    row = a_row(device_id)
    box = BoxFacts(
        device_id=device_id,
        stage="Idle",
        verdict=Verdict(row.assignment_id, 1, 7, row.state, row.reason),
        version=row.version or "",
        slot_sha256=NEW_SHA256 if row.version == NEW else OLD_SHA256,
        is_committed=True,
        kept_reports=(),
        installs=1,
    )
    return replace(box, **changes)


def told(device_id: str, step: int, phase: str, **changes: Any) -> Told:
    """Return a report of the first attempt."""
    reason = "health-check" if phase == "rolled_back" else None
    one = Told(device_id, 1, step, phase, reason, f"{device_id}-{step}")
    return replace(one, **changes)


REPORTS = (
    told(GOOD, 1, "downloading"),
    told(GOOD, 7, "updated"),
    told(FAILS, 1, "downloading"),
    told(FAILS, 7, "rolled_back"),
)
AGREED = Facts(
    rollout="R-7",
    state="finished",
    rollouts_of_release=1,
    version=NEW,
    sha256=NEW_SHA256,
    images={OLD: OLD_SHA256, NEW: NEW_SHA256},
    planned={GOOD: "updated", FAILS: "rolled_back"},
    rows=(a_row(GOOD), a_row(FAILS)),
    reports=REPORTS,
    counts={"updated": 1, "rolled_back": 1, "failed": 0},
    boxes={GOOD: a_box(GOOD), FAILS: a_box(FAILS)},
    people=(),
    outbox_left=0,
    held={TOPIC: "c" * 64},
    broker={TOPIC: "c" * 64},
    first_broken_audit=None,
)


def with_row(device_id: str, **changes: Any) -> Facts:
    """Return the agreed facts with one row changed."""
    rows = (a_row(one, **changes) if one == device_id else a_row(one) for one in (GOOD, FAILS))
    return replace(AGREED, rows=tuple(rows))


def with_box(device_id: str, **changes: Any) -> Facts:
    """Return the agreed facts with one box changed."""
    return replace(AGREED, boxes={**AGREED.boxes, device_id: a_box(device_id, **changes)})


def with_report(*more: Told) -> Facts:
    """Return the agreed facts with *more* reports counted."""
    return replace(AGREED, reports=(*REPORTS, *more))


LIES = {
    "the rollout stands still": (replace(AGREED, state="held"), "is held, not finished"),
    "a person had to help": (replace(AGREED, people=("rollout.retry",)), "rollout.retry"),
    "a lost answer planned twice": (replace(AGREED, rollouts_of_release=2), "2 rollouts"),
    "another image was assigned": (replace(AGREED, sha256="d" * 64), "is not the one of 1.1.0"),
    "a box was forgotten": (replace(AGREED, rows=(a_row(GOOD),)), f"{FAILS} has 0 rows"),
    "a box is there twice": (
        replace(AGREED, rows=(a_row(GOOD), a_row(GOOD), a_row(FAILS))),
        f"{GOOD} has 2 rows",
    ),
    "a stranger is counted": (
        replace(AGREED, planned={GOOD: "updated"}),
        f"{FAILS} has 1 rows",
    ),
    "a verdict is out": (with_row(GOOD, state="checking"), "is checking on the server"),
    "a good box failed": (with_row(GOOD, state="failed", reason="download"), "updated was planned"),
    "the server waits on": (with_row(GOOD, is_waited_for=True), "still waits for"),
    "a success counts twice": (
        replace(AGREED, counts={"updated": 2, "rolled_back": 1}),
        "3 boxes are counted, 2 were planned",
    ),
    "a count is lost": (replace(AGREED, counts={"updated": 1}), "the pages count {'updated': 1}"),
    "a message counts twice": (
        with_report(told(GOOD, 2, "installing", message_id=f"{GOOD}-1")),
        f"message {GOOD}-1 counts 2 times",
    ),
    "a step counts twice": (
        with_report(told(GOOD, 1, "downloading", message_id="other")),
        "2 reports with attempt 1, step 1",
    ),
    "an attempt ends twice": (
        with_report(told(GOOD, 8, "failed")),
        "has 2 verdicts of attempt 1",
    ),
    "nobody reported it": (
        replace(AGREED, reports=REPORTS[1:2]),
        f"{FAILS} is rolled_back, but no report of attempt 1 says so",
    ),
    "a report says otherwise": (
        with_row(FAILS, reason="unbootable"),
        "reported rolled_back (health-check), the row says otherwise",
    ),
    "a row without a box": (
        replace(AGREED, boxes={GOOD: a_box(GOOD)}),
        f"{FAILS} has a row and is no box",
    ),
    "a box is still at it": (with_box(GOOD, stage="Trial"), "is Trial, not idle"),
    "a report was never acknowledged": (
        with_box(GOOD, kept_reports=("0000000009-report-00",)),
        "keeps 1 reports",
    ),
    "a box lost its verdict": (with_box(FAILS, verdict=None), "has no verdict in its journal"),
    "a box says otherwise": (
        with_box(FAILS, verdict=Verdict("AS-2", 1, 7, "rolled_back", "unbootable")),
        "the server says",
    ),
    "a box speaks of another assignment": (
        with_box(GOOD, verdict=Verdict("AS-9", 1, 7, "updated", None)),
        "AS-9",
    ),
    "updated, but runs the old version": (
        with_box(GOOD, version=OLD, slot_sha256=OLD_SHA256),
        "runs 1.0.0 and is updated on the server",
    ),
    "rolled back, but runs the new version": (
        with_box(FAILS, version=NEW, slot_sha256=NEW_SHA256),
        "runs 1.1.0 and is rolled_back on the server",
    ),
    "a byte of the slot is wrong": (
        with_box(GOOD, slot_sha256="e" * 64),
        "is not the image of 1.1.0",
    ),
    "a slot was never committed": (with_box(GOOD, is_committed=False), "was never committed"),
    "the server believes another version": (
        with_row(GOOD, version=OLD),
        "runs 1.1.0, the server believes 1.0.0",
    ),
    "a box installed twice": (with_box(GOOD, installs=2), "installed 2 times in 1 attempts"),
    "a box never installed": (with_box(GOOD, installs=0), "installed 0 times in 1 attempts"),
    "a message waits for ever": (replace(AGREED, outbox_left=1), "1 messages are left"),
    "the broker forgot": (replace(AGREED, broker={}), f"holds nothing for {TOPIC}"),
    "the broker holds an old message": (
        replace(AGREED, broker={TOPIC: "f" * 64}),
        f"holds something else for {TOPIC}, the database a message",
    ),
    "the broker kept what was taken back": (
        replace(AGREED, held={}),
        f"holds something else for {TOPIC}, the database nothing",
    ),
    "the audit trail was cut": (
        replace(AGREED, first_broken_audit=12),
        "entry 12 of the audit trail",
    ),
}


def test_facts_that_agree_are_left_alone() -> None:
    assert disagreements(AGREED) == []


@pytest.mark.parametrize("lie", LIES)
def test_a_planted_lie_is_found_and_named(lie: str) -> None:
    facts, sentence = LIES[lie]

    found = disagreements(facts)

    assert any(sentence in one for one in found), found
    assert all(one.startswith("R-7: ") for one in found)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_every_rule_is_needed_by_some_lie(rule: Any) -> None:
    others = [one for one in RULES if one is not rule]

    missed = [
        lie
        for lie, (facts, _) in LIES.items()
        if not any(sentence for one in others for sentence in one(facts))
    ]

    assert missed != []


def test_a_second_attempt_may_install_again_and_its_first_verdict_stays() -> None:
    first = told(GOOD, 4, "rolled_back", reason="power-cut-in-trial")
    facts = replace(
        AGREED,
        rows=(a_row(GOOD, attempt=2), a_row(FAILS)),
        reports=(REPORTS[0], first, told(GOOD, 7, "updated", attempt=2), *REPORTS[2:]),
        boxes={
            GOOD: a_box(GOOD, installs=2, verdict=Verdict("AS-1", 2, 7, "updated", None)),
            FAILS: a_box(FAILS),
        },
    )

    assert disagreements(facts) == []
