"""Decisions on a rollout's page: approval, a held wave, a stop; and what changed meanwhile."""

import re
from collections.abc import Callable

import pytest
from flask import Flask
from flask.testing import FlaskClient
from oleada_server.audit import service as audit
from oleada_server.db import db
from oleada_server.releases import service as releases
from oleada_server.rollouts import service
from oleada_server.rollouts.models import Wave
from oleada_server.rollouts.states import BoxState, WaveState
from werkzeug.test import TestResponse

from tests.web.forms import csrf_of
from tests.web.sample import ANA

SignIn = Callable[..., FlaskClient]
ELENA = "e.prieto"


def state_of(app: Flask, rollout_id: int) -> tuple[str, str | None]:
    with app.app_context():
        found = service.get(rollout_id)
        seen = str(found.state), found.state_reason
        db.session.remove()
    return seen


def hidden(html: str, name: str) -> str:
    found = re.search(rf'name="{name}" value="([^"]*)"', html)
    return found[1] if found else ""


def send(client: FlaskClient, path: str, page: str, **typed: str) -> TestResponse:
    """Send a form of *page* as a browser would: with what was hidden in it."""
    kept = {name: hidden(page, name) for name in ("seen", "count") if hidden(page, name)}
    return client.post(path, data={"csrf_token": csrf_of(page), **kept, **typed})


@pytest.fixture
def asked_app(filled_app: Flask) -> Flask:
    """The console after Ana asked for the approval of R-3."""
    with filled_app.app_context():
        sample = filled_app.extensions["test_sample"]
        service.ask_approval(3, "lab run is clean", actor=ANA, now=sample.now)
        db.session.remove()
    return filled_app


@pytest.fixture
def held_app(filled_app: Flask) -> Flask:
    """The console with the third wave of R-2 held: too many of its boxes are silent."""
    with filled_app.app_context():
        wave = db.session.query(Wave).filter_by(rollout_id=2, position=3).one()
        boxes = service.boxes(2, service.BoxFilter(3), limit=500)
        for number, box in enumerate(boxes):
            row = db.session.execute(
                db.text("UPDATE box_in_wave SET state = :s, deadline_at = NULL "
                        "WHERE device_id = :d AND rollout_id = 2"),
                {"s": BoxState.SILENT if number % 4 == 0 else BoxState.UPDATED,
                 "d": box.device_id},
            )  # fmt: skip
            assert row is not None
        wave.state, wave.state_reason = WaveState.HELD, "wave 3: too many are silent"
        db.session.commit()
        service.tick(filled_app.extensions["test_sample"].now)
        db.session.remove()
    return filled_app


def test_an_approver_finds_the_plan_under_needs_you_and_lets_it_begin(
    asked_app: Flask, signed_in: SignIn
) -> None:
    client = signed_in(asked_app, ELENA)

    listed = client.get("/rollouts").text
    page = client.get("/rollouts/R-3").text
    answer = send(client, "/rollouts/R-3/approve", page, reason="read the lab run")

    assert "Needs you" in listed
    assert "a.torres asks: “lab run is clean”" in listed
    assert "Let R-3, 5.7.9 to VX-240, begin?" in page
    assert answer.status_code == 303
    assert state_of(asked_app, 3)[0] == "running"


def test_a_plan_is_sent_back_with_a_reason_that_its_planner_reads(
    asked_app: Flask, signed_in: SignIn
) -> None:
    elena, ana = signed_in(asked_app, ELENA), signed_in(asked_app)
    page = elena.get("/rollouts/R-3").text

    refused = send(elena, "/rollouts/R-3/send-back", page, reason=" ")
    sent = send(elena, "/rollouts/R-3/send-back", page, reason="wave 1 is too large")

    assert (refused.status_code, sent.status_code) == (400, 303)
    assert state_of(asked_app, 3) == ("draft", "wave 1 is too large")
    listed = ana.get("/rollouts").text
    assert "R-3 was sent back" in listed
    assert "“wave 1 is too large”" in listed


def test_the_planner_sees_why_another_decides_and_may_only_take_it_back(
    asked_app: Flask, signed_in: SignIn
) -> None:
    client = signed_in(asked_app)
    page = client.get("/rollouts/R-3").text

    assert "Deciding needs the role Approver; you have Operator." in page
    assert send(client, "/rollouts/R-3/approve", page).status_code == 403
    assert send(client, "/rollouts/R-3/take-back", page).status_code == 303
    assert state_of(asked_app, 3)[0] == "draft"


def test_a_stranger_to_the_plan_does_not_take_it_back(asked_app: Flask, signed_in: SignIn) -> None:
    client = signed_in(asked_app, "l.ruiz")
    page = client.get("/rollouts/R-3").text

    assert send(client, "/rollouts/R-3/take-back", client.get("/settings").text).status_code == 403
    assert "take-back" not in page


def test_of_two_approvers_the_slower_one_sees_what_the_other_did_and_keeps_the_text(
    asked_app: Flask, signed_in: SignIn
) -> None:
    client = signed_in(asked_app, ELENA)
    page = client.get("/rollouts/R-3").text
    with asked_app.app_context():
        service.send_back(3, "not today", actor="user:m.novak",
                          now=asked_app.extensions["test_sample"].now)  # fmt: skip
        db.session.remove()

    answer = send(client, "/rollouts/R-3/approve", page, reason="mine")

    assert answer.status_code == 409
    assert "<b>m.novak</b> sent it back “not today”" in answer.text
    assert state_of(asked_app, 3)[0] == "draft"


def test_a_person_lets_a_held_wave_go_on_with_its_numbers_before_them(
    held_app: Flask, signed_in: SignIn
) -> None:
    client = signed_in(held_app, ELENA)
    page = client.get("/rollouts/R-2").text
    silent = re.search(r"<b>Silent:</b> (\d+) boxes of (\d+), more than 10", page)

    assert silent
    assert "Held, wave 3 of 4" in page
    assert send(client, "/rollouts/R-2/waves/3/go-on", page).status_code == 400
    answer = send(client, "/rollouts/R-2/waves/3/go-on", page, reason="they are on holiday")
    assert answer.status_code == 303
    with held_app.app_context():
        wave = service.get(2).waves[2]
        found = (str(wave.state), wave.silent_accepted)
        db.session.remove()
    assert found == ("soaking", int(silent[1]))
    again = client.get("/rollouts/R-2").text
    assert f"a person accepted {silent[1]} boxes" in again
    assert "let a held wave go on" in again


def test_a_stop_says_what_it_means_to_every_box_and_its_groups_add_up(
    filled_app: Flask, signed_in: SignIn
) -> None:
    page = signed_in(filled_app).get("/rollouts/R-2/stop").text
    cons = page[page.index('id="ask-stop-d"') : page.index("</ul>", page.index('id="ask-stop-d"'))]
    groups = [int(n) for n in re.findall(r"</b> (\d+) box", cons)]
    with filled_app.app_context():
        waves = service.summary(2)
        db.session.remove()

    assert sum(groups) == sum(wave.boxes for wave in waves)
    assert int(hidden(page, "count")) == groups[0] + groups[1]


def test_a_stop_wants_the_number_as_it_was_when_the_question_opened(
    filled_app: Flask, signed_in: SignIn
) -> None:
    client = signed_in(filled_app)
    page = client.get("/rollouts/R-2/stop").text
    count = hidden(page, "count")

    wrong = send(client, "/rollouts/R-2/stop", page, reason="F-123", confirm="7")
    assert (wrong.status_code, f"Type {count} to confirm; you wrote “7”" in wrong.text) == (
        400,
        True,
    )
    assert state_of(filled_app, 2)[0] == "running"
    right = send(client, "/rollouts/R-2/stop", page, reason="F-123", confirm=count)

    assert right.status_code == 303
    assert state_of(filled_app, 2) == ("stopped", "F-123")


def test_a_stop_may_withdraw_the_release_for_good(filled_app: Flask, signed_in: SignIn) -> None:
    client = signed_in(filled_app)
    page = client.get("/rollouts/R-2/stop").text
    typed = {"reason": "audio drops", "confirm": hidden(page, "count")}

    assert send(client, "/rollouts/R-2/stop", page, scope="all", **typed).status_code == 400
    assert send(client, "/rollouts/R-2/stop", page, scope="release", **typed).status_code == 303

    with filled_app.app_context():
        release = releases.get("VX-410", "5.8.2")
        found = (str(release.state), release.withdrawn_reason)
        db.session.remove()
    assert found == ("withdrawn", "audio drops")
    assert state_of(filled_app, 2)[0] == "stopped"


def test_who_opened_the_stop_before_somebody_paused_sees_that_first(
    filled_app: Flask, signed_in: SignIn
) -> None:
    client = signed_in(filled_app)
    page = client.get("/rollouts/R-2/stop").text
    with filled_app.app_context():
        service.pause(
            2, "looking", actor="user:m.novak", now=filled_app.extensions["test_sample"].now
        )
        db.session.remove()

    typed = {"reason": "F-123", "confirm": hidden(page, "count")}
    answer = send(client, "/rollouts/R-2/stop", page, **typed)

    assert answer.status_code == 409
    assert "<b>m.novak</b> paused it “looking”" in answer.text
    assert 'value="F-123"' in answer.text
    assert state_of(filled_app, 2)[0] == "paused"
    assert send(client, "/rollouts/R-2/stop", answer.text, **typed).status_code == 303


def test_a_plan_is_given_up_without_typing_numbers(asked_app: Flask, signed_in: SignIn) -> None:
    client = signed_in(asked_app)
    page = client.get("/rollouts/R-3/stop").text

    assert "Give up the plan R-3" in page
    assert send(client, "/rollouts/R-3/stop", page, reason="wrong model").status_code == 303
    assert state_of(asked_app, 3) == ("stopped", "wrong model")


def test_every_decision_is_in_the_audit_trail(asked_app: Flask, signed_in: SignIn) -> None:
    elena = signed_in(asked_app, ELENA)
    send(elena, "/rollouts/R-3/approve", elena.get("/rollouts/R-3").text, reason="fine")
    page = elena.get("/rollouts/R-3/stop").text
    send(elena, "/rollouts/R-3/stop", page, reason="no", confirm=hidden(page, "count"))

    with asked_app.app_context():
        trail = [(e.action, e.actor, e.reason) for e in audit.events_about("R-3")]
        db.session.remove()

    assert ("rollout.approve", "user:e.prieto", "fine") in trail
    assert ("rollout.stop", "user:e.prieto", "no") in trail


def test_the_list_shows_the_wave_that_broke_its_limit(filled_app: Flask, signed_in: SignIn) -> None:
    page = signed_in(filled_app).get("/rollouts?state=ended").text

    assert '<span class="bad-t">30\N{NO-BREAK SPACE}%</span>' in page
    assert "limit 2\N{NO-BREAK SPACE}%" in page
    assert "R-2 ·" not in page


def test_a_list_that_a_filter_empties_says_so(empty_app: Flask, signed_in: SignIn) -> None:
    client = signed_in(empty_app)

    assert "No rollout is in this state" in client.get("/rollouts?state=open").text
    assert "No rollout is planned yet" in client.get("/rollouts").text


def test_a_reason_leads_to_exactly_its_boxes(filled_app: Flask, signed_in: SignIn) -> None:
    client = signed_in(filled_app)
    page = client.get("/rollouts/R-2").text
    failed = page[
        page.index('id="p-failed"') : page.index("</section>", page.index('id="p-failed"'))
    ]
    rows = re.findall(r'tlink" href="([^"]+)".*?Boxes</span>(\d+)<', failed, re.S)

    assert len(rows) == 3
    for address, count in rows:
        found = client.get(address.replace("&amp;", "&")).text
        assert re.search(rf"<b>{count} box(es)?</b> of", found), address


def test_a_plan_that_was_only_kept_is_asked_about_later_with_a_remark(
    filled_app: Flask, signed_in: SignIn
) -> None:
    with filled_app.app_context():
        spec = service.spec_of(service.get(3))
        kept = service.create(
            spec, actor=ANA, now=filled_app.extensions["test_sample"].now, in_console=True
        )
        db.session.remove()
    client = signed_in(filled_app)
    page = client.get(f"/rollouts/R-{kept}/ask").text

    assert send(client, f"/rollouts/R-{kept}/start", page).status_code == 409
    assert send(client, f"/rollouts/R-{kept}/ask", page).status_code == 400
    assert send(client, f"/rollouts/R-{kept}/ask", page, reason="now").status_code == 303
    assert state_of(filled_app, kept)[0] == "awaiting_approval"


def test_a_question_that_is_fetched_for_a_dialog_is_a_form_and_no_page(
    filled_app: Flask, signed_in: SignIn
) -> None:
    client = signed_in(filled_app)

    piece = client.get("/rollouts/R-2/stop", headers={"HX-Request": "true"}).text
    over = client.get("/rollouts/R-1/stop", headers={"HX-Request": "true"}).text

    assert piece.lstrip().startswith("<form")
    assert "That is not possible in this state" in over


def test_the_next_wave_is_opened_early_with_its_number_typed(
    filled_app: Flask, signed_in: SignIn
) -> None:
    client, path = signed_in(filled_app, ELENA), "/rollouts/R-2/waves/4/open"
    page = client.get("/rollouts/R-2").text
    boxes = re.search(r"(\d+) box(?:es)? gets? the release before this gate", page)

    assert "Open wave 4 early" in page
    assert boxes
    assert send(client, path, page, reason="it fixes the outage", confirm="0").status_code == 400
    assert send(client, path, page, confirm=boxes[1]).status_code == 400
    answer = send(client, path, page, reason="it fixes the outage", confirm=boxes[1])

    assert answer.status_code == 303
    with filled_app.app_context():
        states = [str(wave.state) for wave in service.get(2).waves]
        db.session.remove()
    assert states == ["passed", "passed", "passed", "open"]
    assert "Open wave" not in signed_in(filled_app, "a.torres").get("/rollouts/R-2").text
