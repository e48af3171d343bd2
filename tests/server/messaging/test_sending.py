"""The outbox's other end: what is unsent, and that it was sent."""

from datetime import UTC, datetime, timedelta

from flask import Flask
from oleada_server.db import db
from oleada_server.messaging import outbox
from oleada_server.messaging.models import OutboxMessage
from oleada_server.messaging.service import queue_message, queue_retained, queue_retained_many
from sqlalchemy import func, select

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def _topics(found: list[outbox.Sending]) -> list[str]:
    return [one.topic for one in found]


def test_what_was_sent_is_not_sent_again(app: Flask) -> None:
    queue_message("once", b"1", now=NOON)
    queue_retained("held", b"2")
    db.session.commit()
    found = outbox.unsent(NOON, 10)
    assert _topics(found) == ["once", "held"]

    outbox.mark_sent(found)

    assert outbox.unsent(NOON, 10) == []
    assert db.session.scalar(select(func.count(OutboxMessage.id))) == 0


def test_what_is_on_its_way_is_not_sent_twice(app: Flask) -> None:
    queue_message("once", b"1", now=NOON)
    queue_retained("held", b"2")
    db.session.commit()

    assert outbox.unsent(NOON, 10, outbox.unsent(NOON, 10)) == []


def test_a_change_on_the_way_is_sent_after_it(app: Flask) -> None:
    queue_retained("held", b"old")
    db.session.commit()
    (old,) = outbox.unsent(NOON, 10)
    queue_retained("held", b"new")
    db.session.commit()

    (new,) = outbox.unsent(NOON, 10, [old])
    outbox.mark_sent([old])
    assert new.payload == b"new"
    assert _topics(outbox.unsent(NOON, 10)) == ["held"]
    outbox.mark_sent([new])
    assert outbox.unsent(NOON, 10) == []


def test_confirmations_in_the_wrong_order_do_not_go_back(app: Flask) -> None:
    queue_retained("held", b"old")
    db.session.commit()
    old = outbox.unsent(NOON, 10)
    queue_retained("held", b"new")
    db.session.commit()
    outbox.mark_sent(outbox.unsent(NOON, 10, old))

    outbox.mark_sent(old)

    assert outbox.unsent(NOON, 10) == []


def test_expiry_travels_as_the_seconds_that_are_left(app: Flask) -> None:
    queue_message("once", b"1", now=NOON, expires_at=NOON + timedelta(seconds=0.2))
    queue_retained("held", b"2", expires_at=NOON + HOUR)
    db.session.commit()

    assert [one.expiry_s for one in outbox.unsent(NOON, 10)] == [1, 3600]


def test_what_has_expired_is_not_sent_and_a_retained_topic_is_cleared(app: Flask) -> None:
    queue_message("once", b"1", now=NOON, expires_at=NOON + HOUR)
    queue_retained("held", b"2", expires_at=NOON + HOUR)
    db.session.commit()

    (clearing,) = outbox.unsent(NOON + HOUR, 10)

    assert (clearing.topic, clearing.payload, clearing.retain) == ("held", b"", True)
    assert db.session.scalar(select(func.count(OutboxMessage.id))) == 0


def test_a_long_queue_comes_in_pieces_and_every_piece_once(app: Flask) -> None:
    queue_retained_many((f"t/{n}", b"x", None) for n in range(25))
    db.session.commit()
    way: list[outbox.Sending] = []

    while piece := outbox.unsent(NOON, 10, way):
        way += piece

    assert sorted(_topics(way)) == sorted(f"t/{n}" for n in range(25))


def test_the_canary_rises_with_retained_messages_only(app: Flask) -> None:
    assert outbox.canary() == 0
    queue_message("once", b"1", now=NOON)
    db.session.commit()
    assert outbox.mark_sent(outbox.unsent(NOON, 10)) is None

    queue_retained("held", b"2")
    db.session.commit()
    assert outbox.mark_sent(outbox.unsent(NOON, 10)) == outbox.canary() == 1


def test_a_broker_that_forgot_gets_every_retained_message_again(app: Flask) -> None:
    queue_retained_many((f"t/{n}", b"x", None) for n in range(3))
    db.session.commit()
    outbox.mark_sent(outbox.unsent(NOON, 10))

    assert outbox.send_all_again() == 3
    assert len(outbox.unsent(NOON, 10)) == 3
