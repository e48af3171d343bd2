"""Whoever tries in vain is slowed; whoever has a good token is not, wherever it comes from."""

from datetime import UTC, datetime, timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient
from oleada_agent.http_range import retry_after_s
from oleada_server.app import create_door
from oleada_server.audit import service as audit
from oleada_server.config import Config
from oleada_server.db import db
from oleada_server.enrolment import pki, service
from oleada_server.enrolment.errors import (
    BadRequestForCertificateError,
    ClaimNotValidError,
    ClaimUsedError,
    EnrolTooOftenError,
)
from oleada_server.enrolment.tries import Tries, network_of
from oleada_server.releases import metadata

from tests.support.certificates import a_key, a_request

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HERE, ELSEWHERE = "192.0.2.7", "198.51.100.9"
A_MINUTE = 30


@pytest.fixture
def enrolling(app: Flask) -> None:
    """The app is ready to issue certificates."""
    pki_dir = app.extensions["oleada_config"].pki_dir
    pki.make_authority(pki_dir, "device-ca", NOON)
    pki.make_authority(pki_dir, "service-ca", NOON)


def _claim(serial: str = "SN-1") -> str:
    return service.create_claim(serial, "VX-410", actor="user:nora", now=NOON)


def _try_in_vain(times: int, source: str = HERE) -> None:
    for _ in range(times):
        with pytest.raises(ClaimNotValidError):
            service.enrol("no such token", "SN-1", "", NOON, source)


def test_so_many_tries_a_minute_are_answered_and_the_next_is_told_to_wait() -> None:
    tries = Tries(per_minute=A_MINUTE)

    assert [tries.count(HERE, 0.0) for _ in range(A_MINUTE)] == [0] * A_MINUTE
    assert tries.count(HERE, 0.0) == 2
    assert tries.count(ELSEWHERE, 0.0) == 0
    assert tries.count(HERE, 2.0) == 0


def test_a_million_addresses_cost_no_more_memory_than_one() -> None:
    tries = Tries(per_minute=A_MINUTE)
    before = tries.size_bytes

    for number in range(20_000):
        tries.count(f"2001:db8:{number:x}::/64", 0.0)

    assert tries.size_bytes == before == 32_768


def test_a_clock_that_was_put_back_locks_nobody_out_for_longer_than_a_minute() -> None:
    tries = Tries(per_minute=A_MINUTE)
    for _ in range(A_MINUTE):
        tries.count(HERE, 1e9)

    assert tries.count(HERE, 0.0) <= 60
    assert tries.count(HERE, 60.0) == 0


@pytest.mark.parametrize(
    ("address", "source"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
    ],
)
def test_a_source_is_an_address_or_the_network_of_a_household(address: str, source: str) -> None:
    assert network_of(address) == source


def test_a_flood_of_wrong_tokens_is_slowed_and_stops_nobody(enrolling: None) -> None:
    token = _claim()
    _try_in_vain(A_MINUTE)

    with pytest.raises(EnrolTooOftenError, match="again in 2 s"):
        service.enrol("no such token", "SN-1", "", NOON, HERE)

    _try_in_vain(1, ELSEWHERE)
    assert service.enrol(token, "SN-1", a_request(a_key()), NOON, HERE)


def test_a_token_that_is_tried_with_keys_without_end_rings_only_so_often(enrolling: None) -> None:
    token = _claim()
    enrolled = service.enrol(token, "SN-1", a_request(a_key()), NOON, HERE)
    thief = a_request(a_key())

    for _ in range(A_MINUTE):
        with pytest.raises(ClaimUsedError):
            service.enrol(token, "SN-1", thief, NOON, ELSEWHERE)
    for _ in range(50):
        with pytest.raises(EnrolTooOftenError):
            service.enrol(token, "SN-1", thief, NOON, ELSEWHERE)

    assert len(audit.events_about(f"device:{enrolled.device_id}", 100)) == 1 + A_MINUTE
    assert service.enrol(_claim("SN-2"), "SN-2", a_request(a_key()), NOON, ELSEWHERE)


def test_a_request_that_can_not_be_read_counts_against_its_token(enrolling: None) -> None:
    token = _claim()
    for _ in range(A_MINUTE):
        with pytest.raises(BadRequestForCertificateError):
            service.enrol(token, "SN-1", "nonsense", NOON, HERE)

    with pytest.raises(EnrolTooOftenError):
        service.enrol(token, "SN-1", "nonsense", NOON, HERE)
    later = NOON + timedelta(seconds=2)
    assert service.enrol(token, "SN-1", a_request(a_key()), later, HERE)


def _ask(door: FlaskClient, token: str) -> tuple[int, str, str]:
    answer = door.post("/device/v1/enrol", json={"token": token, "serial": "SN-1", "csr_pem": "x"})
    return answer.status_code, answer.get_json()["code"], answer.headers.get("Retry-After", "")


def test_the_door_says_when_to_come_again_as_the_agent_reads_it(sqlite_config: Config) -> None:
    app = create_door(sqlite_config)
    with app.app_context():
        metadata.add("root", 1, b"{}")  # a server without trust answers nobody
        db.session.commit()
        door = app.test_client()
        answers = [_ask(door, "no such token") for _ in range(A_MINUTE + 5)]
        db.session.remove()
        db.engine.dispose()

    assert answers[0] == (403, "claim-not-valid", "")
    status, code, after = answers[-1]
    assert (status, code) == (429, "enrol-too-often")
    assert 1 <= retry_after_s(after) <= 60
