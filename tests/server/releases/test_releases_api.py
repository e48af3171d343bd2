"""What programs, boxes and plain TUF clients ask over HTTP."""

import io
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import urlparse

import pytest
from flask import Flask
from flask.testing import FlaskClient
from oleada_server.accounts import service as accounts
from oleada_server.accounts import tokens
from oleada_server.accounts.models import Role
from oleada_server.clock import now_utc
from oleada_server.db import db
from oleada_server.releases import service
from oleada_store.bundle import CONTENT_TYPE
from tuf.api.exceptions import DownloadHTTPError, ExpiredMetadataError
from tuf.ngclient import FetcherInterface, Updater, UpdaterConfig

from tests.support.releases import Signers, hold_ceremony, some_info

RELEASES = "/api/v1/releases"


@pytest.fixture
def now() -> datetime:
    """The real time: python-tuf's client reads the wall clock itself."""
    return now_utc()


@pytest.fixture
def people(sqlite_app: Flask, now: datetime) -> Signers:
    found = hold_ceremony(sqlite_app.extensions["oleada_config"].keys_dir, now)
    service.install_trust(found.files, "user:anna", now)
    return found


@pytest.fixture
def asking(sqlite_app: Flask, now: datetime) -> FlaskClient:
    """A client whose token may read and write releases."""
    accounts.add_user("anna", full_name="Anna", role=Role.OPERATOR, actor="system:test", now=now)
    scopes = ["releases:read", "releases:write"]
    token = tokens.create_token("anna", "a test", scopes, actor="system:test", now=now)
    db.session.remove()
    client = sqlite_app.test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {token}"
    return client


def _publish(client: FlaskClient, signers: Signers, content: bytes) -> Mapping[str, object]:
    answer = client.post(RELEASES, data=content, content_type=CONTENT_TYPE)
    assert answer.status_code == 201, answer.text
    signers.accept(content)
    found: Mapping[str, object] = answer.get_json()
    return found


def test_a_bundle_is_published_listed_shown_and_withdrawn(
    asking: FlaskClient, people: Signers, now: datetime
) -> None:
    content = people.bundle(some_info("5.8.2"), now=now)

    published = _publish(asking, people, content)
    listed = asking.get(RELEASES, query_string={"hardware_model": "VX-410"}).get_json()
    shown = asking.get(f"{RELEASES}/VX-410/5.8.2").get_json()
    gone = asking.post(f"{RELEASES}/VX-410/5.8.2/withdraw", json={"reason": "it hangs"})

    assert listed == {"releases": [published]}
    assert shown == published
    assert published["published_by"] == "user:anna"
    assert published["state"] == "published"
    assert gone.get_json()["withdrawn_reason"] == "it hangs"
    assert asking.get(f"/artifacts/{published['sha256']}").status_code == 410


def test_a_refusal_says_its_code_and_its_sentence(
    asking: FlaskClient, people: Signers, now: datetime
) -> None:
    content = people.bundle(some_info(), signed_by=("approver",), now=now)

    answer = asking.post(RELEASES, data=content, content_type=CONTENT_TYPE)

    assert answer.status_code == 400
    assert answer.content_type == "application/problem+json"
    assert answer.get_json()["code"] == "bundle-unsigned"
    assert "oleada release sign" in answer.get_json()["detail"]


def test_the_beginning_of_a_bundle_is_judged_before_its_image_is_sent(
    asking: FlaskClient, people: Signers, now: datetime
) -> None:
    content = people.bundle(some_info(), b"image" * 9, now=now)
    head = content[: content.index(b"imageimage")]

    first = asking.post(f"{RELEASES}/check", data=head, content_type=CONTENT_TYPE)
    _publish(asking, people, content)
    then = asking.post(f"{RELEASES}/check", data=head, content_type=CONTENT_TYPE)

    assert first.get_json() == {"target_path": "VX-410/1.0.0.img", "published_already": False}
    assert then.get_json() == {"target_path": "VX-410/1.0.0.img", "published_already": True}


def test_something_that_is_no_bundle_is_refused_by_its_type(asking: FlaskClient) -> None:
    answer = asking.post(RELEASES, data=b"{}", content_type="application/json")

    assert answer.get_json()["code"] == "bundle-malformed"


def test_nobody_publishes_or_withdraws_without_the_right(
    sqlite_app: Flask, people: Signers, now: datetime
) -> None:
    content = people.bundle(some_info(), now=now)
    stranger = sqlite_app.test_client()

    asked = [
        stranger.post(RELEASES, data=content, content_type=CONTENT_TYPE),
        stranger.post(f"{RELEASES}/check", data=content, content_type=CONTENT_TYPE),
        stranger.post(f"{RELEASES}/VX-410/1.0.0/withdraw", json={"reason": "spite"}),
        stranger.get(RELEASES),
    ]

    assert [answer.status_code for answer in asked] == [401] * 4
    assert service.list_releases() == []


def test_an_image_is_served_whole_by_range_and_for_ever(
    asking: FlaskClient, people: Signers, now: datetime
) -> None:
    sha256 = _publish(asking, people, people.bundle(some_info(), b"0123456789", now=now))["sha256"]
    path = f"/artifacts/{sha256}"

    whole = asking.get(path)
    rest = asking.get(path, headers={"Range": "bytes=7-", "If-Range": whole.headers["ETag"]})
    beyond = asking.get(path, headers={"Range": "bytes=10-"})

    assert whole.data == b"0123456789"
    assert whole.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert whole.headers["ETag"] == f'"{sha256}"'
    assert (rest.status_code, rest.data) == (206, b"789")
    assert rest.headers["Content-Range"] == "bytes 7-9/10"
    assert beyond.status_code == 416
    for answer in (whole, rest, beyond):
        answer.close()


def test_only_images_of_releases_are_served(asking: FlaskClient, people: Signers) -> None:
    assert people.files.roots

    for name in ("0" * 64, "..%2f..%2fkeys%2fdirector.pem", "incoming", "x"):
        assert asking.get(f"/artifacts/{name}").status_code == 404


def test_a_metadata_file_with_a_version_in_its_name_may_be_kept(
    asking: FlaskClient, people: Signers
) -> None:
    root, timestamp = asking.get("/tuf/1.root.json"), asking.get("/tuf/timestamp.json")

    assert root.data == people.files.roots[0]
    assert root.headers["Cache-Control"].endswith("immutable")
    assert timestamp.headers["Cache-Control"] == "no-cache"
    assert asking.get("/tuf/2.root.json").status_code == 404


class _Asker(FetcherInterface):
    """python-tuf's way to the server under test."""

    def __init__(self, client: FlaskClient) -> None:
        self._client = client

    def _fetch(self, url: str) -> Iterator[bytes]:
        answer = self._client.get(urlparse(url).path)
        if answer.status_code != 200:
            raise DownloadHTTPError(answer.text, answer.status_code)
        yield answer.data
        answer.close()


def _updater(asking: FlaskClient, folder: Path, root: bytes) -> Updater:
    folder.mkdir(exist_ok=True)
    (folder / "targets").mkdir(exist_ok=True)
    return Updater(
        str(folder),
        "http://server/tuf/",
        str(folder / "targets"),
        "http://server/tuf/targets/",
        fetcher=_Asker(asking),
        config=UpdaterConfig(prefix_targets_with_hash=True),
        bootstrap=root,
    )


def test_a_plain_tuf_client_follows_from_release_to_release(
    asking: FlaskClient, people: Signers, tmp_path: Path, now: datetime
) -> None:
    for version in ("1.0.0", "1.1.0"):
        _publish(asking, people, people.bundle(some_info(version), version.encode(), now=now))

        client = _updater(asking, tmp_path / "tuf", people.files.roots[0])
        client.refresh()
        target = client.get_targetinfo(f"VX-410/{version}.img")
        assert target is not None
        downloaded = client.download_target(target)

        assert Path(downloaded).read_bytes() == version.encode()
    assert client.get_targetinfo("VX-410/9.img") is None


def test_a_plain_tuf_client_sees_when_the_server_stands_still(
    sqlite_app: Flask, tmp_path: Path, now: datetime
) -> None:
    config = sqlite_app.extensions["oleada_config"]
    signers = hold_ceremony(config.keys_dir, now - timedelta(days=5))
    service.install_trust(signers.files, "user:anna", now - timedelta(days=5))
    asking = sqlite_app.test_client()
    root = signers.files.roots[0]

    with pytest.raises(ExpiredMetadataError):
        _updater(asking, tmp_path / "tuf", root).refresh()

    service.refresh_online_metadata(now)
    _updater(asking, tmp_path / "tuf", root).refresh()
    assert (tmp_path / "tuf" / "timestamp.json").read_bytes() == service.tuf_file("timestamp.json")


def test_a_refused_upload_is_read_to_its_end_so_that_the_sender_hears_why(
    asking: FlaskClient, people: Signers, now: datetime
) -> None:
    content = people.bundle(some_info(), b"x" * 100_000, signed_by=(), now=now)
    body = io.BytesIO(content)

    answer = asking.post(
        RELEASES, input_stream=body, content_length=len(content), content_type=CONTENT_TYPE
    )

    assert answer.status_code == 400
    assert body.tell() == len(content)
