"""A publisher killed at any step leaves the old state or the new one, never a mixture.

Each run is a child process that kills itself (SIGKILL) before the next durable step:
an fsync, a rename or a commit. The steps are counted, so a new one is tried too.
"""

import io
import os
import signal
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from oleada_server.app import create_app
from oleada_server.config import Config
from oleada_server.db import db
from oleada_server.messaging.models import RetainedMessage
from oleada_server.releases import service
from oleada_server.releases.models import DenyList
from oleada_store import repository, trust_files
from oleada_wire import messages, topics
from oleada_wire.messages import Meta
from sqlalchemy import event, select
from tuf.api.metadata import Targets

from tests.support.releases import Signers, some_info

STEPS_MAX = 80


class _Fuse:
    """Kills this process before its *steps*-th durable step."""

    def __init__(self, steps: int) -> None:
        self._left = steps

    def burn(self, *_: object) -> None:
        self._left -= 1
        if self._left < 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def before(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def guarded(*args: Any, **more: Any) -> Any:
            self.burn()
            return call(*args, **more)

        return guarded


def _killed_after(steps: int, config: Config, deed: Callable[[], object]) -> bool:
    """Do *deed* in a child that dies before step *steps*; return whether it died."""
    child = os.fork()
    if child == 0:
        try:
            fuse = _Fuse(steps)
            os.fsync, os.replace = fuse.before(os.fsync), fuse.before(os.replace)
            with create_app(config).app_context():
                event.listen(db.engine, "commit", fuse.burn)
                deed()
            os._exit(0)
        except BaseException as error:
            os.write(2, repr(error).encode())
            os._exit(1)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return True
    assert os.WEXITSTATUS(status) == 0
    return False


def _check_whole(config: Config, now: datetime) -> list[str]:
    """Return the published versions, once rows, messages, images and files fit together."""
    with create_app(config).app_context():
        assert service.recover(now) == []
        releases = service.list_releases("VX-410")
        role = repository.read(Targets, service.tuf_file("VX-410.json"), "VX-410")
        assert set(role.signed.targets) == {release.target_path for release in releases}
        topic = topics.model("VX-410", topics.Model.META)
        sent = select(RetainedMessage.payload).where(RetainedMessage.topic == topic)
        meta = messages.decode(Meta, db.session.scalar(sent) or b"", messages.DOWN_BYTES_MAX)
        for name in ("timestamp.json", "snapshot.json", "VX-410.json"):
            assert meta.files[name].encode() == service.tuf_file(name)
            assert (config.tuf_dir / name).read_bytes() == service.tuf_file(name)
        held = {path.name for path in config.blobs_dir.glob("??/*")}
        assert held == {release.sha256 for release in releases}
        assert list((config.blobs_dir / "incoming").iterdir()) == []
        trust_files.trusted_model(trust_files.read_directory(config.tuf_dir), "VX-410", now)
        versions = [release.version for release in releases]
        db.session.remove()
        db.engine.dispose()
    return versions


@pytest.fixture
def server(sqlite_app: Flask, sqlite_signers: Signers, noon: datetime) -> Config:
    """A server with release 1.0.0 of VX-410, and no connection open to its database."""
    content = sqlite_signers.bundle(some_info("1.0.0"), b"the first", now=noon)
    service.publish(io.BytesIO(content), "user:anna", noon)
    sqlite_signers.accept(content)
    db.session.remove()
    db.engine.dispose()
    config: Config = sqlite_app.extensions["oleada_config"]
    return config


@pytest.mark.real
def test_a_publisher_killed_at_any_step_leaves_the_old_state_or_the_new_one(
    server: Config, sqlite_signers: Signers, noon: datetime
) -> None:
    content = sqlite_signers.bundle(some_info("1.1.0"), b"the second", now=noon)
    found, died = [], True
    for steps in range(STEPS_MAX):
        died = _killed_after(
            steps, server, lambda: service.publish(io.BytesIO(content), "user:anna", noon)
        )
        found.append(_check_whole(server, noon))
        if not died or len(found[-1]) == 2:
            break

    assert found[0] == ["1.0.0"]
    assert found[-1] == ["1.1.0", "1.0.0"]
    assert all(versions == ["1.0.0"] for versions in found[:-1])
    assert len(found) >= 5
    assert died, "the commit is not the last durable step: the copy on disk follows it"


@pytest.mark.real
def test_a_kill_while_the_copy_on_disk_is_written_is_mended_at_the_next_start(
    server: Config, sqlite_signers: Signers, noon: datetime
) -> None:
    content = sqlite_signers.bundle(some_info("1.1.0"), b"the second", now=noon)
    (server.tuf_dir / "timestamp.json").write_bytes(b"half a file")
    (server.tuf_dir / "9.snapshot.json").write_bytes(b"of nobody")
    assert content

    assert _check_whole(server, noon) == ["1.0.0"]
    assert not (server.tuf_dir / "9.snapshot.json").exists()


@pytest.mark.real
def test_a_withdrawal_killed_at_any_step_happened_or_did_not(
    server: Config, noon: datetime
) -> None:
    def withdraw() -> None:
        service.withdraw("VX-410", "1.0.0", "it hangs", "user:anna", noon)

    found = []
    for steps in range(STEPS_MAX):
        died = _killed_after(steps, server, withdraw)
        with create_app(server).app_context():
            release = service.get("VX-410", "1.0.0")
            denied = db.session.get(DenyList, "VX-410")
            found.append((str(release.state), denied.digests if denied else []))
            sha256 = release.sha256
            db.session.remove()
            db.engine.dispose()
        if not died:
            break

    assert found[0] == ("published", [])
    assert found[-1] == ("withdrawn", [sha256])
    assert set(map(str, found)) == {str(found[0]), str(found[-1])}


@pytest.mark.real
def test_recovery_never_removes_an_image_that_is_arriving(
    sqlite_app: Flask, sqlite_signers: Signers, noon: datetime, tmp_path: Path
) -> None:
    content = sqlite_signers.bundle(some_info(), b"i" * 5000, now=noon)
    assert tmp_path

    class Interrupted(io.BytesIO):
        """A stream in the middle of which the server is asked to tidy up."""

        def read(self, size: int | None = -1, /) -> bytes:
            if self.tell() > content.index(b"iiii"):
                with sqlite_app.app_context():
                    service.recover(noon)
            return super().read(min(size or 0, 1000))

    release = service.publish(Interrupted(content), "user:anna", noon)

    assert service.artifact_path(release.sha256).read_bytes() == b"i" * 5000
