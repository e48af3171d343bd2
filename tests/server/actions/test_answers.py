"""What boxes answer: each part once, bounded, from the box that was asked, and kept."""

from datetime import timedelta

import pytest
from flask import Flask
from oleada_server.actions import answers, service, ticks
from oleada_server.actions.models import ActionOrder, ActionPart
from oleada_server.actions.rules import State
from oleada_server.db import db
from oleada_server.devices.models import Device
from oleada_server.messaging import inbox
from oleada_server.messaging.inbox import Incoming
from oleada_wire import actions as wire
from oleada_wire import messages, topics
from oleada_wire.messages import Progress, Result
from oleada_wire.parts import FileInfo
from oleada_wire.topics import Up
from oleada_wire.words import ResultStatus
from sqlalchemy import func, select

from tests.server.actions.orders import BOX, NOON, a_box, a_progress, a_result, ordered
from tests.support.fleet import a_header, a_hello, add_device

SECOND = timedelta(seconds=1)


def heard(message: Progress | Result, box: str = BOX) -> None:
    """Let the inbox hear *message* from *box*, as a worker does."""
    kind = Up.PROGRESS if isinstance(message, Progress) else Up.RESULT
    stored = inbox.store([Incoming(topics.up(box, kind), messages.encode(message))], NOON + SECOND)
    assert stored.counted[box] == [message.header.id]


def order_again(order_id: str) -> ActionOrder:
    db.session.expire_all()
    return service.get(order_id)


def test_values_and_texts_of_all_parts_are_put_together_in_their_order(app: Flask) -> None:
    assert app is not None
    a_box()
    made = ordered()

    heard(a_result(made.id, values={"SuccessCount": 4}, output="done\n", progress=2))
    heard(a_progress(made.id, 2, values={"b": 2}, output="two\n", done_parts=6_000))
    heard(a_progress(made.id, 1, values={"a": True}, output="one\n", done_parts=3_000))

    found = answers.answer_of(order_again(made.id))
    assert found.values == {"a": True, "b": 2, "SuccessCount": 4}
    assert found.output == "one\ntwo\ndone\n"


def test_a_part_that_comes_twice_counts_once(app: Flask) -> None:
    assert app is not None
    a_box()
    made = ordered()

    for _ in range(2):
        heard(a_progress(made.id, 1, output="one\n"))
        heard(a_result(made.id, output="done\n"))

    assert answers.answer_of(order_again(made.id)).output == "one\ndone\n"
    assert db.session.scalar(select(func.count()).select_from(ActionPart)) == 2


def test_progress_shows_that_it_runs_and_never_goes_back(sqlite_app: Flask) -> None:
    assert sqlite_app is not None
    a_box()
    made = ordered()

    heard(a_progress(made.id, 2, done_parts=6_000))
    heard(a_progress(made.id, 1, done_parts=3_000))

    found = order_again(made.id)
    assert found.done_parts == 6_000
    assert service.state_of(found, NOON) is State.RUNNING


def test_only_the_first_result_counts(sqlite_app: Flask) -> None:
    assert sqlite_app is not None
    a_box()
    made = ordered()

    heard(a_result(made.id, ResultStatus.REFUSED, error="viewer"))
    heard(a_result(made.id, ResultStatus.COMPLETE, output="later"))

    found = order_again(made.id)
    assert (found.status, found.error) == ("Refused", "viewer")
    assert answers.answer_of(found).output == ""


def test_a_result_that_comes_late_is_kept_all_the_same(sqlite_app: Flask) -> None:
    assert sqlite_app is not None
    a_box()
    made = ordered()
    later = NOON + timedelta(hours=9)
    assert service.state_of(made, later) is State.SILENT

    answers.record_result(BOX, a_result(made.id), later)

    assert service.state_of(order_again(made.id), later) is State.DONE


def test_another_box_says_nothing_about_an_order(sqlite_app: Flask) -> None:
    assert sqlite_app is not None
    a_box()
    add_device("AAAA00000000", serial="SN-2")
    made = ordered()

    heard(a_result(made.id, output="a lie"), box="AAAA00000000")
    heard(a_progress(made.id, 1, output="a lie"), box="AAAA00000000")

    assert order_again(made.id).status is None
    assert answers.answer_of(made).output == ""


def test_what_nobody_ordered_is_acknowledged_and_changes_nothing(sqlite_app: Flask) -> None:
    assert sqlite_app is not None
    a_box()

    heard(a_result("no-such-order"))
    heard(a_progress("no-such-order", 1))

    assert db.session.scalars(select(ActionPart)).all() == []


@pytest.mark.parametrize("number", [0, -1, wire.PROGRESS_MAX + 1])
def test_progress_with_a_number_that_there_is_not_is_not_kept(
    sqlite_app: Flask, number: int
) -> None:
    assert sqlite_app is not None
    a_box()
    made = ordered()

    answers.record_progress(BOX, a_progress(made.id, number, output="x"), NOON)

    assert answers.answer_of(made).output == ""


def test_a_box_that_answers_without_end_is_cut_and_that_is_said(app: Flask) -> None:
    assert app is not None
    a_box()
    made = ordered()

    for number in range(1, wire.PROGRESS_MAX + 1):
        heard(a_progress(made.id, number, output="x" * 8_000))

    found = order_again(made.id)
    assert found.is_truncated
    assert len(answers.answer_of(found).output) == 32 * 8_000
    assert found.stored_bytes <= wire.RESULT_BYTES_MAX


def test_a_byte_that_no_database_takes_is_left_out(app: Flask) -> None:
    assert app is not None
    a_box()
    made = ordered()

    answers.record_result(BOX, a_result(made.id, output="a\0b", values={"c\0": "d\0"}), NOON)
    db.session.commit()

    found = answers.answer_of(order_again(made.id))
    assert (found.output, found.values) == ("ab", {"c": "d"})


def test_what_an_agent_understands_and_denies_is_known_from_its_hello(sqlite_app: Flask) -> None:
    assert sqlite_app is not None
    a_box(reads_actions=False)
    said = a_hello(boot=2, reads=("batch", "actions"), denied=("screenshot",))

    inbox.store([Incoming(topics.up(BOX, Up.HELLO), messages.encode(said))], NOON)

    found = db.session.get_one(Device, BOX)
    assert (found.reads_actions, found.denied_actions) == (True, ["screenshot"])
    older = a_hello(boot=3)
    inbox.store([Incoming(topics.up(BOX, Up.HELLO), messages.encode(older))], NOON)
    db.session.expire_all()
    found = db.session.get_one(Device, BOX)
    assert (found.reads_actions, found.denied_actions) == (False, None)


def test_orders_go_when_other_events_go(sqlite_app: Flask) -> None:
    days = sqlite_app.extensions["oleada_config"].event_keep_days
    a_box()
    made = ordered()
    heard(a_result(made.id, files=(FileInfo("log.txt", 3, "0" * 64),)))

    assert ticks.prune(NOON + timedelta(days=days)) == 0
    assert ticks.prune(NOON + timedelta(days=days, seconds=1)) == 1
    assert db.session.scalars(select(ActionOrder)).all() == []


def test_the_header_of_a_progress_is_one_of_its_own() -> None:
    assert a_header().id != a_header().id
