"""Finds out how the server is: asks the database, the disks, the beats and the certificates."""

import os
import socket
from datetime import datetime
from pathlib import Path
from typing import Final

from cryptography import x509
from sqlalchemy.exc import SQLAlchemyError

from oleada_server import clock, outage
from oleada_server.audit import witnessed
from oleada_server.broker import CONFIGURATION, STORE, missing_rules
from oleada_server.config import Config
from oleada_server.db import db, read_only
from oleada_server.enrolment import service as enrolment
from oleada_server.releases import service as releases
from oleada_server.rollouts import service as rollouts
from oleada_server.system import service
from oleada_server.system.judge import Disk, Expiry, Facts, Process

AUTHORITIES: Final = ("device-ca", "service-ca")
ENDS: Final = ("broker", "door", "oleada-server")
ONLINE: Final = frozenset({"timestamp", "snapshot"})


def gather(config: Config, now: datetime) -> Facts:
    """Return how the server of *config* is at *now*; a database that is away is a fact too.

    Ends whatever transaction the session had.

    Raises:
        SQLAlchemyError: The database answers, but not what was asked: our bug.
    """
    local = {
        "disks": disks(config),
        "disk_full_bytes": config.disk_keep_bytes,
        "disk_low_bytes": config.disk_low_bytes,
        "certificates": certificates(config.pki_dir),
        "store_age_s": _store_age_s(config.broker_dir),
        "broker_rules": tuple(missing_rules(config)),
        "host": socket.gethostname(),
    }
    try:
        return _with_database(local, now)
    except SQLAlchemyError as error:
        if outage.meaning(error) is None:
            raise
        db.session.remove()
        return Facts(database_ms=None, **local)  # type: ignore[arg-type]


def disks(config: Config) -> tuple[Disk, ...]:
    """Return each file system that the server of *config* writes to, once."""
    found: dict[int, Disk] = {}
    for place in (config.data_dir, config.blobs_dir, config.broker_dir, config.logs_dir):
        if place.exists():
            room = os.statvfs(place)
            disk = Disk(str(place), room.f_bavail * room.f_frsize)
            found.setdefault(place.stat().st_dev, disk)
    return tuple(found.values())


def certificates(pki_dir: Path) -> tuple[Expiry, ...]:
    """Return when each certificate of *pki_dir* ends; one that is not there is not here.

    One that can not be read has ended: it proves nothing any more.
    """
    found = []
    for name in (*AUTHORITIES, *ENDS):
        path = pki_dir / f"{name}.pem"
        if path.exists():
            found.append(Expiry(name, _end_of(path), name in AUTHORITIES))
    return tuple(found)


def _end_of(path: Path) -> datetime:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes()).not_valid_after_utc
    except ValueError:
        return clock.from_ms(0)


def _with_database(local: dict[str, object], now: datetime) -> Facts:
    began_s = clock.monotonic_s()
    read_only()
    there = service.database_now()
    took_ms = (clock.monotonic_s() - began_s) * 1000
    facts = Facts(
        database_ms=took_ms,
        ahead_s=(clock.machine_now_utc() - there).total_seconds(),
        processes=tuple(
            Process(
                beat.name,
                beat.role,
                abs(there - beat.heard_at).total_seconds(),
                (beat.said_at - beat.heard_at).total_seconds(),
                beat.facts.get("broker"),
            )
            for beat in service.beats()
        ),
        metadata=(
            *(
                Expiry(name, at, is_online=name in ONLINE)
                for name, at in sorted(releases.expiries().items())
            ),
            *(Expiry(name, at, is_wave=True) for name, at in rollouts.signed_until()),
        ),
        boxes_expired=enrolment.boxes_expired(now),
        split_views=tuple(sorted({box for one in witnessed.unsettled() for box in one.boxes})),
        **local,  # type: ignore[arg-type]
    )
    db.session.rollback()
    return facts


def _store_age_s(directory: Path) -> float | None:
    """Return since when the broker could have written its store and has not; None if it never did.

    A server that begins after a week finds a store of a week ago; its configuration is new.
    """
    store_s, begun_s = _age_s(directory / STORE), _age_s(directory / CONFIGURATION)
    return store_s if store_s is None or begun_s is None else min(store_s, begun_s)


def _age_s(path: Path) -> float | None:
    """Return how long ago *path* was written, by the clock that wrote it."""
    if not path.exists():
        return None
    return (
        clock.machine_now_utc().timestamp()
        - clock.LAB_OFFSET.total_seconds()
        - (path.stat().st_mtime)
    )
