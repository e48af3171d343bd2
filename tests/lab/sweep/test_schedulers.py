"""A leader that sleeps through its lease changes nothing once it wakes, wherever it slept."""

from contextlib import nullcontext
from datetime import datetime

import pytest
from oleada_lab.errors import LabError
from oleada_lab.sweep import schedulers
from oleada_server.db import db
from oleada_server.messaging import leader
from oleada_server.messaging.service import next_number
from oleada_server.scheduler import TICKS, Tick


def count_twice(_now: datetime) -> None:
    """Count in two transactions; nothing that is read keeps the second from coming again."""
    for name in ("first", "second"):
        next_number(name)
        db.session.commit()


def test_a_leader_that_wakes_changes_nothing_in_any_tick_of_the_server() -> None:
    found = schedulers.run_paused()

    assert found.wrong == []
    assert found.pauses > len(schedulers.PAUSED), "some tick has more than one transaction"
    assert found.refused > 0


def test_every_tick_is_paused_but_the_one_whose_lock_the_machine_keeps() -> None:
    left = set(TICKS) - set(schedulers.PAUSED)

    assert {tick.name for tick in left} == {schedulers.WAITS}


def test_it_is_paused_before_each_transaction_and_refused_in_each() -> None:
    found = schedulers.run_paused((Tick("count", 1, count_twice),))

    assert (found.pauses, found.refused, found.wrong) == (2, 2, [])


def test_a_leader_that_nobody_checks_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leader, "only_as", lambda _lease: nullcontext())

    found = schedulers.run_paused((Tick("count", 1, count_twice),))

    assert len(found.wrong) == 2
    assert "slept before its transaction 2" in found.wrong[1]


def test_a_tick_in_which_nobody_is_ever_refused_proves_nothing() -> None:
    with pytest.raises(LabError, match="no pause proves a thing"):
        schedulers.run_paused((Tick("idle", 1, lambda _now: None),))
