"""A bundle that two people signed becomes a release that every box of the model hears of."""

import io
from datetime import UTC, datetime

import pytest
from flask import Flask
from oleada_server.releases import service

from tests.support.releases import Signers, hold_ceremony, some_info

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def signers(app: Flask) -> Signers:
    found = hold_ceremony(app.extensions["oleada_config"].keys_dir, NOON)
    service.install_trust(found.files, "user:anna", NOON)
    return found


def test_a_bundle_that_two_people_signed_is_a_release(signers: Signers) -> None:
    release = service.publish(
        io.BytesIO(signers.bundle(some_info(), b"image" * 999, now=NOON)), "user:anna", NOON
    )

    assert service.artifact_path(release.sha256).read_bytes() == b"image" * 999
    assert (release.hardware_model, release.version) == ("VX-410", "1.0.0")
    assert len(release.signed_by) == 2
