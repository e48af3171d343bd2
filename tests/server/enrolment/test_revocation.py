"""A box is revoked: what it holds opens nothing, what it says is not heard; a token mends it."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from flask import Flask
from oleada_server import broker, gate
from oleada_server.audit import service as audit
from oleada_server.config import Config
from oleada_server.db import db
from oleada_server.devices.errors import DeviceNotFoundError
from oleada_server.devices.models import Device
from oleada_server.enrolment import pki, revocation_list, revocations, service
from oleada_server.enrolment.errors import (
    BadRequestForCertificateError,
    BoxRevokedError,
    ClaimExpiredError,
)
from oleada_server.enrolment.models import Certificate
from oleada_server.enrolment.peer import Peer, demand_not_revoked, read_peer
from oleada_server.enrolment.renewals import renew
from oleada_server.errors import BadInputError
from oleada_server.messaging import inbox
from oleada_server.messaging import service as messaging
from oleada_server.messaging.models import RetainedMessage
from oleada_wire import messages, topics
from sqlalchemy import delete, select

from tests.support.certificates import a_key, a_request
from tests.support.fleet import a_hello

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
NORA = "user:nora"


@pytest.fixture(autouse=True)
def config(app: Flask) -> Config:
    found: Config = app.extensions["oleada_config"]
    for name in ("device-ca", "service-ca"):
        pki.make_authority(found.pki_dir, name, NOON)
    return found


def a_box(serial: str = "SN-1", at: datetime = NOON) -> tuple[str, x509.Certificate]:
    token = service.create_claim(serial, "VX-410", actor=NORA, now=at)
    found = service.enrol(token, serial, a_request(a_key()), at)
    return found.device_id, x509.load_pem_x509_certificate(found.certificate_pem.encode())


def peer_of(certificate: x509.Certificate) -> Peer:
    from cryptography.hazmat.primitives.serialization import Encoding  # noqa: PLC0415

    return read_peer(certificate.public_bytes(Encoding.DER))


def revoke(device_id: str, at: datetime = NOON) -> Device:
    return revocations.revoke(device_id, "stolen from a van", actor=NORA, now=at)


def test_a_revoked_box_and_its_certificates_are_named_to_the_broker_and_nobody_else(
    config: Config,
) -> None:
    device_id, certificate = a_box()
    a_box("SN-2")

    revoke(device_id)

    found = gate.revoked(NOON)
    assert found.device_ids == (device_id,)
    assert found.certificates == {certificate.serial_number: NOON}
    assert gate.keep(config, NOON)
    assert not gate.keep(config, NOON), "it is there already"
    rules = (config.broker_dir / broker.ACCESS_LIST).read_text()
    assert rules == broker.access_list([device_id])
    assert f"user {device_id}\ntopic deny #\n" in rules
    pem = (config.broker_dir / broker.REVOCATION_LIST).read_bytes()
    listed = x509.load_pem_x509_crl(pem)
    assert [one.serial_number for one in listed] == [certificate.serial_number]
    assert listed.is_signature_valid(service.device_authority().key.public_key())
    assert listed.next_update_utc == service.device_authority().certificate.not_valid_after_utc


def test_what_has_expired_leaves_the_list(config: Config) -> None:
    device_id, _ = a_box()
    revoke(device_id)

    assert gate.revoked(NOON + 91 * DAY).certificates == {}
    assert gate.revoked(NOON + 91 * DAY).device_ids == (device_id,)


def test_a_list_that_is_damaged_or_of_another_authority_is_made_anew(config: Config) -> None:
    gate.keep(config, NOON)
    path = config.broker_dir / broker.REVOCATION_LIST
    elsewhere = config.data_dir / "elsewhere"
    pki.make_authority(elsewhere, "device-ca", NOON)
    strange = revocation_list.make(pki.load_authority(elsewhere, "device-ca"), {})

    for damaged in (b"", b"nonsense", strange):
        path.write_bytes(damaged)
        assert gate.keep(config, NOON)
        assert not gate.keep(config, NOON)


def test_why_and_by_whom_is_kept(app: Flask) -> None:
    device_id, _ = a_box()

    revoke(device_id)

    event = audit.events_about(f"device:{device_id}")[0]
    assert (event.action, event.actor, event.reason) == (
        "device.revoke", NORA, "stolen from a van",
    )  # fmt: skip


def test_revoking_twice_is_one_deed(app: Flask) -> None:
    device_id, _ = a_box()
    revoke(device_id)

    assert revoke(device_id, NOON + DAY).revoked_at == NOON

    told = [one.action for one in audit.events_about(f"device:{device_id}")]
    assert told.count("device.revoke") == 1


@pytest.mark.parametrize("reason", ["", "  ", "x" * 501])
def test_without_a_reason_nobody_is_revoked(app: Flask, reason: str) -> None:
    device_id, _ = a_box()

    with pytest.raises(BadInputError, match="reason"):
        revocations.revoke(device_id, reason, actor=NORA, now=NOON)
    assert gate.revoked(NOON).device_ids == ()


def test_a_box_that_is_not_there_can_not_be_revoked(app: Flask) -> None:
    with pytest.raises(DeviceNotFoundError):
        revoke("VX41ZZZZ0001")


def test_what_a_revoked_box_says_is_not_stored(app: Flask) -> None:
    out, _ = a_box()
    good, _ = a_box("SN-2")
    revoke(out)
    batch = [
        inbox.Incoming(topics.up(one, topics.Up.HELLO), messages.encode(a_hello(version="9.9")))
        for one in (out, good)
    ]

    stored = inbox.store(batch, NOON)

    assert set(stored.counted) == {good}
    assert stored.counts["unknown-device"] == 1
    assert db.session.get_one(Device, out).version is None


def test_its_assignment_is_taken_off_the_broker_and_none_is_made_for_it(app: Flask) -> None:
    device_id, _ = a_box()
    topic = topics.down(device_id, topics.Down.ASSIGN)
    messaging.queue_retained(topic, b"an assignment")
    db.session.commit()

    revoke(device_id)

    row = db.session.scalars(select(RetainedMessage).where(RetainedMessage.topic == topic)).one()
    assert (row.payload, row.sent_revision < row.revision) == (b"", True)
    assert devices_raised([device_id]) == {}


def devices_raised(device_ids: list[str]) -> Mapping[str, object]:
    from oleada_server.devices.sequences import raise_assignment_seqs  # noqa: PLC0415

    return raise_assignment_seqs(device_ids)


@pytest.mark.parametrize("days", [80, 400])
def test_neither_in_time_nor_late_is_its_certificate_renewed(app: Flask, days: int) -> None:
    device_id, certificate = a_box()
    revoke(device_id)

    with pytest.raises(BoxRevokedError):
        renew(peer_of(certificate), a_key().public_key(), NOON + days * DAY)


def test_a_certificate_that_a_restore_has_lost_opens_nothing_for_a_revoked_box(app: Flask) -> None:
    device_id, certificate = a_box()
    db.session.execute(delete(Certificate))
    db.session.commit()
    demand_not_revoked(peer_of(certificate))  # it is of our authority all the same

    revoke(device_id)

    with pytest.raises(BoxRevokedError):
        demand_not_revoked(peer_of(certificate))
    with pytest.raises(BoxRevokedError):
        renew(peer_of(certificate), a_key().public_key(), NOON + 60 * DAY)


def test_a_token_that_was_made_before_does_not_undo_it(app: Flask) -> None:
    device_id, _ = a_box()
    token = service.create_claim("SN-1", "VX-410", actor=NORA, now=NOON)
    revoke(device_id)

    with pytest.raises(ClaimExpiredError):
        service.enrol(token, "SN-1", a_request(a_key()), NOON + timedelta(hours=1))


def test_a_new_token_and_a_new_key_make_it_one_of_ours_again(config: Config) -> None:
    device_id, old = a_box()
    revoke(device_id)
    gate.keep(config, NOON)

    again, new = a_box()

    assert again == device_id
    assert gate.revoked(NOON).device_ids == ()
    assert gate.revoked(NOON).certificates == {old.serial_number: NOON}
    assert gate.keep(config, NOON)
    assert renew(peer_of(new), a_key().public_key(), NOON + 80 * DAY)
    with pytest.raises(BoxRevokedError):
        renew(peer_of(old), a_key().public_key(), NOON + 80 * DAY)


def test_a_key_that_was_revoked_is_worth_nothing_with_a_new_token_either(app: Flask) -> None:
    key = a_key()
    token = service.create_claim("SN-1", "VX-410", actor=NORA, now=NOON)
    revoke(service.enrol(token, "SN-1", a_request(key), NOON).device_id)

    for serial in ("SN-1", "SN-2"):
        token = service.create_claim(serial, "VX-410", actor=NORA, now=NOON)
        with pytest.raises(BadRequestForCertificateError, match="revoked"):
            service.enrol(token, serial, a_request(key), NOON)


def test_each_change_of_who_may_come_in_is_counted_for_the_workers(app: Flask) -> None:
    device_id, _ = a_box()
    counted = [service.gate_changes()]

    revoke(device_id)
    counted.append(service.gate_changes())
    a_box()
    counted.append(service.gate_changes())
    a_box("SN-2")
    counted.append(service.gate_changes())

    assert counted == [0, 1, 2, 2]


def test_a_configuration_that_somebody_has_changed_is_found_out(config: Config) -> None:
    assert broker.missing_rules(config) == [], "none was made here yet"
    path: Path = gate.prepare(config)
    assert broker.missing_rules(config) == []
    whole = path.read_text()

    for rule in ("require_certificate true", "use_identity_as_username true",
                 "use_username_as_clientid true", "allow_anonymous false", "crlfile ",
                 "acl_file ", "max_packet_size ", "max_inflight_messages ",
                 "max_queued_messages ", "max_queued_bytes ", "tls_version tlsv1.2"):  # fmt: skip
        assert rule in whole, rule
        lines = [line for line in whole.splitlines() if not line.startswith(rule)]
        path.write_text("\n".join(lines) + "\n")
        assert rule in broker.missing_rules(config)[0]
    path.write_text(whole + "allow_anonymous true\n")
    assert broker.missing_rules(config) == ["allow_anonymous true"]
