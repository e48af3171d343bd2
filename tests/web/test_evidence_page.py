"""The page of a rollout shows its evidence; REST says the same, and incidents are closed."""

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from oleada_server.audit import service as audit
from oleada_server.clock import now_utc
from oleada_server.db import db
from oleada_server.rollouts import service
from oleada_server.rollouts.errors import IncidentNotFoundError
from oleada_server.rollouts.evidence import closing
from oleada_server.rollouts.evidence.counts import Counted
from oleada_server.rollouts.states import BoxState

from tests.web.evidence_rows import add_evidence
from tests.web.test_decisions import send

SignIn = Callable[[Flask, str], FlaskClient]
ROLLOUT = 2


@pytest.fixture
def weighed(filled_app: Flask) -> Flask:
    """R-2 of the sample with evidence: 43 boxes began, 37 proved good, 1 failed, 1 is silent."""
    now = now_utc() - timedelta(hours=2)
    with filled_app.app_context():
        found = add_evidence(ROLLOUT, now)
        waves = service.summary(ROLLOUT)
        assert sum(wave.states.get(BoxState.UPDATED, 0) for wave in waves) == found[Counted.GOOD]
    return filled_app


def words_of(html: str) -> str:
    part = html[html.index('id="p-evidence"') :]
    part = part[: part.index("</section>")]
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", part))


def test_the_page_draws_the_evidence_and_says_it_in_numbers(
    weighed: Flask, signed_in: SignIn
) -> None:
    html = signed_in(weighed, "e.prieto").get("/rollouts/R-2").get_data(as_text=True)

    said = words_of(html)
    assert "at 200 it halts. 2 of 43 that began speak against it" in said
    assert "halts at 200" in said
    assert "I-1" in said
    assert "it was too much" in said
    assert re.search(r'<path d="M0 [\d.]+L', html[html.index('id="p-evidence"') :])
    assert "What happens next" in said


def test_an_incident_is_closed_on_its_page_with_what_was_found(
    weighed: Flask, signed_in: SignIn
) -> None:
    client = signed_in(weighed, "e.prieto")
    html = client.get("/rollouts/R-2").text
    assert "Close I-1" in html

    path = "/rollouts/R-2/incidents/1/close"
    refused = send(client, path, html, reason="")
    closed = send(client, path, html, reason="a loose cable")

    assert refused.status_code == 400
    assert closed.status_code == 303
    page = client.get("/rollouts/R-2").text
    assert "a loose cable" in words_of(page)
    assert "Close I-1" not in page


def test_the_gate_shows_what_the_evidence_measures_its_limit_and_its_sample(
    weighed: Flask, signed_in: SignIn
) -> None:
    html = signed_in(weighed, "e.prieto").get("/rollouts/R-2").text
    gate = html[html.index('id="p-gate"') :]
    gate = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", gate[: gate.index("</section>")]))

    assert re.search(r"Evidence against it halts at 200; 43 boxes began .*?E [\d.]+", gate)
    assert "is proven by 59 good ones and none bad" in gate
    assert re.search(r"2 bad; at most 5.% is proven by .*? 37 good", gate)


def test_force_is_asked_with_the_number_and_shown_until_it_is_taken_back(
    weighed: Flask, signed_in: SignIn
) -> None:
    client = signed_in(weighed, "e.prieto")
    html = client.get("/rollouts/R-2").text
    typed = re.search(r'force-confirm">Type <b class="mono">([^<]+)</b>', html)
    assert typed is not None

    wrong = send(client, "/rollouts/R-2/force", html, reason="a fire", confirm="1")
    done = send(client, "/rollouts/R-2/force", html, reason="a fire", confirm=typed[1])

    assert (wrong.status_code, done.status_code) == (409, 303)
    page = client.get("/rollouts/R-2").text
    assert "it begins on boxes that record" in page
    assert send(client, "/rollouts/R-2/unforce", page).status_code == 303
    assert "it begins on boxes that record" not in client.get("/rollouts/R-2").text


def test_rest_gives_the_numbers_from_which_anyone_can_recompute_e(
    weighed: Flask, signed_in: SignIn
) -> None:
    client = signed_in(weighed, "e.prieto")
    found: dict[str, Any] = client.get("/api/v1/rollouts/R-2/evidence").get_json()

    now = found["evidence"]["now"]
    assert {name: now[name] for name in ("begun", "bad", "silent", "good")} == {
        "begun": 43, "bad": 1, "silent": 1, "good": 37,
    }  # fmt: skip
    last, first = found["moments"][-1], found["moments"][0]
    assert first["begun"] == 0
    assert last["log_e"] == now["log_e"]
    assert {k: last[k] for k in ("begun", "bad", "silent", "good")} == {
        "begun": 43, "bad": 1, "silent": 1, "good": 37,
    }  # fmt: skip
    assert [moment["bad"] for moment in found["moments"]] == sorted(
        moment["bad"] for moment in found["moments"]
    )
    assert sum(one["boxes"] for one in now["strata"]) > 43
    assert found["incidents"][0]["top_fault"] == "health-check"


def test_bad_hours_stand_beside_those_of_boxes_that_wait(weighed: Flask, signed_in: SignIn) -> None:
    client = signed_in(weighed, "e.prieto")
    html = client.get("/rollouts/R-2").text
    found = client.get("/api/v1/rollouts/R-2/evidence").get_json()["evidence"]["hours"]

    kinds = {one["kind"]: one for one in found["kinds"]}
    assert (found["late"], len(kinds)) == (1, 6)
    assert {name: kinds["dark"][name] for name in kinds["dark"] if name != "log_e"} == {
        "kind": "dark", "updated_hours": 37, "updated_bad": 2, "waiting_hours": 40,
        "waiting_bad": 5,
    }  # fmt: skip
    said = words_of(html)
    assert re.search(r"Went dark Updated: bad hours 2 of hours 37 .*? 5 of hours 40 E 0\.\d", said)
    assert "Lost frames" not in said, "no box has reported them"
    assert "1 trouble was heard of too late" in said
    gate = re.sub(r"(<[^>]+>|\s)+", " ", html[html.index('id="p-gate"') :])
    assert re.search(r"Hours beside boxes that wait \w[^:]*: \d in 37 hours, \d in 40 beside", gate)


def test_a_rollout_with_limits_alone_shows_no_evidence(
    filled_app: Flask, signed_in: SignIn
) -> None:
    client = signed_in(filled_app, "e.prieto")

    html = client.get("/rollouts/R-2").get_data(as_text=True)
    assert re.search(r'id="p-evidence"[^>]* hidden', html)
    found = client.get("/api/v1/rollouts/R-2/evidence").get_json()
    assert found == {"evidence": None, "moments": [], "incidents": []}


def test_an_incident_is_closed_once_with_what_was_found(weighed: Flask) -> None:
    with weighed.app_context():
        now = now_utc()
        for finding in ("a cable", "another cable"):
            found = closing.close("I-1", finding, actor="user:ana", now=now)
            assert found.finding == "a cable"
        with pytest.raises(IncidentNotFoundError):
            closing.close("x", "a cable", actor="user:ana", now=now)
        actions = [event.action for event in audit.events_about("R-2")]
        db.session.rollback()

    assert actions.count("incident.close") == 1
