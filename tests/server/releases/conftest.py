"""A server whose trust was installed, and the people who sign for it."""

from datetime import UTC, datetime

import pytest
from flask import Flask
from oleada_server import config as settings
from oleada_server.releases import service

from tests.support.releases import Signers, hold_ceremony

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def noon() -> datetime:
    """When the ceremony was held and everything is published."""
    return NOON


@pytest.fixture
def signers(app: Flask) -> Signers:
    """The signers of a server on either database."""
    return _installed()


@pytest.fixture
def sqlite_signers(sqlite_app: Flask) -> Signers:
    """The signers of a server on SQLite, for what has no SQL of its own."""
    return _installed()


def _installed() -> Signers:
    found = hold_ceremony(settings.current().keys_dir, NOON)
    service.install_trust(found.files, "user:anna", NOON)
    return found
