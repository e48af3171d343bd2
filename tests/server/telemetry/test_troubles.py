"""What goes wrong on a box is noted once for each hour and kind, whatever its messages do."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask import Flask
from oleada_server.db import db
from oleada_server.devices.models import Device
from oleada_server.messaging.inbox import Incoming, store
from oleada_server.telemetry import service
from oleada_server.telemetry.models import TroubleHour
from oleada_server.telemetry.troubles import MAIN_STREAM
from oleada_wire import messages, topics
from oleada_wire.ids import BootId
from oleada_wire.messages import Crash, Header, Message
from oleada_wire.topics import Up
from oleada_wire.words import BootReason
from sqlalchemy import select

from tests.server.rollouts.fleet import sqlite_only
from tests.support.fleet import a_health, a_hello, add_device

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
BOX = "VX417Q3K0928"
ZAP = f"{MAIN_STREAM}.VideoResponseStats.MaximumVideoSystemResponse"
UNDERRUNS = f"{MAIN_STREAM}.DejitteringStats.Underruns"
WATCHDOGS = "Device.DeviceInfo.Reboots.WatchdogBootCount"


@pytest.fixture(autouse=True)
def box(app: Flask) -> None:
    add_device(BOX)


def header(seq: int, at: datetime, boot: int = 1) -> Header:
    return Header(f"{seq:032x}", int(at.timestamp() * 1000), BootId(boot, "0badcafe"), seq)


def say(kind: Up, message: Message, now: datetime) -> None:
    """Let the box send *message*, which arrives at *now*."""
    done = store([Incoming(topics.up(BOX, kind), messages.encode(message))], now)
    assert not done.refused
    db.session.expire_all()


def crash(seq: int, at: datetime, heard_at: datetime | None = None) -> None:
    say(Up.CRASH, Crash(header(seq, at), "player", "SIGSEGV", "1.0.0"), heard_at or at)


def healthy(seq: int, at: datetime, boot: int = 1, **figures: Any) -> None:
    """Let the box say how it is; *figures* by the names above."""
    named = {globals()[name.upper()]: value for name, value in figures.items()}
    said = replace(a_health(), header=header(seq, at, boot), parameters=named)
    say(Up.HEALTH, said, at)


def restarts(seq: int, at: datetime, boot: int, reason: BootReason = BootReason.WATCHDOG) -> None:
    said = replace(a_hello(), header=header(seq, at, boot), boot_reason=reason)
    say(Up.HELLO, said, at)


def noted() -> list[tuple[str, datetime]]:
    rows = db.session.execute(select(TroubleHour.kind, TroubleHour.at).order_by(TroubleHour.at))
    return [(row[0], row[1]) for row in rows]


def test_crashes_of_one_hour_are_one_bad_hour_however_often_they_come() -> None:
    for seq, minutes in ((1, 3), (2, 40), (2, 40), (1, 3), (3, 65)):
        crash(seq, NOON + minutes * MINUTE)

    assert noted() == [("crash", NOON), ("crash", NOON + HOUR)]


@sqlite_only
def test_a_crash_that_is_heard_late_belongs_to_the_hour_in_which_it_was() -> None:
    crash(1, NOON + 50 * MINUTE, heard_at=NOON + 70 * MINUTE)

    assert noted() == [("crash", NOON)]
    assert db.session.scalar(select(TroubleHour.heard_at)) == NOON + 70 * MINUTE


@sqlite_only
def test_a_clock_that_is_known_to_be_wrong_is_put_right_first() -> None:
    db.session.get_one(Device, BOX).clock_ahead_s = -10 * 86_400
    db.session.commit()

    crash(1, NOON - timedelta(days=10), heard_at=NOON)

    assert noted() == [("crash", NOON)]


@sqlite_only
def test_a_restart_by_the_watchdog_counts_once_for_each_boot() -> None:
    restarts(1, NOON, boot=1, reason=BootReason.POWER_ON)
    restarts(2, NOON + MINUTE, boot=2)
    restarts(3, NOON + HOUR, boot=2)  # the same boot, on a new connection
    restarts(1, NOON + 2 * HOUR, boot=1)  # and one that was long on its way

    assert noted() == [("restart", NOON)]


@sqlite_only
@pytest.mark.parametrize(
    "reason", [BootReason.POWER_ON, BootReason.UPDATE, BootReason.REBOOT, BootReason.FALLBACK]
)
def test_a_restart_that_somebody_asked_for_is_no_trouble(reason: BootReason) -> None:
    restarts(1, NOON, boot=1, reason=BootReason.POWER_ON)
    restarts(2, NOON + MINUTE, boot=2, reason=reason)

    assert noted() == []


@sqlite_only
def test_the_first_boot_that_is_ever_heard_of_says_nothing() -> None:
    restarts(2, NOON, boot=2)

    assert noted() == []


@sqlite_only
def test_restarts_that_were_never_greeted_are_known_by_their_count() -> None:
    healthy(1, NOON, watchdogs=3)
    healthy(1, NOON + HOUR, boot=2, watchdogs=3)
    healthy(1, NOON + 2 * HOUR, boot=4, watchdogs=4)

    assert noted() == [("restart", NOON + 2 * HOUR)]


@sqlite_only
def test_a_count_is_judged_by_its_growth_and_begins_anew_with_a_boot() -> None:
    healthy(1, NOON, underruns=100)
    healthy(2, NOON + 5 * MINUTE, underruns=106)
    assert noted() == [("underruns", NOON)], "a hundred since the boot"

    healthy(3, NOON + HOUR, underruns=112)
    healthy(1, NOON + 2 * HOUR, boot=2, underruns=6)
    assert len(noted()) == 1

    healthy(2, NOON + 3 * HOUR, boot=2, underruns=13)
    assert noted()[1:] == [("underruns", NOON + 3 * HOUR)]


def test_a_largest_value_counts_when_it_is_new_and_not_for_ever() -> None:
    for seq, (hours, zap) in enumerate([(0, 4000), (1, 4001), (2, 4001), (3, 5000)], start=1):
        healthy(seq, NOON + hours * HOUR, zap=zap)

    assert noted() == [("slow_zap", NOON + HOUR), ("slow_zap", NOON + 3 * HOUR)]


@sqlite_only
@pytest.mark.parametrize("value", [True, "9999", "", -1, "NaN"])
def test_a_value_that_is_no_whole_number_says_nothing(value: object) -> None:
    healthy(1, NOON, zap=value, underruns=value, watchdogs=value)
    healthy(2, NOON + MINUTE, zap=value, underruns=value, watchdogs=value)

    assert noted() == []


def test_what_is_as_old_as_crashes_may_be_goes_with_them(app: Flask) -> None:
    for hours in range(5):
        crash(hours + 1, NOON + hours * HOUR)

    assert service.prune(NOON + timedelta(days=90) + 90 * MINUTE) == 4
    assert noted() == [("crash", NOON + hours * HOUR) for hours in (2, 3, 4)]
