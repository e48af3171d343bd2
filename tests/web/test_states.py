"""Every page in every state it can be in: empty, filtered, failed in part, stale, without right.

Conflicts have a table of their own (``test_conflicts.py``), and so have forms that outlive
their session (``test_kept_forms.py``).
"""

import re
from collections.abc import Callable
from typing import NamedTuple

from flask import Flask
from flask.testing import FlaskClient
from oleada_server.db import db
from sqlalchemy import text

SignIn = Callable[..., FlaskClient]


class Case(NamedTuple):
    """A page in a state, and what it then says; *but* is what it still shows beside."""

    path: str
    says: str
    but: str = ""


EMPTY = [
    Case("/rollouts", "No rollout is planned yet", "Plan a rollout"),
    Case("/rollouts/new", "No firmware is published yet", "oleada release publish"),
    Case("/releases", "No release is published yet", "oleada release build"),
    Case("/rollouts/R-1", "There is no rollout R-1."),
    Case("/releases/VX-410/5.8.2", "There is nothing here"),
    Case("/audit", "user.add", "Only added to, never changed"),
    Case("/users", "<b>5 people</b> have an account.", "Add somebody"),
    Case("/users/a.torres", "added the user", "Make a link"),
    Case("/settings", "Signed in as <b>Marek Novák</b>", "Time zone"),
    Case("/help", "A status is always a shape and a word", "Keys"),
]
FILTERED = [
    Case("/rollouts?state=open", "No rollout is in this state", "Show all"),
    Case("/rollouts?before=1", "There is no older rollout", "Show all"),
    Case("/audit?object=R-999", "No entry matches", "Remove this filter"),
    Case("/audit?object=R-999&actor=x", "No entry matches", "Remove all"),
]
FAILED = {
    "audit_event": [
        Case("/rollouts/R-2", "Activity could not be read", "Wave 3 now"),
        Case("/releases/VX-410/5.8.2", "Activity could not be read", "Where it runs"),
        Case("/users/a.torres", "Activity could not be read", "Make a link"),
    ],
    "device": [
        Case("/rollouts/R-2", "Why boxes did not get it could not be read", "Gate 3"),
        Case("/releases/VX-410/5.8.2", "Where it runs could not be read", "Signature"),
    ],
    "box_in_wave": [
        Case("/rollouts", "List of rollouts could not be read", "Plan a rollout"),
        Case("/rollouts", "Some of this page could not be read."),
    ],
    "rollout": [
        Case("/releases/VX-410/5.8.2", "Rollouts of it could not be read", "Signature"),
    ],
}
NO_RIGHT = {
    "v.dvorak": [
        Case(
            "/rollouts/new",
            "role <b>Operátor</b>; vy máte Pozorovatel",
            "Ana Torres, Elena Prieto",
        ),
        Case("/rollouts/R-2/stop", "role <b>Operátor</b>; vy máte Pozorovatel", "Ana Torres"),
        Case("/releases/VX-410/5.8.2/withdraw", "role <b>Podepisující vydání</b>", "Marek Novák"),
        Case("/users", "role <b>Auditor</b>", "ji má: Marek Novák."),
        Case("/users/a.torres", "role <b>Auditor</b>", "ji má: Marek Novák."),
        Case("/rollouts/R-2", "Ke změně je třeba role Operátor", "Vlna 3"),
        Case("/releases", "K vydání je třeba role Operátor", "5.8.2"),
    ],
    "e.prieto": [Case("/users", "the role <b>Auditor</b>; you have Approver", "Novák")],
}
LIVE = ["/rollouts", "/rollouts/R-2"]


def lacking(client: FlaskClient, cases: list[Case]) -> list[str]:
    """Return the pages that do not say what they should."""
    wrong = []
    for case in cases:
        page = client.get(case.path).text
        main = page.partition("<main")[2]
        wrong += [f"{case.path}: {it}" for it in case[1:] if it not in main]
    return wrong


def rename(app: Flask, table: str, to: str) -> None:
    with app.app_context():
        db.session.execute(text(f"ALTER TABLE {table} RENAME TO {to}"))
        db.session.commit()


def test_an_empty_page_says_why_and_what_to_do_and_a_filtered_one_how_to_widen_it(
    empty_app: Flask, signed_in: SignIn
) -> None:
    client = signed_in(empty_app, "m.novak")

    assert lacking(client, EMPTY + FILTERED) == []


def test_a_page_of_which_a_part_fails_says_which_and_shows_the_rest(
    filled_app: Flask, signed_in: SignIn
) -> None:
    client, wrong = signed_in(filled_app, "m.novak"), []

    for table, cases in FAILED.items():
        rename(filled_app, table, f"{table}_away")
        wrong += lacking(client, cases)
        rename(filled_app, f"{table}_away", table)

    assert wrong == []


def test_who_lacks_the_right_reads_which_role_it_needs_and_whom_to_ask(
    filled_app: Flask, signed_in: SignIn
) -> None:
    wrong = []
    for name, cases in NO_RIGHT.items():
        wrong += lacking(signed_in(filled_app, name), cases)

    assert wrong == []


def test_a_live_page_comes_whole_and_can_say_that_it_is_stale(
    filled_app: Flask, signed_in: SignIn
) -> None:
    client = signed_in(filled_app)

    for path in LIVE:
        page = client.get(path).text
        assert re.search(r'data-figures="\d\d:\d\d:\d\d"', page), path
        assert re.search(r'<div id="stale"[^>]* hidden>', page), path
        assert "Live updates stopped" in page, path
        assert "aria-busy" not in page, path
