from datetime import UTC, datetime, timedelta

import pytest
from oleada_server.accounts import passwords, service
from oleada_server.accounts.errors import (
    LinkNotValidError,
    TooManyAttemptsError,
    UserExistsError,
    UserNotFoundError,
    WrongPasswordError,
)
from oleada_server.accounts.models import Role, Session, SignInLink, User
from oleada_server.accounts.rights import GUARDED
from oleada_server.audit import service as audit
from oleada_server.db import db
from oleada_server.errors import BadInputError

pytestmark = pytest.mark.usefixtures("app")

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
GOOD = "correct horse battery"


def ana(role: Role = Role.OPERATOR) -> None:
    service.add_user("ana", full_name="Ana Torres", role=role, actor="system:root", now=NOON)


def ana_with_password() -> str:
    ana()
    token = service.create_link("ana", actor="system:root", now=NOON)
    secret, person = service.sign_in_by_link(token, now=NOON)
    service.set_password(person.user_id, GOOD, keep=secret, now=NOON)
    return secret


def test_a_link_signs_in_once_and_only_once() -> None:
    ana()
    token = service.create_link("ana", actor="system:root", now=NOON)

    assert service.read_link(token, NOON).name == "ana"
    secret, person = service.sign_in_by_link(token, now=NOON)

    assert (person.name, person.role, person.has_password) == ("ana", Role.OPERATOR, False)
    assert service.find_session(secret, NOON) == person
    with pytest.raises(LinkNotValidError):
        service.sign_in_by_link(token, now=NOON)
    with pytest.raises(LinkNotValidError):
        service.read_link(token, NOON)


def test_a_link_that_is_only_looked_at_still_works() -> None:
    ana()
    token = service.create_link("ana", actor="system:root", now=NOON)

    for _ in range(3):
        service.read_link(token, NOON)

    assert service.sign_in_by_link(token, now=NOON)[1].name == "ana"


def test_an_old_link_is_dead() -> None:
    ana()
    token = service.create_link("ana", actor="system:root", now=NOON)

    with pytest.raises(LinkNotValidError):
        service.sign_in_by_link(token, now=NOON + service.LINK_TTL)


def test_no_secret_is_in_the_database() -> None:
    ana()
    token = service.create_link("ana", actor="system:root", now=NOON)
    secret, person = service.sign_in_by_link(token, now=NOON)
    service.set_password(person.user_id, GOOD, keep=secret, now=NOON)

    link = db.session.scalars(db.select(SignInLink)).one()
    session = db.session.scalars(db.select(Session)).one()
    user = db.session.scalars(db.select(User)).one()

    assert link.token_sha256 == service.digest(token) != token
    assert session.token_sha256 == service.digest(secret) != secret
    assert str(user.password_hash).startswith("$argon2id$")
    assert len(token) >= 43, "32 random bytes"


def test_a_session_ends_when_idle_and_after_a_week_whatever_happens() -> None:
    ana()
    token = service.create_link("ana", actor="system:root", now=NOON)
    secret, _ = service.sign_in_by_link(token, now=NOON)

    assert service.find_session(secret, NOON + service.SESSION_IDLE - SECOND)
    assert service.find_session(secret, NOON + service.SESSION_IDLE) is None
    now = NOON
    while now < NOON + service.SESSION_TTL:
        assert service.find_session(secret, now)
        service.touch_session(secret, now)
        now += service.SESSION_IDLE - SECOND
    assert service.find_session(secret, NOON + service.SESSION_TTL) is None


@pytest.mark.parametrize("role", sorted(GUARDED))
def test_who_guards_something_is_signed_out_after_a_quarter_of_an_hour_and_after_eight(
    role: Role,
) -> None:
    ana(role)
    token = service.create_link("ana", actor="system:root", now=NOON)
    secret, _ = service.sign_in_by_link(token, now=NOON)

    assert service.find_session(secret, NOON + 15 * MINUTE - SECOND)
    assert service.find_session(secret, NOON + 15 * MINUTE) is None
    now = NOON
    while now < NOON + 480 * MINUTE:
        assert service.find_session(secret, now)
        service.touch_session(secret, now)
        now += 14 * MINUTE
    assert service.find_session(secret, NOON + 480 * MINUTE) is None


def test_a_session_ends_by_the_role_that_its_person_has_now() -> None:
    ana()
    token = service.create_link("ana", actor="system:root", now=NOON)
    secret, _ = service.sign_in_by_link(token, now=NOON)

    assert service.find_session(secret, NOON + 20 * MINUTE)
    service.change_role("ana", Role.APPROVER, actor="system:root", now=NOON)

    assert service.find_session(secret, NOON + 20 * MINUTE) is None


def test_use_is_noted_often_enough_that_nobody_who_works_is_signed_out() -> None:
    ana(Role.APPROVER)
    token = service.create_link("ana", actor="system:root", now=NOON)
    secret, _ = service.sign_in_by_link(token, now=NOON)

    for minutes in range(0, 60, 2):
        at = NOON + minutes * MINUTE
        assert service.find_session(secret, at)
        service.touch_session(secret, at)
    assert service.find_session(secret, NOON + 58 * MINUTE + 15 * MINUTE - SECOND)


@pytest.mark.parametrize("back", [9 * 60, 24 * 60, 300 * 24 * 60])
def test_a_clock_that_was_set_back_lets_no_session_live_longer(back: int) -> None:
    ana()
    token = service.create_link("ana", actor="system:root", now=NOON)
    secret, _ = service.sign_in_by_link(token, now=NOON)

    assert service.find_session(secret, NOON - MINUTE)
    assert service.find_session(secret, NOON - back * MINUTE) is None


def test_a_clock_that_was_set_back_lets_nobody_wait_for_longer_than_the_delay() -> None:
    assert passwords.wait_s(10, NOON, NOON - 300 * MINUTE) <= passwords.DELAY_S_MAX
    assert passwords.wait_s(10, NOON, NOON) > 0


def test_signing_out_ends_the_session_on_the_server() -> None:
    secret = ana_with_password()

    service.sign_out(secret, actor="user:ana", now=NOON)
    service.sign_out(secret, actor="user:ana", now=NOON)

    assert service.find_session(secret, NOON) is None


def test_a_password_signs_in_and_a_wrong_one_does_not() -> None:
    ana_with_password()

    secret, person = service.sign_in_by_password(" Ana ", GOOD, now=NOON)

    assert service.find_session(secret, NOON) == person
    with pytest.raises(WrongPasswordError):
        service.sign_in_by_password("ana", GOOD + "!", now=NOON)


def test_an_unknown_name_is_answered_like_a_wrong_password() -> None:
    ana_with_password()

    with pytest.raises(WrongPasswordError) as unknown:
        service.sign_in_by_password("nobody", GOOD, now=NOON)
    with pytest.raises(WrongPasswordError) as wrong:
        service.sign_in_by_password("ana", "something else", now=NOON)

    assert str(unknown.value) == str(wrong.value)


def test_a_user_without_a_password_can_not_be_guessed_into() -> None:
    ana()

    with pytest.raises(WrongPasswordError):
        service.sign_in_by_password("ana", "", now=NOON)


@pytest.mark.parametrize("name", ["ana", "nobody"])
def test_each_wrong_attempt_doubles_the_wait_for_every_name_alike(name: str) -> None:
    ana_with_password()
    now, waits = NOON, []
    for _ in range(passwords.FREE_ATTEMPTS):
        with pytest.raises(WrongPasswordError):
            service.sign_in_by_password(name, "wrong wrong wrong", now=now)
    for _ in range(4):
        with pytest.raises(TooManyAttemptsError) as found:
            service.sign_in_by_password(name, "wrong wrong wrong", now=now)
        waits.append(found.value.wait_s)
        now += timedelta(seconds=found.value.wait_s)
        with pytest.raises(WrongPasswordError):
            service.sign_in_by_password(name, "wrong wrong wrong", now=now)

    assert waits == [2, 4, 8, 16]


def test_the_wait_holds_back_the_right_password_too_and_success_forgets_it() -> None:
    ana_with_password()
    for _ in range(passwords.FREE_ATTEMPTS):
        with pytest.raises(WrongPasswordError):
            service.sign_in_by_password("ana", "wrong wrong wrong", now=NOON)

    with pytest.raises(TooManyAttemptsError):
        service.sign_in_by_password("ana", GOOD, now=NOON)
    service.sign_in_by_password("ana", GOOD, now=NOON + 2 * SECOND)
    with pytest.raises(WrongPasswordError):
        service.sign_in_by_password("ana", "wrong wrong wrong", now=NOON + 2 * SECOND)


def test_the_wait_never_grows_beyond_a_quarter_of_an_hour() -> None:
    assert passwords.wait_s(500, NOON, NOON) == passwords.DELAY_S_MAX
    assert passwords.wait_s(500, NOON, NOON + passwords.FORGET_AFTER + SECOND) == 0


@pytest.mark.parametrize("weak", ["short", "x" * 12, "ana ana ana ana", "abab" * 80])
def test_a_weak_password_is_refused_and_the_old_one_stays(weak: str) -> None:
    secret = ana_with_password()
    found = service.find_session(secret, NOON)
    assert found is not None

    with pytest.raises(BadInputError):
        service.set_password(found.user_id, weak, keep=secret, now=NOON)

    assert service.sign_in_by_password("ana", GOOD, now=NOON)


def test_a_new_password_ends_every_other_session() -> None:
    mine = ana_with_password()
    other, person = service.sign_in_by_password("ana", GOOD, now=NOON)

    service.set_password(person.user_id, GOOD + " two", keep=mine, now=NOON)

    assert service.find_session(mine, NOON) is not None
    assert service.find_session(other, NOON) is None


def test_whoever_is_disabled_is_out_at_once() -> None:
    secret = ana_with_password()
    token = service.create_link("ana", actor="system:root", now=NOON)

    service.disable_user("ana", actor="system:root", now=NOON)
    service.disable_user("ana", actor="system:root", now=NOON)

    assert service.find_session(secret, NOON) is None
    with pytest.raises(LinkNotValidError):
        service.sign_in_by_link(token, now=NOON)
    with pytest.raises(WrongPasswordError):
        service.sign_in_by_password("ana", GOOD, now=NOON)
    with pytest.raises(UserNotFoundError):
        service.create_link("ana", actor="system:root", now=NOON)


def test_a_name_is_given_once() -> None:
    ana()

    with pytest.raises(UserExistsError):
        ana()


@pytest.mark.parametrize("name", ["", "Ana", "ana torres", "-ana", "a" * 81, "ana\n"])
def test_a_name_that_can_not_be_typed_safely_is_refused(name: str) -> None:
    with pytest.raises(BadInputError):
        service.add_user(name, full_name="", role=Role.VIEWER, actor="system:root", now=NOON)


@pytest.mark.parametrize(("language", "zone"), [("xx", "UTC"), ("en", "Mars/Olympus")])
def test_a_language_or_zone_that_does_not_exist_is_refused(language: str, zone: str) -> None:
    with pytest.raises(BadInputError):
        service.check_preferences(language, zone)


def test_every_way_in_and_out_is_audited() -> None:
    secret = ana_with_password()
    service.sign_in_by_password("ana", GOOD, now=NOON)
    with pytest.raises(WrongPasswordError):
        service.sign_in_by_password("ana", "wrong wrong wrong", now=NOON)
    service.sign_out(secret, actor="user:ana", now=NOON)

    found = {event.action for event in audit.events_about("console")}

    assert found == {"sign-in.link", "sign-in.password", "sign-in.refused", "sign-out"}
    assert audit.first_broken() is None
