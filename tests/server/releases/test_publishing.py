"""A bundle that two people signed becomes a release that every box of the model hears of."""

import io
import threading
from datetime import datetime, timedelta

import pytest
from flask import Flask
from oleada_server.audit.models import AuditEvent
from oleada_server.db import db
from oleada_server.live.models import Change
from oleada_server.messaging.models import RetainedMessage
from oleada_server.releases import service
from oleada_server.releases.errors import StaleBaseError, VersionTakenError, WithdrawnReleaseError
from oleada_server.releases.models import Release, ReleaseState
from oleada_store import repository
from oleada_wire import messages, topics
from oleada_wire.messages import Meta
from sqlalchemy import func, select
from tuf.api.metadata import Snapshot, Targets, Timestamp

from tests.support.releases import Signers, some_info


def _publish(signers: Signers, content: bytes, now: datetime) -> Release:
    release = service.publish(io.BytesIO(content), "user:anna", now)
    signers.accept(content)
    return release


def _meta(model: str) -> Meta:
    topic = topics.model(model, topics.Model.META)
    row = db.session.scalar(select(RetainedMessage).where(RetainedMessage.topic == topic))
    assert row is not None
    return messages.decode(Meta, row.payload, messages.DOWN_BYTES_MAX)


def test_a_bundle_that_two_people_signed_is_a_release(signers: Signers, noon: datetime) -> None:
    info = some_info("5.8.2", security_version=3)

    release = _publish(signers, signers.bundle(info, b"image" * 999, now=noon), noon)

    assert service.artifact_path(release.sha256).read_bytes() == b"image" * 999
    assert (release.hardware_model, release.version) == ("VX-410", "5.8.2")
    assert (release.security_version, release.size_bytes) == (3, 5 * 999)
    assert (release.state, release.published_at) == (ReleaseState.PUBLISHED, noon)
    assert len(release.signed_by) == 2
    assert release.published_by == "user:anna"


def test_every_model_hears_of_it_in_metadata_that_fits_together(
    signers: Signers, noon: datetime
) -> None:
    before = {model: len(_meta(model).files) for model in signers.models}

    _publish(signers, signers.bundle(some_info("5.8.2"), now=noon), noon)

    assert before == {"VX-240": 5, "VX-410": 5}
    for model, releases in {"VX-410": ["VX-410/5.8.2.img"], "VX-240": []}.items():
        files = {name: text.encode() for name, text in _meta(model).files.items()}
        timestamp = repository.read(Timestamp, files["timestamp.json"], "timestamp")
        snapshot = repository.read(Snapshot, files["snapshot.json"], "snapshot")
        role = repository.read(Targets, files[f"{model}.json"], model)
        timestamp.signed.snapshot_meta.verify_length_and_hashes(files["snapshot.json"])
        assert timestamp.signed.snapshot_meta.version == snapshot.signed.version == 2
        assert snapshot.signed.meta[f"{model}.json"].version == role.signed.version
        assert list(role.signed.targets) == releases
        assert "1.root.json" in files


def test_publication_is_audited_and_announced(signers: Signers, noon: datetime) -> None:
    _publish(signers, signers.bundle(some_info("5.8.2"), now=noon), noon)

    newest = db.session.scalars(select(AuditEvent).order_by(AuditEvent.id.desc())).first()
    assert newest is not None
    assert (newest.actor, newest.action) == ("user:anna", "release.publish")
    assert newest.object_ref == "VX-410/5.8.2.img"
    assert "releases" in set(db.session.scalars(select(Change.object_ref)))


def test_the_same_bundle_again_changes_nothing(signers: Signers, noon: datetime) -> None:
    content = signers.bundle(some_info(), now=noon)
    first = _publish(signers, content, noon)
    counted = _rows()

    again = _publish(signers, content, noon + timedelta(hours=1))

    assert again.id == first.id
    assert again.published_at == noon
    assert _rows() == counted


def test_the_same_bundle_is_known_even_after_newer_ones(signers: Signers, noon: datetime) -> None:
    oldest = signers.bundle(some_info("1.0.0"), now=noon)
    _publish(signers, oldest, noon)
    _publish(signers, signers.bundle(some_info("1.1.0"), b"newer", now=noon), noon)

    again = service.publish(io.BytesIO(oldest), "user:anna", noon)

    assert again.version == "1.0.0"
    assert [release.version for release in service.list_releases()] == ["1.1.0", "1.0.0"]


def test_one_image_may_serve_two_models(signers: Signers, noon: datetime) -> None:
    for model in ("VX-240", "VX-410"):
        _publish(signers, signers.bundle(some_info(model=model), b"one image", now=noon), noon)

    digests = {release.sha256 for release in service.list_releases()}
    assert len(digests) == 1
    assert service.artifact_path(digests.pop()).read_bytes() == b"one image"
    assert [r.hardware_model for r in service.list_releases("VX-240")] == ["VX-240"]


def test_a_version_is_never_given_to_another_image(signers: Signers, noon: datetime) -> None:
    empty = signers.models["VX-410"]
    _publish(signers, signers.bundle(some_info(), b"first", now=noon), noon)
    other = signers.bundle(some_info(), b"second", now=noon, base=empty)

    with pytest.raises(VersionTakenError, match="never replaced"):
        service.publish(io.BytesIO(other), "user:anna", noon)


def test_a_withdrawn_release_never_comes_back(signers: Signers, noon: datetime) -> None:
    content = signers.bundle(some_info(), now=noon)
    _publish(signers, content, noon)
    service.withdraw("VX-410", "1.0.0", "it hangs", "user:anna", noon)

    with pytest.raises(WithdrawnReleaseError, match="never comes back"):
        service.publish(io.BytesIO(content), "user:anna", noon)


def test_a_stale_base_is_refused_with_the_command_to_repeat(
    signers: Signers, noon: datetime
) -> None:
    empty = signers.models["VX-410"]
    _publish(signers, signers.bundle(some_info("1.0.0"), now=noon), noon)
    late = signers.bundle(some_info("1.1.0"), b"late", now=noon, base=empty)

    with pytest.raises(StaleBaseError) as refused:
        service.publish(io.BytesIO(late), "user:anna", noon)

    command = (
        "oleada release build an.img --model VX-410 --version 1.1.0 --security-version 1 "
        "--note 'en=Version 1.1.0' --base tuf -o VX-410-1.1.0.oleada"
    )
    assert command in str(refused.value)


def test_of_two_bundles_on_one_base_sent_at_once_exactly_one_is_published(
    app: Flask, signers: Signers, noon: datetime
) -> None:
    bundles = [
        signers.bundle(some_info(version), version.encode(), now=noon)
        for version in ("1.1.0", "1.2.0")
    ]
    db.session.rollback()
    start, endings = threading.Barrier(2), []

    def send(content: bytes) -> None:
        with app.app_context():
            start.wait()
            try:
                endings.append(service.publish(io.BytesIO(content), "user:anna", noon).version)
            except StaleBaseError:
                endings.append("stale")
            db.session.remove()

    threads = [threading.Thread(target=send, args=(content,)) for content in bundles]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    published = [release.version for release in service.list_releases()]
    assert sorted(endings) == sorted([*published, "stale"])
    assert len(published) == 1
    assert len(list(app.extensions["oleada_config"].blobs_dir.glob("??/*"))) == 1


def _rows() -> dict[str, int]:
    return {
        table.__tablename__: db.session.scalar(select(func.count()).select_from(table)) or 0
        for table in (Release, AuditEvent)
    }
