"""The audit chain and the change table."""

from datetime import UTC, datetime, timedelta

import pytest
from flask import Flask
from oleada_server.audit import service as audit
from oleada_server.audit.models import AuditEvent
from oleada_server.db import db
from oleada_server.live import service as live
from sqlalchemy import delete, update

from tests.support.audit import unguarded

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def _three_deeds() -> None:
    for number in range(3):
        audit.record(
            "user:nora", "rollout.pause", f"R-{number}", now=NOON, before={"share": 0.25}, after={}
        )
    db.session.commit()
    db.session.expire_all()


def test_an_untouched_trail_is_whole(app: Flask) -> None:
    _three_deeds()

    assert audit.first_broken() is None


@pytest.mark.parametrize("field", ["actor", "action", "object_ref", "reason"])
def test_a_changed_entry_breaks_the_trail(app: Flask, field: str) -> None:
    _three_deeds()
    with unguarded():
        db.session.execute(update(AuditEvent).where(AuditEvent.id == 2).values({field: "other"}))

    assert audit.first_broken() == 2


def test_a_removed_entry_breaks_the_trail_at_the_next(app: Flask) -> None:
    _three_deeds()
    with unguarded():
        db.session.execute(delete(AuditEvent).where(AuditEvent.id == 2))

    assert audit.first_broken() == 3


def test_an_undone_deed_leaves_no_entry(app: Flask) -> None:
    audit.record("user:nora", "rollout.stop", "R-1", now=NOON)
    db.session.rollback()

    assert audit.events_about("R-1") == []


def test_touching_twice_in_a_transaction_is_one_change(app: Flask) -> None:
    live.touch("R-1", NOON)
    live.touch("R-1", NOON)
    live.touch("devices", NOON)
    db.session.commit()

    assert [c.object_ref for c in live.changes_since(0)] == ["R-1", "devices"]


def test_what_was_touched_in_a_transaction_that_failed_is_not_announced(app: Flask) -> None:
    live.touch("R-1", NOON)
    db.session.rollback()
    live.touch("R-2", NOON)
    db.session.commit()

    assert [c.object_ref for c in live.changes_since(0)] == ["R-2"]


def test_a_change_survives_a_savepoint_and_is_written_once(app: Flask) -> None:
    live.touch("R-1", NOON)
    with db.session.begin_nested():
        live.touch("R-2", NOON)
    db.session.commit()

    assert [c.object_ref for c in live.changes_since(0)] == ["R-1", "R-2"]


def test_a_savepoint_that_fails_does_not_silence_what_was_touched_before_it(app: Flask) -> None:
    live.touch("R-1", NOON)
    db.session.begin_nested().rollback()
    db.session.commit()

    assert [c.object_ref for c in live.changes_since(0)] == ["R-1"]


def test_only_what_was_asked_for_is_told_and_only_what_is_new(app: Flask) -> None:
    for ref in ("R-1", "R-2", "R-1"):
        live.touch(ref, NOON)
        db.session.commit()

    last = live.changes_since(0, ["R-1"])[0].id
    assert [c.object_ref for c in live.changes_since(last, ["R-1"])] == ["R-1"]
    assert live.latest_id() == live.changes_since(0)[-1].id


def test_old_changes_are_pruned(app: Flask) -> None:
    live.touch("old", NOON - timedelta(hours=2))
    db.session.commit()
    live.touch("new", NOON)
    db.session.commit()

    assert live.prune(NOON) == 1
    assert [c.object_ref for c in live.changes_since(0)] == ["new"]
