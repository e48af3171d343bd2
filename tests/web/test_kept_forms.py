"""A form that meets an ended session comes back filled, and nothing was done before."""

import re
from collections.abc import Callable
from html import unescape
from pathlib import Path

import oleada_server
import pytest
from flask import Flask
from flask.testing import FlaskClient
from oleada_server.accounts import kept, service
from oleada_server.accounts.models import KeptForm, Session
from oleada_server.clock import now_utc
from oleada_server.db import db
from oleada_server.rollouts.models import Rollout
from oleada_server.rollouts.states import RolloutState
from sqlalchemy import func, select

from tests.web.forms import csrf_of, use_link
from tests.web.sample import Sample

SignedIn = Callable[..., FlaskClient]
WORDS = "correct horse battery"


@pytest.fixture
def ana(filled_app: Flask, signed_in: SignedIn) -> FlaskClient:
    """A client in which Ana is signed in, by a one-time link."""
    return signed_in(filled_app)


def end_sessions(app: Flask) -> None:
    with app.app_context():
        db.session.execute(db.delete(Session))
        db.session.commit()


def sealed(html: str) -> str:
    found = re.search(r'name="kept" value="([^"]+)"', html)
    assert found, "the page keeps no form"
    return unescape(found[1])


def go_back(client: FlaskClient, app: Flask, on_top: str) -> str:
    """Sign in by a new link in another tab; return where the page on top then leads."""
    form = {"csrf_token": csrf_of(on_top), "kept": sealed(on_top), "do": "back"}
    with app.app_context():
        token = service.create_link("a.torres", actor="system:test", now=now_utc())
        db.session.remove()
    use_link(client, token)
    answer = client.post("/sign-in", data=form)
    assert answer.status_code == 303, answer.text
    return answer.headers["Location"]


def test_what_was_typed_comes_back_after_signing_in_and_nothing_was_done(
    filled_app: Flask, ana: FlaskClient
) -> None:
    sample: Sample = filled_app.extensions["test_sample"]
    path = f"/rollouts/R-{sample.rollout_id}/pause"
    form = {"csrf_token": csrf_of(ana.get(path).text), "reason": 'see "F-123" <now>'}
    with filled_app.app_context():
        user_id = service.find_user("a.torres").id
        service.set_password(user_id, WORDS, keep=None, now=now_utc())  # which ends the session
        db.session.remove()

    on_top = ana.post(path, data=form)
    signed_in_again = ana.post(
        "/sign-in",
        data={"csrf_token": csrf_of(on_top.text), "kept": sealed(on_top.text),
              "name": "a.torres", "password": WORDS},
    )  # fmt: skip
    back = ana.get(signed_in_again.headers["Location"]).text

    assert on_top.status_code == 401
    assert "Your session has ended. Nothing was done." in on_top.text
    assert 'value="see &quot;F-123&quot; &lt;now&gt;"' in back
    assert "You are signed in again, and the form is filled as you left it." in back
    with filled_app.app_context():
        rollout = db.session.get_one(Rollout, sample.rollout_id)
        assert rollout.state == RolloutState.RUNNING


def test_a_plan_comes_back_with_as_many_waves_as_it_had(
    filled_app: Flask, ana: FlaskClient
) -> None:
    page = ana.get("/rollouts/new?release=VX-410/5.8.2").text
    rows = len(re.findall(r'name="w\d+-name"', page))
    form = {name: unescape(value) for name, value in
            re.findall(r'<input[^>]* name="([^"]+)"[^>]* value="([^"]*)"', page)}  # fmt: skip
    form |= {"release": "VX-410/5.8.2", "boxes": "all", "window": "any", "start": "now"}
    more = ana.post("/rollouts/new", data={**form, "do": "add"}).text
    form |= dict(re.findall(r'<input[^>]* name="([^"]+)"[^>]* value="([^"]*)"', more))
    end_sessions(filled_app)

    on_top = ana.post("/rollouts/new", data={**form, "reason": "please look", "do": "ask"})
    back = ana.get(go_back(ana, filled_app, on_top.text)).text

    assert len(re.findall(r'name="w\d+-name"', back)) == rows + 1
    assert "please look" in back
    assert "the form is filled as you left it" in back


def test_the_form_is_forgotten_once_it_was_sent(filled_app: Flask, ana: FlaskClient) -> None:
    sample: Sample = filled_app.extensions["test_sample"]
    path = f"/rollouts/R-{sample.rollout_id}/pause"
    form = {"csrf_token": csrf_of(ana.get(path).text), "reason": "see F-123"}
    end_sessions(filled_app)
    back = ana.get(go_back(ana, filled_app, ana.post(path, data=form).text)).text
    seen = re.search(r'name="seen" value="(\d+)"', back)
    assert seen is not None

    sent = ana.post(path, data={**form, "csrf_token": csrf_of(back), "seen": seen[1]})

    assert sent.status_code == 303
    with filled_app.app_context():
        assert db.session.scalar(select(func.count()).select_from(KeptForm)) == 0
        assert db.session.get_one(Rollout, sample.rollout_id).state == RolloutState.PAUSED


def test_a_wrong_password_does_not_lose_what_was_typed(filled_app: Flask, ana: FlaskClient) -> None:
    token = csrf_of(ana.get("/rollouts/R-2/pause").text)
    end_sessions(filled_app)
    on_top = ana.post("/rollouts/R-2/pause", data={"csrf_token": token, "reason": "see F-123"})

    refused = ana.post(
        "/sign-in",
        data={"csrf_token": csrf_of(on_top.text), "kept": sealed(on_top.text),
              "name": "a.torres", "password": "wrong"},
    )  # fmt: skip

    assert refused.status_code == 401
    assert sealed(refused.text) == sealed(on_top.text)


def test_who_signed_in_in_another_tab_goes_on_from_there(
    filled_app: Flask, ana: FlaskClient
) -> None:
    token = csrf_of(ana.get("/rollouts/R-2/pause").text)
    end_sessions(filled_app)
    on_top = ana.post("/rollouts/R-2/pause", data={"csrf_token": token, "reason": "see F-123"})
    form = {"csrf_token": csrf_of(on_top.text), "kept": sealed(on_top.text), "do": "back"}

    too_early = ana.post("/sign-in", data=form)
    back = ana.get(go_back(ana, filled_app, on_top.text))

    assert "Nobody is signed in in this browser yet." in too_early.text
    assert 'value="see F-123"' in back.text


def test_a_password_is_never_kept(filled_app: Flask, ana: FlaskClient) -> None:
    token = csrf_of(ana.get("/password").text)
    end_sessions(filled_app)
    secret = "a new secret of mine"

    on_top = ana.post("/password", data={"csrf_token": token, "password": secret, "again": secret})
    back = ana.get(go_back(ana, filled_app, on_top.text)).text

    assert "A password is never kept: type it again." in back
    with filled_app.app_context():
        found = kept.unseal(sealed(on_top.text))
        assert found is not None
        assert [name for name, _ in found.fields] == []
        assert secret not in str([row.fields for row in db.session.scalars(select(KeptForm))])


def test_an_upload_says_that_the_file_has_to_be_chosen_again(
    filled_app: Flask, ana: FlaskClient
) -> None:
    token = csrf_of(ana.get("/releases").text)
    end_sessions(filled_app)

    on_top = ana.post("/releases", data={"csrf_token": token, "bundle": (b"bytes", "a.bundle")},
                      content_type="multipart/form-data")  # fmt: skip
    back = ana.get(go_back(ana, filled_app, on_top.text)).text

    assert "A file is never kept: choose it again." in back


def test_a_form_that_is_no_longer_offered_shows_what_had_been_typed(
    filled_app: Flask, ana: FlaskClient
) -> None:
    path = "/rollouts/R-1/pause"  # halted: it can not be paused
    token = csrf_of(ana.get("/settings").text)
    end_sessions(filled_app)
    on_top = ana.post(path, data={"csrf_token": token, "reason": "a <b>long</b> reason"},
                      headers={"Referer": "http://localhost/rollouts/R-1"})  # fmt: skip

    back = ana.get(go_back(ana, filled_app, on_top.text))

    assert "this page no longer offers the form" in back.text
    assert "a &lt;b&gt;long&lt;/b&gt; reason" in back.text


def test_a_tab_that_outlived_its_browser_gets_its_form_back(
    filled_app: Flask, ana: FlaskClient
) -> None:
    token = csrf_of(ana.get("/rollouts/R-2/pause").text)
    ana.delete_cookie("oleada_form")
    form = {"csrf_token": token, "reason": "see F-123"}

    from_elsewhere = ana.post("/rollouts/R-2/pause", data=form, headers={"Origin": "http://evil"})
    of_a_foreign_page = ana.post(
        "/rollouts/R-2/pause", data=form,
        headers={"Origin": "http://localhost", "Sec-Fetch-Site": "cross-site"},
    )  # fmt: skip
    ours = ana.post("/rollouts/R-2/pause", data=form, headers={"Origin": "http://localhost"})

    assert (from_elsewhere.status_code, of_a_foreign_page.status_code) == (400, 400)
    assert ours.status_code == 303
    assert 'value="see F-123"' in ana.get(ours.headers["Location"]).text
    with filled_app.app_context():
        assert db.session.get_one(Rollout, 2).state == RolloutState.RUNNING


def test_what_waits_belongs_to_one_session_and_to_one_hour(filled_app: Flask) -> None:
    now = now_utc()
    with filled_app.app_context():
        token = filled_app.extensions["test_tokens"]["e.prieto"]
        secret, _ = service.sign_in_by_link(token, now=now)
        kept.keep(secret, kept.typed("/a", "/a", [("reason", "x"), ("password", "y")]), now)

        waiting = kept.of_session(secret, now + kept.KEEP / 2)
        assert waiting is not None
        assert waiting.fields == [["reason", "x"]]
        assert kept.of_session("another secret", now) is None
        assert kept.of_session(secret, now + kept.KEEP) is None


def test_a_seal_that_is_not_ours_keeps_nothing(filled_app: Flask) -> None:
    with filled_app.app_context():
        good = kept.seal(kept.typed("/a", "/a", [("reason", "x")]))

        assert kept.unseal(good) == kept.Typed("/a", "/a", (("reason", "x"),))
        assert kept.unseal(good[:-2] + "xx") is None
        assert kept.unseal("") is None


def test_a_form_that_is_too_long_is_not_half_kept() -> None:
    whole = kept.typed("/a", "/a", [("listed", "x" * kept.FIELDS_CHARS_MAX)])

    assert whole.fields == ()


def test_no_template_asks_for_a_password_by_a_name_that_would_be_kept() -> None:
    home = Path(oleada_server.__file__).parent / "templates"
    asked = {
        name
        for path in home.rglob("*.html")
        for tag in re.findall(r"<input[^>]*>", path.read_text("utf-8"))
        if 'type="password"' in tag
        for name in re.findall(r'name="([^"]+)"', tag)
    }

    assert {"password", "again"} <= asked <= kept.NEVER_KEPT
