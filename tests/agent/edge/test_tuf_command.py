"""``oleada-agent tuf`` as engineers and other people's test suites call it."""

import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

import pytest
from oleada_agent import cli, clock
from oleada_agent.health import utc
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import DelegatedRole, Delegations, Metadata, TargetFile, Targets

from tests.agent.edge.repository import MODEL, Repository


class Handler(BaseHTTPRequestHandler):
    """Serves the repository's metadata and targets."""

    server: "Mirror"

    def do_GET(self) -> None:
        """Serve a file, or say that it is not there."""
        self.server.asked.append(self.path)
        name = self.path.partition("/metadata/")[2]
        data = self.server.repository.files.get(unquote(name))
        if not name:
            data = self.server.targets.get(unquote(self.path.partition("/targets/")[2]))
        self.send_response(404 if data is None else 200)
        self.send_header("Content-Length", str(len(data or b"")))
        self.end_headers()
        self.wfile.write(data or b"")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Stay quiet."""


class Mirror(ThreadingHTTPServer):
    """A repository on a loopback port, and the ``tuf`` command pointed at it."""

    def __init__(self, home: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.repository = Repository(now=utc(clock.now_ms()))
        self.targets: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.home = home

    def tuf(self, step: str, *more: str) -> int:
        """Run a step; return its exit code."""
        url = f"http://127.0.0.1:{self.server_port}"
        named = ["--metadata-url", f"{url}/metadata", "--target-base-url", f"{url}/targets"]
        places = ["--metadata-dir", str(self.home / "m"), "--target-dir", str(self.home / "t")]
        return cli.main(["tuf", *places, *named, *more, step])

    def init(self) -> int:
        """Trust the repository's first root."""
        root = self.home / "root.json"
        root.write_bytes(self.repository.files["1.root.json"])
        return cli.main(["tuf", "--metadata-dir", str(self.home / "m"), "init", str(root)])

    def add(self, path: str, data: bytes) -> None:
        """Sign and serve target *path*."""
        self.repository.add_target(path, data)
        self.repository.publish(MODEL)
        digest = TargetFile.from_data(path, data, ["sha256"]).hashes["sha256"]
        folder, _, name = path.rpartition("/")
        self.targets[f"{folder}/{digest}.{name}"] = data

    def downloaded(self) -> list[bytes]:
        """Return the contents of the target directory."""
        return [path.read_bytes() for path in sorted((self.home / "t").glob("*"))]


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[Mirror]:
    found = Mirror(tmp_path)
    thread = threading.Thread(target=found.serve_forever, args=(0.01,))
    thread.start()
    yield found
    found.shutdown()
    thread.join()
    found.server_close()


def test_refresh_leaves_the_trusted_metadata_under_plain_names(mirror: Mirror) -> None:
    assert mirror.init() == 0
    assert mirror.asked == []
    assert mirror.tuf("refresh") == 0

    assert sorted(path.name for path in (mirror.home / "m").glob("*.json")) == [
        "root.json", "snapshot.json", "targets.json", "timestamp.json",
    ]  # fmt: skip
    assert mirror.asked == [
        "/metadata/2.root.json", "/metadata/timestamp.json", "/metadata/1.snapshot.json",
        "/metadata/1.targets.json",
    ]  # fmt: skip


def test_a_target_is_fetched_once_and_again_only_when_it_changed(mirror: Mirror) -> None:
    mirror.init()
    path = f"{MODEL}/5.8.2.img"
    mirror.add(path, b"first")
    assert mirror.tuf("download", "--target-name", path) == 0
    before = [name for name in mirror.asked if "/targets/" in name]
    assert mirror.tuf("download", "--target-name", path) == 0
    assert [name for name in mirror.asked if "/targets/" in name] == before
    assert mirror.downloaded() == [b"first"]

    mirror.add(path, b"second")
    assert mirror.tuf("download", "--target-name", path) == 0
    assert mirror.downloaded() == [b"second"]


@pytest.mark.parametrize("served", [b"other", b"firsT", b"firs", b"first and more"])
def test_a_target_that_is_not_what_was_signed_is_refused_and_not_kept(
    mirror: Mirror, served: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    mirror.init()
    path = f"{MODEL}/5.8.2.img"
    mirror.add(path, b"first")
    mirror.targets = dict.fromkeys(mirror.targets, served)

    assert mirror.tuf("download", "--target-name", path) == 1
    assert mirror.downloaded() == []
    assert "refused" in capsys.readouterr().err


def test_an_unknown_target_is_refused_after_a_refresh(mirror: Mirror) -> None:
    mirror.init()

    assert mirror.tuf("download", "--target-name", "nonexistent target") == 1
    assert len(list((mirror.home / "m").glob("*.json"))) == 4


def test_a_root_that_does_not_sign_itself_is_not_trusted(mirror: Mirror) -> None:
    mirror.repository.sign_again("root", lambda root: None, signers=1)

    assert mirror.init() == 1
    assert mirror.tuf("refresh") == 1
    assert mirror.asked == []


def test_an_expired_timestamp_is_refused_by_the_wall_clock(mirror: Mirror) -> None:
    mirror.init()
    mirror.repository.sign_again(
        "timestamp",
        lambda timestamp: setattr(
            timestamp, "expires", mirror.repository.now - timedelta(seconds=1)
        ),
    )

    assert mirror.tuf("refresh") == 1
    assert not (mirror.home / "m/timestamp.json").exists()


@pytest.mark.parametrize("name", ["?", "#", "/delegatedrole", "../delegatedrole", "ñ %41"])
def test_an_unusual_role_name_is_quoted_in_requests_and_on_disk(mirror: Mirror, name: str) -> None:
    mirror.init()
    signer = CryptoSigner.generate_ecdsa()
    targets = mirror.repository.signed["targets"].signed
    key = signer.public_key
    targets.delegations = Delegations(
        {key.keyid: key}, {name: DelegatedRole(name, [key.keyid], 1, False, ["*"])}
    )
    role = Metadata(Targets(expires=mirror.repository.now + timedelta(days=1)))
    role.sign(signer)
    mirror.repository.signed["VX-500"] = role  # takes the place of a role in the snapshot
    mirror.repository.files[f"1.{name}.json"] = role.to_bytes()
    snapshot = mirror.repository.signed["snapshot"].signed
    mirror.repository.publish("targets")
    snapshot.meta[f"{name}.json"] = snapshot.meta.pop("VX-500.json")
    mirror.repository.publish_online()

    assert mirror.tuf("download", "--target-name", "nonexistent") == 1
    assert len(list((mirror.home / "m").glob("*.json"))) == 5
    assert all(path.parent == mirror.home / "m" for path in mirror.home.rglob("*role.json"))


def test_help_explains_the_steps(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["tuf", "--help"])

    assert ended.value.code == 0
    assert "Exit codes: 0 trusted, 1 refused" in capsys.readouterr().out
