"""Foreign heads: what each means, in words, and that an auditor settles it with a reason."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient
from oleada_server.accounts.models import Role
from oleada_server.audit import witnessed
from oleada_server.audit.models import AuditEvent, AuditSighting
from oleada_server.audit.witnessed import Kind
from oleada_server.clock import now_utc, to_ms
from oleada_server.db import db

from tests.web.forms import csrf_of, use_link
from tests.web.sample import add_named

SignIn = Callable[..., FlaskClient]
DAY = timedelta(days=1)
BOX = "VX417Q3K0928"


def add_sighting(app: Flask, kind: Kind, size: int = 99, boxes: int = 1, **changed: object) -> int:
    """Store that boxes said a head of *size* entries; return its number."""
    with app.app_context():
        found = AuditSighting(
            **{
                "at": now_utc() - DAY, "kind": kind, "size": size, "root_sha256": "ab" * 32,
                "epoch": 0, "signed_ms": to_ms(now_utc() - DAY), "envelope": "-",
                "envelope_sha256": f"{size:064x}", "boxes": [BOX] * boxes, **changed,
            }
        )  # fmt: skip
        db.session.add(found)
        db.session.commit()
        number = found.id
        db.session.remove()
    return number


@pytest.fixture
def auditor(empty_app: Flask) -> FlaskClient:
    """Return the browser of an auditor."""
    with empty_app.app_context():
        people = {"a.ruda": ("Alena Rudá", Role.AUDITOR, "en", "UTC")}
        token = add_named(people, now_utc())["a.ruda"]
        db.session.remove()
    client = empty_app.test_client()
    use_link(client, token)
    return client


def settle(client: FlaskClient, number: int, reason: str) -> tuple[int, str]:
    page = client.get("/settings").text
    sent = {"csrf_token": csrf_of(page), "reason": reason}
    answer = client.post(
        f"/audit/sightings/{number}/settle", data=sent, follow_redirects=True,
        headers={"Referer": "http://localhost/audit/sightings"},
    )  # fmt: skip
    return answer.status_code, answer.text


def test_each_says_what_it_means_and_the_one_that_rings_comes_first(
    empty_app: Flask, signed_in: SignIn
) -> None:
    client = signed_in(empty_app)
    none = client.get("/audit/sightings").text
    add_sighting(empty_app, Kind.SPLIT, 7)
    add_sighting(empty_app, Kind.LOST, 8, boxes=witnessed.NAMED_MAX)

    page = client.get("/audit/sightings").text

    assert "No box was shown a head that is not this server's" in none
    assert page.index("Somebody else has this server's key") < page.index("Lost in a restore")
    assert f'href="/devices/{BOX}"' in page
    assert page.count("and maybe more") == 1
    assert "An auditor settles it." in page
    assert "/settle" not in page


def test_an_auditor_settles_it_with_a_reason_and_the_trail_says_who(
    empty_app: Flask, auditor: FlaskClient
) -> None:
    number = add_sighting(empty_app, Kind.SPLIT)
    leads_there = 'class="btn sm" href="/audit/sightings"'
    assert leads_there in auditor.get("/audit").text
    assert leads_there not in auditor.get("/audit/sightings").text

    status, page = settle(auditor, number, "  it was the drill, the copy is gone ")

    assert status == 200
    assert "Settled: boxes were shown another audit trail" in page
    assert '“it was the drill, the copy is gone” <span class="sub">a.ruda' in page
    assert "was shown another audit trail than this server" not in auditor.get("/audit").text
    with empty_app.app_context():
        entry = db.session.scalars(
            db.select(AuditEvent).where(AuditEvent.action == "audit.settle")
        ).one()
        assert (entry.actor, entry.object_ref) == ("user:a.ruda", "head:99")
        db.session.remove()


def test_without_a_reason_or_twice_it_is_not_settled(
    empty_app: Flask, auditor: FlaskClient
) -> None:
    number = add_sighting(empty_app, Kind.SPLIT)

    empty, page = settle(auditor, number, "   ")
    settle(auditor, number, "gone")
    again, told = settle(auditor, number, "gone for good")

    assert (empty, again) == (400, 409)
    assert "A reason is missing" in page
    assert "“gone”" in told
    assert settle(auditor, 4711, "gone")[0] == 404


def test_a_thief_who_signs_at_no_time_breaks_no_page_and_a_long_list_is_cut(
    empty_app: Flask, signed_in: SignIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    for size, signed_ms in enumerate((-(2**63), -1, 2**63 - 1, 253_402_300_799_999)):
        add_sighting(empty_app, Kind.SPLIT, size, signed_ms=signed_ms)
    client = signed_in(empty_app)

    whole = client.get("/audit/sightings").text
    monkeypatch.setattr("oleada_server.web.sightings.SHOWN_MAX", 2)
    cut = client.get("/audit/sightings").text

    assert whole.count("at no time that can be") == 4
    assert "2 of 4 shown" in cut
