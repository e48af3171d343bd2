"""Other keys sign waves from now on: what runs waits for them, what is signed enough stays."""

from dataclasses import replace

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from flask import Flask
from oleada_server import config as settings
from oleada_server.db import db
from oleada_server.releases import service as releases
from oleada_server.rollouts import service
from oleada_store import drill, succession, waves
from oleada_store.succession import Change
from oleada_wire.envelope import KeySigner

from tests.server.rollouts.fleet import (
    ANA,
    EVERYBODY,
    NOON,
    a_fleet,
    a_plan,
    a_release,
    started,
)
from tests.support.releases import WAVE_KEYS, Signers, hold_ceremony

CANARY = replace(EVERYBODY, name="canary", share_until=0.5)


def a_server(*, waves_by_people: bool) -> Signers:
    """Return the people of a server with eight boxes and a release."""
    found = hold_ceremony(settings.current().keys_dir, NOON, waves_by_people=waves_by_people)
    releases.install_trust(found.files, ANA, NOON)
    a_fleet(8)
    a_release()
    return found


def take(people: Signers, changes: list[Change]) -> None:
    """Let two of targets sign *changes*, and the server install them."""
    for change in changes:
        for name in ("targets-1", "targets-2"):
            change.sign(people.secret[name])
    releases.install_trust(drill.after(people.files, changes), ANA, NOON)


def missing(rollout_id: int) -> list[tuple[int, int, int]]:
    db.session.rollback()
    db.session.expire_all()
    found = service.missing_signatures(service.get(rollout_id))
    return [(one.position, one.have, one.needed) for one in found]


def hand_in(rollout_id: int, *keys: Ed25519PrivateKey, until: int | None = None) -> None:
    request = service.request_of(rollout_id).until(until)
    for key in keys:
        request = waves.sign(request, KeySigner.of(key))
    service.add_signatures(rollout_id, request, actor=ANA, now=NOON)


def test_where_people_begin_to_sign_what_runs_waits_for_two_of_them(sqlite_app: Flask) -> None:
    people = a_server(waves_by_people=False)
    rollout_id = started(a_plan())
    before = missing(rollout_id)
    approvers = [people.secret[name] for name in WAVE_KEYS]

    public = [key.public_key() for key in approvers]
    take(people, succession.people_sign_waves(people.files, public, 2, NOON))

    assert (before, missing(rollout_id)) == ([], [(1, 0, 2)])
    hand_in(rollout_id, *approvers[:2])
    assert missing(rollout_id) == []


def test_when_an_approvers_key_is_replaced_only_what_it_was_needed_for_is_signed_anew(
    sqlite_app: Flask,
) -> None:
    people = a_server(waves_by_people=True)
    rollout_id = started(a_plan(CANARY, EVERYBODY))
    first, second, third = (people.secret[name] for name in WAVE_KEYS)
    hand_in(rollout_id, first, second, until=1)
    hand_in(rollout_id, second, third)
    fresh = Ed25519PrivateKey.generate()

    lost = first.public_key()
    take(people, succession.replaced_key(people.files, lost, fresh.public_key(), NOON))

    assert missing(rollout_id) == [(1, 0, 2)]
    hand_in(rollout_id, fresh, second)
    assert missing(rollout_id) == []
