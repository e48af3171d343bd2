"""Leaders in any order of takes, sleeps and commits: no work is done twice in effect."""

from datetime import UTC, datetime, timedelta

from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from oleada_server.db import db
from oleada_server.messaging import leader
from oleada_server.messaging.leader import Lease, LeaseLostError
from oleada_server.messaging.models import Counter, Leader
from oleada_server.messaging.service import next_number
from sqlalchemy import delete, select

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
OWNERS = ("a", "b", "c")
STEP = st.tuples(
    st.sampled_from(("take", "work", "give up", "late work")),
    st.sampled_from(OWNERS),
    st.integers(min_value=0, max_value=8),  # seconds that pass before; the lease lives for 6
)


def _work(lease: Lease) -> bool:
    """Count in the database as *lease*; return whether it was committed."""
    try:
        with leader.only_as(lease):
            next_number(f"epoch {lease.epoch}")
            db.session.commit()
    except LeaseLostError:
        db.session.rollback()
        return False
    return True


def _holder() -> tuple[str, int] | None:
    found = db.session.execute(select(Leader.owner, Leader.epoch)).one_or_none()
    db.session.rollback()
    return (found.owner, found.epoch) if found else None


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(STEP, min_size=4, max_size=24))
def test_only_who_holds_the_lease_ever_commits(
    sqlite_app: Flask, steps: list[tuple[str, str, int]]
) -> None:
    for table in (Leader, Counter):
        db.session.execute(delete(table))
    db.session.commit()
    believed: dict[str, Lease] = {}
    epochs = [0]
    now = NOON
    for what, owner, passed_s in steps:
        now += timedelta(seconds=passed_s)
        match what:
            case "take":
                held = _holder()
                found = leader.take("tick", owner, now)
                assert found is None or _holder() == (owner, found.epoch)
                assert found is not None or _holder() == held, "who is refused changes nothing"
                if found is not None and found != believed.get(owner):
                    assert found.epoch > epochs[-1], "an epoch never comes back"
                    epochs.append(found.epoch)
                if found is not None:
                    believed[owner] = found
            case "give up" if owner in believed:
                leader.give_up(believed.pop(owner))
            case "work" | "late work" if owner in believed:
                lease = believed[owner]
                assert _work(lease) == (_holder() == (lease.owner, lease.epoch))
            case _:
                continue
