"""Several looks at a box in one message become a sample each, once, as health would."""

from datetime import timedelta

import pytest
from flask import Flask
from oleada_server.clock import to_ms
from oleada_server.db import db
from oleada_server.devices import service as devices
from oleada_server.messaging.inbox import Incoming, Stored, store
from oleada_server.telemetry import looks as reading
from oleada_server.telemetry.models import HealthSample
from oleada_wire import messages, packing, topics
from oleada_wire.looks import LOOKS_MAX, READINGS_MAX, Look, Parameters, Samples, told
from oleada_wire.topics import Up
from sqlalchemy import select

from tests.server.messaging.test_inbox import BOX, NOON
from tests.support.fleet import a_header, a_health, a_hello, add_device

UPTIME = "Device.DeviceInfo.UpTime"


def samples(*seen: Parameters, last_seq: int = 9) -> Samples:
    """Return a message of one look an hour, the last of them at noon."""
    first = last_seq - len(seen) + 1
    hours = range(len(seen) - 1, -1, -1)
    looks = told([
        (first + n, to_ms(NOON - timedelta(hours=hour)), one)
        for n, (hour, one) in enumerate(zip(hours, seen, strict=True))
    ])  # fmt: skip
    return Samples(a_header(seq=last_seq, at=NOON), "5.8.1", "A", (), looks, dropped=3)


def stored(message: Samples, *, is_packed: bool = True) -> Stored:
    data = messages.encode(message)
    payload = packing.pack(data) if is_packed else data
    return store([Incoming(topics.up(BOX, Up.SAMPLES), payload)], NOON)


def rows() -> list[HealthSample]:
    return list(db.session.scalars(select(HealthSample).order_by(HealthSample.seq)))


@pytest.mark.parametrize("is_packed", [True, False])
def test_each_look_is_a_sample_with_all_that_was_seen(app: Flask, is_packed: bool) -> None:
    add_device(BOX)
    message = samples({UPTIME: 1, "ready": True}, {UPTIME: 2, "ready": True}, {UPTIME: 3})

    found = stored(message, is_packed=is_packed)

    assert found.counted == {BOX: [message.header.id]}
    assert found.counts == {"samples": 1, "unknown-device": 0}
    dropped = {devices.DROPPED: 3}
    assert [(row.seq, row.parameters) for row in rows()] == [
        (7, {UPTIME: 1, "ready": True} | dropped),
        (8, {UPTIME: 2, "ready": True} | dropped),
        (9, {UPTIME: 3} | dropped),
    ]
    assert [row.box_at for row in rows()] == [NOON - timedelta(hours=n) for n in (2, 1, 0)]
    box = devices.get(BOX)
    assert (box.health, box.health_seq, box.health_at) == ({UPTIME: 3} | dropped, 9, NOON)


def test_a_look_that_came_as_health_before_counts_once(app: Flask) -> None:
    add_device(BOX)
    store([Incoming(topics.up(BOX, Up.HEALTH), messages.encode(a_health(seq=8, uptime_s=2)))], NOON)

    for _ in range(2):
        stored(samples({UPTIME: 1}, {UPTIME: 2}, {UPTIME: 3}))

    assert [row.seq for row in rows()] == [7, 8, 9]


def test_looks_that_can_not_be_are_refused_by_their_message_s_id(app: Flask) -> None:
    add_device(BOX)
    many: Parameters = {f"reading-{n}": n for n in range(READINGS_MAX)}
    odd = samples({UPTIME: 1}, last_seq=9)
    wrong_number = Samples(a_header(seq=4), "5.8.1", "A", (), odd.looks)
    too_many = Samples(
        a_header(seq=2), "5.8.1", "A", (), (Look(1, 5, many), Look(2, 6, {"one-more": 1}))
    )

    for message in (wrong_number, too_many):
        found = stored(message)
        assert found.refused == {BOX: [message.header.id]}
        assert found.counts["refused:malformed"] == 1
    assert rows() == []


def test_a_few_bytes_do_not_become_megabytes_of_rows(app: Flask) -> None:
    add_device(BOX)
    long: Parameters = {f"reading-{n}": "x" * 8_000 for n in range(7)}
    noise: Parameters = {
        "noise": "".join(map(str, range(1_000)))
    }  # so that it packs no better than it may
    message = samples(long | noise, *[long] * (LOOKS_MAX - 1), last_seq=LOOKS_MAX)
    packed = packing.pack(messages.encode(message))

    found = stored(message)

    assert len(packed) < 4_000
    assert found.refused == {BOX: [message.header.id]}  # the box then sends them one by one
    assert rows() == []


def test_days_of_a_box_that_tells_a_lot_and_changes_little_are_taken(app: Flask) -> None:
    add_device(BOX)
    path = "Device.Services.STBService.1.ServiceMonitoring.MainStream.1.Total.Stats."
    quiet: Parameters = {f"{path}{n}": n for n in range(100)}
    seen = [
        quiet | {f"{path}{n}": hour * 7919 * n % 1000 for n in range(10)}
        for hour in range(LOOKS_MAX)
    ]

    assert stored(samples(*seen, last_seq=LOOKS_MAX)).refused == {}
    assert len(rows()) == LOOKS_MAX


def test_a_box_that_has_said_hello_is_told_what_this_server_reads(app: Flask) -> None:
    add_device(BOX)
    hello = Incoming(topics.up(BOX, Up.HELLO), messages.encode(a_hello(seq=1)))

    assert store([hello], NOON).greeted == {BOX}
    assert stored(samples({UPTIME: 1})).greeted == set()
    assert reading.READS == ("samples",)
