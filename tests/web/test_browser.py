"""The console in Debian's Chromium: what a person does, sees and can not see."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from oleada_server.clock import now_utc
from oleada_server.db import db
from playwright.sync_api import Browser, BrowserContext, Page, ViewportSize, expect

from tests.web import gallery
from tests.web.conftest import Console, let_in
from tests.web.sample import move_one

pytestmark = pytest.mark.browser

PAGES = [
    "/rollouts",
    "/rollouts/R-1",
    "/rollouts/R-2",
    "/rollouts/R-3",
    "/rollouts/R-2/stop",
    "/rollouts/new?release=VX-410/5.8.2",
    "/devices",
    "/devices?rollout=R-2&wave=3&box=rolled_back,failed",
    "/devices?model=VX-240&version=9.9.9",
    "/settings",
    "/help",
]
FOR_OPERATORS = {"/rollouts/R-2/stop", "/rollouts/new?release=VX-410/5.8.2"}
VIOLATIONS = """
window.violations = [];
document.addEventListener("securitypolicyviolation",
    (event) => window.violations.push(event.violatedDirective + " " + event.blockedURI));
"""
SignedIn = Callable[..., BrowserContext]


@pytest.fixture
def inside(browser: Browser, console: Console) -> Iterator[SignedIn]:
    """Return a function that gives a browser in which a person is signed in."""
    opened: list[BrowserContext] = []

    def open_browser(name: str = "a.torres", **options: Any) -> BrowserContext:
        options.setdefault("viewport", {"width": 1440, "height": 900})
        context = browser.new_context(**options)
        opened.append(context)
        let_in(context, console, name)
        return context

    yield open_browser
    for context in opened:
        context.close()


def watched(context: BrowserContext) -> tuple[Page, list[str]]:
    """Return a page and the list of what its console says."""
    context.add_init_script(VIOLATIONS)
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    return page, said


def test_a_one_time_link_leads_in_by_a_button_and_then_to_a_password(
    console: Console, context: BrowserContext
) -> None:
    page = context.new_page()
    link = f"{console.address}/sign-in/link/{console.tokens['a.torres']}"

    page.goto(link)
    expect(page.get_by_role("heading")).to_have_text("Sign in as Ana Torres")
    page.get_by_role("button", name="Sign in").click()
    page.get_by_label("Password").fill("correct horse battery")
    page.get_by_label("The same again").fill("correct horse battery")
    page.get_by_role("button", name="Set the password").click()
    expect(page.get_by_role("heading", name="Rollouts", exact=True)).to_be_visible()
    context.clear_cookies()
    page.goto(link)
    expect(page.get_by_role("heading")).to_have_text("This sign-in link does not work any more")
    page.goto(f"{console.address}/devices?model=VX-240")
    page.get_by_label("Name").fill("a.torres")
    page.get_by_label("Password").fill("correct horse battery")
    page.get_by_role("button", name="Sign in").click()

    expect(page.locator(".lede")).to_have_text("24 boxes of 120 match.")


def test_filters_are_chips_and_pages_do_not_slip(console: Console, inside: SignedIn) -> None:
    page = inside().new_page()
    page.goto(f"{console.address}/devices")
    expect(page.locator("tbody tr")).to_have_count(50)

    page.get_by_label("Model").select_option("VX-410")
    expect(page.locator(".lede")).to_have_text("96 boxes of 120 match.")
    assert page.url == f"{console.address}/devices?model=VX-410"
    first = page.locator("tbody th .mono").all_text_contents()
    page.get_by_role("link", name="Next 50").click()
    expect(page.locator("tbody tr")).to_have_count(46)
    second = page.locator("tbody th .mono").all_text_contents()
    page.get_by_role("link", name="Remove the filter model VX-410").click()

    assert not set(first[::2]) & set(second[::2])
    expect(page.locator(".lede")).to_have_text("120 boxes are enrolled.")


def test_without_scripts_filters_and_deeds_work_too(console: Console, inside: SignedIn) -> None:
    page = inside(java_script_enabled=False).new_page()

    page.goto(f"{console.address}/devices")
    page.get_by_label("Firmware").select_option("5.7.8")
    page.get_by_role("button", name="Show").click()
    expect(page.locator(".chip")).to_contain_text("firmware 5.7.8")
    page.goto(f"{console.address}/rollouts/R-2")
    page.get_by_role("link", name="Pause…").click()
    page.get_by_label("Reason, for the audit trail").fill("looking at F-123")
    page.get_by_role("button", name="Pause the rollout").click()

    expect(page.locator("h1")).to_contain_text("Paused, wave 3 of 4")
    expect(page.locator(".lede")).to_contain_text("“looking at F-123”")
    expect(page.locator("#p-activity")).to_contain_text("a.torres paused it")


def test_the_stop_is_asked_in_a_dialog_whose_safe_button_has_the_focus(
    console: Console, inside: SignedIn
) -> None:
    page = inside().new_page()
    page.goto(f"{console.address}/rollouts/R-2")

    page.get_by_role("link", name="Stop…").click()
    dialog = page.get_by_role("dialog", name="Stop R-2, so that")
    expect(dialog.get_by_role("link", name="Keep it running")).to_be_focused()
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    page.get_by_role("link", name="Stop…").click()
    dialog.get_by_label("Reason, for the audit trail").fill("see F-123")
    confirm = dialog.locator("input[name=confirm]")
    confirm.fill(dialog.locator("label[for=ask-stop-confirm] b").inner_text())
    dialog.get_by_role("button", name="Stop, ").click()

    expect(page.locator("h1")).to_contain_text("Stopped")


def test_a_number_changes_by_itself_and_what_is_open_stays_open(
    console: Console, inside: SignedIn
) -> None:
    page, said = watched(inside())
    page.goto(f"{console.address}/rollouts/R-2")
    updated = page.locator("#p-now .split li").first.locator("b")
    before = int(updated.inner_text())
    page.get_by_text("As a table").click()

    with console.app.app_context():
        move_one(console.sample, now_utc())
        db.session.remove()

    expect(updated).to_have_text(str(before + 1), timeout=60_000)
    expect(page.locator("details.data table")).to_be_visible()
    assert page.evaluate("window.violations") == []
    assert said == []


def test_when_nothing_arrives_any_more_the_page_says_so(console: Console, inside: SignedIn) -> None:
    page = inside().new_page()
    page.clock.install()
    page.goto(f"{console.address}/rollouts/R-2")
    expect(page.locator("#stale")).to_be_hidden()

    page.route("**/live/**", lambda route: route.abort())
    page.clock.fast_forward(1000)
    page.evaluate("htmx.find('#live')._htmx?.sse?.reader?.cancel()")
    page.clock.fast_forward(14_000)

    expect(page.locator("#stale")).to_contain_text("Live updates stopped")
    expect(page.locator("#stale")).to_contain_text("Figures are from")


def test_whoever_is_signed_out_elsewhere_is_asked_to_sign_in(
    console: Console, inside: SignedIn
) -> None:
    context = inside()
    page, other = context.new_page(), context.new_page()
    page.goto(f"{console.address}/rollouts/R-2")
    other.goto(f"{console.address}/settings")

    other.get_by_role("button", name="Sign out").click()

    page.wait_for_url("**/sign-in?next=**", timeout=60_000)
    expect(page.get_by_role("heading")).to_have_text("Sign in")


def test_keys_lead_around_and_can_be_switched_off(console: Console, inside: SignedIn) -> None:
    page = inside().new_page()
    page.goto(f"{console.address}/rollouts")

    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_url("**/rollouts/R-2")
    page.keyboard.press("g")
    page.keyboard.press("d")
    page.wait_for_url("**/devices")
    page.keyboard.press("/")
    expect(page.locator("#q")).to_be_focused()
    page.goto(f"{console.address}/settings")
    page.get_by_label("Single keys work on every page").uncheck()
    page.keyboard.press("Tab")
    page.keyboard.press("?")

    assert page.url.endswith("/settings")


def test_the_look_is_switched_at_once_and_stays(console: Console, inside: SignedIn) -> None:
    page = inside().new_page()
    page.goto(f"{console.address}/settings")

    with page.expect_response("**/preferences"):
        page.get_by_role("button", name="Dark").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    page.goto(f"{console.address}/rollouts")

    expect(page.locator("html")).to_have_attribute("data-theme", "dark")


@pytest.mark.parametrize("name", ["a.torres", "v.dvorak", "l.ruiz"])
def test_no_page_goes_sideways_or_breaks_its_policy_at_any_width(
    console: Console, inside: SignedIn, name: str
) -> None:
    page, said = watched(inside(name))
    sideways, violations = [], []

    for path in PAGES if name != "v.dvorak" else set(PAGES) - FOR_OPERATORS:
        page.goto(console.address + path)
        violations += page.evaluate("window.violations")
        for width in (1440, 1100, 390, 320):
            page.set_viewport_size(ViewportSize(width=width, height=844))
            over = page.evaluate("document.documentElement.scrollWidth - innerWidth")
            if over > 0:
                sideways.append((path, width, over))

    assert sideways == []
    assert violations == []
    assert said == []


def test_a_style_attribute_would_be_noticed(console: Console, inside: SignedIn) -> None:
    page, _ = watched(inside())
    page.goto(f"{console.address}/rollouts")

    page.evaluate("document.body.insertAdjacentHTML('beforeend', '<p style=\"color:red\">x</p>')")

    page.wait_for_function("window.violations.length > 0")
    assert page.evaluate("window.violations")[0].startswith("style-src")


@pytest.mark.parametrize(("look", "width"), [("light", 390), ("dark", 1440)])
def test_axe_finds_nothing(console: Console, inside: SignedIn, look: str, width: int) -> None:
    shape = {"width": width, "height": gallery.HIGH}
    context = inside(color_scheme=look, viewport=shape, bypass_csp=True)
    page = context.new_page()
    found = []

    for path in PAGES:
        page.goto(console.address + path)
        found += violations_of(page, path, width)
    context.clear_cookies()
    page.goto(f"{console.address}/sign-in")
    found += violations_of(page, "/sign-in", width)

    assert found == []


def violations_of(page: Page, path: str, width: int) -> list[str]:
    gallery.open_to_its_end(page, width)
    return [f"{path}: {found}" for found in gallery.violations_of(page)]
