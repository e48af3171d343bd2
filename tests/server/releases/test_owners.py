"""Who signs does not approve: keys have owners, and naming one needs two persons."""

import io
from datetime import datetime

import pytest
from flask import Flask
from oleada_server.accounts import second_person
from oleada_server.accounts import service as accounts
from oleada_server.accounts.errors import AskedDeedNotFoundError, NotYoursError
from oleada_server.accounts.models import Role
from oleada_server.accounts.rights import Identity
from oleada_server.audit import service as audit
from oleada_server.db import db
from oleada_server.errors import BadInputError
from oleada_server.releases import owners, service
from oleada_server.releases.errors import OneSignerError
from oleada_server.rollouts import approvals
from oleada_server.rollouts.errors import SignerApprovesError
from oleada_server.rollouts.models import Rollout
from oleada_server.rollouts.states import RolloutState

from tests.support.releases import Signers, hold_ceremony, some_info


@pytest.fixture
def signers(sqlite_app: Flask, noon: datetime) -> Signers:
    """The ceremony was held, and four people are known."""
    for name, role in (("sam", Role.RELEASE_SIGNER), ("eva", Role.APPROVER),
                       ("ute", Role.USER_ADMIN), ("uwe", Role.USER_ADMIN)):  # fmt: skip
        accounts.add_user(name, full_name=name.title(), role=role, actor="system:test", now=noon)
    found = hold_ceremony(sqlite_app.extensions["oleada_config"].keys_dir, noon)
    service.install_trust(found.files, "user:ute", noon)
    return found


def person(name: str) -> Identity:
    return accounts.identity_of(accounts.find_user(name))


def key_ids() -> list[str]:
    return [key.key_id for key in owners.list_keys() if "VX-410" in key.models]


def publish(signers: Signers, now: datetime) -> None:
    bundle = signers.bundle(some_info("6.0.0"), b"an image" * 2000, now=now)
    service.publish(io.BytesIO(bundle), "user:sam", now)


def a_plan(noon: datetime) -> Rollout:
    """A plan of ana that waits for approval, of the release that was published."""
    release = service.get("VX-410", "6.0.0")
    found = Rollout(
        release_id=release.id, name="a plan", state=RolloutState.AWAITING_APPROVAL, created_at=noon,
        created_by="user:ana", asked_by="user:ana", asked_at=noon, needs_approval=True, salt="s",
        silent_after_s=60, attempts_max=3, in_flight_max=5, spread_s=1, lease_s=60,
    )  # fmt: skip
    db.session.add(found)
    db.session.commit()
    return found


def test_one_asks_another_confirms_and_both_are_kept(signers: Signers, noon: datetime) -> None:
    key = key_ids()[0]

    number = owners.ask(key, "sam", "it is on his stick", actor="user:ute", now=noon)
    assert owners.actors_of([key]) == set()
    second_person.decide(number, person("uwe"), confirm=True, now=noon)

    assert owners.actors_of([key]) == {"user:sam"}
    newest = audit.events_about(f"key:{key[:16]}")[0]
    assert (newest.actor, newest.action) == ("user:uwe", "key.owner")
    assert newest.after == {"owner": "sam", "asked_by": "user:ute"}
    assert list(owners.waiting(noon)) == []


def test_who_asked_does_not_confirm_and_nothing_is_decided_twice(
    signers: Signers, noon: datetime
) -> None:
    key = key_ids()[0]
    number = owners.ask(key, "sam", "it is on his stick", actor="user:ute", now=noon)

    with pytest.raises(NotYoursError):
        second_person.decide(number, person("ute"), confirm=True, now=noon)
    second_person.decide(number, person("ute"), confirm=False, now=noon)

    assert owners.actors_of([key]) == set()
    with pytest.raises(AskedDeedNotFoundError):
        second_person.decide(number, person("uwe"), confirm=True, now=noon)


@pytest.mark.parametrize(("user", "reason"), [("ute", "x"), ("sam", " ")])
def test_only_who_may_sign_owns_a_key_and_a_reason_is_needed(
    signers: Signers, noon: datetime, user: str, reason: str
) -> None:
    with pytest.raises(BadInputError):
        owners.ask(key_ids()[0], user, reason, actor="user:uwe", now=noon)
    with pytest.raises(BadInputError):
        owners.ask("0" * 64, "sam", "x", actor="user:uwe", now=noon)


def test_two_keys_of_one_person_publish_nothing(signers: Signers, noon: datetime) -> None:
    for key in key_ids():
        owners.set_owner(key, "sam", actor="system:cli", now=noon)

    with pytest.raises(OneSignerError):
        publish(signers, noon)
    assert service.list_releases() == []


def test_who_signed_does_not_approve_and_another_may(signers: Signers, noon: datetime) -> None:
    owners.set_owner(key_ids()[0], "eva", actor="system:cli", now=noon)
    publish(signers, noon)
    plan = a_plan(noon)

    assert not approvals.may_decide(plan, "user:eva")
    assert approvals.may_decide(plan, "user:tom")
    with pytest.raises(SignerApprovesError):
        approvals.approve(plan.id, actor="user:eva", now=noon)
