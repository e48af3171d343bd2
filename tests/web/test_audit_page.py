"""The audit trail: whole and by object, in pages that do not slip, as CSV, with its chain."""

import csv
import io
import re
from collections.abc import Callable

from flask import Flask
from flask.testing import FlaskClient
from oleada_server.audit import service as audit
from oleada_server.audit.models import AuditEvent
from oleada_server.clock import now_utc
from oleada_server.db import db
from sqlalchemy import func, select, update

from tests.support.audit import unguarded

SignIn = Callable[..., FlaskClient]


def add_entries(app: Flask, count: int) -> None:
    with app.app_context():
        for number in range(count):
            audit.record("user:a.torres", "rollout.pause", f"R-{number}", now=now_utc(),
                         reason=f"=reason {number}", before={"n": number},
                         after={"n": number + 1})  # fmt: skip
        db.session.commit()
        db.session.remove()


def hashes_of(page: str) -> list[str]:
    return re.findall(r'<small class="mono">([0-9a-f]{8})</small>', page)


def test_older_entries_follow_without_a_gap_while_new_ones_come_in(
    filled_app: Flask, signed_in: SignIn
) -> None:
    add_entries(filled_app, 120)
    client = signed_in(filled_app)
    page, seen = client.get("/audit").text, []
    with filled_app.app_context():
        whole = [one[:8] for one in db.session.scalars(
            select(AuditEvent.entry_sha256).order_by(AuditEvent.id.desc()))]  # fmt: skip
        db.session.remove()

    seen += hashes_of(page)
    add_entries(filled_app, 3)
    while older := re.search(r'rel="next" href="([^"]+)"', page):
        page = client.get(older[1].replace("&amp;", "&")).text
        seen += hashes_of(page)

    assert seen == whole


def test_the_trail_of_one_object_shows_who_why_and_what_changed(
    filled_app: Flask, signed_in: SignIn
) -> None:
    add_entries(filled_app, 3)

    page = signed_in(filled_app).get("/audit?object=R-2").text

    assert "<b>4 entries</b>" in page
    assert "<del>2</del> <ins>3</ins>" in page
    assert 'href="/rollouts/R-2"' in page
    assert "wave 3 opens for" in page


def test_an_entry_that_was_changed_from_outside_is_found(
    filled_app: Flask, signed_in: SignIn
) -> None:
    client = signed_in(filled_app)
    good = client.get("/audit/chain").text
    with filled_app.app_context():
        third = db.session.scalars(select(AuditEvent.id).order_by(AuditEvent.id)).all()[2]
        with unguarded():
            row = AuditEvent.id == third
            db.session.execute(update(AuditEvent).where(row).values(reason="mine"))
        db.session.commit()
        db.session.remove()

    bad = client.get("/audit/chain").text

    assert re.search(r"All \d+ entries fit the chain", good)
    assert f"Entry {third} does not fit the chain" in bad


def test_the_export_has_every_entry_and_no_formula(filled_app: Flask, signed_in: SignIn) -> None:
    add_entries(filled_app, 1100)  # more than a chunk
    client = signed_in(filled_app)

    answer = client.get("/audit.csv?action=rollout.pause")
    rows = list(csv.DictReader(io.StringIO(answer.text)))

    assert "attachment" in answer.headers["Content-Disposition"]
    assert len(rows) == len({row["id"] for row in rows}) == 1100
    assert rows[0]["reason"] == "'=reason 1099"
    assert rows[0]["before"] == '{"n": 1099}'


def test_nothing_that_matches_offers_the_way_back(filled_app: Flask, signed_in: SignIn) -> None:
    page = signed_in(filled_app).get("/audit?object=R-404").text

    assert "No entry matches" in page
    assert "Remove this filter" in page


def test_reading_the_trail_adds_nothing_to_it(filled_app: Flask, signed_in: SignIn) -> None:
    client = signed_in(filled_app)

    def entries() -> int:
        with filled_app.app_context():
            found = db.session.scalar(select(func.count(AuditEvent.id))) or 0
            db.session.remove()
            return found

    before = entries()
    for path in ("/audit", "/audit.csv", "/audit/chain", "/fleet", "/releases"):
        client.get(path)

    assert entries() == before


def test_what_changed_is_told_in_the_readers_words(filled_app: Flask, signed_in: SignIn) -> None:
    with filled_app.app_context():
        before = {"state": "draft", "role": "viewer", "odd": {"state": 1}}
        after = {"state": "awaiting_approval", "waves": ["Wave 1", "Wave 2"]}
        audit.record(
            "user:a.torres", "rollout.ask", "R-1", now=now_utc(), before=before, after=after
        )
        db.session.commit()
        db.session.remove()

    page = signed_in(filled_app, "v.dvorak").get("/audit").text

    assert "<ins>Čeká na schválení</ins>" in page
    assert "<ins>Wave 1, Wave 2</ins>" in page
    assert "awaiting_approval</ins>" not in page


def test_a_list_past_its_end_says_that_nothing_is_older(
    filled_app: Flask, signed_in: SignIn
) -> None:
    page = signed_in(filled_app).get("/rollouts?before=1").text

    assert "There is no older rollout" in page
