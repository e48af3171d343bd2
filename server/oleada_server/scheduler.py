"""The scheduler: APScheduler in a process of its own, and one leader among them.

Each job is an idempotent tick over database state. Only the leader ticks, and every
transaction of a tick commits only while its lease holds (messaging/leader.py).

APScheduler goes by the machine's own clock, so its jobs are timed by that and by no
other; set back, it would wait until it is there again (:meth:`Scheduler.watch_clock`).
"""

import logging
import os
import secrets
import signal
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from apscheduler.schedulers.background import BackgroundScheduler
from flask import Flask
from sqlalchemy.exc import SQLAlchemyError

from oleada_server import alive, clock, outage
from oleada_server.accounts import second_person
from oleada_server.actions import ticks as actions
from oleada_server.audit import heads
from oleada_server.db import db
from oleada_server.devices import history
from oleada_server.diagnosis import rolling, scopes
from oleada_server.diagnosis import service as diagnosis
from oleada_server.live import service as live
from oleada_server.messaging import leader
from oleada_server.releases import service as releases
from oleada_server.rollouts import going_back, newcomers, preparing
from oleada_server.rollouts import service as rollouts
from oleada_server.rollouts.evidence import folding
from oleada_server.system import service as system
from oleada_server.telemetry import service as telemetry

log = logging.getLogger(__name__)

ROLE: Final = "scheduler"
WATCH_CLOCK_S: Final = 1.0
SET_BACK_S: Final = 2.0
"""A clock that goes back further than this within one look was set."""


@dataclass(frozen=True, slots=True)
class Tick:
    """One job: *work* is called with the current time every *every_s* seconds."""

    name: str
    every_s: float
    work: Callable[[datetime], Any]


TICKS: Final = (
    Tick("rollouts", 1, rollouts.tick),
    Tick("boxes of rollouts", 1, preparing.tick),
    Tick("logs of ended rollouts", 60, folding.tick),
    Tick("newcomers", 60, newcomers.tick),
    Tick("boxes that go back", 5, going_back.tick),
    Tick("online metadata", 60, releases.refresh_online_metadata),
    Tick("changes", 300, live.prune),
    Tick("telemetry", 3600, telemetry.prune),
    Tick("actions", 3600, actions.prune),
    Tick("complaints", 3600, diagnosis.prune),
    Tick("hours of health", 10, rolling.tick),
    Tick("boxes heard by group", 60, scopes.tick),
    Tick("fleet over time", 60, history.tick),
    Tick("audit heads", 60, heads.tick),
    Tick("asked deeds", 600, second_person.tick),
)


class Scheduler:
    """Runs *ticks* of *app* while this process leads."""

    def __init__(self, app: Flask, ticks: tuple[Tick, ...] = TICKS) -> None:
        self._app = app
        self._ticks = ticks
        self._owner = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self._lease: leader.Lease | None = None
        self._database = outage.Spell(log, "database")
        self._owed: set[str] = set()
        self._ahead_s: float | None = None
        self._jobs = BackgroundScheduler(
            timezone="UTC",
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": 60},
        )

    def start(self) -> None:
        """Begin: lead if nobody does, tick while leading."""
        self.beat()
        self._lead_by_database()
        self._jobs.add_job(self._lead_by_database, "interval", seconds=leader.RENEW_S, id="lead")
        self._jobs.add_job(self.beat, "interval", seconds=system.BEAT_S, id="beat")
        for tick in self._ticks:
            self._jobs.add_job(
                self._job(tick),
                "interval",
                seconds=tick.every_s,
                id=tick.name,
                next_run_time=_timers_now(),
            )
        self.watch_clock()
        self._jobs.start()

    def stop(self) -> None:
        """End after the ticks that run now, and let another process lead at once."""
        self._jobs.shutdown(wait=True)
        with self._app.app_context():
            with suppress(SQLAlchemyError):  # it runs out by itself
                if self._lease is not None:
                    leader.give_up(self._lease)
            db.session.remove()

    def watch_clock(self) -> None:
        """Let every job run now if the machine's clock was set back since the last look."""
        ahead_s = clock.machine_now_utc().timestamp() - clock.monotonic_s()
        before_s, self._ahead_s = self._ahead_s, ahead_s
        if before_s is None or before_s - ahead_s < SET_BACK_S:
            return
        log.warning("this machine's clock was set back by %.0f s", before_s - ahead_s)
        for job in self._jobs.get_jobs():
            self._run_now(job.id)

    def lead(self, now: datetime) -> bool:
        """Take or renew the lease at *now* of the database; return whether this process leads."""
        lease: leader.Lease | None = None
        with self._app.app_context():
            try:
                lease = leader.take(ROLE, self._owner, now)
            except Exception as error:
                # a database that is away: the lease runs out by itself, and we try again
                self._failed("lead", error)
            else:
                self._worked("lead")
        if (lease is None) != (self._lease is None):
            log.info("leading: %s", lease is not None)
        self._lease = lease
        return lease is not None

    def beat(self) -> None:
        """Say that this scheduler lives and whether it leads; go by the database's clock."""
        host = socket.gethostname()
        facts = {"host": host, "leading": self._lease is not None}
        with self._app.app_context():
            try:
                system.beat(f"scheduler {os.getpid()} on {host}"[:80], system.SCHEDULER, facts)
            except Exception as error:
                self._failed("beat", error)
            else:
                self._worked("beat")
        alive.tell()

    def _lead_by_database(self) -> None:
        """Lead by the clock that every scheduler shares; two machines' clocks may differ."""
        with self._app.app_context():
            try:
                now = system.database_now()
            except Exception as error:
                self._failed("lead", error)
                self._lease = None
                return
        if self.lead(now):
            self._catch_up()

    def _catch_up(self) -> None:
        """Let what an outage has kept from running run now; its next turn may be far."""
        owed, self._owed = self._owed, set()
        for name in owed:
            self._run_now(name)

    def _run_now(self, name: str) -> None:
        self._jobs.modify_job(name, next_run_time=_timers_now())

    def run_once(self, tick: Tick, now: datetime) -> bool:
        """Run *tick* if this process leads; return whether it ran to its end."""
        lease = self._lease
        if lease is None:
            return False
        with self._app.app_context():
            try:
                with leader.only_as(lease):
                    tick.work(now)
            except leader.LeaseLostError as error:
                db.session.rollback()
                self._lease = None
                log.warning("tick %s: %s", tick.name, error)
                return False
            except Exception as error:
                # a tick that fails must not end the others; the next one begins anew
                self._failed(tick.name, error)
                return False
            self._worked(tick.name)
        return True

    def _failed(self, part: str, error: Exception) -> None:
        """Tell of an outage once, and of anything else with its traceback."""
        with suppress(SQLAlchemyError):  # what is gone can not be rolled back
            db.session.rollback()
        found = outage.of_all(error)
        if found is None:
            log.error("%s failed", part, exc_info=error)
            return
        self._database.failed(found, clock.monotonic_s(), part)
        if any(part == tick.name for tick in self._ticks):
            self._owed.add(part)

    def _worked(self, part: str) -> None:
        self._database.worked(clock.monotonic_s(), part)

    def _job(self, tick: Tick) -> Callable[[], None]:
        def work() -> None:
            self.run_once(tick, clock.now_utc())

        return work


def _timers_now() -> datetime:
    """Return the time as APScheduler reads it: the machine's, without the lab's wrong clock."""
    return clock.machine_now_utc() - clock.LAB_OFFSET


def run(app: Flask, ticks: tuple[Tick, ...] = TICKS) -> None:
    """Run *ticks* until SIGTERM or SIGINT."""
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    scheduler = Scheduler(app, ticks)
    scheduler.start()
    while not ended.wait(WATCH_CLOCK_S):
        scheduler.watch_clock()
    scheduler.stop()
