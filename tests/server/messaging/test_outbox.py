"""The outbox: one row a message, one row a retained topic."""

from datetime import UTC, datetime, timedelta

import pytest
from flask import Flask
from oleada_server.db import db
from oleada_server.messaging import service
from oleada_server.messaging.models import OutboxMessage, RetainedMessage
from sqlalchemy import select

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_a_message_is_queued_in_the_writers_transaction_only(app: Flask) -> None:
    service.queue_message("oleada/v1/d/A/down/cmd", b"x", now=NOON)
    db.session.rollback()

    assert db.session.scalars(select(OutboxMessage)).all() == []


def test_a_retained_topic_holds_the_newest_payload_in_a_higher_revision(app: Flask) -> None:
    topic = "oleada/v1/m/VX-410/meta"
    service.queue_retained(topic, b"old")
    service.queue_retained(topic, b"new", expires_at=NOON + timedelta(days=7))
    db.session.commit()

    (row,) = db.session.scalars(select(RetainedMessage))
    assert (row.payload, row.revision, row.sent_revision) == (b"new", 2, 0)
    assert row.expires_at == NOON + timedelta(days=7)


def test_thousands_of_topics_are_queued_at_once(app: Flask) -> None:
    service.queue_retained_many((f"t/{i}", b"x", None) for i in range(1234))
    db.session.commit()

    assert len(db.session.scalars(select(RetainedMessage.id)).all()) == 1234


def test_every_header_has_its_own_id_and_the_next_number(app: Flask) -> None:
    first, second = service.next_header(NOON), service.next_header(NOON)

    assert (first.seq, second.seq) == (1, 2)
    assert first.boot == second.boot
    assert first.id != second.id


def test_the_director_signs_with_the_key_on_disk(app: Flask) -> None:
    assert len(service.director().sign(b"text")) == 64
    assert service.director() is service.director()


def test_a_damaged_director_key_is_refused_with_what_to_do(sqlite_app: Flask) -> None:
    path = sqlite_app.extensions["oleada_config"].keys_dir / "director.pem"
    path.write_text("nonsense")

    with pytest.raises(service.NoOnlineKeyError, match="oleada init"):
        service.director()
