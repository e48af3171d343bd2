"""A secret firmware for one customer: two people were made to sign it, and it shows all the same.

Somebody runs a copy of the server, with all its keys, beside the honest one. The copy has
published a release that is in no honest trail, and shows one box its own metadata. The box
believes it (everything is signed), and says back the head of the trail that it was shown.
"""

import io
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from flask import Flask
from oleada_agent.trust.authority import Authority, Box
from oleada_agent.trust.store import MetadataStore
from oleada_lab.sim.disk import SimDisk
from oleada_server import config as settings
from oleada_server.app import WITHOUT_PAGES, create_app
from oleada_server.audit import checked, heads, witnessed
from oleada_server.clock import to_ms
from oleada_server.db import db
from oleada_server.messaging.inbox import Incoming, store
from oleada_server.messaging.models import RetainedMessage
from oleada_server.releases import metadata, service
from oleada_server.system import facts
from oleada_store.keys import read_online, write_public
from oleada_wire import messages, topics
from oleada_wire.messages import DOWN_BYTES_MAX, Meta
from oleada_wire.topics import Up
from sqlalchemy import select

from tests.support.fleet import a_hello, add_device
from tests.support.releases import Signers, some_info

VICTIM, OTHER = "VX417Q3K0928", "VX417Q3K0929"
HOUR = timedelta(hours=1)


@dataclass
class Home:
    """A box at home: its verifier, and the disk under it."""

    name: str
    root: bytes
    now: datetime
    disk: SimDisk = field(default_factory=SimDisk)

    def __post_init__(self) -> None:
        MetadataStore(self.disk, "trust").write("root", self.root)
        self.authority = Authority(
            Box(self.name, "VX-410"), self.disk, "trust", now_ms=lambda: to_ms(self.now),
            steady_ms=lambda: 0, capacity_bytes=lambda: 10**9,
        )  # fmt: skip

    def listen(self) -> None:
        """Take the metadata of the server whose turn it is."""
        topic = topics.model("VX-410", topics.Model.META)
        body = db.session.scalar(
            select(RetainedMessage.payload).where(RetainedMessage.topic == topic)
        )
        assert body is not None
        against = self.authority.accept_meta(messages.decode(Meta, body, DOWN_BYTES_MAX))
        assert against is None, against

    def says_hello(self) -> None:
        """Say hello to the server whose turn it is."""
        hello = a_hello(audit_head=self.authority.witness.seen)
        said = Incoming(topics.up(self.name, Up.HELLO), messages.encode(hello))
        assert store([said], self.now).counted[self.name]


def signs_and_tells(now: datetime) -> None:
    """Sign a head of the trail as it is, and hand it out with the metadata."""
    assert heads.sign(now) is not None
    metadata.queue_meta(now)
    db.session.commit()


def publishes(signers: Signers, version: str, now: datetime) -> None:
    content = signers.bundle(some_info(version), version.encode(), now=now)
    service.publish(io.BytesIO(content), "user:anna", now)
    signs_and_tells(now)


@pytest.fixture
def honest(sqlite_app: Flask, sqlite_signers: Signers, noon: datetime) -> Flask:
    """A server with two boxes, its trust, and a trail that everybody was shown."""
    assert sqlite_signers.files.roots
    directory = settings.current().keys_dir
    key = read_online(directory / "director.pem")
    write_public(directory / "online-public.json", {"director": key.public_key()})
    for name in (VICTIM, OTHER):
        add_device(name)
    signs_and_tells(noon)
    return sqlite_app


class Copy:
    """A copy of the honest server, with all that is its, as somebody took it along."""

    def __init__(self, honest: Flask, home: Path) -> None:
        config = honest.extensions["oleada_config"]
        shutil.copytree(config.data_dir, home)
        self._config = replace(config, data_dir=home, database_url=f"sqlite:///{home}/oleada.db")

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Let it, and not the honest one, speak and hear."""
        db.session.remove()
        with create_app(self._config, WITHOUT_PAGES).app_context():
            yield
            db.session.remove()
            db.engine.dispose()


@pytest.fixture
def copy(honest: Flask, tmp_path: Path) -> Copy:
    db.session.remove()
    return Copy(honest, tmp_path / "copy")


def test_what_one_box_was_shown_alone_is_found_by_the_honest_server_and_by_the_auditor(
    copy: Copy, sqlite_signers: Signers, noon: datetime
) -> None:
    root = sqlite_signers.files.roots[0]
    victim, other = Home(VICTIM, root, noon + HOUR), Home(OTHER, root, noon + HOUR)
    victim.listen()
    other.listen()

    with copy.turn():
        publishes(sqlite_signers, "6.6.6", noon + HOUR)
        victim.listen()
        secret = victim.authority.witness.seen
        other.says_hello()
        assert witnessed.list_all() == []  # it knows all that the honest one told
    other.says_hello()
    assert witnessed.list_all() == []
    victim.says_hello()

    (found,) = witnessed.unsettled()
    assert found.boxes == [VICTIM]
    assert facts.gather(settings.current(), noon).split_views == (VICTIM,)
    assert secret is not None
    audited = checked.everything([secret])
    assert not audited.is_whole
    assert "another trail was there when it was signed" in audited.wrong[0]


def test_a_copy_that_goes_on_beside_the_honest_server_shows_at_either(
    copy: Copy, sqlite_signers: Signers, noon: datetime
) -> None:
    """Both trails grow; a box of either, heard by the other one, proves that there are two."""
    root = sqlite_signers.files.roots[0]
    victim, other = Home(VICTIM, root, noon + HOUR), Home(OTHER, root, noon + HOUR)

    with copy.turn():
        publishes(sqlite_signers, "6.6.6", noon + HOUR)
        victim.listen()
    publishes(sqlite_signers, "5.8.2", noon + HOUR)
    other.listen()
    victim.says_hello()
    assert [one.boxes for one in witnessed.unsettled()] == [[VICTIM]]

    with copy.turn():
        other.says_hello()
        assert [one.boxes for one in witnessed.unsettled()] == [[OTHER]]
