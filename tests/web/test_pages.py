"""Pages without a browser: what they say, whom they let in, and what they send along."""

import re
from collections.abc import Callable
from html.parser import HTMLParser

import pytest
from flask import Flask
from flask.testing import FlaskClient
from oleada_server.accounts.views import local_path
from oleada_server.db import db
from oleada_server.rollouts import service as rollouts
from oleada_server.web.security import CONTENT_SECURITY_POLICY

from tests.web.forms import csrf_of, use_link
from tests.web.sample import SERIAL_WITH_MARKUP

SignIn = Callable[..., FlaskClient]
OPEN_PAGES = {
    "account_pages.sign_in_page",
    "account_pages.sign_in",
    "account_pages.link_page",
    "account_pages.use_link",
    "account_pages.sign_out",
    "account_pages.preferences",
    "account_pages.password_page",  # asks who it is by itself
    "account_pages.set_password",
    "web.home",  # leads to a page that asks
}


class _Inline(HTMLParser):
    """Collects what a strict policy would not run: style, handlers, scripts without source."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Look at one tag."""
        named = dict(attrs)
        for name, value in named.items():
            if name == "style" or name.startswith(("on", "hx-on")):
                self.found.append(f"<{tag} {name}>")
            if (value or "").strip().startswith(("javascript:", "js:")):
                self.found.append(f"<{tag} {name}={value}>")
        if tag == "style" or (tag == "script" and "src" not in named):
            self.found.append(f"<{tag}>")


def inline_parts(html: str) -> list[str]:
    parser = _Inline()
    parser.feed(html)
    return parser.found


PATHS = ["/rollouts", "/rollouts/R-1", "/rollouts/R-2", "/rollouts/R-3", "/rollouts/R-2/stop",
         "/rollouts/new", "/rollouts?state=open",
         "/devices", "/devices?model=none", "/settings", "/help", "/password", "/rollouts/R-99",
         "/nowhere"]  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("name", ["a.torres", "v.dvorak", "l.ruiz"])
def test_no_page_has_inline_code_or_style(
    filled_app: Flask, signed_in: SignIn, path: str, name: str
) -> None:
    html = signed_in(filled_app, name).get(path).text

    assert inline_parts(html) == []
    assert "</html>" in html


@pytest.mark.parametrize("path", [*PATHS, "/sign-in", "/static/css/app.css", "/api/v1/me"])
def test_every_answer_has_the_security_headers(
    filled_app: Flask, signed_in: SignIn, path: str
) -> None:
    with signed_in(filled_app).get(path) as answer:
        assert answer.headers["Content-Security-Policy"] == CONTENT_SECURITY_POLICY
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "same-origin"
        assert answer.headers["Cross-Origin-Opener-Policy"] == "same-origin"


def test_a_page_is_never_kept_by_a_cache_and_an_asset_for_ever(
    filled_app: Flask, signed_in: SignIn
) -> None:
    client = signed_in(filled_app)
    html = client.get("/rollouts").text
    asset = re.search(r'href="(/static/css/app\.css\?v=[^"]+)"', html)
    assert asset

    assert client.get("/rollouts").headers["Cache-Control"] == "no-store"
    with client.get(asset[1]) as answer:
        assert "immutable" in answer.headers["Cache-Control"]


def test_a_stranger_is_sent_to_sign_in_and_back(filled_app: Flask) -> None:
    answer = filled_app.test_client().get("/devices?model=VX-410")

    assert answer.status_code == 302
    assert answer.headers["Location"] == "/sign-in?next=/devices?model%3DVX-410"


@pytest.mark.parametrize(
    "elsewhere",
    ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)", "", None,
     "/a\nb", "\\\\evil"],
)  # fmt: skip
def test_no_address_of_ours_leads_elsewhere(elsewhere: str | None) -> None:
    assert local_path(elsewhere) is None


def test_every_view_says_who_may_use_it(filled_app: Flask) -> None:
    pages = [
        name
        for name, view in filled_app.view_functions.items()
        if name.split(".")[0] in {"web", "rollout_pages", "device_pages", "live_pages",
                                  "account_pages"}
        and not hasattr(view, "oleada_needs")
    ]  # fmt: skip

    assert set(pages) == OPEN_PAGES


def test_a_form_without_its_token_is_refused_and_changes_nothing(
    filled_app: Flask, signed_in: SignIn
) -> None:
    client = signed_in(filled_app)

    answer = client.post("/rollouts/R-2/pause", data={"reason": "look"})

    assert answer.status_code == 400
    with filled_app.app_context():
        assert rollouts.get(2).state == "running"
        db.session.remove()


def test_a_rest_call_with_a_browsers_cookie_needs_the_form_token(
    filled_app: Flask, signed_in: SignIn
) -> None:
    answer = signed_in(filled_app).post("/api/v1/rollouts/R-2/pause", json={"reason": "look"})

    assert answer.status_code == 400


def test_an_operator_pauses_resumes_and_stops_with_a_reason(
    filled_app: Flask, signed_in: SignIn
) -> None:
    client = signed_in(filled_app)
    token = csrf_of(client.get("/rollouts/R-2/pause").text)
    states = []
    for verb, form in (
        ("pause", {"reason": "audio drops"}),
        ("resume", {}),
        ("stop", {"reason": "see F-123", "confirm": "r-2"}),
    ):
        answer = client.post(f"/rollouts/R-2/{verb}", data={"csrf_token": token, **form})
        assert answer.status_code == 303, answer.text
        with filled_app.app_context():
            found = rollouts.get(2)
            states.append((str(found.state), found.state_reason))
            db.session.remove()

    assert states == [("paused", "audio drops"), ("running", None), ("stopped", "see F-123")]


@pytest.mark.parametrize(
    ("form", "says"),
    [
        ({"reason": "", "confirm": "R-2"}, "A reason is missing"),
        ({"reason": "kept as typed", "confirm": "R-1"}, "Type R-2 to confirm; you wrote “R-1”"),
    ],
)
def test_a_stop_that_lacks_something_says_what_and_keeps_what_was_typed(
    filled_app: Flask, signed_in: SignIn, form: dict[str, str], says: str
) -> None:
    client = signed_in(filled_app)
    token = csrf_of(client.get("/rollouts/R-2/stop").text)

    answer = client.post("/rollouts/R-2/stop", data={"csrf_token": token, **form})

    assert answer.status_code == 400
    assert says in answer.text
    assert f'value="{form["reason"]}"' in answer.text


def test_a_deed_that_the_state_does_not_allow_is_a_conflict(
    filled_app: Flask, signed_in: SignIn
) -> None:
    client = signed_in(filled_app)
    token = csrf_of(client.get("/settings").text)

    answer = client.post(
        "/rollouts/R-1/pause", data={"csrf_token": token, "reason": "too late already"}
    )

    assert answer.status_code == 409
    assert "R-1 is halted" in answer.text


def test_a_viewer_sees_the_numbers_but_no_button(filled_app: Flask, signed_in: SignIn) -> None:
    client = signed_in(filled_app, "v.dvorak")

    page = client.get("/rollouts/R-2").text

    assert "Ke změně je třeba role Operátor" in page
    assert 'id="do-stop"' not in page
    assert client.get("/rollouts/R-2/stop").status_code == 403
    token = csrf_of(client.get("/settings").text)
    answer = client.post("/rollouts/R-2/stop", data={"csrf_token": token, "reason": "x"})
    assert answer.status_code == 403


def test_text_of_a_box_stays_text(filled_app: Flask, signed_in: SignIn) -> None:
    page = signed_in(filled_app).get("/devices?q=onerror").text

    assert "<img src=x" not in page
    assert "&lt;img src=x onerror=alert(1)&gt;" in page
    assert SERIAL_WITH_MARKUP not in page


def test_what_a_person_typed_into_a_filter_stays_text(filled_app: Flask, signed_in: SignIn) -> None:
    page = signed_in(filled_app).get("/devices?q=<script>alert(1)</script>&model=%22><b>x").text

    assert "<script>alert" not in page
    assert '"><b>x' not in page


def test_the_first_use_says_why_it_is_empty_and_what_to_do(
    empty_app: Flask, signed_in: SignIn
) -> None:
    client = signed_in(empty_app)

    assert "oleada rollout plan" in client.get("/rollouts").text
    assert "oleada device claim" in client.get("/devices").text


def test_an_empty_list_shows_its_filters_and_the_count_without_the_last(
    filled_app: Flask, signed_in: SignIn
) -> None:
    page = signed_in(filled_app).get("/devices?model=VX-240&version=9.9.9").text

    assert "No box has all of these" in page
    assert "Without “firmware 9.9.9” there are 24." in page
    assert 'href="/devices?model=VX-240"' in page


def test_what_can_not_be_read_in_an_address_is_said(filled_app: Flask, signed_in: SignIn) -> None:
    page = signed_in(filled_app).get("/devices?contact=sometimes&rollout=R-x&sort=up").text

    assert "Not understood and left out: contact=sometimes, rollout=R-x, sort=up." in page
    assert "<b>120 boxes</b> are enrolled" in page


def test_the_numbers_of_a_rollout_lead_to_exactly_those_boxes(
    filled_app: Flask, signed_in: SignIn
) -> None:
    client = signed_in(filled_app)
    page = client.get("/rollouts/R-2").text
    groups = re.findall(r'<li><a href="(/devices\?[^"]+)">.*?<b>(\d+)</b>', page, re.S)
    assert len(groups) == 7

    for address, count in groups:
        found = client.get(address.replace("&amp;", "&")).text
        assert re.search(rf"<b>{count} box(es)?</b> of 120", found), (address, count)


def test_the_groups_of_a_wave_add_up_to_all_of_it(filled_app: Flask, signed_in: SignIn) -> None:
    page = signed_in(filled_app).get("/rollouts/R-2").text
    counts = [int(n) for n in re.findall(r'<li><a href="/devices\?[^"]+">.*?<b>(\d+)</b>', page)]
    whole = re.search(r'class="more" href="/devices\?[^"]*wave=3">(\d+) boxes', page)

    assert whole
    assert sum(counts) == int(whole[1])


def test_an_unknown_page_is_a_page_and_an_unknown_path_of_rest_a_problem(
    filled_app: Flask, signed_in: SignIn
) -> None:
    client = signed_in(filled_app)

    page, problem = client.get("/rollouts/R-999"), client.get("/api/v1/nothing")

    assert (page.status_code, "There is no rollout R-999." in page.text) == (404, True)
    assert (problem.status_code, problem.content_type) == (404, "application/problem+json")


@pytest.mark.parametrize(
    "path",
    ["/rollouts/R-99999999999999999999999", "/rollouts?before=99999999999999999999999",
     "/devices?rollout=R-99999999999999999999999", "/devices?rollout=R-2&wave=99999999999999999",
     "/devices?after=nonsense", "/live/rollouts/R-99999999999999999999999"],
)  # fmt: skip
def test_a_number_too_large_for_a_row_is_no_error_of_ours(
    filled_app: Flask, signed_in: SignIn, path: str
) -> None:
    assert signed_in(filled_app).get(path).status_code < 500


def test_the_session_cookie_is_out_of_reach_of_scripts(filled_app: Flask) -> None:
    token = filled_app.extensions["test_tokens"]["a.torres"]

    answer = use_link(filled_app.test_client(), token)
    cookie = next(c for c in answer.headers.getlist("Set-Cookie") if "oleada_session" in c)

    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert "Secure" not in cookie


def test_over_https_every_cookie_is_secure(filled_app: Flask) -> None:
    token = filled_app.extensions["test_tokens"]["a.torres"]

    answer = use_link(filled_app.test_client(), token, "https://oleada.example")

    assert answer.status_code == 303
    assert all("Secure" in cookie for cookie in answer.headers.getlist("Set-Cookie"))
    assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("a.torres", "Every limit holds."),
        ("l.ruiz", "Se cumplen todos los límites."),
        ("v.dvorak", "Všechny meze platí."),
    ],
)
def test_each_person_reads_their_own_language(
    filled_app: Flask, signed_in: SignIn, name: str, says: str
) -> None:
    page = signed_in(filled_app, name).get("/rollouts/R-2").text

    assert says in page


def test_a_stranger_reads_the_browsers_language(filled_app: Flask) -> None:
    page = filled_app.test_client().get("/sign-in", headers={"Accept-Language": "cs,en;q=0.5"})

    assert '<html lang="cs">' in page.text
    assert "Přihlásit se" in page.text
