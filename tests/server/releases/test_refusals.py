"""Whatever is wrong with a bundle is refused with a sentence, and nothing of it stays."""

import hashlib
import io
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from flask import Flask
from oleada_server import config as settings
from oleada_server.db import db
from oleada_server.messaging.models import RetainedMessage
from oleada_server.releases import errors, service
from oleada_server.releases.models import Release, TufFile
from oleada_store.repository import NewRelease
from sqlalchemy import select

from tests.support.releases import Signers, hold_ceremony, some_info
from tests.support.wrong_bundles import IMAGE, NEXT, REFUSALS


@pytest.fixture
def published(sqlite_signers: Signers, noon: datetime) -> Signers:
    """A server with one release, 1.0.0 of VX-410."""
    content = sqlite_signers.bundle(some_info("1.0.0"), b"the first", now=noon)
    service.publish(io.BytesIO(content), "user:anna", noon)
    sqlite_signers.accept(content)
    return sqlite_signers


def _everything() -> dict[str, object]:
    """All that a publication could have changed."""
    folder = settings.current().blobs_dir
    found = {
        "releases": list(db.session.scalars(select(Release.target_path))),
        "metadata": list(db.session.execute(select(TufFile.name, TufFile.version)).all()),
        "messages": list(
            db.session.execute(select(RetainedMessage.topic, RetainedMessage.revision)).all()
        ),
        "blobs": sorted(str(path) for path in folder.rglob("*")),
        "copy": sorted(path.name for path in settings.current().tuf_dir.iterdir()),
    }
    db.session.rollback()
    return found


@pytest.mark.parametrize("wrong", REFUSALS)
def test_a_wrong_bundle_is_refused_and_leaves_nothing(
    wrong: str, published: Signers, noon: datetime
) -> None:
    expected, make = REFUSALS[wrong]
    if wrong == "a lower security version":
        higher = published.bundle(some_info("1.0.5", security_version=2), b"fix", now=noon)
        service.publish(io.BytesIO(higher), "user:anna", noon)
        published.accept(higher)
    content = make(published, noon)
    before = _everything()

    with pytest.raises(expected) as refused:
        service.publish(io.BytesIO(content), "user:eve", noon)

    assert type(refused.value) is expected
    assert len(str(refused.value)) > 30
    assert _everything() == before


def test_no_part_of_a_bundle_passes_for_a_bundle(published: Signers, noon: datetime) -> None:
    content = published.bundle(NEXT, IMAGE, now=noon)
    image_from = content.index(IMAGE)
    cuts = {*range(0, image_from, 97), *range(image_from, len(content), 331), len(content) - 1}
    before = _everything()

    for cut in sorted(cuts):
        with pytest.raises(errors.TruncatedBundleError, match="missing"):
            service.publish(io.BytesIO(content[:cut]), "user:eve", noon)

    assert _everything() == before


def test_an_image_above_the_limit_is_refused_before_it_is_read(
    sqlite_app: Flask, published: Signers, noon: datetime
) -> None:
    sqlite_app.extensions["oleada_config"] = replace(settings.current(), image_bytes_max=1000)
    content = published.bundle(NEXT, IMAGE, now=noon)
    stream = io.BytesIO(content)

    with pytest.raises(errors.ImageTooLargeError, match="at most 1000"):
        service.publish(stream, "user:eve", noon)

    assert stream.tell() == content.index(IMAGE)


def test_unsigned_metadata_is_refused_before_the_image_is_read(
    published: Signers, noon: datetime
) -> None:
    content = published.bundle(NEXT, IMAGE, ("approver",), now=noon)
    stream = io.BytesIO(content)

    with pytest.raises(errors.UnsignedBundleError, match="1 of the 2"):
        service.publish(stream, "user:eve", noon)

    assert stream.tell() == content.index(IMAGE)


def test_one_person_who_signs_twice_is_one_signature(published: Signers, noon: datetime) -> None:
    content = published.bundle(NEXT, IMAGE, ("approver", "approver"), now=noon)

    with pytest.raises(errors.UnsignedBundleError, match="1 of the 2"):
        service.publish(io.BytesIO(content), "user:eve", noon)


def test_nothing_is_published_before_a_ceremony(sqlite_app: Flask, noon: datetime) -> None:
    signers = hold_ceremony(sqlite_app.extensions["oleada_config"].keys_dir, noon)
    content = signers.bundle(NEXT, IMAGE, now=noon)

    with pytest.raises(errors.TrustMissingError, match="oleada keys init"):
        service.publish(io.BytesIO(content), "user:anna", noon)


def test_expired_trust_publishes_nothing(published: Signers, noon: datetime) -> None:
    later = noon + timedelta(days=400)
    content = published.bundle(NEXT, IMAGE, now=later)

    with pytest.raises(errors.ExpiredMetadataError, match="oleada keys renew"):
        service.publish(io.BytesIO(content), "user:anna", later)


def test_the_check_before_an_upload_refuses_what_publishing_refuses(
    published: Signers, noon: datetime
) -> None:
    good = published.bundle(NEXT, IMAGE, now=noon)
    bad = published.bundle(NEXT, IMAGE, ("approver",), now=noon)
    head = good.index(IMAGE)

    judged = service.check(io.BytesIO(good[:head]), noon)

    assert (judged.release, judged.known) == (
        NewRelease("VX-410/1.1.0.img", len(IMAGE), hashlib.sha256(IMAGE).hexdigest(), NEXT),
        None,
    )
    with pytest.raises(errors.UnsignedBundleError):
        service.check(io.BytesIO(bad[:head]), noon)
