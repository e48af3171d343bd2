"""Passkeys (WebAuthn level 2): enrolled and proved through the webauthn library.

What a passkey signs is a challenge that waits with the session, once and for minutes. The
relying party is the host of the console's address; a browser offers passkeys only over
HTTPS or on localhost, and to a name, not to an address of numbers.
"""

import base64
import ipaddress
import json
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import urlsplit

from sqlalchemy import select, update

from oleada_server import config
from oleada_server.accounts import factors
from oleada_server.accounts.errors import WrongCodeError
from oleada_server.accounts.models import FactorKind, SecondFactor, Session, User
from oleada_server.accounts.sessions import digest
from oleada_server.audit import service as audit
from oleada_server.db import db

CHALLENGE_TTL: Final = timedelta(minutes=5)
ANSWER_CHARS_MAX: Final = 20_000
TIMEOUT_MS: Final = 120_000


def are_possible() -> bool:
    """Return whether a browser would offer passkeys at the console's address."""
    parts = urlsplit(config.current().console_url)
    host = parts.hostname or ""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return parts.scheme == "https" or host == "localhost"
    return False


def ask_new(secret: str, user: User, now: datetime) -> str:
    """Return what a browser needs to make a passkey of *user*, as JSON; it waits for it."""
    import webauthn  # noqa: PLC0415 - a second to import, for who uses it
    from webauthn.helpers.structs import (  # noqa: PLC0415
        AuthenticatorSelectionCriteria,
        ResidentKeyRequirement,
        UserVerificationRequirement,
    )

    options = webauthn.generate_registration_options(
        rp_id=_host(),
        rp_name="Oleada",
        user_id=f"oleada-{user.id}".encode(),
        user_name=user.name,
        user_display_name=user.full_name,
        timeout=TIMEOUT_MS,
        exclude_credentials=_known(user.id),
        authenticator_selection=AuthenticatorSelectionCriteria(
            resident_key=ResidentKeyRequirement.DISCOURAGED,
            user_verification=UserVerificationRequirement.PREFERRED,
        ),
    )
    _wait_for(secret, options.challenge, now)
    return webauthn.options_to_json(options)


def add(secret: str, user_id: int, answer: str, name: str, *, now: datetime) -> list[str]:
    """Enrol the passkey that *answer* tells of; return recovery codes if it is the first factor.

    Raises:
        WrongCodeError: It does not sign what this session was asked.
        BadInputError: There are too many factors already.
    """
    import webauthn  # noqa: PLC0415 - see ask_new
    from webauthn.helpers import bytes_to_base64url  # noqa: PLC0415
    from webauthn.helpers.exceptions import WebAuthnException  # noqa: PLC0415

    challenge = _take_challenge(secret, now)
    try:
        found = webauthn.verify_registration_response(
            credential=_parsed(answer),
            expected_challenge=challenge,
            expected_rp_id=_host(),
            expected_origin=_origin(),
        )
    except (WebAuthnException, ValueError, KeyError, TypeError) as error:
        raise WrongCodeError from error
    return factors.add(
        SecondFactor(
            user_id=user_id, kind=FactorKind.PASSKEY, name=name,
            secret=found.credential_public_key, counter=found.sign_count, created_at=now,
            credential_id=bytes_to_base64url(found.credential_id),
        ),
        now,
    )  # fmt: skip


def ask_proof(secret: str, user_id: int, now: datetime) -> str:
    """Return what a browser needs to prove one of the user's passkeys, as JSON."""
    import webauthn  # noqa: PLC0415 - see ask_new

    options = webauthn.generate_authentication_options(
        rp_id=_host(), timeout=TIMEOUT_MS, allow_credentials=_known(user_id)
    )
    _wait_for(secret, options.challenge, now)
    return webauthn.options_to_json(options)


def prove(secret: str, user_id: int, answer: str, *, now: datetime) -> None:
    """Accept the proof of a passkey of this user.

    Raises:
        WrongCodeError: It does not sign what this session was asked, or the key is not theirs.
    """
    import webauthn  # noqa: PLC0415 - see ask_new
    from webauthn.helpers.exceptions import WebAuthnException  # noqa: PLC0415

    challenge = _take_challenge(secret, now)
    try:
        parsed = _parsed(answer)
        mine = select(SecondFactor).where(
            SecondFactor.user_id == user_id, SecondFactor.credential_id == str(parsed["id"])
        )
        factor = db.session.scalars(mine.with_for_update()).one_or_none()
        if factor is None:
            raise ValueError("a passkey of somebody else")
        found = webauthn.verify_authentication_response(
            credential=parsed,
            expected_challenge=challenge,
            expected_rp_id=_host(),
            expected_origin=_origin(),
            credential_public_key=factor.secret,
            credential_current_sign_count=factor.counter,
        )
    except (WebAuthnException, ValueError, KeyError, TypeError) as error:
        db.session.rollback()
        name = db.session.get_one(User, user_id).name
        audit.record(f"user:{name}", "factor.refused", f"user:{name}", now=now)
        db.session.commit()
        raise WrongCodeError from error
    factor.counter, factor.last_used_at = found.new_sign_count, now
    db.session.commit()


def _known(user_id: int) -> list[Any]:
    from webauthn.helpers import base64url_to_bytes  # noqa: PLC0415 - see ask_new
    from webauthn.helpers.structs import PublicKeyCredentialDescriptor  # noqa: PLC0415

    return [
        PublicKeyCredentialDescriptor(id=base64url_to_bytes(factor.credential_id))
        for factor in factors.list_factors(user_id)
        if factor.credential_id is not None
    ]


def _wait_for(secret: str, challenge: bytes, now: datetime) -> None:
    mine = Session.token_sha256 == digest(secret)
    spelt = base64.urlsafe_b64encode(challenge).decode()  # 64 bytes: 88 characters of 100
    values = {"challenge": spelt, "challenge_at": now}
    db.session.rollback()
    db.session.execute(update(Session).where(mine).values(**values))
    db.session.commit()


def _take_challenge(secret: str, now: datetime) -> bytes:
    """Return the challenge that waits with a session; it is used up, whatever comes of it."""
    db.session.rollback()
    session = db.session.get(Session, digest(secret), with_for_update=True)
    held = session.challenge if session is not None else None
    at = session.challenge_at if session is not None else None
    if session is not None:
        session.challenge = session.challenge_at = None
    db.session.commit()
    if held is None or at is None or abs(now - at) > CHALLENGE_TTL:
        raise WrongCodeError
    return base64.urlsafe_b64decode(held)


def _parsed(answer: str) -> dict[str, Any]:
    if len(answer) > ANSWER_CHARS_MAX:
        raise ValueError("too long")
    found = json.loads(answer)
    if not isinstance(found, dict):
        raise TypeError("not an object")
    return found


def _host() -> str:
    return urlsplit(config.current().console_url).hostname or ""


def _origin() -> str:
    parts = urlsplit(config.current().console_url)
    return f"{parts.scheme}://{parts.netloc}"
