"""The server's app of a story: SQLite in memory, a fleet that is enrolled, keys installed."""

import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, Final

from oleada_server import config as settings
from oleada_server.app import create_app
from oleada_server.db import db
from oleada_server.devices.models import Device
from oleada_server.messaging.models import RetainedMessage
from oleada_server.releases import metadata
from oleada_server.releases import service as releases
from oleada_server.releases.models import Release, ReleaseState
from oleada_wire import topics
from sqlalchemy import select

from oleada_lab.sim import trust
from oleada_lab.sim.images import Image
from oleada_lab.sim.terms import SECURITY_VERSION, Terms

IN_MEMORY: Final = "sqlite:///:memory:"
ACTOR: Final = "user:lab"
SECRET: Final = "0" * 64
"""Of sessions of pages; a story has none."""


@contextmanager
def app(hardware_model: str, versions: Mapping[str, str]) -> Iterator[sqlite3.Connection]:
    """Yield the database of a server in whose app context one is.

    Args:
        versions: Of each box that is enrolled, by its id.
    """
    with tempfile.TemporaryDirectory(prefix="oleada-story-") as folder:
        home = Path(folder)
        trust.holders().write_online(home / "keys")
        (home / "keys" / "secret_key").write_text(SECRET)
        config = replace(settings.load(home, {}), database_url=IN_MEMORY)
        made = create_app(config, ())
        with made.app_context():
            database = _database()
            try:
                _template().backup(database)
                releases.install_trust(trust.first_files(hardware_model), ACTOR, trust.ENROLLED)
                _enrol(hardware_model, versions)
                yield database
            finally:
                db.session.remove()
                db.engine.dispose()


def first_meta(hardware_model: str) -> bytes:
    """Return the metadata that boxes were told when they were enrolled."""
    topic = topics.model(hardware_model, topics.Model.META)
    query = select(RetainedMessage.payload).where(RetainedMessage.topic == topic)
    found = db.session.scalars(query).one()
    db.session.rollback()
    return found


def publish(terms: Terms, now: datetime) -> None:
    """Publish the releases of *terms*, as is done once their bundles were judged."""
    model, images = terms.hardware_model, (*terms.older, terms.image)
    db.session.add_all(_release(model, image, now) for image in images)
    metadata.add(model, *trust.with_releases(model, images))
    metadata.sign_snapshot(now)
    metadata.queue_meta(now)
    db.session.commit()


def _release(model: str, image: Image, now: datetime) -> Release:
    return Release(
        hardware_model=model,
        version=image.version,
        security_version=SECURITY_VERSION,
        target_path=f"{model}/{image.version}.img",
        sha256=image.sha256,
        size_bytes=len(image.data),
        provides=[],
        fixes=[],
        notes={"en": "Better."},
        signed_by=[],
        state=ReleaseState.PUBLISHED,
        published_at=now,
        published_by=ACTOR,
    )


def forget_boot(made: Any) -> None:
    """Let the next header be one of a new process, as after a kill."""
    made.extensions.pop("oleada_boot", None)


def _database() -> sqlite3.Connection:
    """Return the one connection of the engine in memory."""
    held: Callable[[], Any] = db.engine.raw_connection
    found: sqlite3.Connection = held().dbapi_connection
    return found


@cache
def _template() -> sqlite3.Connection:
    """Return a database with every table and no row, made once for each process."""
    db.create_all()
    found = sqlite3.connect(":memory:", check_same_thread=False)
    _database().backup(found)
    return found


def _enrol(hardware_model: str, versions: Mapping[str, str]) -> None:
    db.session.add_all(
        Device(
            id=device_id,
            serial=f"SN-{device_id}",
            hardware_model=hardware_model,
            zone="UTC",
            enrolled_at=trust.ENROLLED,
            version=version,
            security_version=SECURITY_VERSION,
        )
        for device_id, version in versions.items()
    )
    db.session.commit()
