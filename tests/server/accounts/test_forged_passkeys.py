"""What a passkey proves, and to whom: this session, this page, this person, once."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from flask import Flask
from oleada_server.accounts import factors, passkeys, service
from oleada_server.accounts.errors import WrongCodeError
from oleada_server.accounts.models import Role
from oleada_server.audit import service as audit

from tests.support.authenticator import Authenticator

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
ORIGIN, HOST = "https://console.example", "console.example"
MINUTE = timedelta(minutes=1)


@pytest.fixture(autouse=True)
def console(sqlite_app: Flask) -> None:
    """A console under a name, and two people."""
    config = sqlite_app.extensions["oleada_config"]
    sqlite_app.extensions["oleada_config"] = replace(config, public_url=ORIGIN)
    for name in ("ana", "eva"):
        service.add_user(name, full_name=name, role=Role.APPROVER, actor="system:t", now=NOON)


def signed_in(name: str) -> tuple[str, int]:
    """Return the secret of a session, which may wait for the factor, and the user's id."""
    link = service.create_link(name, actor="system:t", now=NOON)
    secret, person = service.sign_in_by_link(link, now=NOON)
    return secret, person.user_id


def enrolled(name: str = "ana", **changed: object) -> tuple[Authenticator, str, int]:
    secret, user_id = signed_in(name)
    key = Authenticator(ORIGIN, HOST, **changed)  # type: ignore[arg-type]
    asked = passkeys.ask_new(secret, service.find_user(name), NOON)
    passkeys.add(secret, user_id, key.enrol(asked), "Key", now=NOON)
    return key, secret, user_id


def test_the_key_of_this_page_and_this_person_proves_each_time_it_is_asked() -> None:
    key, secret, user_id = enrolled()

    for _ in range(2):
        asked = passkeys.ask_proof(secret, user_id, NOON)
        passkeys.prove(secret, user_id, key.sign(asked), now=NOON)

    assert factors.list_factors(user_id)[0].counter == 2


@pytest.mark.parametrize(
    "wrong",
    [
        lambda key: setattr(key, "origin", "https://console.example.evil.example"),
        lambda key: setattr(key, "origin", "http://console.example"),
        lambda key: setattr(key, "origin", "https://console.example:8443"),
        lambda key: setattr(key, "rp_id", "evil.example"),
        lambda key: setattr(key, "rp_id", "example"),
        lambda key: setattr(key, "flags", 0),
        lambda key: setattr(key, "key", Authenticator("", "").key),
        lambda key: setattr(key, "credential_id", b"another credential"),
        lambda key: setattr(key, "count", -1),
    ],
    ids=["a page that looks alike", "no TLS", "another port", "another site", "a parent's site",
         "nobody touched it", "another key", "an unknown key", "a copy that counts less"],
)  # fmt: skip
def test_a_proof_for_another_page_or_by_another_key_is_none(
    wrong: Callable[[Authenticator], None],
) -> None:
    key, secret, user_id = enrolled(count=5)
    wrong(key)

    with pytest.raises(WrongCodeError):
        passkeys.prove(
            secret, user_id, key.sign(passkeys.ask_proof(secret, user_id, NOON)), now=NOON
        )

    assert audit.events_about("user:ana")[0].action == "factor.refused"


def test_a_proof_is_good_for_the_session_that_was_asked_once_and_for_minutes() -> None:
    key, secret, user_id = enrolled()
    other, _ = signed_in("ana")
    answer = key.sign(passkeys.ask_proof(secret, user_id, NOON))
    passkeys.ask_proof(other, user_id, NOON)

    with pytest.raises(WrongCodeError):  # what the other session was asked is something else
        passkeys.prove(other, user_id, answer, now=NOON)
    passkeys.prove(secret, user_id, answer, now=NOON)
    with pytest.raises(WrongCodeError):
        passkeys.prove(secret, user_id, answer, now=NOON)
    late = key.sign(passkeys.ask_proof(secret, user_id, NOON))
    with pytest.raises(WrongCodeError):
        passkeys.prove(secret, user_id, late, now=NOON + 6 * MINUTE)


def test_the_key_of_one_person_proves_nothing_of_another() -> None:
    key, _, _ = enrolled("ana")
    _, evas, eva_id = enrolled("eva", credential_id=b"the key of eva herself")

    with pytest.raises(WrongCodeError):
        passkeys.prove(evas, eva_id, key.sign(passkeys.ask_proof(evas, eva_id, NOON)), now=NOON)


@pytest.mark.parametrize(
    ("origin", "host"), [("https://evil.example", HOST), (ORIGIN, "evil.example")]
)
def test_a_key_that_another_page_has_made_is_not_enrolled(origin: str, host: str) -> None:
    secret, user_id = signed_in("ana")
    asked = passkeys.ask_new(secret, service.find_user("ana"), NOON)

    with pytest.raises(WrongCodeError):
        passkeys.add(secret, user_id, Authenticator(origin, host).enrol(asked), "Key", now=NOON)

    assert factors.list_factors(user_id) == []
