"""Releases over real HTTP: the commands of the signer, and a gibibyte in flat memory."""

import hashlib
import http.client
import io
import json
import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import psutil
import pytest
from click.testing import CliRunner, Result
from flask import Flask
from oleada_server import cli
from oleada_server.accounts import service as accounts
from oleada_server.accounts import tokens
from oleada_server.accounts.models import Role
from oleada_server.clock import now_utc
from oleada_server.config import Config
from oleada_server.db import db
from oleada_server.releases import service
from oleada_server.up import web_command
from oleada_store import bundle, keys, repository, roles
from oleada_store.ceremony import MODEL_KEYS
from oleada_store.errors import BadBundleError
from oleada_store.repository import NewRelease
from oleada_wire.release import target_path

from tests.support.postgres import free_port
from tests.support.releases import Signers, hold_ceremony, some_info

pytestmark = pytest.mark.real
GIB = 1024**3
MIB = 1024**2
GROWTH_BYTES_MAX = 64 * MIB
START_S = 60


@dataclass(frozen=True)
class Server:
    """A running web process, and a token that may write releases."""

    process: subprocess.Popen[bytes]
    config: Config
    token: str

    @property
    def url(self) -> str:
        """Return the address of the console."""
        return self.config.console_url

    def environment(self) -> dict[str, str]:
        """Return what the command line needs to find this server."""
        return {
            "OLEADA_DATA_DIR": str(self.config.data_dir),
            "OLEADA_URL": self.url,
            "OLEADA_TOKEN": self.token,
        }

    def worker(self) -> psutil.Process:
        """Return the process that answers requests, the only child of gunicorn's master."""
        (found,) = psutil.Process(self.process.pid).children()
        return found


@pytest.fixture
def server(sqlite_app: Flask, sqlite_config: Config) -> Iterator[Server]:
    now = now_utc()
    accounts.add_user("anna", full_name="Anna", role=Role.OPERATOR, actor="system:test", now=now)
    scopes = ["releases:read", "releases:write"]
    token = tokens.create_token("anna", "a test", scopes, actor="system:test", now=now)
    db.session.remove()
    keys.make_online_keys(sqlite_app.extensions["oleada_config"].keys_dir)
    with _running(replace(sqlite_config, web_port=free_port(), web_threads=4)) as process:
        yield Server(process[0], process[1], token)


@contextmanager
def _running(config: Config) -> Iterator[tuple[subprocess.Popen[bytes], Config]]:
    environment = {**os.environ, "OLEADA_DATA_DIR": str(config.data_dir)}
    process = subprocess.Popen(web_command(config), env=environment, stderr=subprocess.PIPE)
    try:
        _wait_until_it_answers(process, config)
        yield process, config
    finally:
        process.terminate()
        _, said = process.communicate(timeout=START_S)
        assert process.returncode == 0, said.decode()


def _wait_until_it_answers(process: subprocess.Popen[bytes], config: Config) -> None:
    limit = now_utc().timestamp() + START_S
    while now_utc().timestamp() < limit:
        assert process.returncode is None
        connection = http.client.HTTPConnection(config.web_host, config.web_port, timeout=5)
        with closing(connection), suppress(OSError):
            connection.request("GET", "/healthz")
            assert connection.getresponse().status == 200
            return
        with suppress(subprocess.TimeoutExpired):
            process.wait(0.05)
    raise AssertionError("the web did not start")


def _peak_bytes(process: psutil.Process) -> int:
    """Return the most memory that *process* ever had resident (VmHWM)."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


class _Stream(io.RawIOBase):
    """The bytes of a bundle whose image is *zeros* bytes of zeros, made as they are read."""

    def __init__(self, head: bytes, zeros: int, tail: bytes) -> None:
        self._parts: list[io.BytesIO | int] = [io.BytesIO(head), zeros, io.BytesIO(tail)]

    def readable(self) -> bool:
        """Say yes."""
        return True

    def read(self, size: int = -1) -> bytes:
        """Return at most *size* bytes of what comes next."""
        while self._parts:
            part = self._parts[0]
            if isinstance(part, int):
                found = bytes(min(size, part))
                self._parts[0] = part - len(found)
            else:
                found = part.read(size)
            if found:
                return found
            self._parts.pop(0)
        return b""


def test_a_gibibyte_does_not_raise_the_servers_memory(server: Server) -> None:
    now = now_utc()
    signers = hold_ceremony(server.config.keys_dir, now)
    service.install_trust(signers.files, "user:anna", now)
    small = signers.bundle(some_info("0.9.0"), b"a small one first", now=now)
    assert _post(server, io.BytesIO(small), len(small))[0] == 201
    signers.accept(small)
    before = _peak_bytes(server.worker())

    stream, size_bytes = _bundle_of_zeros(signers, GIB)
    status, answer = _post(server, stream, size_bytes)

    assert status == 201, answer
    growth = _peak_bytes(server.worker()) - before
    assert growth <= GROWTH_BYTES_MAX, f"{growth / MIB:.0f} MiB more"
    found = json.loads(answer)
    image = service.artifact_path(found["sha256"]).stat()
    assert (found["size_bytes"], image.st_size) == (GIB, GIB)
    assert image.st_blocks * 512 < MIB, "runs of zeros stay holes on disk"


def _bundle_of_zeros(signers: Signers, size_bytes: int) -> tuple[_Stream, int]:
    digest, chunk = hashlib.sha256(), bytes(MIB)
    for _ in range(size_bytes // MIB):
        digest.update(chunk)
    info = some_info("1.0.0")
    release = NewRelease(target_path("VX-410", "1.0.0"), size_bytes, digest.hexdigest(), info)
    role = repository.with_release(signers.models["VX-410"], release, now_utc() + roles.MODEL_VALID)
    for name in MODEL_KEYS:
        role.sign(keys.tuf_signer(signers.secret[name]), append=True)
    description = bundle.Description(
        format=bundle.FORMAT,
        hardware_model="VX-410",
        version=info.version,
        role_version=role.signed.version,
        target_path=release.path,
        size_bytes=size_bytes,
        sha256=release.sha256,
        image_name="zeros.img",
        base="tuf",
    )
    head = io.BytesIO()
    with pytest.raises(BadBundleError):  # everything up to the image, which comes as zeros
        bundle.write(head, bundle.Head(description, repository.write(role)), [])
    end = bytes(2 * 512)
    return _Stream(head.getvalue(), size_bytes, end), head.tell() + size_bytes + len(end)


def _post(server: Server, stream: io.IOBase, size_bytes: int) -> tuple[int, str]:
    headers = {
        "Authorization": f"Bearer {server.token}",
        "Content-Type": bundle.CONTENT_TYPE,
        "Content-Length": str(size_bytes),
    }
    connection = http.client.HTTPConnection(server.config.web_host, server.config.web_port)
    with closing(connection):
        connection.request("POST", "/api/v1/releases", body=stream, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()


def test_from_the_ceremony_to_a_withdrawn_release_by_command(
    server: Server, tmp_path: Path
) -> None:
    secret = tmp_path / "passphrase"
    secret.write_text("correct horse\n")
    image = tmp_path / "box.img"
    image.write_bytes(os.urandom(300_000))
    ceremony, file = tmp_path / "ceremony", tmp_path / "box.oleada"
    root = ceremony / "tuf" / "1.root.json"
    passphrase = f"--passphrase-file {secret}"

    def run(words: str, *more: str) -> Result:
        found = CliRunner().invoke(cli.main, [*words.split(), *more], env=server.environment())
        assert found.exit_code == 0, found.output
        return found

    online = server.config.keys_dir / "online-public.json"
    run(f"keys init --out {ceremony} --online {online} --model VX-410 {passphrase}")
    run(f"release trust {ceremony / 'tuf'}")
    run(
        f"release build {image} --model VX-410 --version 5.8.2 --security-version 3 "
        f"--fixes F-118 --base {server.url} --root {root} -o {file} --note",
        "en=Mends the tuner",
    )
    for key in ("release-signer", "approver"):
        said = run(
            f"release sign {file} --yes {passphrase} --key {ceremony / key}.pem "
            f"--base {server.url} --root {root}"
        )
    published = run(f"release publish {file}")
    again = run(f"release publish {file}")
    listed = json.loads(run("release list --json").stdout)
    run("release withdraw VX-410 5.8.2 --reason", "it hangs")

    assert "It can be published." in said.output
    assert published.output == "Published VX-410/5.8.2.img, 300000 bytes.\n"
    assert again.output == "VX-410/5.8.2.img is published already.\n"
    (release,) = listed["releases"]
    assert release["sha256"] == hashlib.sha256(image.read_bytes()).hexdigest()
    assert release["notes"] == {"en": "Mends the tuner"}
    assert "withdrawn" in run("release list --model VX-410").output


def test_publishing_an_unsigned_bundle_ends_with_the_servers_sentence(
    server: Server, tmp_path: Path
) -> None:
    now = now_utc()
    signers = hold_ceremony(server.config.keys_dir, now)
    service.install_trust(signers.files, "user:anna", now)
    file = tmp_path / "box.oleada"
    file.write_bytes(signers.bundle(some_info(), signed_by=("approver",), now=now))

    found = CliRunner().invoke(
        cli.main, ["release", "publish", str(file)], env=server.environment()
    )

    assert found.exit_code == 1
    assert "carries 1 of the 2 signatures" in found.output


def test_an_upload_that_breaks_off_leaves_nothing(server: Server) -> None:
    now = now_utc()
    signers = hold_ceremony(server.config.keys_dir, now)
    service.install_trust(signers.files, "user:anna", now)
    content = signers.bundle(some_info(), b"i" * 3 * MIB, now=now)

    with socket.create_connection((server.config.web_host, server.config.web_port)) as line:
        line.sendall(
            b"POST /api/v1/releases HTTP/1.1\r\nHost: x\r\nContent-Type: "
            + bundle.CONTENT_TYPE.encode()
            + f"\r\nAuthorization: Bearer {server.token}\r\n".encode()
            + f"Content-Length: {len(content)}\r\n\r\n".encode()
            + content[: 2 * MIB]
        )
        line.shutdown(socket.SHUT_WR)
        line.settimeout(START_S)
        while line.recv(4096):
            pass

    assert list((server.config.blobs_dir / "incoming").iterdir()) == []
    assert list(server.config.blobs_dir.glob("??/*")) == []
    assert service.list_releases() == []
