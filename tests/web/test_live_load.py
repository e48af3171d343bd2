"""Seven tabs and two thousand reports: every tab ends with the numbers of the database.

A browser lets one host have six connections without HTTP/2, so a tab that nobody sees gives
its stream back; it comes up to date when it is looked at again.
"""

import itertools
from collections.abc import Iterator

import pytest
from flask import Flask
from oleada_server.clock import now_utc, to_ms
from oleada_server.db import db
from oleada_server.messaging import inbox
from oleada_server.rollouts.models import BoxInWave, Wave
from oleada_server.rollouts.states import PENDING, BoxState
from oleada_wire import messages, topics
from oleada_wire.ids import BootId
from oleada_wire.messages import Header, Report
from oleada_wire.topics import Up
from oleada_wire.words import Phase
from playwright.sync_api import BrowserContext, Page, expect

from tests.web.conftest import Console, let_in

pytestmark = pytest.mark.browser
TABS, REPORTS, BATCH, WAIT_MS = 7, 2000, 100, 60_000
SEEN = """
let hidden = false;
Object.defineProperty(document, "hidden", { get: () => hidden });
window.beSeen = (is) => { hidden = !is; document.dispatchEvent(new Event("visibilitychange")); };
"""
NUMBER = "#p-now .split li:first-child b"


def test_seven_tabs_follow_two_thousand_reports_and_keep_focus_and_selection(
    console: Console, context: BrowserContext
) -> None:
    tabs = seven_tabs(console, context)
    page = tabs[-1]
    page.get_by_text("As a table").click()
    page.locator("#do-pause").focus()
    page.evaluate("getSelection().selectAllChildren(document.querySelector('#p-now h2'))")
    streams: list[str] = []
    page.on("request", lambda it: streams.append(it.url) if "/live/" in it.url else None)
    before = page.locator(NUMBER).inner_text()

    tell(console.app)

    updated = str(updated_in_wave_three(console.app))
    assert updated != before
    expect(page.locator(NUMBER)).to_have_text(updated, timeout=WAIT_MS)
    expect(page.locator("#do-pause")).to_be_focused()
    expect(page.locator("details.data table")).to_be_visible()
    assert page.evaluate("getSelection().toString()") == "Wave 3 now"
    assert page.locator("#p-now").count() == 1
    assert streams == []  # it never lost its stream
    for tab in tabs[:-1]:
        see(tabs, tab)
        expect(tab.locator(NUMBER)).to_have_text(updated, timeout=WAIT_MS)


def seven_tabs(console: Console, context: BrowserContext) -> list[Page]:
    """Return seven tabs of one browser on the rollout, of which the last is looked at."""
    context.add_init_script(SEEN)
    tabs: list[Page] = []
    let_in(context, console, "a.torres")
    for _ in range(TABS):
        tab = context.new_page()
        tabs.append(tab)
        tab.goto(f"{console.address}/rollouts/R-2")
        expect(tab.locator(NUMBER)).to_be_visible(timeout=WAIT_MS)
        see(tabs, tab)
    return tabs


def see(tabs: list[Page], seen: Page) -> None:
    for tab in tabs:
        if tab is not seen:
            tab.evaluate("beSeen(false)")
    seen.evaluate("beSeen(true)")


def tell(app: Flask) -> None:
    """Let the boxes that are at it send 2,000 reports; each ends with being updated."""
    with app.app_context():
        waiting = BoxInWave.state.in_(PENDING - {BoxState.QUEUED})
        boxes = [
            (box.id, box.device_id, box.attempt)
            for box in db.session.query(BoxInWave).filter(waiting, BoxInWave.rollout_id == 2)
        ]
        sent = reports(boxes)
        while batch := list(itertools.islice(sent, BATCH)):
            stored = inbox.store(batch, now_utc())
            assert stored.counts[Up.REPORT] == len(batch)
        db.session.remove()


def reports(boxes: list[tuple[int, str, int]]) -> Iterator[inbox.Incoming]:
    """Yield what the boxes send in turn: rising steps of a download, then the verdict."""
    last = REPORTS - len(boxes)
    for number in range(REPORTS):
        box_id, device_id, attempt = boxes[number % len(boxes)]
        step = number // len(boxes) + 1
        said = Report(
            header=Header(f"{number + 1:032x}", to_ms(now_utc()), BootId(1, "0badc0de"), step),
            assignment_id=f"AS-{box_id}",
            attempt=attempt,
            step=step,
            phase=Phase.UPDATED if number >= last else Phase.DOWNLOADING,
            version="5.8.2" if number >= last else "5.8.1",
            running_slot="A",
            done_bytes=step * 1000,
        )
        yield inbox.Incoming(topics.up(device_id, Up.REPORT), messages.encode(said))


def updated_in_wave_three(app: Flask) -> int:
    with app.app_context():
        found = (
            db.session.query(BoxInWave)
            .join(Wave, Wave.id == BoxInWave.wave_id)
            .filter(Wave.rollout_id == 2, Wave.position == 3, BoxInWave.state == BoxState.UPDATED)
            .count()
        )
        db.session.remove()
    return found
