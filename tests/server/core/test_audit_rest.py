"""The audit trail over REST, and a copy of it that an auditor checks far from the server."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner
from flask import Flask
from oleada_server.accounts import service as accounts
from oleada_server.accounts import tokens
from oleada_server.accounts.models import Role
from oleada_server.app import WITHOUT_PAGES, create_app
from oleada_server.audit import checked, exported, heads, witnessed
from oleada_server.audit.cli import audit_group
from oleada_server.audit.models import AuditEvent, AuditSighting
from oleada_server.clock import now_utc
from oleada_server.config import Config
from oleada_server.db import db
from oleada_server.errors import BadInputError
from oleada_store.keys import read_online, write_public
from sqlalchemy import text, update
from werkzeug.test import TestResponse

from tests.support.audit import add_deeds, unguarded
from tests.web.console import served

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
SCOPES = ("audit:read", "audit:export", "audit:settle")


@pytest.fixture
def trail(sqlite_config: Config) -> Iterator[Flask]:
    """A server with REST, twelve entries of which the last two name Nora, and one head."""
    directory = sqlite_config.keys_dir
    write_public(
        directory / "online-public.json",
        {"director": read_online(directory / "director.pem").public_key()},
    )
    app = create_app(sqlite_config, WITHOUT_PAGES)
    with app.app_context():
        add_deeds(10, NOON)
        accounts.add_user(
            "nora", full_name="Nora", role=Role.AUDITOR, actor="system:test", now=NOON
        )
        token = tokens.create_token("nora", "t", SCOPES, actor="system:test", now=now_utc())
        heads.sign(NOON)
        app.extensions["test_token"] = token
        yield app
        db.session.remove()
        db.engine.dispose()


def ask(app: Flask, path: str) -> TestResponse:
    headers = {"Authorization": f"Bearer {app.extensions['test_token']}"}
    return app.test_client().get(f"/api/v1/audit{path}", headers=headers, buffered=True)


def key_of(app: Flask) -> Path:
    config: Config = app.extensions["oleada_config"]
    return config.keys_dir / "online-public.json"


def test_entries_are_read_by_filters_and_in_pages(trail: Flask) -> None:
    first = ask(trail, "?object=R-3").get_json()
    page = ask(trail, "?action=rollout.&limit=4").get_json()
    next_page = ask(trail, f"?action=rollout.&limit=4&before={page['next']}").get_json()
    last = ask(trail, "?action=token.").get_json()

    assert [(one["object_ref"], one["actor"]) for one in first["entries"]] == [("R-3", "user:nora")]
    assert (page["total"], page["next"]) == (10, 7)
    assert [one["id"] for one in next_page["entries"]] == [6, 5, 4, 3]
    assert (len(last["entries"]), last["next"]) == (1, None)


def test_the_trail_says_of_itself_that_it_is_whole_or_which_entry_is_not(trail: Flask) -> None:
    whole = ask(trail, "/verify").get_json()
    with unguarded():
        db.session.execute(update(AuditEvent).where(AuditEvent.id == 7).values(reason="another"))
    hurt = ask(trail, "/verify").get_json()

    assert whole == {
        "entries": 12, "broken": None, "heads": 1, "wrong": [], "lost": [], "whole": True,
    }  # fmt: skip
    assert (hurt["broken"], hurt["whole"]) == (7, False)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("entry_sha256", "zz"),
        ("entry_sha256", "é" * 64),
        ("previous_sha256", ""),
        ("before", '{"role": "admin"}'),
        ("actor", "user:somebody-else"),
        ("at", "1999-01-01 00:00:00.000000"),
        ("at", "no date"),
        ("after", '{"role":'),
    ],
)
def test_whatever_is_written_over_an_entry_it_is_the_one_that_is_named(
    trail: Flask, column: str, value: str
) -> None:
    with unguarded():
        change = text(f"UPDATE audit_event SET {column} = :value WHERE id = 4")  # noqa: S608
        db.session.execute(change, {"value": value})

    assert checked.everything().broken == 4


def test_a_copy_that_was_fetched_is_whole_by_its_heads_far_from_the_server(
    trail: Flask, tmp_path: Path
) -> None:
    copy = tmp_path / "trail.jsonl"
    copy.write_text(ask(trail, "/export").text)
    lines = ask(trail, "/heads").text.splitlines()

    found = checked.of_export(copy, lines, key_of(trail))

    assert (found.is_whole, found.entries, found.heads) == (True, 12, 1)


def test_an_export_that_was_cut_anywhere_is_known_as_such(trail: Flask) -> None:
    lines = ask(trail, "/export").text.splitlines()

    for end in range(1, len(lines)):
        with pytest.raises(BadInputError, match="it was cut"):
            list(exported.read(lines[:end]))
    for at in range(len(lines[-2])):
        with pytest.raises(BadInputError):
            list(exported.read([*lines[:-2], lines[-2][:at]]))
    for missing in range(len(lines) - 1):
        with pytest.raises(BadInputError, match="lines are missing"):
            list(exported.read([*lines[:missing], *lines[missing + 1 :]]))


def test_an_entry_that_was_changed_in_a_copy_is_named(trail: Flask, tmp_path: Path) -> None:
    lines = ask(trail, "/export").text.splitlines()
    hurt = json.loads(lines[4]) | {"actor": "user:somebody"}
    copy = tmp_path / "trail.jsonl"
    copy.write_text("\n".join([*lines[:4], json.dumps(hurt), *lines[5:]]))

    assert checked.of_export(copy, [], None).broken == 5


@pytest.mark.parametrize("line", ["[]", "7", "{}", '{"id": "x"}', '{"at": 3}', "{" * 9000])
def test_what_is_no_entry_is_refused_by_its_line(trail: Flask, line: str) -> None:
    lines = ask(trail, "/export").text.splitlines()

    with pytest.raises(BadInputError, match=r"^Line [23] "):
        list(exported.read([lines[0], line, *lines[2:]]))


def test_an_auditor_fetches_what_is_new_and_checks_it_alone(
    trail: Flask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy, kept = tmp_path / "trail.jsonl", tmp_path / "heads.jsonl"
    kept.write_text(ask(trail, "/heads").text)
    check = ["verify", "--entries", str(copy), "--heads", str(kept), "--key", str(key_of(trail))]
    run = CliRunner()
    db.session.remove()
    with served(trail) as address:
        monkeypatch.setenv("OLEADA_URL", address)
        monkeypatch.setenv("OLEADA_TOKEN", trail.extensions["test_token"])
        first = run.invoke(audit_group, ["fetch", str(copy)])
        add_deeds(3, NOON)
        second = run.invoke(audit_group, ["fetch", str(copy)])
        nothing_new = run.invoke(audit_group, ["fetch", str(copy)])
    monkeypatch.setenv("OLEADA_DATA_DIR", str(tmp_path / "nowhere"))
    good = run.invoke(audit_group, check)
    copy.write_text("".join(f"{line}\n" for line in copy.read_text().splitlines()[:5]))
    cut = run.invoke(audit_group, check)

    added = [first.output, second.output, nothing_new.output]
    assert added == [f"{count} entries added to {copy}\n" for count in (12, 3, 0)]
    assert (good.exit_code, good.output) == (0, "15 entries, 1 heads: whole\n")
    assert cut.exit_code == 1
    assert "it was cut" in str(cut.exception)


def test_the_export_wants_its_scope(trail: Flask) -> None:
    reader = tokens.create_token("nora", "r", ["audit:read"], actor="system:test", now=now_utc())
    trail.extensions["test_token"] = reader
    db.session.remove()

    assert ask(trail, "").status_code == 200
    assert {ask(trail, path).status_code for path in ("/export", "/verify", "/heads")} == {403}


def test_an_auditor_settles_a_foreign_head_once_and_says_how(trail: Flask) -> None:
    found = AuditSighting(
        at=NOON, kind="split", size=99, root_sha256="ab" * 32, epoch=0, signed_ms=0,
        envelope_sha256="c" * 64, envelope="-", boxes=["VX417Q3K0928"],
    )  # fmt: skip
    db.session.add(found)
    db.session.commit()
    path, headers = (
        f"/api/v1/audit/sightings/{found.id}/settle",
        {"Authorization": f"Bearer {trail.extensions['test_token']}"},
    )

    answers = [
        trail.test_client().post(path, headers=headers, json={"reason": reason})
        for reason in ("", "   ", "it was the drill", "again")
    ]

    assert [one.status_code for one in answers] == [422, 400, 200, 409]
    assert answers[2].get_json()["settled_reason"] == "it was the drill"
    (listed,) = ask(trail, "/sightings").get_json()["sightings"]
    assert listed["settled_at"] is not None
    assert witnessed.settled_by(db.session.get_one(AuditSighting, found.id)) == "user:nora"
