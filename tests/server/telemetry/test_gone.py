"""A last will is a hint: a connection ended, and the next word of the box undoes it."""

from datetime import timedelta

from flask import Flask
from oleada_server.db import db
from oleada_server.devices import service as devices
from oleada_server.messaging.inbox import Incoming, store
from oleada_wire import messages, topics
from oleada_wire.messages import Gone, Message
from oleada_wire.topics import Up

from tests.server.messaging.test_inbox import BOX, NOON
from tests.support.fleet import a_header, a_health, a_hello, add_device

LATER = NOON + timedelta(hours=1)


def said(kind: Up, message: Message) -> None:
    stored = store([Incoming(topics.up(BOX, kind), messages.encode(message))], LATER)
    assert stored.counts[kind] == 1
    db.session.expire_all()


def test_a_connection_that_ended_is_no_contact_and_no_silence(app: Flask) -> None:
    add_device(BOX, last_seen_at=NOON, connected=True)

    for _ in range(2):
        said(Up.GONE, Gone(a_header(seq=1)))

    box = devices.get(BOX)
    assert (box.connected, box.last_seen_at) == (False, NOON)


def test_whatever_the_box_says_next_undoes_it(app: Flask) -> None:
    add_device(BOX, last_seen_at=NOON, connected=True)
    for kind, message in ((Up.HELLO, a_hello(seq=3)), (Up.HEALTH, a_health(seq=4))):
        said(Up.GONE, Gone(a_header(seq=1)))
        said(kind, message)

        assert devices.get(BOX).connected
