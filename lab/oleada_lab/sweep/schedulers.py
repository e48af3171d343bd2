"""Two schedulers on one database: the leader is paused before each transaction of each tick.

While it sleeps its lease runs out, the other one leads and does the same tick; then it is
woken and goes on with what it knew. Whoever has slept through its lease changes nothing:
after the wake the database is, to the last row, what the other one has left.

The schedulers and their ticks are the real ones, on SQLite in memory, and no time passes.
"""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from flask import Flask, current_app
from oleada_server.db import db
from oleada_server.messaging import leader
from oleada_server.scheduler import TICKS, Scheduler, Tick
from sqlalchemy import event

from oleada_lab.errors import LabError
from oleada_lab.sim import services_app, trust

HARDWARE_MODEL: Final = "VX-410"
VERSIONS: Final = {f"240C26000{number:02d}": "4.1.0" for number in range(3)}
SINCE_ENROLLED: Final = timedelta(hours=30)
ASLEEP: Final = leader.LEASE + timedelta(seconds=1)
PAUSES_MAX: Final = 1000
WAITS: Final = "online metadata"
"""Copies files under a lock of the machine: beside one who sleeps there, the other one waits."""
PAUSED: Final = tuple(tick for tick in TICKS if tick.name != WAITS)


@dataclass(slots=True)
class Paused:
    """What became of every pause.

    Attributes:
        pauses: Times that a leader was paused and woken.
        refused: Of these, when it was told that it leads no more.
        wrong: What a woken leader changed, in words; nothing when all is well.
    """

    pauses: int = 0
    refused: int = 0
    wrong: list[str] = field(default_factory=list)


def run_paused(ticks: tuple[Tick, ...] = PAUSED) -> Paused:
    """Pause the leader before every transaction of each of *ticks*; return what it changed.

    Raises:
        LabError: Two can not take turns at all, so that nothing is proved.
    """
    found = Paused()
    with services_app.app(HARDWARE_MODEL, VERSIONS) as database, _copy_of(database) as before:
        for tick in ticks:
            for at in range(PAUSES_MAX):
                before.backup(database)
                if not _pause(tick, at, database, found):
                    break
    if not found.refused and not found.wrong:
        raise LabError("No leader was ever refused what it had begun, so no pause proves a thing.")
    return found


def _pause(tick: Tick, at: int, database: sqlite3.Connection, found: Paused) -> bool:
    """Pause the leader before transaction *at* of *tick*; return whether it has so many."""
    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]
    now = trust.ENROLLED + SINCE_ENROLLED
    first, second = Scheduler(app, (tick,)), Scheduler(app, (tick,))
    if not first.lead(now):
        raise LabError("A scheduler that is alone does not lead.")
    left: list[str] = []

    def sleep() -> None:
        _take_over(second, tick, now + ASLEEP)
        left[:] = database.iterdump()

    with _before_transaction(at, sleep):
        was_done = first.run_once(tick, now)
    if not left:
        return False
    found.pauses += 1
    found.refused += not was_done
    if changed := set(database.iterdump()) ^ set(left):
        found.wrong.append(
            f"tick {tick.name}: a leader that slept before its transaction {at + 1} changed "
            f"{len(changed)} rows when it woke, after another one had led: {min(changed)}"
        )
    return True


def _take_over(scheduler: Scheduler, tick: Tick, now: datetime) -> None:
    if not scheduler.lead(now):
        raise LabError("Nobody can lead although the leader's lease has run out.")
    if not scheduler.run_once(tick, now):
        raise LabError(f"The tick {tick.name} does not come to its end.")


@contextmanager
def _before_transaction(at: int, sleep: Callable[[], None]) -> Iterator[None]:
    """Call *sleep* once, when a session is about to begin transaction *at* from now on."""
    left = at

    def begun(_session: Any, transaction: Any) -> None:
        nonlocal left
        if transaction.parent is not None:
            return
        left -= 1
        if left == -1:
            sleep()

    event.listen(db.session, "after_transaction_create", begun)
    try:
        yield
    finally:
        event.remove(db.session, "after_transaction_create", begun)


@contextmanager
def _copy_of(database: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    db.session.rollback()
    with closing(sqlite3.connect(":memory:")) as found:
        database.backup(found)
        yield found
