"""Timestamp and snapshot are signed again in good time, and only then."""

import json
from datetime import datetime, timedelta

from flask import Flask
from oleada_server.db import db
from oleada_server.messaging.models import RetainedMessage
from oleada_server.releases import service
from oleada_server.releases.metadata import VERSIONS_KEPT
from oleada_server.releases.models import TufFile
from oleada_store import roles
from sqlalchemy import func, select

from tests.support.releases import Signers

HOUR = timedelta(hours=1)


def _version(name: str) -> int:
    return int(json.loads(service.tuf_file(f"{name}.json"))["signed"]["version"])


def test_nothing_is_signed_before_half_of_its_life(signers: Signers, noon: datetime) -> None:
    assert signers.files.roots

    assert service.refresh_online_metadata(noon + roles.TIMESTAMP_VALID / 2 - HOUR) is False
    assert _version("timestamp") == 1


def test_the_timestamp_alone_is_signed_when_it_alone_grows_old(
    signers: Signers, noon: datetime
) -> None:
    assert signers.files.roots
    sent = _revisions()

    assert service.refresh_online_metadata(noon + roles.TIMESTAMP_VALID / 2 + HOUR) is True

    assert (_version("timestamp"), _version("snapshot")) == (2, 1)
    assert _revisions() == sent + 2  # both models hear of it


def test_the_snapshot_is_signed_when_it_grows_old(signers: Signers, noon: datetime) -> None:
    assert signers.files.roots

    assert service.refresh_online_metadata(noon + roles.SNAPSHOT_VALID / 2 + HOUR) is True

    assert (_version("timestamp"), _version("snapshot")) == (2, 2)


def test_two_ticks_at_once_sign_once(signers: Signers, noon: datetime) -> None:
    assert signers.files.roots
    later = noon + roles.TIMESTAMP_VALID

    assert [service.refresh_online_metadata(later) for _ in range(2)] == [True, False]


def test_a_server_without_trust_has_nothing_to_sign(app: Flask, noon: datetime) -> None:
    assert app.extensions["oleada_config"]

    assert service.refresh_online_metadata(noon) is False


def test_old_versions_are_forgotten_but_for_the_last_few(
    sqlite_signers: Signers, noon: datetime
) -> None:
    assert sqlite_signers.files.roots

    for day in range(2, 60, 2):
        service.refresh_online_metadata(noon + timedelta(days=day))

    held = select(func.count()).select_from(TufFile).where(TufFile.name == "timestamp")
    assert db.session.scalar(held) == VERSIONS_KEPT
    assert _version("timestamp") == 30


def _revisions() -> int:
    found = db.session.scalar(select(func.sum(RetainedMessage.revision)))
    db.session.rollback()
    return int(found or 0)
