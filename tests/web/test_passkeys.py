"""Passkeys in Debian's Chromium, with a virtual authenticator behind its debugger."""

from dataclasses import replace
from urllib.parse import urlsplit

import pytest
from oleada_server.accounts import factors, passkeys, service
from oleada_server.accounts.errors import WrongCodeError
from oleada_server.accounts.models import Role
from oleada_server.clock import now_utc
from oleada_server.db import db
from playwright.sync_api import Browser, Page, expect

from tests.web.conftest import Console
from tests.web.test_second_factor import forget_freshness

STICK = {
    "protocol": "ctap2", "transport": "usb", "hasResidentKey": False, "hasUserVerification": True,
    "isUserVerified": True, "automaticPresenceSimulation": True,
}  # fmt: skip


@pytest.fixture
def at_localhost(console: Console) -> Console:
    """The console under a name, for a browser offers passkeys to no address of numbers."""
    address = f"http://localhost:{urlsplit(console.address).port}"
    config = console.app.extensions["oleada_config"]
    console.app.extensions["oleada_config"] = replace(config, public_url=address)
    return replace(console, address=address)


def signed_in(console: Console, browser: Browser) -> Page:
    """Return a page in which the administrator is signed in, with a stick plugged in."""
    context = browser.new_context()
    page = context.new_page()
    debugger = context.new_cdp_session(page)
    debugger.send("WebAuthn.enable")
    debugger.send("WebAuthn.addVirtualAuthenticator", {"options": STICK})
    page.goto(f"{console.address}/sign-in/link/{console.tokens['m.novak']}")
    page.click("main button")
    return page


@pytest.mark.browser
def test_a_passkey_is_enrolled_opens_a_grave_deed_and_signs_in(
    at_localhost: Console, browser: Browser
) -> None:
    page = signed_in(at_localhost, browser)
    page.goto(f"{at_localhost.address}/security")
    page.fill("#pk-name", "Stick")
    page.click("[data-passkey-new]")
    expect(page.locator("h1")).to_have_text("Recovery codes")
    page.click("text=I have them")
    expect(page.locator("main table").first).to_contain_text("Stick")

    forget_freshness(at_localhost.app)
    page.goto(f"{at_localhost.address}/users/v.dvorak")
    page.check("input[value=operator]")
    page.click("text=Change the role")
    expect(page.locator("h1")).to_have_text("Second factor")
    page.click("[data-passkey-get]")
    expect(page.locator("#kept")).to_contain_text("The form is filled as you left it")
    expect(page.locator("input[value=operator]")).to_be_checked()
    page.click("text=Change the role")
    expect(page.locator("main [role=status]")).to_contain_text("v.dvorak is Operator now")

    with at_localhost.app.app_context():
        link = service.create_link("m.novak", actor="system:test", now=now_utc())
        db.session.remove()
    page.goto(f"{at_localhost.address}/sign-in/link/{link}")
    page.click("main button")
    page.click("[data-passkey-get]")
    page.wait_for_url(lambda url: "second-factor" not in url)
    page.goto(f"{at_localhost.address}/security")
    expect(page.locator("h1")).to_have_text("Security")
    page.context.close()


def test_an_answer_that_signs_nothing_is_refused_and_the_question_is_used_up(
    at_localhost: Console,
) -> None:
    now = now_utc()
    with at_localhost.app.app_context():
        secret, person = service.sign_in_by_link(at_localhost.tokens["a.torres"], now=now)
        assert person.role is Role.OPERATOR
        passkeys.ask_new(secret, service.find_user("a.torres"), now)

        for answer in ("{}", "[]", "nonsense", '{"id": "x", "response": {}}', "x" * 30_000):
            with pytest.raises(WrongCodeError):
                passkeys.add(secret, person.user_id, answer, "Stick", now=now)
            with pytest.raises(WrongCodeError):
                passkeys.prove(secret, person.user_id, answer, now=now)
        assert factors.list_factors(person.user_id) == []
        db.session.remove()


@pytest.mark.parametrize(
    ("address", "possible"),
    [("https://console.example", True), ("http://localhost:8080", True),
     ("http://console.example", False), ("http://127.0.0.1:8080", False), ("https://[::1]", False)],
)  # fmt: skip
def test_passkeys_are_offered_where_a_browser_has_them(
    at_localhost: Console, address: str, possible: bool
) -> None:
    config = at_localhost.app.extensions["oleada_config"]
    at_localhost.app.extensions["oleada_config"] = replace(config, public_url=address)

    with at_localhost.app.app_context():
        assert passkeys.are_possible() is possible
