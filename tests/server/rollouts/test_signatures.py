"""Waves open when approvers have signed them, and never because the server wants it."""

import json
from dataclasses import replace
from datetime import datetime

import pytest
from flask import Flask
from oleada_server import config as settings
from oleada_server.audit import service as audit
from oleada_server.db import db
from oleada_server.messaging.models import RetainedMessage
from oleada_server.releases import service as releases
from oleada_server.rollouts import service, signatures
from oleada_server.rollouts.errors import (
    BadPlanError,
    NoSignatureError,
    NothingToSignError,
    RolloutStateError,
)
from oleada_server.rollouts.spec import WaveSpec
from oleada_server.rollouts.states import RolloutState, WaveState
from oleada_store import waves
from oleada_store.errors import BadRequestFileError
from oleada_wire import messages, topics
from oleada_wire.envelope import KeySigner, RoleKeys
from oleada_wire.errors import BadSignatureError
from oleada_wire.messages import Wave
from sqlalchemy import select

from tests.server.rollouts.fleet import (
    ANA,
    DAY,
    EVERYBODY,
    MODEL,
    NOON,
    a_fleet,
    a_plan,
    a_release,
    row_of,
    started,
)
from tests.support.releases import Signers, hold_ceremony

BEN = "user:ben"
CANARY = replace(EVERYBODY, name="canary", share_until=0.5)


@pytest.fixture
def people(app: Flask) -> Signers:
    """The people of a server whose waves two of three approvers sign."""
    found = hold_ceremony(settings.current().keys_dir, NOON, waves_by_people=True)
    releases.install_trust(found.files, ANA, NOON)
    a_fleet(8)
    a_release()
    return found


def signed(people: Signers, request: waves.Request, *names: str) -> waves.Request:
    for name in names:
        request = waves.sign(request, KeySigner.of(people.secret[name]))
    return request


def hand_in(people: Signers, rollout_id: int, *names: str, until: int | None = None) -> None:
    request = service.request_of(rollout_id).until(until)
    service.add_signatures(rollout_id, signed(people, request, *names), actor=BEN, now=NOON)


def opened() -> list[str]:
    """Return the envelopes that boxes of the model are given."""
    db.session.rollback()
    topic = topics.model(MODEL, topics.Model.WAVE)
    body = db.session.scalar(select(RetainedMessage.payload).where(RetainedMessage.topic == topic))
    if body is None:
        return []
    return list(messages.decode(messages.Waves, body, messages.DOWN_BYTES_MAX).waves)


def states(rollout_id: int) -> list[str]:
    db.session.rollback()
    db.session.expire_all()
    return [str(wave.state) for wave in service.get(rollout_id).waves]


def believed(people: Signers, text: str) -> Wave:
    """Return the wave in envelope *text* as a box reads it."""
    keys = {name: people.secret[name].public_key() for name in people.secret if "wave" in name}
    role = RoleKeys({KeySigner.of(people.secret[n]).keyid: keys[n] for n in keys}, 2)
    return messages.open_message(Wave, text.encode(), role)


def test_a_wave_opens_when_two_approvers_have_signed_it(people: Signers) -> None:
    rollout_id = started(a_plan())

    assert states(rollout_id) == [WaveState.WAITING]
    assert opened() == []
    assert [(one.position, one.have, one.needed) for one in
            service.missing_signatures(service.get(rollout_id))] == [(1, 0, 2)]  # fmt: skip

    hand_in(people, rollout_id, "wave-approver-1")
    assert states(rollout_id) == [WaveState.WAITING]
    assert service.missing_signatures(service.get(rollout_id))[0].have == 1

    hand_in(people, rollout_id, "wave-approver-3")
    assert states(rollout_id) == [WaveState.OPEN]
    assert believed(people, *opened()).rollout_id == f"R-{rollout_id}"
    assert row_of("VX410000000").state == "assigned"
    assert service.missing_signatures(service.get(rollout_id)) == []


def test_who_signs_sees_the_wave_in_words(people: Signers) -> None:
    rollout_id = started(a_plan(CANARY, EVERYBODY))
    first, second = service.request_of(rollout_id).waves

    text = "\n".join(waves.lines(first))

    assert f"Wave 1 of R-{rollout_id}" in text
    assert "VX-410/1.1.0.img" in text
    assert "50 % of every VX-410" in text
    assert "2026-11-21 11:50 UTC" in text
    assert "100 % of every VX-410" in "\n".join(waves.lines(second))


def test_approvers_may_sign_the_first_waves_alone_and_the_next_one_waits(people: Signers) -> None:
    rollout_id = started(a_plan(CANARY, EVERYBODY))

    hand_in(people, rollout_id, "wave-approver-1", "wave-approver-2", until=1)

    assert states(rollout_id) == [WaveState.OPEN, WaveState.WAITING]
    assert [one.position for one in service.missing_signatures(service.get(rollout_id))] == [2]


@pytest.mark.parametrize(
    "names", [("stranger",), ("approver", "release-signer"), ("targets-1", "targets-2")]
)
def test_other_peoples_keys_open_no_wave(people: Signers, names: tuple[str, ...]) -> None:
    rollout_id = started(a_plan())
    request = replace(service.request_of(rollout_id), may_sign=())

    with pytest.raises(NoSignatureError):
        service.add_signatures(rollout_id, signed(people, request, *names), actor=BEN, now=NOON)

    assert states(rollout_id) == [WaveState.WAITING]


def test_one_person_who_signs_twice_is_one_person(people: Signers) -> None:
    rollout_id = started(a_plan())
    hand_in(people, rollout_id, "wave-approver-1")

    with pytest.raises(NoSignatureError):
        hand_in(people, rollout_id, "wave-approver-1")

    assert states(rollout_id) == [WaveState.WAITING]


def test_signatures_on_other_words_are_refused(people: Signers) -> None:
    rollout_id = started(a_plan(CANARY, EVERYBODY))
    second = service.request_of(rollout_id).waves[1]
    swapped = replace(second, position=1)
    request = replace(service.request_of(rollout_id), waves=(swapped,))

    with pytest.raises(BadPlanError, match="not the 'wave' that waits here"):
        service.add_signatures(
            rollout_id,
            signed(people, request, "wave-approver-1", "wave-approver-2"),
            actor=BEN,
            now=NOON,
        )
    assert states(rollout_id) == [WaveState.WAITING, WaveState.WAITING]


def test_the_servers_own_key_signs_no_wave_that_people_sign(people: Signers) -> None:
    rollout_id = started(a_plan())
    hand_in(people, rollout_id, "wave-approver-1", "wave-approver-2")

    releases.refresh_online_metadata(NOON + 20 * DAY)
    service.tick(NOON + 20 * DAY)

    assert len(opened()) == 1
    believed(people, *opened())
    stranger = RoleKeys({"00": people.secret["stranger"].public_key()}, 1)
    with pytest.raises(BadSignatureError):
        messages.open_message(Wave, opened()[0].encode(), stranger)


def test_a_list_names_its_boxes_and_a_changed_list_is_not_signed(people: Signers) -> None:
    listed = WaveSpec(name="two", device_ids=("VX410000001", "VX410000002"), sample_min=1)
    rollout_id = started(a_plan(listed))
    spelt = waves.to_json(service.request_of(rollout_id))

    assert "VX410000001" in "\n".join(waves.lines(waves.from_json(spelt).waves[0]))
    spelt["waves"][0]["device_ids"].append("VX410000007")
    with pytest.raises(BadRequestFileError, match="not those that would be signed"):
        waves.from_json(json.loads(json.dumps(spelt)))


def test_signatures_outlive_the_plan_and_are_asked_for_again_in_time(people: Signers) -> None:
    rollout_id = started(a_plan())
    hand_in(people, rollout_id, "wave-approver-1", "wave-approver-2")
    until = service.get(rollout_id).waves[0].authorised_until
    assert until is not None
    assert until - NOON >= signatures.VALID_MIN

    late = until - 9 * DAY
    service.tick(late)
    assert service.signed_until() == [(f"R-{rollout_id} wave 1", until)]
    (again,) = service.missing_signatures(service.get(rollout_id))

    assert (again.have, again.runs_until) == (0, until)
    assert len(opened()) == 1
    request = signed(people, service.request_of(rollout_id), "wave-approver-1", "wave-approver-3")
    service.add_signatures(rollout_id, request, actor=BEN, now=late)
    assert ends_at(people) > until
    service.tick(late)
    assert service.missing_signatures(service.get(rollout_id)) == []


def ends_at(people: Signers) -> datetime:
    wave = believed(people, *opened())
    return NOON + (wave.not_after_ms - int(NOON.timestamp() * 1000)) * (DAY / 86_400_000)


def test_a_stopped_rollout_takes_no_signature_and_its_waves_are_withdrawn(people: Signers) -> None:
    rollout_id = started(a_plan())
    request = service.request_of(rollout_id)
    hand_in(people, rollout_id, "wave-approver-1", "wave-approver-2")
    assert len(opened()) == 1

    service.stop(rollout_id, "enough", actor=ANA, now=NOON)

    assert opened() == []
    with pytest.raises(NothingToSignError):
        service.request_of(rollout_id)
    with pytest.raises(RolloutStateError):
        service.add_signatures(
            rollout_id, signed(people, request, "wave-approver-1"), actor=BEN, now=NOON
        )


def test_a_pause_and_a_halt_need_no_signature(people: Signers) -> None:
    rollout_id = started(a_plan())

    assert service.pause(rollout_id, "look", actor=ANA, now=NOON) == RolloutState.PAUSED
    assert service.stop(rollout_id, "enough", actor=ANA, now=NOON) == RolloutState.STOPPED


def test_each_signature_is_in_the_audit_trail_with_its_key(people: Signers) -> None:
    rollout_id = started(a_plan())

    hand_in(people, rollout_id, "wave-approver-2")

    (event,) = [e for e in audit.events_about(f"R-{rollout_id}", 9) if e.action == "wave.sign"]
    assert event.actor == BEN
    assert event.after == {
        "wave": 1,
        "keys": [KeySigner.of(people.secret["wave-approver-2"]).keyid],
        "needed": 2,
    }
