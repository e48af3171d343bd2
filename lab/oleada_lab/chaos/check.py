"""Whether database, boxes, slots and broker tell one story about a rollout. Pure.

Each rule yields a sentence for each thing that is not so. No sentence means that every
box came to its end, that both sides say the same of it, and that it counted once.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Final

from oleada_lab.chaos.facts import BoxFacts, Facts, Row, Told

FINAL: Final = frozenset({"updated", "declined", "failed", "rolled_back"})
"""Phases of a report that end an attempt; states of a row have the same names."""
UPDATED: Final = "updated"


def disagreements(facts: Facts) -> list[str]:
    """Return what does not agree, each as one sentence that begins with the rollout."""
    return [f"{facts.rollout}: {sentence}" for rule in RULES for sentence in rule(facts)]


def _ends_by_itself(facts: Facts) -> Iterator[str]:
    if facts.state != "finished":
        yield f"is {facts.state}, not finished"
    if facts.people:
        yield f"a person had to act: {', '.join(facts.people)}"
    if facts.images.get(facts.version) != facts.sha256:
        yield f"the image that was assigned is not the one of {facts.version}"
    if facts.rollouts_of_release != 1:
        yield f"the release has {facts.rollouts_of_release} rollouts, one was planned"


def _every_box_has_one_row_with_an_end(facts: Facts) -> Iterator[str]:
    found = Counter(row.device_id for row in facts.rows)
    for device_id in sorted(set(found) | set(facts.planned)):
        if found[device_id] != 1 or device_id not in facts.planned:
            yield f"{device_id} has {found[device_id]} rows"
    for row in facts.rows:
        if row.state not in FINAL:
            yield f"{row.device_id} is {row.state} on the server"
        elif (planned := facts.planned.get(row.device_id, row.state)) != row.state:
            yield f"{row.device_id} is {row.state} ({row.reason}), {planned} was planned"
        if row.is_waited_for:
            yield f"the server still waits for {row.device_id}"


def _counts_are_the_rows(facts: Facts) -> Iterator[str]:
    rows = Counter(row.state for row in facts.rows)
    counted = {state: boxes for state, boxes in facts.counts.items() if boxes}
    if counted != dict(rows):
        yield f"the pages count {counted}, the rows say {dict(rows)}"
    if sum(counted.values()) != len(facts.planned):
        yield f"{sum(counted.values())} boxes are counted, {len(facts.planned)} were planned"


def _each_report_counts_once(facts: Facts) -> Iterator[str]:
    for message_id, times in Counter(told.message_id for told in facts.reports).items():
        if times > 1:
            yield f"message {message_id} counts {times} times"
    steps = Counter((told.device_id, told.attempt, told.step) for told in facts.reports)
    for (device_id, attempt, step), times in steps.items():
        if times > 1:
            yield f"{device_id} has {times} reports with attempt {attempt}, step {step}"


def _each_attempt_has_one_verdict(facts: Facts) -> Iterator[str]:
    for row in facts.rows:
        finals = [one for one in _reports_of(facts, row) if one.phase in FINAL]
        attempts = Counter(one.attempt for one in finals)
        for attempt, verdicts in attempts.items():
            if verdicts > 1:
                yield f"{row.device_id} has {verdicts} verdicts of attempt {attempt}"
        last = [one for one in finals if one.attempt == row.attempt]
        if not last and row.state in FINAL:
            yield f"{row.device_id} is {row.state}, but no report of attempt {row.attempt} says so"
        for one in last:
            if (one.phase, one.reason, one.step) != (row.state, row.reason, row.step):
                yield f"{row.device_id} reported {one.phase} ({one.reason}), the row says otherwise"


def _boxes_say_the_same(facts: Facts) -> Iterator[str]:
    for row in facts.rows:
        box = facts.boxes.get(row.device_id)
        if box is None:
            yield f"{row.device_id} has a row and is no box"
            continue
        if box.stage != "Idle":
            yield f"{box.device_id} is {box.stage}, not idle"
        if box.kept_reports:
            yield f"{box.device_id} keeps {len(box.kept_reports)} reports that nobody acknowledged"
        yield from _verdicts_differ(row, box)


def _verdicts_differ(row: Row, box: BoxFacts) -> Iterator[str]:
    said = box.verdict
    if said is None:
        yield f"{box.device_id} has no verdict in its journal, the server says {row.state}"
        return
    on_box = (said.assignment_id, said.attempt, said.step, said.phase, said.reason)
    on_server = (row.assignment_id, row.attempt, row.step, row.state, row.reason)
    if on_box != on_server:
        yield f"{box.device_id} says {on_box}, the server says {on_server}"


def _slots_hold_what_is_said(facts: Facts) -> Iterator[str]:
    for row in facts.rows:
        box = facts.boxes.get(row.device_id)
        if box is None:
            continue
        if (box.version == facts.version) != (row.state == UPDATED):
            yield f"{box.device_id} runs {box.version} and is {row.state} on the server"
        if box.slot_sha256 != facts.images.get(box.version):
            yield f"the slot of {box.device_id} is not the image of {box.version}"
        if not box.is_committed:
            yield f"{box.device_id} runs a slot that was never committed"
        if row.version != box.version:
            yield f"{box.device_id} runs {box.version}, the server believes {row.version}"


def _nobody_installs_twice(facts: Facts) -> Iterator[str]:
    for row in facts.rows:
        box = facts.boxes.get(row.device_id)
        if box is None:
            continue
        needed = row.state in {UPDATED, "rolled_back"} and row.attempt == 1
        if box.installs > row.attempt or (needed and box.installs != 1):
            yield f"{box.device_id} installed {box.installs} times in {row.attempt} attempts"


def _nothing_is_left_to_send(facts: Facts) -> Iterator[str]:
    if facts.outbox_left:
        yield f"{facts.outbox_left} messages are left in the outbox"
    for topic in sorted(set(facts.held) | set(facts.broker)):
        if facts.held.get(topic) != facts.broker.get(topic):
            there = "something else" if topic in facts.broker else "nothing"
            wanted = "a message" if topic in facts.held else "nothing"
            yield f"the broker holds {there} for {topic}, the database {wanted}"


def _audit_trail_is_whole(facts: Facts) -> Iterator[str]:
    if facts.first_broken_audit is not None:
        yield f"entry {facts.first_broken_audit} of the audit trail does not fit the chain"


def _reports_of(facts: Facts, row: Row) -> list[Told]:
    return [told for told in facts.reports if told.device_id == row.device_id]


RULES: Final[tuple[Callable[[Facts], Iterator[str]], ...]] = (
    _ends_by_itself,
    _every_box_has_one_row_with_an_end,
    _counts_are_the_rows,
    _each_report_counts_once,
    _each_attempt_has_one_verdict,
    _boxes_say_the_same,
    _slots_hold_what_is_said,
    _nobody_installs_twice,
    _nothing_is_left_to_send,
    _audit_trail_is_whole,
)
