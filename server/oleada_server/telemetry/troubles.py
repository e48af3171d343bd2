"""What goes wrong on a box, noted once for each box, kind and hour as its messages come.

A crash, a restart by the watchdog, a key figure that goes out of its limit. What is noted
are rows of integers that rollouts count beside each other (rollouts/evidence/beside.py); they
say nothing of a release by themselves. A value that is missing, or no whole number, says
nothing.

The hour is that of the box's message, by the server's clock: a clock that is known to be
wrong is put right first, so that a box whose clock stands in 1970 is no box without trouble.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from oleada_wire.messages import Crash, Health, Hello
from oleada_wire.words import BootReason
from sqlalchemy import ColumnElement, delete, select

from oleada_server import config as settings
from oleada_server.clock import box_time
from oleada_server.config import Config
from oleada_server.db import chunks, db, insert, listed
from oleada_server.devices.models import Device
from oleada_server.telemetry.models import TroubleHour

CLOCK_WRONG_S: Final = 60
"""A clock that is off by less is right enough for an hour."""
MAIN_STREAM: Final = "Device.Services.STBService.1.ServiceMonitoring.MainStream.1.Total"

SILENCE: Final = "dark"
"""No trouble that a box can tell of: it was missed."""


class Trouble(StrEnum):
    """What can make an hour of a box a bad one."""

    CRASH = "crash"
    RESTART = "restart"
    SLOW_ZAP = "slow_zap"
    LOST_FRAMES = "lost_frames"
    UNDERRUNS = "underruns"


@dataclass(frozen=True, slots=True)
class Figure:
    """A key figure of health; the name is TR-181's or TR-135's.

    Attributes:
        limit: The setting that says how much is too much; None where any is.
        is_count: It counts since the boot: its growth from one message to the next is judged.
        outlives_boot: It counts on over a restart.
    """

    trouble: Trouble
    name: str
    limit: str | None
    is_count: bool = True
    outlives_boot: bool = False


FIGURES: Final = (
    Figure(Trouble.SLOW_ZAP, f"{MAIN_STREAM}.VideoResponseStats.MaximumVideoSystemResponse",
           "zap_ms_max", is_count=False),
    Figure(Trouble.LOST_FRAMES, f"{MAIN_STREAM}.VideoDecoderStats.LostFrames", "lost_frames_max"),
    Figure(Trouble.UNDERRUNS, f"{MAIN_STREAM}.DejitteringStats.Underruns", "underruns_max"),
    Figure(Trouble.RESTART, "Device.DeviceInfo.Reboots.WatchdogBootCount", None,
           outlives_boot=True),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Before:
    """What was known of a box: the *boot* that spoke, its *figures* by name, its clock."""

    boot: str
    figures: Mapping[str, object]
    clock_ahead_s: int = 0


def of_health(health: Health, before: Before, config: Config) -> set[Trouble]:
    """Return what *health* says has gone wrong since *before*."""
    boot = str(health.header.boot)
    return {
        figure.trouble
        for figure in FIGURES
        if _is_out(figure, boot, health.parameters.get(figure.name), before, _limit(figure, config))
    }


def is_suspicious(health: Health, config: Config) -> bool:
    """Return whether *health* could say that something went wrong, whatever was before."""
    said = health.parameters
    return any(_number(said.get(one.name)) > _limit(one, config) for one in FIGURES)


def record_health(items: Sequence[tuple[str, Health]], now: datetime) -> None:
    """Note what *items* say; call it before the newest health of their boxes is written."""
    config = settings.current()
    found = [item for item in items if is_suspicious(item[1], config)]
    if not found:
        return
    known = _before(device_id for device_id, _ in found)
    rows = []
    for device_id, health in sorted(found, key=_order):
        before = known.get(device_id)
        if before is None:
            continue
        at = _happened_at(health.header.at_ms, before, now)
        rows += [(device_id, trouble, at) for trouble in of_health(health, before, config)]
        known[device_id] = Before(str(health.header.boot), health.parameters, before.clock_ahead_s)
    _note(rows, now)


def record_hello(device_id: str, hello: Hello, now: datetime) -> None:
    """Note a restart that nobody asked for; call it before the row of its box is written.

    A box says hello again with each connection, so the first one of a boot counts. One whose
    plug was pulled has not restarted by itself, and the first boot that we ever hear of may
    be long ago.
    """
    if hello.boot_reason is not BootReason.WATCHDOG:
        return
    known = db.session.scalar(select(Device.hello_boot).where(Device.id == device_id))
    boot = str(hello.header.boot)
    if known and boot != known and boot[:8] >= known[:8]:
        _note([(device_id, Trouble.RESTART, now)], now)


def record_crash(device_id: str, crash: Crash, now: datetime) -> None:
    """Note that a process ended which should not have."""
    before = _before([device_id]).get(device_id)
    if before is not None:
        _note([(device_id, Trouble.CRASH, _happened_at(crash.header.at_ms, before, now))], now)


def record_silence(device_ids: Iterable[str], hour: datetime, heard_at: datetime) -> None:
    """Note that boxes fell silent in the hour that began at *hour*; part of the transaction.

    A rollout that misses them says so, so that it misses each of them once.
    """
    _note(((device_id, SILENCE, hour) for device_id in sorted(device_ids)), heard_at)


def hour_of(at: datetime) -> datetime:
    """Return the beginning of the hour of *at*."""
    return at.replace(minute=0, second=0, microsecond=0)


def _is_out(figure: Figure, boot: str, said: object, before: Before, limit: int) -> bool:
    value = _number(said)
    if value <= limit:
        return False
    same_boot = boot == before.boot
    known = before.figures.get(figure.name)
    if figure.is_count:
        if same_boot or figure.outlives_boot:
            return known is not None and value - _number(known, value) > limit
        return True
    return not same_boot or known != said


def _limit(figure: Figure, config: Config) -> int:
    return 0 if figure.limit is None else int(getattr(config, figure.limit))


def _number(said: object, otherwise: int = -1) -> int:
    """Return *said* as the count or time that it should be; *otherwise* if it is none."""
    return said if type(said) is int and said >= 0 else otherwise


def _order(item: tuple[str, Health]) -> tuple[str, int, int]:
    header = item[1].header
    return item[0], header.boot.count, header.seq


def _happened_at(at_ms: int, before: Before, now: datetime) -> datetime:
    ahead_s = before.clock_ahead_s if abs(before.clock_ahead_s) > CLOCK_WRONG_S else 0
    return box_time(at_ms - ahead_s * 1000, now)


def _before(device_ids: Iterable[str]) -> dict[str, Before]:
    """Return what is known of boxes; figures as text would be, where the database has none."""
    names = [figure.name for figure in FIGURES]
    query = select(
        Device.id,
        Device.health_boot,
        Device.clock_ahead_s,
        *(Device.health[name].as_string() for name in names),
    ).where(Device.id.in_(listed(device_ids)))
    return {
        row[0]: Before(row[1], dict(_figures(zip(names, row[3:], strict=True))), row[2] or 0)
        for row in db.session.execute(query)
    }


def _figures(said: Iterable[tuple[str, Any]]) -> Iterator[tuple[str, int]]:
    for name, text in said:
        if text is not None and str(text).isascii() and str(text).isdigit():
            yield name, int(text)


def prune(before: datetime, most: int) -> int:
    """Delete rows that were heard before *before*, about *most* in a transaction; return how many.

    Commits.
    """
    gone = 0
    while True:
        query = select(TroubleHour.heard_at).where(TroubleHour.heard_at < before)
        last = db.session.scalar(query.order_by(TroubleHour.heard_at).offset(most).limit(1))
        upto = before if last is None else last
        deleted: Any = db.session.execute(delete(TroubleHour).where(_is_until(upto, last)))
        db.session.commit()
        gone += int(deleted.rowcount)
        if last is None:
            return gone


def _is_until(upto: datetime, last: datetime | None) -> ColumnElement[bool]:
    return TroubleHour.heard_at < upto if last is None else TroubleHour.heard_at <= upto


def _note(found: Iterable[tuple[str, str, datetime]], now: datetime) -> None:
    """Add a row for each of *found*; one that is there already is left as it is."""
    rows = {
        (device_id, str(kind), hour_of(at)): {
            "device_id": device_id, "kind": str(kind), "at": hour_of(at), "heard_at": now,
        }
        for device_id, kind, at in found
    }  # fmt: skip
    for chunk in chunks(rows.values()):
        db.session.execute(insert(TroubleHour).values(chunk).on_conflict_do_nothing())
