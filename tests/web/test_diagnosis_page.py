"""The page for the person on the phone: one click to the verdict, checks, sentence, consent."""

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from oleada_server.accounts.models import Role
from oleada_server.actions.models import ActionFile, ActionOrder
from oleada_server.audit.models import AuditEvent
from oleada_server.clock import now_utc
from oleada_server.db import db
from oleada_server.devices.models import Device
from oleada_server.diagnosis import checking
from oleada_server.diagnosis.models import Complaint
from oleada_server.messaging.models import OutboxMessage
from sqlalchemy import event, func, select, update

from tests.web.diagnosis_rows import add_a_call
from tests.web.forms import csrf_of, use_link
from tests.web.sample import add_named, tell_a_day

SignIn = Callable[..., FlaskClient]
SIGNAL = "Device.WiFi.EndPoint.1.Stats.SignalStrength"
BAD_WIFI = {SIGNAL: -84, "Device.WiFi.EndPoint.1.Stats.Retransmissions": 45}


def a_box(app: Flask, **columns: Any) -> str:
    """Return the id of a box of the sample, changed."""
    with app.app_context():
        box = db.session.scalars(
            select(Device.id).where(Device.version.is_not(None)).order_by(Device.id)
        ).first()
        assert box is not None
        said = {
            "reads_actions": True, "last_seen_at": now_utc(), "health_at": now_utc(), **columns
        }  # fmt: skip
        db.session.execute(update(Device).where(Device.id == box).values(said))
        db.session.commit()
        db.session.remove()
    return box


def support(app: Flask, role: Role = Role.SUPPORT, language: str = "en") -> FlaskClient:
    with app.app_context():
        link = add_named({"desk": ("Des K", role, language, "UTC")}, now_utc())["desk"]
        db.session.remove()
    client = app.test_client()
    use_link(client, link)
    return client


def post(client: FlaskClient, path: str, **data: Any) -> str:
    token = csrf_of(client.get("/settings").text)
    answer = client.post(path, data={"csrf_token": token, **data}, follow_redirects=True)
    assert answer.status_code == 200
    return answer.text


def orders(app: Flask) -> list[str]:
    with app.app_context():
        found = list(db.session.scalars(select(ActionOrder.action).order_by(ActionOrder.cmd_seq)))
        db.session.remove()
    return found


def test_one_click_on_the_complaint_says_the_cause_and_begins_what_nobody_notices(
    filled_app: Flask,
) -> None:
    box = a_box(filled_app, health=BAD_WIFI)

    page = post(support(filled_app), f"/devices/{box}/diagnosis", symptom="buffering", channel="")

    assert "Most likely: The Wi-Fi of the box is weak" in page
    assert "-84 dBm" in page
    assert "under -70 dBm" in page
    begun = orders(filled_app)
    assert begun[:2] == ["media_status", "self_test"]
    assert all(checking.is_safe(name) for name in begun)
    assert page.count("waits for the box") == len(begun)
    with filled_app.app_context():
        assert db.session.scalar(select(func.count(OutboxMessage.id))) == len(begun)
        assert db.session.scalars(select(Complaint.symptom)).all() == ["buffering"]
        db.session.remove()


def test_what_was_begun_a_moment_ago_is_not_begun_again(filled_app: Flask) -> None:
    box, client = a_box(filled_app, health=BAD_WIFI), support(filled_app)
    post(client, f"/devices/{box}/diagnosis", symptom="buffering")
    begun = orders(filled_app)

    post(client, f"/devices/{box}/diagnosis", symptom="buffering")

    assert orders(filled_app) == begun


@pytest.mark.parametrize(
    ("language", "title"),
    [
        ("es", "Lo más probable: El Wi-Fi del equipo es débil"),
        ("cs", "Nejspíš: Wi-Fi boxu je slabá"),
    ],
)
def test_verdict_and_sentence_are_in_the_readers_language(
    filled_app: Flask, language: str, title: str
) -> None:
    box = a_box(filled_app, health=BAD_WIFI)

    page = support(filled_app, language=language).get(
        f"/devices/{box}?symptom=buffering"
    ).text  # fmt: skip

    assert title in page
    assert re.findall(r'<p class="say" lang="(\w+)">', page) == [language]


def test_the_sentence_is_said_in_the_subscribers_language_and_stays_so(filled_app: Flask) -> None:
    box, client = a_box(filled_app, health=BAD_WIFI), support(filled_app)

    page = client.get(f"/devices/{box}?symptom=buffering&say=es").text
    after = post(client, f"/devices/{box}/diagnosis", symptom="buffering", say="es")

    for shown in (page, after):
        assert "Most likely: The Wi-Fi of the box is weak" in shown
        assert '<p class="say" lang="es">«El Wi-Fi llega débil a su equipo' in shown


def test_an_answer_moves_the_verdict_and_can_be_taken_back(filled_app: Flask) -> None:
    box, client = a_box(filled_app, health={}), support(filled_app)
    address = f"/devices/{box}?symptom=channel-missing"

    before = client.get(address).text
    after = client.get(f"{address}&asked=in-package:no").text

    assert "Is the channel in the subscriber&#39;s package?" in before
    assert "Most likely" not in before
    assert "Most likely: The channel is not in the package" in after
    assert "Take back" in after


def test_a_page_that_is_opened_wants_its_checks_once(filled_app: Flask) -> None:
    box, client = a_box(filled_app, health=BAD_WIFI), support(filled_app)
    due = 'data-checks="due"'

    assert due in client.get(f"/devices/{box}").text
    after = post(client, f"/devices/{box}/diagnosis/check")
    begun = orders(filled_app)
    post(client, f"/devices/{box}/diagnosis/check")

    assert begun[:2] == ["media_status", "self_test"]
    assert all(checking.is_safe(name) for name in begun)
    assert due not in after
    assert orders(filled_app) == begun, "not again within five minutes"


@pytest.mark.parametrize(
    "columns",
    [
        {"last_seen_at": now_utc() - timedelta(hours=2)},
        {"last_seen_at": None},
        {"reads_actions": False},
        {"revoked_at": now_utc()},
    ],
    ids=lambda one: next(iter(one)),
)
def test_no_check_begins_by_itself_on_a_box_that_would_not_answer(
    filled_app: Flask, columns: dict[str, Any]
) -> None:
    box = a_box(filled_app, health=BAD_WIFI, **columns)

    assert 'data-checks="due"' not in support(filled_app).get(f"/devices/{box}").text


def test_no_check_begins_by_itself_for_somebody_who_only_looks(filled_app: Flask) -> None:
    box = a_box(filled_app, health=BAD_WIFI)

    page = support(filled_app, Role.VIEWER).get(f"/devices/{box}").text

    assert 'data-checks="due"' not in page
    assert "Check now" not in page


def test_a_person_stops_the_checks_and_they_rest_for_half_an_hour(filled_app: Flask) -> None:
    box, client = a_box(filled_app, health=BAD_WIFI), support(filled_app)
    post(client, f"/devices/{box}/diagnosis/check")
    begun = orders(filled_app)

    page = post(client, f"/devices/{box}/diagnosis/stop")

    assert f"{len(begun)} checks are told to end." in page
    assert "A person stopped them" in page
    with filled_app.app_context():
        made = db.session.scalars(select(ActionOrder)).all()
        said = select(func.count()).where(AuditEvent.action == "device.act-cancel")
        assert {one.cancelled_by for one in made} == {"user:desk"}
        assert db.session.scalar(said) == len(begun)
        earlier = {"asked_at": now_utc() - timedelta(minutes=10), "status": "Canceled"}
        db.session.execute(update(ActionOrder).values(earlier))
        db.session.commit()
        db.session.remove()
    assert 'data-checks="due"' not in client.get(f"/devices/{box}").text
    with filled_app.app_context():
        ago = {"cancelled_at": now_utc() - timedelta(minutes=31)}
        db.session.execute(update(ActionOrder).values(ago))
        db.session.commit()
        db.session.remove()
    assert 'data-checks="due"' in client.get(f"/devices/{box}").text


def test_a_file_is_handed_out_under_its_own_box_and_the_reader_is_written_down(
    filled_app: Flask,
) -> None:
    box, client = a_box(filled_app), support(filled_app)
    post(client, f"/devices/{box}/diagnosis/check")
    with filled_app.app_context():
        order_id = db.session.scalars(select(ActionOrder.id)).first()
        other = db.session.scalars(select(Device.id).where(Device.id != box)).first()
        folder = filled_app.extensions["oleada_config"].data_dir / "uploads" / str(order_id)
        folder.mkdir(parents=True)
        (folder / "log.txt").write_bytes(b"a line")
        db.session.add(ActionFile(order_id=order_id, name="log.txt", size_bytes=6,
                                  sha256="0" * 64, uploaded_at=now_utc()))  # fmt: skip
        db.session.commit()
        db.session.remove()

    with client.get(f"/devices/{box}/diagnosis/files/{order_id}/log.txt") as mine:
        assert (mine.status_code, mine.data) == (200, b"a line")
        assert mine.headers["Content-Disposition"] == "attachment; filename=log.txt"
    assert client.get(f"/devices/{other}/diagnosis/files/{order_id}/log.txt").status_code == 404
    with filled_app.app_context():
        read = select(AuditEvent.object_ref).where(AuditEvent.action == "device.file-read")
        assert db.session.scalars(read).all() == [f"device:{box}"]
        db.session.remove()


def test_a_result_is_a_table_with_units(filled_app: Flask) -> None:
    box = a_box(filled_app)
    with filled_app.app_context():
        add_a_call(box, now_utc())
        db.session.remove()

    page = support(filled_app).get(f"/devices/{box}").text

    assert re.search(r'<th scope="row" class="mono">AverageResponseTime</th>'
                     r'<td class="num">41 ms</td>', page)  # fmt: skip
    assert re.search(r"X_OLEADA_SizeBytes</th><td class=\"num\">41\xa0kB", page)
    assert "4 of 6 ended" in page


def test_a_page_asks_the_database_as_often_for_many_checks_as_for_few(
    filled_app: Flask, signed_in: SignIn
) -> None:
    box, client = a_box(filled_app), signed_in(filled_app)
    with filled_app.app_context():
        engine = db.engine

    def asked() -> int:
        count = 0

        def note(*_: object) -> None:
            nonlocal count
            count += 1

        event.listen(engine, "before_cursor_execute", note)
        client.get(f"/devices/{box}?symptom=buffering&channel=uno")
        event.remove(engine, "before_cursor_execute", note)
        return count

    before = asked()
    with filled_app.app_context():
        add_a_call(box, now_utc())
        tell_a_day(box, now_utc())
        db.session.remove()
    after = asked()

    assert after - before <= 6
    assert after <= 60


def test_what_can_be_noticed_needs_the_tick(filled_app: Flask) -> None:
    box, client = a_box(filled_app, health={}), support(filled_app)

    refused = post(client, f"/devices/{box}/diagnosis/run", action="restart_app")
    assert "Somebody may be watching." in refused
    assert orders(filled_app) == []

    post(client, f"/devices/{box}/diagnosis/run", action="restart_app", consent="viewer")
    assert orders(filled_app) == ["restart_app"]


def test_the_page_does_nothing_that_it_does_not_offer(filled_app: Flask) -> None:
    box, client = a_box(filled_app), support(filled_app, Role.ADMIN)
    token = csrf_of(client.get("/settings").text)
    address = f"/devices/{box}/diagnosis/run"

    answers = [
        client.post(address, data={"csrf_token": token, "action": name, "consent": "viewer"})
        for name in ("factory_reset", "cancel", "config_set", "")
    ]

    assert [one.status_code for one in answers] == [400] * 4
    assert orders(filled_app) == []


def test_a_viewer_reads_and_begins_nothing(filled_app: Flask) -> None:
    box, client = a_box(filled_app, health=BAD_WIFI), support(filled_app, Role.VIEWER)

    page = client.get(f"/devices/{box}?symptom=buffering").text
    token = csrf_of(client.get("/settings").text)
    answer = client.post(f"/devices/{box}/diagnosis", data={"csrf_token": token})

    assert "Most likely: The Wi-Fi of the box is weak" in page
    assert "Find out</button>" not in page
    assert answer.status_code == 403


def test_an_older_agent_is_told_as_such_and_diagnosed_all_the_same(filled_app: Flask) -> None:
    box = a_box(filled_app, health=BAD_WIFI, reads_actions=False)

    page = post(support(filled_app), f"/devices/{box}/diagnosis", symptom="buffering")

    assert "The agent of this box is too old for checks" in page
    assert "Most likely: The Wi-Fi of the box is weak" in page
    assert orders(filled_app) == []


def test_a_box_stands_beside_one_like_it_that_is_well(filled_app: Flask) -> None:
    box = a_box(filled_app, health=BAD_WIFI)
    with filled_app.app_context():
        here = db.session.get_one(Device, box)
        other = db.session.scalars(
            select(Device).where(Device.hardware_model == here.hardware_model, Device.id != box)
        ).first()
        assert other is not None
        other.version, other.health = here.version, {SIGNAL: -50}
        other.last_seen_at = other.health_at = now_utc()
        db.session.commit()
        db.session.remove()

    page = support(filled_app).get(f"/devices/{box}?symptom=buffering").text

    assert "Beside a healthy box" in page
    assert re.search(rf"{re.escape(SIGNAL)}</td><td>-84 dBm</td><td>-50 dBm", page)


def test_what_a_box_says_is_text_and_never_markup(filled_app: Flask) -> None:
    evil = "<script>alert(1)</script>"
    box = a_box(filled_app, health={"Device.Services.STBService.1.X_OLEADA_LastErrorCode": evil})

    page = support(filled_app).get(f"/devices/{box}?symptom=drm-error&channel={evil}").text

    assert evil not in page


def test_the_former_address_leads_to_the_page_of_the_box_with_what_was_asked(
    filled_app: Flask, signed_in: SignIn
) -> None:
    box = a_box(filled_app)

    answer = signed_in(filled_app).get(
        f"/devices/{box}/diagnosis?symptom=buffering&asked=led-on:no"
    )

    assert answer.status_code == 301
    assert answer.headers["Location"] == f"/devices/{box}?symptom=buffering&asked=led-on:no"
