"""The shell in Debian's Chromium: a live fleet, and a form that outlives its session."""

import re
from datetime import timedelta

import pytest
from flask import Flask
from oleada_server.accounts.models import Session
from oleada_server.clock import now_utc
from oleada_server.db import db
from oleada_server.devices.models import Device
from oleada_server.live import service as live
from oleada_server.rollouts.models import Rollout, Wave
from oleada_server.rollouts.states import RolloutState, WaveState
from playwright.sync_api import BrowserContext, Page, expect
from sqlalchemy import delete, select, update

from tests.web.conftest import Console

pytestmark = pytest.mark.browser
PATIENCE_MS = 60_000


@pytest.fixture
def page(console: Console, context: BrowserContext) -> Page:
    """A page in which Elena, who approves, is signed in."""
    context.set_default_timeout(PATIENCE_MS)
    found = context.new_page()
    found.goto(f"{console.address}/sign-in/link/{console.tokens['e.prieto']}")
    found.locator("main button").click()
    found.wait_for_url("**/password")
    return found


def silence_one(app: Flask) -> None:
    """Let one box that was heard lately have been silent for a day."""
    with app.app_context():
        now = now_utc()
        newest = select(Device.id).where(Device.last_seen_at.is_not(None))
        heard = newest.order_by(Device.last_seen_at.desc()).limit(1).scalar_subquery()
        day_ago = now - timedelta(days=1)
        db.session.execute(update(Device).where(Device.id == heard).values(last_seen_at=day_ago))
        live.touch("devices", now)
        db.session.commit()
        db.session.remove()


def test_the_fleet_moves_by_itself_and_keeps_what_a_person_is_doing(
    console: Console, page: Page
) -> None:
    page.goto(f"{console.address}/fleet")
    reachable = page.locator("#p-figures .fig").first
    before = int(reachable.inner_text().split()[0])
    page.locator("#p-states").get_by_text("As a table").click()
    page.locator("#q").fill("VX41 half ty")
    page.evaluate("window.notReloaded = true")

    silence_one(console.app)

    expect(reachable).to_contain_text(str(before - 1), timeout=PATIENCE_MS)
    expect(page.locator("#p-states details")).to_have_attribute("open", "")
    expect(page.locator("#q")).to_have_value("VX41 half ty")
    expect(page.locator("#q")).to_be_focused()
    assert page.evaluate("window.notReloaded") is True


def test_the_badge_of_the_rail_is_what_waits_and_follows_it(console: Console, page: Page) -> None:
    page.goto(f"{console.address}/fleet")
    badge = page.locator("#badge-rollouts")
    expect(badge).to_be_hidden()

    with console.app.app_context():
        rollout = db.session.get_one(Rollout, console.sample.rollout_id)
        held = select(Wave.id).where(Wave.rollout_id == rollout.id, Wave.position == 3)
        db.session.execute(
            update(Wave).where(Wave.id == held.scalar_subquery()).values(state=WaveState.HELD)
        )
        db.session.commit()
        db.session.remove()

    expect(badge).to_have_text(re.compile(r"^1\s+waits for you$"), timeout=PATIENCE_MS)


def test_a_half_filled_form_survives_the_end_of_its_session(console: Console, page: Page) -> None:
    page.get_by_label("Password").fill("correct horse battery")
    page.get_by_label("The same again").fill("correct horse battery")
    page.get_by_role("button", name="Set the password").click()
    page.wait_for_url("**/security")  # where a second factor is offered
    page.goto(f"{console.address}/rollouts/R-2")
    page.get_by_role("link", name="Pause…").click()
    page.get_by_role("dialog").get_by_label("Reason, for the audit trail").fill("see <F-123>")
    with console.app.app_context():
        db.session.execute(delete(Session))
        db.session.commit()
        db.session.remove()

    page.get_by_role("button", name="Pause the rollout").click()
    expect(page.get_by_role("status")).to_contain_text("Nothing was done.")
    page.get_by_label("Name").fill("e.prieto")
    page.get_by_label("Password").fill("correct horse battery")
    page.get_by_role("button", name="Sign in").click()
    reason = page.locator("main").get_by_label("Reason, for the audit trail")
    expect(reason).to_have_value("see <F-123>")
    with console.app.app_context():
        assert db.session.get_one(Rollout, 2).state == RolloutState.RUNNING
        db.session.remove()
    page.get_by_role("button", name="Pause the rollout").click()

    expect(page.locator("h1")).to_contain_text("Paused")
