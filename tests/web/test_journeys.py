"""The journeys of an operator and a lead, in clicks: J1 plan, J2 decide, J2b stop.

A click is a press of the mouse or the choice of a field to type in. The numbers that the
person reads on the way must be the database's.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from oleada_server.clock import now_utc
from oleada_server.db import db
from oleada_server.live import service as live
from oleada_server.rollouts import service
from oleada_server.rollouts.models import BoxInWave, Wave
from oleada_server.rollouts.states import PENDING, BoxState, WaveState
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect

from tests.web.conftest import Console, let_in
from tests.web.sample import ANA

pytestmark = pytest.mark.browser
SignedIn = Callable[..., BrowserContext]


@dataclass(slots=True)
class Person:
    """A person before a page, whose clicks are counted."""

    page: Page
    clicks: int = 0

    def click(self, where: Locator) -> None:
        """Press *where*."""
        self.clicks += 1
        where.click()

    def write(self, where: Locator, text: str) -> None:
        """Choose the field *where* and type."""
        self.click(where)
        where.fill(text)


@pytest.fixture
def inside(browser: Browser, console: Console) -> Iterator[SignedIn]:
    """Return a function that gives a browser in which a person is signed in."""
    opened: list[BrowserContext] = []

    def open_browser(name: str, **options: Any) -> BrowserContext:
        context = browser.new_context(viewport={"width": 1440, "height": 900}, **options)
        opened.append(context)
        let_in(context, console, name)
        return context

    yield open_browser
    for context in opened:
        context.close()


def of_database(console: Console, read: Callable[[], Any]) -> Any:
    with console.app.app_context():
        found = read()
        db.session.remove()
    return found


def free_the_boxes(console: Console) -> None:
    of_database(console, lambda: service.stop(2, "make room", actor=ANA, now=now_utc()))


def boxes_in(rows: Locator) -> list[int]:
    return [int(text.split()[0]) for text in rows.all_inner_texts()]


def test_j1_an_operator_plans_a_rollout_in_seven_clicks(console: Console, inside: SignedIn) -> None:
    free_the_boxes(console)
    ana = Person(inside("a.torres").new_page())
    page = ana.page
    page.goto(f"{console.address}/fleet")

    ana.click(page.get_by_role("link", name="Plan a rollout"))
    page.get_by_label("Firmware", exact=True).select_option("VX-410/5.8.2")
    ana.clicks += 2  # opens the list, takes one
    expect(page.locator("#h-preview ~ .meta")).to_have_text("5.8.2 to VX-410")
    ana.click(page.get_by_role("button", name=re.compile("Careful")))
    ana.click(page.get_by_label("At any time of the day"))
    ana.write(page.get_by_label("Remark for the approver"), "fixes F-118")
    with page.expect_navigation():
        shown = boxes_in(page.locator("#p-preview .pwaves .v"))
        ana.click(page.get_by_role("button", name="Ask for approval"))

    assert ana.clicks <= 7
    expect(page.locator("h1")).to_contain_text("Awaiting approval")
    rollout_id = int(page.url.rpartition("-")[2])
    stored = of_database(console, lambda: service.preview(service.spec_of(service.get(rollout_id))))
    assert shown == [wave.boxes for wave in stored.waves]
    assert boxes_in(page.locator("#p-waves .wave .big")) == shown


def test_j1_the_last_plan_is_repeated_in_three_clicks(console: Console, inside: SignedIn) -> None:
    free_the_boxes(console)
    ana = Person(inside("a.torres").new_page())
    page = ana.page
    page.goto(f"{console.address}/rollouts/R-2")

    ana.click(page.get_by_role("link", name="Plan again"))
    ana.write(page.get_by_label("Remark for the approver"), "once more")
    ana.click(page.get_by_role("button", name="Ask for approval"))

    expect(page.locator("h1")).to_contain_text("Awaiting approval")
    assert ana.clicks <= 3
    rollout_id = int(page.url.rpartition("-")[2])
    waves = of_database(
        console, lambda: [(w.share_until, w.soak_s) for w in service.get(rollout_id).waves]
    )
    assert waves == [(0.05, 172_800), (0.15, 172_800), (0.5, 172_800), (1.0, 172_800)]


def test_j1_works_without_scripts(console: Console, inside: SignedIn) -> None:
    free_the_boxes(console)
    page = inside("a.torres", java_script_enabled=False).new_page()
    page.goto(f"{console.address}/fleet")

    page.get_by_role("link", name="Plan a rollout").click()
    page.get_by_label("Firmware", exact=True).select_option("VX-410/5.8.2")
    page.get_by_role("button", name=re.compile("Usual")).click()
    page.get_by_label("At any time of the day").click()
    page.get_by_role("button", name="Add a wave").click()
    page.get_by_label("Wave 3, Boxes").fill("60")
    page.locator(".askp").get_by_role("button", name="Update the preview").click()
    expect(page.locator("#p-preview .pwaves li")).to_have_count(4)
    shown = boxes_in(page.locator("#p-preview .pwaves .v"))
    page.get_by_label("Remark for the approver").fill("by keyboard")
    page.get_by_role("button", name="Ask for approval").click()

    expect(page.locator("h1")).to_contain_text("Awaiting approval")
    assert boxes_in(page.locator("#p-waves .wave .big")) == shown


def test_what_follows_a_plan_works_without_scripts_too(console: Console, inside: SignedIn) -> None:
    of_database(
        console, lambda: service.ask_approval(3, "lab run is clean", actor=ANA, now=now_utc())
    )
    elena = inside("e.prieto", java_script_enabled=False).new_page()
    elena.goto(f"{console.address}/rollouts")

    elena.get_by_role("link", name="Review R-3").click()
    elena.locator("#decide-reason").fill("read the lab run")
    elena.get_by_role("button", name="Approve").click()
    expect(elena.locator("h1")).to_contain_text("Running")
    elena.get_by_role("link", name="Pause…").click()
    elena.get_by_label("Reason, for the audit trail").fill("audio drops")
    elena.get_by_role("button", name="Pause the rollout").click()
    elena.get_by_role("button", name="Undo: resume it").click()
    expect(elena.locator("h1")).to_contain_text("Running")
    elena.get_by_role("link", name="Stop…").click()
    elena.get_by_label("Reason, for the audit trail").fill("see F-123")
    count = elena.locator("label[for=ask-stop-confirm] b").inner_text()
    elena.locator("#ask-stop-confirm").fill(count)
    elena.get_by_role("button", name="Stop, ").click()

    expect(elena.locator("h1")).to_contain_text("Stopped")


def test_the_preview_follows_a_change_and_what_is_typed_elsewhere_stays(
    console: Console, inside: SignedIn
) -> None:
    free_the_boxes(console)
    page = inside("a.torres").new_page()
    page.goto(f"{console.address}/rollouts/new?release=VX-410/5.8.2")
    first = page.locator("#p-preview .pwaves .v").first
    before = int(first.inner_text().split()[0])

    page.get_by_label("Remark for the approver").fill("half a sen")
    page.get_by_label("Wave 1, Boxes").fill("20")
    page.get_by_label("Wave 1, Boxes").press("Tab")

    expect(first).not_to_have_text(f"{before} boxes")
    expect(page.get_by_label("Remark for the approver")).to_have_value("half a sen")
    assert int(first.inner_text().split()[0]) > before


def test_a_preview_that_can_not_be_made_is_said_and_nothing_typed_is_lost(
    console: Console, inside: SignedIn
) -> None:
    page = inside("a.torres").new_page()
    page.goto(f"{console.address}/rollouts/new?release=VX-410/5.8.2")
    notice = page.get_by_text("The preview could not be made.")
    expect(notice).to_be_hidden()

    page.route("**/rollouts/new/preview", lambda route: route.abort())
    page.get_by_label("Wave 1, Boxes").fill("20")
    page.get_by_label("Wave 1, Boxes").press("Tab")
    expect(notice).to_be_visible()
    page.unroute("**/rollouts/new/preview")
    page.get_by_label("Wave 1, Boxes").fill("21")
    page.get_by_label("Wave 1, Boxes").press("Tab")

    expect(notice).to_be_hidden()
    expect(page.get_by_label("Wave 1, Boxes")).to_have_value("21")


def hold_wave_three(console: Console) -> int:
    """Hold the third wave of R-2 for silence; return how many of its boxes are silent."""
    wave = db.session.query(Wave).filter_by(rollout_id=2, position=3).one()
    rows = db.session.query(BoxInWave).filter_by(wave_id=wave.id).all()
    for number, row in enumerate(rows):
        row.state = BoxState.SILENT if number % 4 == 0 else BoxState.UPDATED
        row.reason = None
    wave.state, wave.state_reason = WaveState.HELD, "too many are silent"
    db.session.commit()
    service.tick(now_utc())
    return sum(row.state == BoxState.SILENT for row in rows)


def test_j2_a_lead_decides_about_a_held_wave_in_three_clicks(
    console: Console, inside: SignedIn
) -> None:
    silent = of_database(console, lambda: hold_wave_three(console))
    elena = Person(inside("e.prieto").new_page())
    page = elena.page
    page.goto(f"{console.address}/rollouts")

    elena.click(page.get_by_role("link", name="Review R-2"))
    expect(page.locator("#p-decide")).to_contain_text(f"Silent: {silent} boxes of")
    expect(page.locator("#p-gate .checks > li")).to_have_count(5)
    elena.write(page.locator("#decide-reason"), "they are on holiday")
    elena.click(page.get_by_role("button", name="Let wave 3 go on"))

    expect(page.locator("#p-waves .now h3")).to_contain_text("soaking")
    assert elena.clicks <= 3
    wave = of_database(console, lambda: service.get(2).waves[2])
    assert (str(wave.state), wave.silent_accepted) == ("soaking", silent)


def test_j2_a_lead_approves_a_plan_in_three_clicks(console: Console, inside: SignedIn) -> None:
    of_database(
        console, lambda: service.ask_approval(3, "lab run is clean", actor=ANA, now=now_utc())
    )
    elena = Person(inside("e.prieto").new_page())
    page = elena.page
    page.goto(f"{console.address}/rollouts")

    elena.click(page.get_by_role("link", name="Review R-3"))
    shown = boxes_in(page.locator("#p-waves .wave .big"))
    elena.write(page.locator("#decide-reason"), "read the lab run")
    elena.click(page.get_by_role("button", name="Approve"))

    expect(page.locator("h1")).to_contain_text("Running")
    assert elena.clicks <= 3
    frozen = of_database(console, lambda: [wave.boxes for wave in service.get(3).waves])
    assert frozen == shown


def test_j2b_an_operator_stops_a_bad_rollout_in_four_clicks(
    console: Console, inside: SignedIn
) -> None:
    counts = of_database(console, lambda: service.summary(2))
    pending = sum(wave.states[state] for wave in counts for state in PENDING)
    ana = Person(inside("a.torres").new_page())
    page = ana.page
    page.goto(f"{console.address}/rollouts/R-2")

    ana.click(page.get_by_role("link", name="Stop…"))
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("link", name="Keep it running")).to_be_focused()
    expect(dialog.get_by_role("heading")).to_have_text(
        f"Stop R-2, so that {pending} boxes do not get 5.8.2?"
    )
    ana.write(dialog.get_by_label("Reason, for the audit trail"), "audio drops, see F-123")
    ana.write(dialog.get_by_label(f"Type {pending} to confirm"), str(pending))
    ana.click(dialog.get_by_role("button", name=f"Stop, {pending} boxes stay as they are"))

    expect(page.locator("h1")).to_contain_text("Stopped")
    assert ana.clicks <= 4
    found = of_database(console, lambda: service.get(2))
    assert (str(found.state), found.state_reason) == ("stopped", "audio drops, see F-123")


def test_what_a_lead_has_typed_survives_what_changes_around_it(
    console: Console, inside: SignedIn
) -> None:
    of_database(console, lambda: hold_wave_three(console))
    page = inside("e.prieto").new_page()
    page.goto(f"{console.address}/rollouts/R-2")
    page.locator("#decide-reason").fill("half a sen")

    def one_more_is_heard() -> None:
        row = db.session.query(BoxInWave).filter_by(rollout_id=2, state=BoxState.SILENT).first()
        assert row is not None
        row.state = BoxState.UPDATED
        live.touch("R-2", now_utc())
        db.session.commit()

    facts = page.locator("#p-decide .cons").inner_text()
    of_database(console, one_more_is_heard)

    expect(page.locator("#p-decide .cons")).not_to_have_text(facts, timeout=60_000)
    expect(page.locator("#decide-reason")).to_have_value("half a sen")
    expect(page.locator("#decide-reason")).to_be_focused()

    page.locator("#decide-reason").fill("they are on holiday")
    of_database(console, lambda: service.pause(2, "looking", actor=ANA, now=now_utc()))

    expect(page.locator("#p-decide section")).to_have_count(0, timeout=60_000)
    expect(page.locator("#kept-reason")).to_contain_text("“they are on holiday”")


def test_a_new_plan_appears_under_needs_you_without_a_reload(
    console: Console, inside: SignedIn
) -> None:
    page = inside("e.prieto").new_page()
    page.goto(f"{console.address}/rollouts")
    expect(page.locator("#p-needs .row")).to_have_count(0)

    of_database(console, lambda: service.ask_approval(3, "please", actor=ANA, now=now_utc()))

    expect(page.get_by_role("link", name="Review R-3")).to_be_visible(timeout=60_000)
    expect(page.locator("#p-list")).to_contain_text("Awaiting approval")
