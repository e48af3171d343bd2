"""A withdrawn release is denied by a signed list, is served no more and never returns."""

import io
from datetime import datetime, timedelta

import pytest
from flask import Flask
from oleada_server.audit.models import AuditEvent
from oleada_server.db import db
from oleada_server.errors import BadInputError
from oleada_server.messaging import service as messaging
from oleada_server.messaging.models import RetainedMessage
from oleada_server.releases import service
from oleada_server.releases.errors import ArtifactWithdrawnError, ReleaseNotFoundError
from oleada_server.releases.models import Release, ReleaseState
from oleada_store import keys
from oleada_wire import envelope, messages, topics
from oleada_wire.messages import Deny
from sqlalchemy import func, select

from tests.support.releases import Signers, some_info


@pytest.fixture
def two_releases(signers: Signers, noon: datetime) -> list[Release]:
    found = []
    for version in ("1.0.0", "1.1.0"):
        content = signers.bundle(some_info(version), version.encode(), now=noon)
        found.append(service.publish(io.BytesIO(content), "user:anna", noon))
        signers.accept(content)
    return found


def _deny(app: Flask) -> Deny:
    topic = topics.model("VX-410", topics.Model.DENY)
    row = db.session.scalar(select(RetainedMessage).where(RetainedMessage.topic == topic))
    assert row is not None
    director = keys.read_online(app.extensions["oleada_config"].keys_dir / "director.pem")
    role = envelope.RoleKeys({messaging.director().keyid: director.public_key()}, 1)
    return messages.open_message(Deny, row.payload, role)


def test_a_withdrawn_release_is_on_the_signed_deny_list(
    app: Flask, two_releases: list[Release], noon: datetime
) -> None:
    sha256 = two_releases[0].sha256

    release = service.withdraw("VX-410", "1.0.0", "it hangs", "user:anna", noon)

    deny = _deny(app)
    assert (deny.hardware_model, deny.deny_version, deny.digests) == ("VX-410", 1, (sha256,))
    assert (release.state, release.withdrawn_at) == (ReleaseState.WITHDRAWN, noon)
    assert release.withdrawn_reason == "it hangs"


def test_each_next_list_is_newer_and_holds_what_the_last_one_held(
    app: Flask, two_releases: list[Release], noon: datetime
) -> None:
    digests = {release.sha256 for release in two_releases}

    for version in ("1.1.0", "1.0.0"):
        service.withdraw("VX-410", version, "it hangs", "user:anna", noon)

    deny = _deny(app)
    assert deny.deny_version == 2
    assert set(deny.digests) == digests


def test_withdrawing_twice_is_as_good_as_once(
    app: Flask, two_releases: list[Release], noon: datetime
) -> None:
    assert len(two_releases) == 2
    service.withdraw("VX-410", "1.0.0", "it hangs", "user:anna", noon)

    again = service.withdraw("VX-410", "1.0.0", "again", "user:bo", noon + timedelta(hours=1))

    assert (again.withdrawn_at, again.withdrawn_reason) == (noon, "it hangs")
    assert _deny(app).deny_version == 1
    withdrawals = select(func.count()).where(AuditEvent.action == "release.withdraw")
    assert db.session.scalar(withdrawals) == 1


def test_the_image_of_a_withdrawn_release_is_served_no_more(
    two_releases: list[Release], noon: datetime
) -> None:
    gone, stays = (release.sha256 for release in two_releases)

    service.withdraw("VX-410", "1.0.0", "it hangs", "user:anna", noon)

    with pytest.raises(ArtifactWithdrawnError):
        service.artifact_path(gone)
    assert service.artifact_path(stays).read_bytes() == b"1.1.0"


def test_an_image_that_another_release_needs_is_still_served(
    signers: Signers, noon: datetime
) -> None:
    for model in ("VX-240", "VX-410"):
        content = signers.bundle(some_info(model=model), b"one image", now=noon)
        sha256 = service.publish(io.BytesIO(content), "user:anna", noon).sha256

    service.withdraw("VX-240", "1.0.0", "wrong tuner", "user:anna", noon)

    assert service.artifact_path(sha256).read_bytes() == b"one image"


def test_a_lower_security_version_is_fine_once_the_higher_was_withdrawn(
    signers: Signers, noon: datetime
) -> None:
    mistaken = signers.bundle(some_info("1.0.0", security_version=900), now=noon)
    service.publish(io.BytesIO(mistaken), "user:anna", noon)
    signers.accept(mistaken)
    service.withdraw("VX-410", "1.0.0", "security version mistyped", "user:anna", noon)

    mended = signers.bundle(some_info("1.0.1", security_version=9), now=noon)
    release = service.publish(io.BytesIO(mended), "user:anna", noon)

    assert release.security_version == 9


def test_a_withdrawal_says_why(two_releases: list[Release], noon: datetime) -> None:
    assert two_releases[0].state == ReleaseState.PUBLISHED

    with pytest.raises(BadInputError, match="Say why"):
        service.withdraw("VX-410", "1.0.0", "  ", "user:anna", noon)


def test_what_does_not_exist_can_not_be_withdrawn(signers: Signers, noon: datetime) -> None:
    assert "VX-410" in signers.models

    with pytest.raises(ReleaseNotFoundError, match=r"no release 9\.9 of VX-410"):
        service.withdraw("VX-410", "9.9", "it hangs", "user:anna", noon)
