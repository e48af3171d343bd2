"""A box says whom and what it trusts, and shows nothing that does not verify."""

import json
from pathlib import Path

import pytest
from oleada_agent import cli, identity, keypairs, trusted
from oleada_agent.disk import RealDisk
from oleada_agent.trust.authority import Authority, Box
from oleada_agent.trust.store import MetadataStore
from oleada_wire import messages
from oleada_wire.ids import BootId
from oleada_wire.messages import AuditHead, Deny, Header, Meta

from tests.agent.edge.repository import MODEL, NOON, Repository

NOON_MS = int(NOON.timestamp() * 1000)
HEADER = Header("0" * 32, NOON_MS, BootId(7, "0a1b2c3d"), 1)


@pytest.fixture
def box(tmp_path: Path) -> Path:
    """A box that trusts its maker's metadata, denies an image and has seen a head."""
    repository, disk = Repository(), RealDisk(tmp_path)
    MetadataStore(disk, "data/trust").write("root", repository.files["1.root.json"])
    record = {
        "device_id": "VX417Q3K0928", "hardware_model": MODEL, "zone": "UTC",
        "broker_host": "broker.example", "broker_port": 8883, "artifacts_url": "https://artifacts.example",
    }  # fmt: skip
    (tmp_path / "data/identity").mkdir(parents=True)
    (tmp_path / keypairs.DIRECTORY / identity.RECORD).write_text(json.dumps(record))
    authority = Authority(
        Box("VX417Q3K0928", MODEL), disk, "data/trust", now_ms=lambda: NOON_MS,
        steady_ms=lambda: 0, capacity_bytes=lambda: 1 << 20,
    )  # fmt: skip
    head = AuditHead(HEADER, 100, "e" * 64, "f" * 64, 0, NOON_MS)
    sealed = messages.seal(head, [repository.director]).decode()
    authority.accept_meta(Meta(HEADER, repository.plain_files(), sealed))
    authority.accept_deny(messages.seal(Deny(HEADER, MODEL, 1, ("d" * 64,)), [repository.director]))
    return tmp_path


def test_what_a_box_trusts_is_said_from_the_root_down(box: Path) -> None:
    found = dict(trusted.look(box))

    assert found["root"].startswith("version 1, until 20")
    assert found["root"].endswith("2 of 3 keys must sign")
    assert found["timestamp"].endswith("1 of 1 keys must sign")
    assert found["wave-approvers"].startswith("2 of 2: ")
    assert found[MODEL].endswith("2 of 2 keys must sign")
    assert f"  {MODEL}/5.8.2.img" in found
    assert found["denied images"] == "d" * 64
    assert found["audit head"].startswith(f"100 entries, root {'e' * 64}, signed ")
    assert found["time floor"] == f"{NOON:%Y-%m-%d %H:%M} UTC"


def test_what_does_not_verify_is_not_shown(box: Path) -> None:
    for folder in ("", "second/"):
        path = box / f"data/trust/{folder}timestamp.json"
        path.write_bytes(path.read_bytes().replace(b'"version":1', b'"version":9'))

    assert dict(trusted.look(box))["timestamp"] == trusted.NONE


def test_a_box_without_a_root_trusts_nobody(tmp_path: Path) -> None:
    assert dict(trusted.look(tmp_path)) == {"time floor": "none yet", "root": trusted.NONE}


def test_looking_changes_nothing(box: Path) -> None:
    (box / "data/trust/second/root.json").write_bytes(b"torn")
    before = {path: path.read_bytes() for path in box.rglob("*") if path.is_file()}

    list(trusted.look(box))

    assert {path: path.read_bytes() for path in box.rglob("*") if path.is_file()} == before


def test_the_command_ends_with_1_when_something_does_not_verify(
    box: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["trust", "--box", str(box), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["audit head"].startswith("100 entries")
    for path in box.glob("data/trust/**/snapshot.json"):
        path.unlink()

    assert cli.main(["trust", "--box", str(box)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert "snapshot nothing that verifies" in [" ".join(line.split()) for line in lines]
