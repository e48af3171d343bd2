"""What a box says stays text on every page: from the bytes of its messages to the screen."""

from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from flask import Flask
from flask.testing import FlaskClient
from oleada_server.clock import now_utc, to_ms
from oleada_server.db import db
from oleada_server.devices.models import Device
from oleada_server.messaging import inbox
from oleada_server.messaging.inbox import Incoming
from oleada_server.rollouts.authorise import assignment_id
from oleada_server.rollouts.models import BoxInWave
from oleada_server.rollouts.states import BoxState
from oleada_wire import messages, topics
from oleada_wire.messages import Crash, Log, Message, Report, Result
from oleada_wire.topics import Up
from oleada_wire.words import Phase, Reason, ResultStatus
from sqlalchemy import select

from tests.support.fleet import a_header, a_health, a_hello

SignIn = Callable[..., FlaskClient]
PAYLOADS = [
    "<x-bad>",
    "<x-bad onerror=alert(1)>",
    "<script x-bad>alert(1)</script>",
    "</td></tr></table><x-bad>",
    "</pre></details><x-bad>",
    "</title><x-bad>",
    "--><x-bad><!--",
    '" x-bad="1',
    "' x-bad='1",
    '"><x-bad>',
    "'><x-bad>",
    "` x-bad=`1",
    "javascript:alert('x-bad')",
    "{{ 7*7 }}<x-bad>",
    "%(n)s %s <x-bad>",
    "&lt;x-bad&gt;<x-bad>",
    "<svg/onload=alert(1) x-bad>",
    '<hx-partial x-bad hx-target="body">',
    "\u202e<x-bad>\u2028",
    "\u0000<x-bad>",
]


class Page(HTMLParser):
    """Collects elements and attributes that a payload brought in, and all text."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.bad: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Look at one tag."""
        named = dict(attrs)
        if "x-bad" in tag or "x-bad" in named or any(name.startswith("on") for name in named):
            self.bad.append(self.get_starttag_text() or tag)
        addresses = [named.get(name) or "" for name in ("href", "src", "action", "formaction")]
        if any(address.strip().startswith("javascript:") for address in addresses):
            self.bad.append(self.get_starttag_text() or tag)

    def handle_data(self, data: str) -> None:
        """Keep text."""
        self.text += data


def read(html: str) -> Page:
    page = Page()
    page.feed(html)
    page.close()
    return page


@pytest.fixture
def device_id(filled_app: Flask) -> str:
    """A box that downloads the release of R-2."""
    with filled_app.app_context():
        query = select(BoxInWave).where(BoxInWave.state == BoxState.DOWNLOADING).limit(1)
        box = db.session.scalars(query).one()
        box.attempt, box.step = 1, 1
        found: str = box.device_id
        db.session.commit()
        db.session.remove()
    return found


def said(device_id: str, text: str, assignment: str) -> list[tuple[Up, Message]]:
    """Return messages that carry *text* wherever a box may write text."""
    now = now_utc()
    short = text[:40]
    hello = a_hello(boot=500, seq=1, version=short, agent_version=short, zone=short, mac=text,
                    provides=(text,))  # fmt: skip
    slot = replace(hello.slots[1], version=short, status=short, sha256=text)
    health = a_health(boot=500, seq=2, at=now, version=short)
    parameters: dict[str, bool | int | str] = {text: 1, "Device.DeviceInfo.Description": text}

    def header(seq: int) -> messages.Header:
        return replace(a_header(boot=500, seq=seq), at_ms=to_ms(now))

    return [
        (Up.HELLO, replace(hello, header=header(1), slots=(hello.slots[0], slot))),
        (Up.HEALTH, replace(health, header=header(2), parameters=parameters)),
        (Up.LOG, Log(header(3), ("a line", text))),
        (Up.CRASH, Crash(header(4), text, text, short)),
        (Up.RESULT, Result(header(5), "C-1", ResultStatus.ERROR, text)),
        (
            Up.REPORT,
            Report(header(6), assignment, 1, 9, Phase.FAILED, short, "A", 0, Reason.DOWNLOAD, text),
        ),
    ]


@pytest.mark.parametrize("payload", PAYLOADS, ids=range(len(PAYLOADS)))
def test_a_payload_in_every_field_of_every_message_stays_text(
    filled_app: Flask, signed_in: SignIn, device_id: str, payload: str
) -> None:
    with filled_app.app_context():
        query = select(BoxInWave).where(BoxInWave.device_id == device_id)
        box = db.session.scalars(query.where(BoxInWave.rollout_id == 2)).one()
        told = said(device_id, payload, assignment_id(box.id))
        db.session.rollback()
        batch = [
            Incoming(topics.up(device_id, kind), messages.encode(message)) for kind, message in told
        ]
        for one in batch:
            inbox.store([one], now_utc())
        arrived = db.session.get_one(Device, device_id).boot_count == 500
        db.session.remove()
    client = signed_in(filled_app)
    paths = [f"/devices/{device_id}", f"/devices/{device_id}?range=1h", "/devices", "/fleet",
             "/rollouts/R-2", f"/search?q={device_id[-4:]}", "/audit"]  # fmt: skip

    pages = {path: read(client.get(path, follow_redirects=True).text) for path in paths}

    assert {path: page.bad for path, page in pages.items() if page.bad} == {}
    if arrived and "\0" not in payload:
        assert payload.strip()[:20] in pages[f"/devices/{device_id}"].text
