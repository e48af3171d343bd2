"""A restore takes no revocation back that was made after the backup."""

import json
import shutil
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric import ec
from oleada_server import gate
from oleada_server.audit import service as audit
from oleada_server.backup import making, restoring
from oleada_server.cli import main
from oleada_server.config import Config
from oleada_server.db import db
from oleada_server.devices.models import Device
from oleada_server.enrolment import adoption, pki, revocations, revoked_file, service
from oleada_server.enrolment.errors import BadRequestForCertificateError, BadRevocationsError

from tests.backup.places import NOON, NewConfig, opened, server
from tests.support.certificates import a_key, a_request
from tests.support.fleet import a_hello

HOUR = timedelta(hours=1)
NORA = "user:nora"
OLD_KEY = a_key()


@dataclass(frozen=True, slots=True)
class Lost:
    """A server that was lost: its backup, and what its data directory had to the end.

    Attributes:
        boxes: One that the backup knows, one that it knows as revoked and that was let in
            again before it, and one that was enrolled after it; all but the second revoked.
    """

    backup: Path
    config: Config
    boxes: tuple[str, str, str]

    @property
    def file(self) -> Path:
        """Who was revoked at the end."""
        return self.config.broker_dir / revoked_file.FILE_NAME


def a_box(serial: str, at_hours: int, key: ec.EllipticCurvePrivateKey | None = None) -> str:
    now = NOON + at_hours * HOUR
    token = service.create_claim(serial, "VX-410", actor=NORA, now=now)
    return service.enrol(token, serial, a_request(key or a_key()), now).device_id


def revoke(device_id: str, at_hours: int) -> None:
    revocations.revoke(device_id, "stolen", actor=NORA, now=NOON + at_hours * HOUR)


@pytest.fixture
def lost(new_config: NewConfig, tmp_path: Path) -> Lost:
    """The lost server; its backup is of the fourth hour."""
    config, backup = new_config("lost", "sqlite"), tmp_path / "a.oleada"
    with server(config) as app:
        for name in ("device-ca", "service-ca"):
            pki.make_authority(config.pki_dir, name, NOON)
        first, again = a_box("SN-1", 0, OLD_KEY), a_box("SN-2", 0)
        revoke(again, 1)
        a_box("SN-2", 2)
        making.make(app, backup, None, NOON + 4 * HOUR)
        late = a_box("SN-3", 5)
        for device_id in (first, late):
            revoke(device_id, 6)
        gate.keep(config, NOON + 6 * HOUR)
    return Lost(backup, config, (first, again, late))


def restored(lost: Lost, home: Path, file: Path | None) -> tuple[Config, int | None]:
    config = replace(lost.config, data_dir=home)
    found = restoring.restore(lost.backup, home, None, NOON + 9 * HOUR, revocations=file)[1]
    return config, found.revoked


def revoked_now() -> set[str]:
    return set(db.session.scalars(db.select(Device.id).where(Device.revoked_at.is_not(None))))


def test_what_was_revoked_after_the_backup_is_revoked_in_what_is_restored(
    lost: Lost, tmp_path: Path
) -> None:
    first, again, late = lost.boxes

    config, count = restored(lost, tmp_path / "new", lost.file)

    assert count == 2
    with opened(config):
        assert revoked_now() == {first, late}
        held = gate.revoked(NOON + 9 * HOUR)
        assert held.device_ids == tuple(sorted((first, late)))
        assert len(held.certificates) == 3, "the first one of the second box as well"
        event = next(e for e in audit.events_about(f"device:{first}") if "revoke" in e.action)
        assert (event.actor, event.reason) == ("system:restore", revoked_file.WHY)
        fresh = service.create_claim("SN-1", "VX-410", actor=NORA, now=NOON + 9 * HOUR)
        with pytest.raises(BadRequestForCertificateError, match="its key was revoked"):
            service.enrol(fresh, "SN-1", a_request(OLD_KEY), NOON + 9 * HOUR)
        hello = a_hello(serial="SN-3", hardware_model="VX-410")
        assert adoption.adopt_lost({late: hello}, NOON + 9 * HOUR) == set()
        assert revoked_file.merge(lost.file, config, NOON + 9 * HOUR) == 0
        assert again not in revoked_now()


def test_without_the_file_nobody_knows_and_the_restore_says_so(lost: Lost, tmp_path: Path) -> None:
    config, count = restored(lost, tmp_path / "new", None)

    assert count is None
    with opened(config):
        assert revoked_now() == set()


def test_a_second_place_that_the_settings_name_is_looked_into_by_itself(
    lost: Lost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = tmp_path / "elsewhere.json"
    with opened(replace(lost.config, revocations_file=str(second))) as app:
        gate.keep(app.extensions["oleada_config"], NOON + 6 * HOUR)
        db.session.remove()
    monkeypatch.setenv("OLEADA_REVOCATIONS_FILE", str(second))
    monkeypatch.setenv("OLEADA_DATA_DIR", str(tmp_path / "new"))

    done = CliRunner().invoke(main, ["restore", str(lost.backup)])

    assert done.exit_code == 0, done.output
    assert "2 boxes were revoked after the backup, and are so again." in done.output


NONE_AT_ALL = (
    b"", b"[]", b"{}", b'{"body": "{}", "signature": "AA=="}', b"\xff", b"[" * 9000,
)  # fmt: skip


def test_a_file_that_is_none_revokes_nobody(lost: Lost, tmp_path: Path) -> None:
    broken = tmp_path / "broken.json"

    with opened(lost.config):
        for text in NONE_AT_ALL:
            broken.write_bytes(text)
            with pytest.raises(BadRevocationsError):
                revoked_file.merge(broken, lost.config, NOON)


def test_a_file_of_another_server_or_with_one_box_more_revokes_nobody(
    lost: Lost, tmp_path: Path
) -> None:
    spelt = json.loads(lost.file.read_bytes())
    forged = tmp_path / "forged.json"
    forged.write_text(json.dumps(spelt | {"body": spelt["body"].replace("SN-1", "SN-9")}))

    with opened(lost.config):
        with pytest.raises(BadRevocationsError, match="not signed"):
            revoked_file.merge(forged, lost.config, NOON)
        shutil.rmtree(lost.config.pki_dir)
        pki.make_authority(lost.config.pki_dir, "device-ca", NOON)
        with pytest.raises(BadRevocationsError, match="not signed"):
            revoked_file.merge(lost.file, lost.config, NOON)


def test_what_a_file_says_that_the_server_has_lost_is_kept_under_another_name(
    lost: Lost, tmp_path: Path
) -> None:
    config, _ = restored(lost, tmp_path / "new", None)
    config.broker_dir.mkdir(parents=True, exist_ok=True)
    shutil.copy(lost.file, config.broker_dir / revoked_file.FILE_NAME)
    before = lost.file.read_bytes()

    with opened(config):
        gate.keep(config, NOON + 9 * HOUR)
        gate.keep(config, NOON + 10 * HOUR)

    found = sorted(config.broker_dir.glob(f"{revoked_file.FILE_NAME}*"))
    assert len(found) == 2
    assert found[0].name == revoked_file.FILE_NAME
    assert found[1].read_bytes() == before


def test_a_second_place_that_refuses_stops_no_revocation(lost: Lost, tmp_path: Path) -> None:
    config = replace(lost.config, revocations_file=str(tmp_path / "no such folder" / "file"))

    with opened(config):
        revoke(lost.boxes[1], 8)
        assert gate.keep(config, NOON + 8 * HOUR)
        assert lost.boxes[1] in json.loads(lost.file.read_bytes())["body"]
