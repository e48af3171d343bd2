"""The newest signed head of the audit trail rides along with the metadata of every model."""

from datetime import datetime

import pytest
from flask import Flask
from oleada_server.audit import heads
from oleada_server.db import db
from oleada_server.messaging.models import RetainedMessage
from oleada_server.releases import metadata, service
from oleada_store.keys import read_online
from oleada_wire import messages
from oleada_wire.envelope import RoleKeys, keyid_of
from oleada_wire.messages import DOWN_BYTES_MAX, AuditHead, Meta

from tests.support.releases import hold_ceremony


@pytest.fixture
def trusted(sqlite_app: Flask, noon: datetime) -> Flask:
    """A server that has its trust."""
    found = hold_ceremony(sqlite_app.extensions["oleada_config"].keys_dir, noon)
    service.install_trust(found.files, "user:ute", noon)
    return sqlite_app


def told() -> list[str | None]:
    """Return what the metadata of each model carries now."""
    rows = db.session.scalars(db.select(RetainedMessage))
    metas = [row.payload for row in rows if row.topic.endswith("/meta")]
    return [messages.decode(Meta, body, DOWN_BYTES_MAX).audit_head for body in metas]


def test_every_model_is_told_the_same_head_signed_by_the_director(
    trusted: Flask, noon: datetime
) -> None:
    assert set(told()) == {None}  # none was signed yet
    head = heads.sign(noon)
    assert head is not None

    metadata.queue_meta(noon)
    db.session.commit()

    (text,) = set(told())
    assert text is not None
    key = read_online(trusted.extensions["oleada_config"].keys_dir / "director.pem").public_key()
    role = RoleKeys({keyid_of(key): key}, 1)
    found = messages.open_message(AuditHead, text.encode(), role)
    assert (found.size, found.root_sha256) == (head.size, head.root_sha256)
