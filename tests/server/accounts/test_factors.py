"""Second factors: codes of an app, recovery codes; sessions that wait for one."""

from datetime import UTC, datetime, timedelta

import pyotp
import pytest
from flask import Flask
from oleada_server.accounts import factors, service, sessions
from oleada_server.accounts.errors import (
    FactorNotFoundError,
    TooManyAttemptsError,
    WrongCodeError,
)
from oleada_server.accounts.models import RecoveryCode, Role, SecondFactor, Session
from oleada_server.audit import service as audit
from oleada_server.db import db
from oleada_server.errors import BadInputError, ConflictError

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
STEP = timedelta(seconds=30)
KEY = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"


def code_at(now: datetime, key: str = KEY) -> str:
    return pyotp.TOTP(key).at(now)


def ana(role: Role = Role.APPROVER, name: str = "ana") -> int:
    return service.add_user(name, full_name="Ana", role=role, actor="system:root", now=NOON).user_id


def enrolled() -> tuple[int, list[str]]:
    user_id = ana()
    return user_id, factors.add_app(user_id, KEY, code_at(NOON), "Phone", now=NOON)


def deeds() -> list[str]:
    return [event.action for event in audit.events_about("user:ana")]


def test_an_app_is_enrolled_by_a_code_and_gives_ten_recovery_codes(app: Flask) -> None:
    user_id, codes = enrolled()

    (factor,) = factors.list_factors(user_id)
    assert (factor.name, factor.kind) == ("Phone", "totp")
    assert len(set(codes)) == 10 == factors.codes_left(user_id)
    assert deeds()[0] == "factor.add"


def test_neither_the_key_nor_a_recovery_code_lies_in_the_database_to_be_read(app: Flask) -> None:
    user_id, codes = enrolled()

    (factor,) = factors.list_factors(user_id)
    stored = [row.code_sha256 for row in db.session.scalars(db.select(RecoveryCode))]
    assert KEY.encode() not in factor.secret
    assert factors.unseal(factor.secret) == KEY.encode()
    assert factors.unseal(factor.secret[:-1] + bytes([factor.secret[-1] ^ 1])) is None
    assert not set(codes) & set(stored)


def test_a_wrong_code_enrols_nothing(sqlite_app: Flask) -> None:
    user_id = ana()

    for code in ("000000", "", "abc", "١٢٣٤٥٦"):
        with pytest.raises(WrongCodeError):
            factors.add_app(user_id, KEY, code, "Phone", now=NOON)
    assert factors.list_factors(user_id) == []


@pytest.mark.parametrize("late", [-1, 1])
def test_a_phone_half_a_minute_off_is_good_enough(sqlite_app: Flask, late: int) -> None:
    user_id, _ = enrolled()
    later = NOON + 10 * STEP

    factors.prove_code(user_id, code_at(later + late * STEP), now=later)

    assert factors.list_factors(user_id)[0].last_used_at == later


def test_a_minute_off_is_not(sqlite_app: Flask) -> None:
    user_id, _ = enrolled()

    with pytest.raises(WrongCodeError):
        factors.prove_code(user_id, code_at(NOON + 8 * STEP), now=NOON + 10 * STEP)


def test_a_code_works_once(app: Flask) -> None:
    user_id, _ = enrolled()
    later = NOON + 10 * STEP
    factors.prove_code(user_id, code_at(later), now=later)

    for again in (code_at(later), code_at(later - STEP), code_at(NOON)):
        with pytest.raises(WrongCodeError):
            factors.prove_code(user_id, again, now=later)


def test_a_recovery_code_works_once_however_it_is_typed(app: Flask) -> None:
    user_id, codes = enrolled()
    typed = codes[3].lower().replace("-", " ")

    factors.prove_code(user_id, typed, now=NOON)

    with pytest.raises(WrongCodeError):
        factors.prove_code(user_id, codes[3], now=NOON)
    assert factors.codes_left(user_id) == 9
    assert "factor.recovery" in deeds()


def test_codes_of_one_person_are_nothing_to_another(app: Flask) -> None:
    _, codes = enrolled()
    other = ana(name="ben")
    factors.add_app(other, "A" * 32, code_at(NOON, "A" * 32), "Phone", now=NOON)

    for foreign in (codes[0], code_at(NOON + STEP)):
        with pytest.raises(WrongCodeError):
            factors.prove_code(other, foreign, now=NOON + STEP)


def test_guessing_is_slowed_as_with_passwords(sqlite_app: Flask) -> None:
    user_id, _ = enrolled()

    for _ in range(4):
        with pytest.raises(WrongCodeError):
            factors.prove_code(user_id, "000000", now=NOON)
    with pytest.raises(TooManyAttemptsError):
        factors.prove_code(user_id, code_at(NOON + STEP), now=NOON)
    assert deeds().count("factor.refused") == 4


def test_the_last_factor_takes_the_recovery_codes_along(app: Flask) -> None:
    user_id, _ = enrolled()
    (factor,) = factors.list_factors(user_id)

    with pytest.raises(FactorNotFoundError):
        factors.remove(ana(name="ben"), factor.id, actor="user:ben", now=NOON)
    factors.remove(user_id, factor.id, actor="user:ana", now=NOON)

    assert factors.codes_left(user_id) == 0
    with pytest.raises(ConflictError):
        factors.renew_codes(user_id, now=NOON)


def test_new_recovery_codes_end_the_old_ones(sqlite_app: Flask) -> None:
    user_id, old = enrolled()

    new = factors.renew_codes(user_id, now=NOON)

    with pytest.raises(WrongCodeError):
        factors.prove_code(user_id, old[0], now=NOON)
    factors.prove_code(user_id, new[0], now=NOON)


def test_there_are_ten_factors_at_most(sqlite_app: Flask) -> None:
    user_id, _ = enrolled()
    for number in range(9):
        later = NOON + number * STEP
        factors.add_app(user_id, KEY, code_at(later), f"Phone {number}", now=later)

    with pytest.raises(BadInputError):
        factors.add_app(user_id, KEY, code_at(NOON), "one more", now=NOON)


def test_a_password_alone_signs_nobody_in_who_has_a_factor(app: Flask) -> None:
    user_id, _ = enrolled()
    service.set_password(user_id, "correct horse battery", keep=None, now=NOON)

    secret, person = service.sign_in_by_password("ana", "correct horse battery", now=NOON)

    assert person.has_factor
    assert service.find_session(secret, NOON) is None
    found = sessions.find_awaiting(secret, NOON)
    assert found is not None
    assert found.name == "ana"
    assert sessions.find_awaiting(secret, NOON + sessions.FACTOR_WITHIN) is None


def test_proving_gives_the_session_a_new_secret_and_the_old_one_is_worth_nothing(
    app: Flask,
) -> None:
    enrolled()
    link = service.create_link("ana", actor="system:root", now=NOON)
    secret, _ = service.sign_in_by_link(link, now=NOON)

    fresh = sessions.renew(secret, NOON, proved=True)
    db.session.commit()

    person = service.find_session(fresh, NOON)
    assert person is not None
    assert person.factor_at == NOON
    assert service.find_session(secret, NOON) is None
    assert sessions.find_awaiting(secret, NOON) is None


def test_a_reset_takes_factors_codes_and_sessions_and_is_kept(app: Flask) -> None:
    user_id, codes = enrolled()
    link = service.create_link("ana", actor="system:root", now=NOON)
    secret, _ = service.sign_in_by_link(link, now=NOON)
    fresh = sessions.renew(secret, NOON, proved=True)
    db.session.commit()

    assert factors.reset("ana", actor="user:boss", now=NOON) == 1

    assert service.find_session(fresh, NOON) is None
    assert factors.list_factors(user_id) == []
    with pytest.raises(WrongCodeError):
        factors.prove_code(user_id, codes[0], now=NOON)
    newest = next(one for one in audit.events_about("user:ana") if one.action != "factor.refused")
    assert (newest.action, newest.actor) == ("factor.reset", "user:boss")
    with pytest.raises(FactorNotFoundError):
        factors.reset("nobody", actor="user:boss", now=NOON)


def test_a_change_of_role_wants_a_factor_anew(app: Flask) -> None:
    enrolled()
    link = service.create_link("ana", actor="system:root", now=NOON)
    secret, _ = service.sign_in_by_link(link, now=NOON)
    fresh = sessions.renew(secret, NOON, proved=True)
    db.session.commit()

    service.change_role("ana", Role.ADMIN, actor="user:boss", now=NOON)

    person = service.find_session(fresh, NOON)
    assert person is not None
    assert (person.role, person.factor_at) == (Role.ADMIN, None)


def test_sessions_are_listed_and_ended_one_by_one_or_all_others(app: Flask) -> None:
    user_id = ana(Role.VIEWER)
    secrets = []
    for number in range(4):
        link = service.create_link("ana", actor="system:root", now=NOON)
        secrets.append(service.sign_in_by_link(link, now=NOON + number * STEP)[0])

    shown = sessions.list_sessions(user_id, secrets[0], NOON + 4 * STEP)
    assert [one.is_this for one in shown] == [True, False, False, False]
    assert sessions.end_session(user_id, shown[1].ref, actor="user:ana", now=NOON)
    assert not sessions.end_session(user_id, shown[1].ref, actor="user:ana", now=NOON)
    assert not sessions.end_session(ana(name="ben"), shown[2].ref, actor="user:ben", now=NOON)
    assert service.find_session(secrets[3], NOON + 4 * STEP) is None
    assert sessions.end_others(user_id, secrets[0], actor="user:ana", now=NOON) == 2
    assert db.session.scalars(db.select(Session.user_id)).all() == [user_id]


def test_a_stolen_copy_of_the_database_alone_computes_no_code(
    sqlite_app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    user_id, _ = enrolled()
    monkeypatch.setattr(factors, "secret_key", lambda config: b"of another data directory " * 2)

    with pytest.raises(WrongCodeError):
        factors.prove_code(user_id, code_at(NOON + STEP), now=NOON + STEP)
    assert db.session.scalars(db.select(SecondFactor)).one()
