"""What the server publishes is what a box's own verifier believes, and nothing more."""

import io
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from oleada_agent.disk import RealDisk
from oleada_agent.trust.authority import Authority, Box
from oleada_agent.trust.client import BOX, TrustedClient
from oleada_agent.trust.errors import TargetNotFoundError, TrustError
from oleada_agent.trust.store import MetadataStore
from oleada_server.clock import to_ms
from oleada_server.db import db
from oleada_server.messaging.models import RetainedMessage
from oleada_server.releases import service
from oleada_store import roles
from oleada_wire import messages, topics
from oleada_wire.messages import Meta
from sqlalchemy import select

from tests.support.releases import Signers, some_info

Publish = Callable[[str], str]


@pytest.fixture
def box(sqlite_signers: Signers, tmp_path: Path) -> MetadataStore:
    """A box that enrolled when the ceremony was held: it knows the first root."""
    (tmp_path / "box").mkdir()
    store = MetadataStore(RealDisk(tmp_path / "box"))
    store.write("root", sqlite_signers.files.roots[0])
    return store


@pytest.fixture
def publish(sqlite_signers: Signers, noon: datetime) -> Publish:
    """Publish a version of VX-410, and return its digest."""

    def publish(version: str) -> str:
        content = sqlite_signers.bundle(some_info(version), version.encode(), now=noon)
        sqlite_signers.accept(content)
        return service.publish(io.BytesIO(content), "user:anna", noon).sha256

    return publish


def _heard(kind: topics.Model) -> bytes:
    topic = topics.model("VX-410", kind)
    found = db.session.scalar(select(RetainedMessage.payload).where(RetainedMessage.topic == topic))
    assert found is not None
    return found


def _meta() -> Meta:
    return messages.decode(Meta, _heard(topics.Model.META), messages.DOWN_BYTES_MAX)


def _follow(box: MetadataStore, now: datetime, meta: Meta | None = None) -> TrustedClient:
    files = (meta or _meta()).files

    def get(name: str, size_bytes_max: int) -> bytes | None:
        plain = name if name.endswith(".root.json") else name.lstrip("0123456789").lstrip(".")
        text = files.get(plain)
        return None if text is None else text.encode()[: size_bytes_max + 1]

    client = TrustedClient(box, get, now, BOX)
    client.refresh()
    return client


def test_a_box_finds_each_release_that_its_model_hears_of(
    box: MetadataStore, publish: Publish, noon: datetime
) -> None:
    for version in ("1.0.0", "1.1.0"):
        sha256 = publish(version)

        target = _follow(box, noon).find(f"VX-410/{version}.img")

        assert (target.length, target.hashes["sha256"]) == (5, sha256)
    with pytest.raises(TargetNotFoundError):
        _follow(box, noon).find("VX-410/9.9.img")


def test_a_box_never_goes_back_to_older_metadata(
    box: MetadataStore, publish: Publish, noon: datetime
) -> None:
    publish("1.0.0")
    older = _meta()
    publish("1.1.0")
    _follow(box, noon)

    with pytest.raises(TrustError):
        _follow(box, noon, older)


def test_a_box_follows_while_the_server_signs_and_notices_when_it_does_not(
    box: MetadataStore, publish: Publish, noon: datetime
) -> None:
    publish("1.0.0")
    for days in range(1, 30):
        service.refresh_online_metadata(noon + timedelta(days=days))
        _follow(box, noon + timedelta(days=days))

    with pytest.raises(TrustError):
        _follow(box, noon + timedelta(days=30) + roles.TIMESTAMP_VALID)


def test_a_box_refuses_what_was_withdrawn(
    box: MetadataStore, publish: Publish, tmp_path: Path, noon: datetime
) -> None:
    assert list(box.read("root"))
    sha256 = publish("1.0.0")
    authority = Authority(
        Box("VX417Q3K0928", "VX-410"),
        RealDisk(tmp_path / "box"),
        "",
        now_ms=lambda: to_ms(noon),
        steady_ms=lambda: 0,
        capacity_bytes=lambda: 10**9,
    )
    authority.accept_meta(_meta())
    service.withdraw("VX-410", "1.0.0", "it hangs", "user:anna", noon)

    assert authority.accept_deny(_heard(topics.Model.DENY)) is True

    assert authority.denied == (sha256,)
