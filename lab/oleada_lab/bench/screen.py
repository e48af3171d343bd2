"""From the inbox to the screen: a box's report, and its number on a page that is open.

The page of a rollout with ten thousand boxes stands open in Debian's Chromium. Each time is
from before a report enters the inbox until the browser has drawn the number that it makes:
the inbox's transaction, the stream, and the browser's own work.
"""

import os
from pathlib import Path
from random import Random
from typing import Any, Final

from flask import Flask
from oleada_server import config, schema
from oleada_server.accounts.access import SESSION_COOKIE
from oleada_server.app import create_app
from oleada_server.clock import to_ms
from oleada_server.db import db
from oleada_server.messaging import inbox
from oleada_server.rollouts.models import BoxInWave
from oleada_server.rollouts.states import BoxState
from oleada_wire import messages, topics
from oleada_wire.ids import BootId
from oleada_wire.messages import Header, Report
from oleada_wire.topics import Up
from oleada_wire.words import Phase
from sqlalchemy import select

from oleada_lab.bench import pages
from oleada_lab.bench.report import quantile
from oleada_lab.clock import monotonic_s, now_utc, sleep_s
from oleada_lab.errors import LabError

CHROMIUM: Final = "/usr/bin/chromium"
ARGUMENTS: Final = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
EVENTS: Final = 30
SCREEN_P95_S: Final = 1.0
WAIT_MS: Final = 60_000
NUMBER: Final = "#p-now .split li:first-child b"
SHOWN: Final = "(want) => document.querySelector('" + NUMBER + "').textContent !== want"


def measure(
    home: Path, seed: int, boxes: int = pages.BOXES, events: int = EVENTS
) -> dict[str, Any]:
    """Return how long reports took to reach the screen, and the goal.

    Raises:
        LabError: The browser's driver is not installed, or a report was not counted.
    """
    try:
        from playwright.sync_api import sync_playwright  # noqa: PLC0415 - only this part needs it
    except ImportError as error:
        raise LabError("This part drives a browser: install the extra `dev`.") from error
    app = create_app(config.load(home / "oleada", dict(os.environ)))
    with app.app_context():
        schema.upgrade()
        rollout_id = pages.fill(boxes, Random(seed), now_utc())
        secret = pages.sign_in()
        db.session.remove()
    times = []
    with pages.served(app) as port, sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        context = browser.new_context()
        address = f"http://127.0.0.1:{port}"
        context.add_cookies([{"name": SESSION_COOKIE, "value": secret, "url": address}])
        page = context.new_page()
        page.goto(f"{address}/rollouts/R-{rollout_id}")
        for number in range(1, events + 1):
            before = page.locator(NUMBER).inner_text()
            begun_s = monotonic_s()
            _report(app, number)
            page.wait_for_function(SHOWN, arg=before, timeout=WAIT_MS)
            times.append(monotonic_s() - begun_s)
            sleep_s(0.6)  # a page is told at most twice a second
        browser.close()
    with app.app_context():
        db.engine.dispose()
    found = {
        "boxes": boxes,
        "events": events,
        "event_to_screen_p50_s": round(quantile(times, 0.5), 3),
        "event_to_screen_p95_s": round(quantile(times, 0.95), 3),
        "event_to_screen_max_s": round(max(times), 3),
    }
    goals = {"event_to_screen_p95_s": SCREEN_P95_S}
    return {**found, "goals": goals, "met": found["event_to_screen_p95_s"] <= SCREEN_P95_S}


def _report(app: Flask, number: int) -> None:
    """Let a box that waits report that it is updated, by way of the inbox."""
    with app.app_context():
        waiting = select(BoxInWave).where(BoxInWave.state == BoxState.ASSIGNED).limit(1)
        box = db.session.scalars(waiting).one()
        said = Report(
            header=Header(f"{number:032x}", to_ms(now_utc()), BootId(1, "0badc0de"), number),
            assignment_id=f"AS-{box.id}",
            attempt=box.attempt,
            step=box.step + 1,
            phase=Phase.UPDATED,
            version="5.8.2",
            running_slot="B",
        )
        topic = topics.up(box.device_id, Up.REPORT)
        stored = inbox.store([inbox.Incoming(topic, messages.encode(said))], now_utc())
        db.session.remove()
    if not stored.counts[Up.REPORT]:
        raise LabError(f"Report {number} was not counted: {dict(stored.counts)}.")
