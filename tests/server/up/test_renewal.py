"""Certificates are looked after while the server runs: made anew in time, told, taken up."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from oleada_server import config as settings
from oleada_server.config import Config
from oleada_server.enrolment import pki
from oleada_server.initialise import make_certificates
from oleada_server.renewal import EVERY_S, Renewal

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    found = settings.load(tmp_path, {})
    make_certificates(found, NOON)
    return found


def _ends(config: Config, name: str) -> datetime:
    path = config.pki_dir / f"{name}.pem"
    return x509.load_pem_x509_certificate(path.read_bytes()).not_valid_after_utc


def test_nothing_is_done_while_nothing_ends(config: Config) -> None:
    said: list[str] = []
    renewal = Renewal(config, 0.0)

    for now_s in (1.0, EVERY_S, 2 * EVERY_S):
        assert renewal.turn(now_s, lambda: NOON, said.append) == set()
    assert said == []


def test_a_server_that_is_never_stopped_renews_by_itself(config: Config) -> None:
    said: list[str] = []
    renewal = Renewal(config, 0.0)
    late = NOON + 740 * DAY

    assert renewal.turn(1.0, lambda: late, said.append) == set(), "not before its hour"
    assert renewal.turn(EVERY_S, lambda: late, said.append) == {"broker", "door", "worker"}
    assert _ends(config, "door") > late + 800 * DAY
    assert "Certificate door has changed; door starts again with it." in said
    assert renewal.turn(2 * EVERY_S, lambda: late, said.append) == set()


def test_one_that_was_replaced_is_taken_up_and_one_that_has_expired_is_made_anew(
    config: Config,
) -> None:
    renewal = Renewal(config, 0.0)
    (config.pki_dir / "door.pem").unlink()
    pki.make_server_end(config.pki_dir, "door", ["127.0.0.1"], NOON - 900 * DAY)
    assert _ends(config, "door") < NOON

    assert renewal.turn(0.2, lambda: NOON, lambda _: None) == {"door"}
    assert _ends(config, "door") > NOON


def test_one_that_was_damaged_is_made_anew(config: Config) -> None:
    renewal = Renewal(config, 0.0)
    (config.pki_dir / "door.pem").write_text("damaged")

    assert renewal.turn(0.2, lambda: NOON, lambda _: None) == {"door"}
    assert _ends(config, "door") > NOON


@pytest.mark.parametrize("name", ["device-ca", "service-ca"])
def test_an_authority_whose_certificate_was_damaged_gets_another_for_its_old_key(
    config: Config, name: str
) -> None:
    before = pki.load_authority(config.pki_dir, name)
    door = x509.load_pem_x509_certificate((config.pki_dir / "door.pem").read_bytes())
    renewal = Renewal(config, 0.0)
    (config.pki_dir / f"{name}.pem").write_text("damaged")

    assert renewal.turn(0.2, lambda: NOON, lambda _: None)

    after = pki.load_authority(config.pki_dir, name)
    assert after.key.public_key() == before.key.public_key()
    assert after.certificate.subject == before.certificate.subject
    if name == "service-ca":
        door.verify_directly_issued_by(after.certificate)
        door.verify_directly_issued_by(before.certificate)


@pytest.mark.parametrize("name", ["device-ca", "service-ca"])
def test_an_authority_that_can_not_be_mended_is_told_and_ends_nobody(
    config: Config, name: str
) -> None:
    said: list[str] = []
    renewal = Renewal(config, 0.0)
    for kind in ("key", "pem"):
        (config.pki_dir / f"{name}.{kind}").write_text("damaged")

    assert renewal.turn(0.2, lambda: NOON, said.append) == set()
    assert said[0].startswith("Certificates can not be looked after")
    assert f"Certificate {name} can not be read" in said[1]
    assert renewal.turn(0.4, lambda: NOON, said.append) == set()
    assert len(said) == 2, "it is said once, and again in an hour"


def test_one_that_was_taken_away_and_can_not_be_made_ends_nobody(config: Config) -> None:
    renewal = Renewal(config, 0.0)
    kept = (config.pki_dir / "service-ca.key").read_bytes()
    (config.pki_dir / "service-ca.key").write_text("damaged")
    (config.pki_dir / "door.pem").unlink()
    assert renewal.turn(0.2, lambda: NOON, lambda _: None) == set()

    (config.pki_dir / "service-ca.key").write_bytes(kept)

    assert renewal.turn(EVERY_S + 1, lambda: NOON, lambda _: None) == {"door"}


def test_one_that_was_written_again_as_it_was_ends_nobody(config: Config) -> None:
    renewal = Renewal(config, 0.0)
    path = config.pki_dir / "door.pem"
    path.write_bytes(path.read_bytes())

    assert renewal.turn(0.2, lambda: NOON, lambda _: None) == set()


def test_an_authority_that_ends_soon_is_signed_anew_with_its_old_key(config: Config) -> None:
    before = pki.load_authority(config.pki_dir, "service-ca")
    door = x509.load_pem_x509_certificate((config.pki_dir / "door.pem").read_bytes())

    pki.make_authority(config.pki_dir, "service-ca", NOON + 8 * 365 * DAY)
    kept = pki.load_authority(config.pki_dir, "service-ca")
    assert kept.certificate == before.certificate, "it lives for two more years"
    pki.make_authority(config.pki_dir, "service-ca", NOON + 9 * 365 * DAY)

    after = pki.load_authority(config.pki_dir, "service-ca")
    assert after.certificate.not_valid_after_utc > NOON + 18 * 365 * DAY
    door.verify_directly_issued_by(after.certificate)
    assert after.key.public_key() == before.key.public_key()
