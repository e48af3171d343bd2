"""What of the server needs a person, decided from facts alone; no clock, disk or database here.

A condition that is there is said on every page, by ``oleada doctor`` and in the log, with
the same sentences (sentences.py). What was never there (a worker on a server that only
builds) is no condition.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

SILENT_S: Final = 60.0
"""Six beats of a process that beats every ten seconds."""
SLOW_MS: Final = 500.0
"""An answer to SELECT 1; people feel pages that wait for ten of these."""
APART_S: Final = 60.0
STORE_AGE_S: Final = 300.0
"""Mosquitto writes its store every minute (broker.py)."""
END_WARN: Final = timedelta(days=30)
"""Server certificates are renewed 90 days before, so that has failed by then."""
PEOPLE_WARN_DAYS: Final = (7, 30, 90)
"""People who sign offline have to find their keys and meet: told three times, the first early."""
WAVE_WARN_DAYS: Final = (3, 10)
"""Signatures on waves are asked for again ten days before they end."""
AUTHORITY_WARN: Final = timedelta(days=365)


class Code(StrEnum):
    """What can be the matter."""

    DATABASE_AWAY = "database-away"
    DATABASE_SLOW = "database-slow"
    DISK_FULL = "disk-full"
    DISK_LOW = "disk-low"
    WORKER_SILENT = "worker-silent"
    SCHEDULER_SILENT = "scheduler-silent"
    BROKER_AWAY = "broker-away"
    BROKER_STORE = "broker-store"
    CLOCK_APART = "clock-apart"
    CERTIFICATE_EXPIRED = "certificate-expired"
    CERTIFICATE_ENDS = "certificate-ends"
    METADATA_EXPIRED = "metadata-expired"
    METADATA_ENDS = "metadata-ends"
    BOXES_EXPIRED = "boxes-expired"
    BROKER_RULES = "broker-rules"
    SPLIT_VIEW = "split-view"
    DOOR_OTHER = "door-other"
    DOOR_BLIND = "door-blind"
    DOOR_AWAY = "door-away"


@dataclass(frozen=True, slots=True)
class Condition:
    """Something that needs a person.

    Attributes:
        kind: ``bad`` broken now, ``warn`` will break.
        about: What it is about: a path, a process, a certificate; empty for the whole.
        at: When it ends or ended, for what expires.
        number: Free bytes, seconds apart, milliseconds, boxes, or within how many days it
            ends; as *code* has it.
    """

    code: Code
    kind: str
    about: str = ""
    at: datetime | None = None
    number: int = 0


@dataclass(frozen=True, slots=True)
class Disk:
    """One file system that the server writes to; *path* is the first place on it."""

    path: str
    free_bytes: int


@dataclass(frozen=True, slots=True)
class Process:
    """One process as its beat tells.

    Attributes:
        role: ``worker`` or ``scheduler``.
        silent_s: Since its beat, by the database's clock; or until it, when that clock was
            set back: who lives beats again within ten seconds.
        ahead_s: How far its machine's clock is ahead of the database's.
        has_broker: Whether it reaches the broker; None for one that needs none.
    """

    name: str
    role: str
    silent_s: float
    ahead_s: float
    has_broker: bool | None = None


@dataclass(frozen=True, slots=True)
class Expiry:
    """Something signed that ends; *is_authority* for a CA, *is_online* renewed by itself.

    *is_wave* for what approvers have signed of a rollout.
    """

    name: str
    at: datetime
    is_authority: bool = False
    is_online: bool = False
    is_wave: bool = False


@dataclass(frozen=True, slots=True)
class Facts:
    """What was found.

    Attributes:
        database_ms: How long it took to answer; None if it did not.
        ahead_s: How far the clock of the machine that looks is ahead of the database's.
        disk_full_bytes: Less free room than this counts as none.
        disk_low_bytes: Less free room than this is told.
        store_age_s: Since the broker wrote its store; None when it never did.
        boxes_expired: Boxes whose certificate has expired.
        split_views: Boxes that were shown an audit trail that is not this server's, by its key.
        broker_rules: Lines in which the broker's configuration is not the generated one.
        front: What `oleada doctor` found under the public name of the device door (front.py);
            None where nobody looked, or nothing is known.
        door: The public address of the device door.
    """

    database_ms: float | None
    ahead_s: float = 0.0
    disks: tuple[Disk, ...] = ()
    disk_full_bytes: int = 0
    disk_low_bytes: int = 0
    processes: tuple[Process, ...] = ()
    certificates: tuple[Expiry, ...] = ()
    metadata: tuple[Expiry, ...] = ()
    store_age_s: float | None = None
    boxes_expired: int = 0
    broker_rules: tuple[str, ...] = ()
    split_views: tuple[str, ...] = ()
    host: str = field(default="this machine")
    front: str | None = None
    door: str = ""


def judge(facts: Facts, now: datetime) -> list[Condition]:
    """Return what of *facts* needs a person at *now*, what is broken first."""
    found = [
        *_of_database(facts),
        *_of_disks(facts),
        *_of_processes(facts),
        *_of_clocks(facts),
        *_of_expiries(facts, now),
        *_of_rules(facts),
        *_of_front(facts),
    ]
    return sorted(found, key=lambda condition: condition.kind != "bad")


def _of_rules(facts: Facts) -> Iterator[Condition]:
    if facts.broker_rules:
        yield Condition(Code.BROKER_RULES, "bad", facts.broker_rules[0])
    if facts.split_views:
        boxes = facts.split_views
        yield Condition(Code.SPLIT_VIEW, "bad", boxes[0], number=len(boxes))


_FRONTS: Final = {
    "other": (Code.DOOR_OTHER, "bad"),
    "blind": (Code.DOOR_BLIND, "bad"),
    "away": (Code.DOOR_AWAY, "warn"),
}


def _of_front(facts: Facts) -> Iterator[Condition]:
    if facts.front in _FRONTS:
        code, kind = _FRONTS[facts.front]
        yield Condition(code, kind, facts.door)


def _of_database(facts: Facts) -> Iterator[Condition]:
    if facts.database_ms is None:
        yield Condition(Code.DATABASE_AWAY, "bad")
    elif facts.database_ms > SLOW_MS:
        yield Condition(Code.DATABASE_SLOW, "warn", number=round(facts.database_ms))


def _of_disks(facts: Facts) -> Iterator[Condition]:
    for disk in facts.disks:
        if disk.free_bytes < facts.disk_full_bytes:
            yield Condition(Code.DISK_FULL, "bad", disk.path, number=disk.free_bytes)
        elif disk.free_bytes < facts.disk_low_bytes:
            yield Condition(Code.DISK_LOW, "warn", disk.path, number=disk.free_bytes)


def _of_processes(facts: Facts) -> Iterator[Condition]:
    """Yield which role nobody fills any more, and what the worker does not reach."""
    if facts.database_ms is None:  # nobody can beat
        return
    for role, code in (("worker", Code.WORKER_SILENT), ("scheduler", Code.SCHEDULER_SILENT)):
        silent_s = [one.silent_s for one in facts.processes if one.role == role]
        if silent_s and min(silent_s) > SILENT_S:
            yield Condition(code, "bad", number=round(min(silent_s)))
    heard = [one for one in facts.processes if one.role == "worker" and one.silent_s <= SILENT_S]
    if heard and not any(one.has_broker for one in heard):
        yield Condition(Code.BROKER_AWAY, "bad")
    elif heard and facts.store_age_s is not None and facts.store_age_s > STORE_AGE_S:
        yield Condition(Code.BROKER_STORE, "bad", number=round(facts.store_age_s))


def _of_clocks(facts: Facts) -> Iterator[Condition]:
    clocks = [(facts.host, facts.ahead_s)]
    clocks += [(one.name, one.ahead_s) for one in facts.processes if one.silent_s <= SILENT_S]
    for name, ahead_s in clocks:
        if abs(ahead_s) > APART_S:
            yield Condition(Code.CLOCK_APART, "warn", name, number=round(ahead_s))


def _of_expiries(facts: Facts, now: datetime) -> Iterator[Condition]:
    for one in facts.certificates:
        if one.at <= now:
            yield Condition(Code.CERTIFICATE_EXPIRED, "bad", one.name, one.at)
        elif one.at - now < (AUTHORITY_WARN if one.is_authority else END_WARN):
            yield Condition(Code.CERTIFICATE_ENDS, "warn", one.name, one.at)
    for one in facts.metadata:
        if one.at <= now:
            yield Condition(Code.METADATA_EXPIRED, "bad", one.name, one.at)
        elif (days := _ends_within(one, now)) is not None:
            yield Condition(Code.METADATA_ENDS, "warn", one.name, one.at, number=days)
    if facts.boxes_expired:
        yield Condition(Code.BOXES_EXPIRED, "bad", number=facts.boxes_expired)


def _ends_within(one: Expiry, now: datetime) -> int | None:
    """Return the shortest span of days in which *one* ends and of which people are told."""
    if one.is_online:
        return None
    spans = WAVE_WARN_DAYS if one.is_wave else PEOPLE_WARN_DAYS
    return next((days for days in spans if one.at - now < timedelta(days=days)), None)
