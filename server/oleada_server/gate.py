"""Whom the broker lets in: its list of revoked certificates and its access list, kept right.

The database decides; these two files follow it. Mosquitto reads them when it starts and
when it is told to (SIGHUP), and both are needed: by the list a certificate opens no new
connection, and a line in the access list stops one that stands (trust design, 6.1). Any
number of workers may write the files at the same time: each writes what the database has,
under a lock, and only what is not there already.
"""

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final, Protocol

from sqlalchemy import select

from oleada_server import broker
from oleada_server.config import Config
from oleada_server.db import db, read_only
from oleada_server.devices.models import Device
from oleada_server.enrolment import pki, revocation_list, revoked_file
from oleada_server.enrolment.models import Certificate

LOCK: Final = "gate.lock"
WATCHED: Final = (broker.ACCESS_LIST, broker.REVOCATION_LIST)


@dataclass(frozen=True, slots=True)
class Revoked:
    """Who is not to be let in.

    Attributes:
        device_ids: Boxes, of which one may be connected.
        certificates: By serial number, since when; of those that have not expired.
    """

    device_ids: tuple[str, ...] = ()
    certificates: Mapping[int, datetime] = field(default_factory=dict)


def revoked(now: datetime) -> Revoked:
    """Return who is revoked as the database has it; ends whatever transaction there was."""
    read_only()
    boxes = select(Device.id).where(Device.revoked_at.is_not(None)).order_by(Device.id)
    held = select(Certificate.serial_hex, Certificate.revoked_at).where(
        Certificate.revoked_at.is_not(None), Certificate.not_after > now
    )
    found = Revoked(
        tuple(db.session.scalars(boxes)),
        {int(serial, 16): at for serial, at in db.session.execute(held) if at is not None},
    )
    db.session.rollback()
    return found


def keep(config: Config, now: datetime) -> bool:
    """Write what the broker goes by, if it is not there already; return whether it was not.

    Raises:
        NoCertificateAuthorityError: the device CA is missing or damaged.
        OSError: the disk refuses.
    """
    with _alone(config.broker_dir):
        found = revoked(now)  # read under the lock: nobody writes what is older
        is_new = write(config, found)
        revoked_file.keep(config)
        return is_new


def write(config: Config, found: Revoked) -> bool:
    """Write what the broker goes by so that *found* are shut out; return whether it was not so.

    The access list comes last: who watches the two then sees both.
    """
    directory = config.broker_dir
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    authority = pki.load_authority(config.pki_dir, "device-ca")
    path = directory / broker.REVOCATION_LIST
    held = path.read_bytes() if path.exists() else b""
    is_new = not revocation_list.is_current(held, authority, found.certificates)
    if is_new:
        pki.write_file(path, revocation_list.make(authority, found.certificates))
    path, rules = directory / broker.ACCESS_LIST, broker.access_list(found.device_ids).encode()
    if not path.exists() or path.read_bytes() != rules:
        pki.write_file(path, rules)
        is_new = True
    return is_new


def prepare(config: Config, found: Revoked | None = None) -> Path:
    """Make everything ready that the broker reads; return the path to start it with.

    Args:
        found: Who is revoked; without it, lists that are there stay as they are.
    """
    names = (broker.ACCESS_LIST, broker.REVOCATION_LIST)
    if found is not None or not all((config.broker_dir / name).exists() for name in names):
        write(config, found or Revoked())
    return broker.write_configuration(config)


class Reloaded(Protocol):
    """A process that can be told to read its settings again."""

    def reload(self) -> None:
        """Tell it."""
        ...


class Watch:
    """Tells the broker to read again what has changed."""

    def __init__(self, config: Config) -> None:
        self._directory = config.broker_dir
        self._held = self._look()

    def turn(self, child: Reloaded) -> None:
        """Tell *child*, the broker, if one of the files has changed since it was last told."""
        found = self._look()
        if found != self._held:
            self._held = found
            child.reload()

    def _look(self) -> list[int]:
        paths = [self._directory / name for name in WATCHED]
        return [path.stat().st_mtime_ns if path.exists() else 0 for path in paths]


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(directory / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
