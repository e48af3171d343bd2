"""A sample of the gallery: the pages around rollouts, one look and width after the other."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from oleada_server.actions.models import ActionOrder
from oleada_server.clock import now_utc
from oleada_server.db import db
from oleada_server.devices.models import Device
from oleada_server.live import service as live
from oleada_server.releases import service
from playwright.sync_api import Browser, BrowserContext, expect
from sqlalchemy import select, update

from tests.support.releases import hold_ceremony, some_info
from tests.web.conftest import Console, let_in
from tests.web.gallery import HIGH, Watched, open_to_its_end, violations_of

pytestmark = pytest.mark.browser
Inside = Callable[..., BrowserContext]


@pytest.fixture
def inside(browser: Browser, console: Console) -> Iterator[Inside]:
    """Return a function that gives a browser in which a person is signed in."""
    opened: list[BrowserContext] = []

    def open_browser(name: str, width: int = 1440, look: str = "light") -> BrowserContext:
        shape = {"width": width, "height": HIGH}
        context = browser.new_context(viewport=shape, color_scheme=look)  # type: ignore[arg-type]  # as the test says
        opened.append(context)
        let_in(context, console, name)
        return context

    yield open_browser
    for context in opened:
        context.close()


def paths_of(console: Console, is_admin: bool) -> list[str]:
    box = console.sample.device_ids
    shown = ["/fleet", f"/devices/{box[6]}", f"/devices/{box[22]}", "/releases",
             "/releases/VX-410/5.8.2", "/audit", "/audit?object=R-2", "/audit/chain",
             "/search?q=VX41", "/search?q=nothing", "/settings"]  # fmt: skip
    of_admins = ["/health/VX-410", f"/devices/{box[6]}/do/factory_reset",
                 "/users", "/users/a.torres", "/releases/VX-410/5.8.2/withdraw",
                 f"/devices/{box[6]}/revoke", f"/devices/{box[6]}/left-alone"]  # fmt: skip
    return shown + of_admins if is_admin else shown


@pytest.mark.parametrize(
    "shown", [("m.novak", 1440, "dark"), ("l.ruiz", 320, "light"), ("v.dvorak", 390, "dark")]
)
def test_a_page_fits_is_quiet_and_can_be_read_by_everybody(
    console: Console, inside: Inside, shown: tuple[str, int, str]
) -> None:
    name, width, look = shown
    watched = Watched(inside(name, width, look))
    wrong = []

    for path in paths_of(console, name == "m.novak"):
        wrong += [f"{path}: {text}" for text in watched.open(console.address + path)]
        open_to_its_end(watched.page, width)
        wrong += [f"{path}: {text}" for text in violations_of(watched.page)]

    assert wrong == []


def test_the_page_of_a_box_moves_by_itself_and_keeps_what_is_open(
    console: Console, inside: Inside
) -> None:
    device_id = console.sample.device_ids[6]
    watched = Watched(inside("a.torres"))
    page = watched.page
    page.goto(f"{console.address}/devices/{device_id}")
    page.locator("#q").fill("half typed")
    page.get_by_text("2 lines").click()

    with console.app.app_context():
        now = now_utc()
        news = {"version": "5.9.0", "reads_actions": True, "last_seen_at": now}
        db.session.execute(update(Device).where(Device.id == device_id).values(news))
        live.touch(f"device:{device_id}", now)
        db.session.commit()
        db.session.remove()

    expect(page.locator("#p-head")).to_contain_text("5.9.0", timeout=60_000)
    expect(page.locator("#p-log details")).to_have_attribute("open", "")
    expect(page.locator("#q")).to_have_value("half typed")
    assert orders_of(console) == [], "this page was opened before its box could do anything"
    page.reload()
    expect(page.locator("#p-checks .runs > li").first).to_contain_text("waits for the box")
    assert "self_test" in orders_of(console)
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_role("status").first).to_contain_text("checks are told to end.")
    assert watched.said == []


def orders_of(console: Console) -> list[str]:
    with console.app.app_context():
        found = list(db.session.scalars(select(ActionOrder.action)))
        db.session.remove()
    return found


def test_a_bundle_says_what_is_signed_and_is_published_with_its_progress(
    console: Console, inside: Inside, tmp_path: Path
) -> None:
    with console.app.app_context():
        signers = hold_ceremony(console.app.extensions["oleada_config"].keys_dir, now_utc())
        service.install_trust(signers.files, "user:anna", now_utc())
        db.session.remove()
    good, bad = tmp_path / "good.bundle", tmp_path / "bad.bundle"
    good.write_bytes(signers.bundle(some_info("9.0.0", security_version=9), now=now_utc()))
    bad.write_bytes(b"no bundle" * 1000)
    watched = Watched(inside("a.torres"))
    page = watched.page
    page.goto(f"{console.address}/releases")

    page.locator("#bundle").set_input_files(bad)
    expect(page.locator("#said")).to_contain_text("This file is not a release bundle.")
    page.locator("#bundle").set_input_files(good)
    expect(page.locator("#said")).to_contain_text("The signatures hold")
    expect(page.locator("#said")).to_contain_text("Version 9.0.0")
    page.get_by_role("button", name="Publish").click()

    page.wait_for_url("**/releases/VX-410/9.0.0")
    expect(page.locator("h1")).to_contain_text("9.0.0 for VX-410")
    assert [text for text in watched.said if "400" not in text] == []
