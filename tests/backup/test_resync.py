"""After a restore boxes know more than the server, and none of them is confused by it."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from oleada_server import config as settings
from oleada_server import restored
from oleada_server.audit import service as audit
from oleada_server.backup import resync
from oleada_server.db import db
from oleada_server.devices import service as devices
from oleada_server.devices.models import Device
from oleada_server.enrolment import adoption
from oleada_server.enrolment import service as enrolment
from oleada_server.enrolment.errors import ClaimUsedError
from oleada_server.enrolment.models import ClaimToken
from oleada_server.messaging import inbox, outbox
from oleada_server.messaging import service as messaging
from oleada_server.messaging.models import OutboxMessage
from oleada_server.releases import metadata
from oleada_server.releases import service as releases
from oleada_server.rollouts import authorise, service
from oleada_server.rollouts.models import ReportRow, Rollout, Wave
from oleada_server.rollouts.states import BoxState, RolloutState
from oleada_wire import messages, topics
from oleada_wire.topics import Up
from oleada_wire.words import LeasePhase, Phase, Reason
from sqlalchemy import func, select

from tests.backup.places import NewConfig, server
from tests.server.rollouts import fleet
from tests.server.rollouts.fleet import HOUR, MODEL, NOON
from tests.support.certificates import a_key, a_request
from tests.support.fleet import a_hello
from tests.support.releases import hold_ceremony

LATER = NOON + 3 * HOUR
DATABASES = ("sqlite", pytest.param("postgresql", marks=pytest.mark.real))
NEW_ID = "VX41NEWB0007"


@pytest.fixture(params=DATABASES)
def app(request: pytest.FixtureRequest, new_config: NewConfig) -> Iterator[Flask]:
    """A server on either database, with one release."""
    with server(new_config("oleada", request.param)) as found:
        fleet.a_fleet(4)
        fleet.a_release()
        yield found


def _restored() -> resync.Resynchronised:
    found = resync.resynchronise(NOON, LATER)
    db.session.expire_all()
    return found


def _rollout(number: int) -> Rollout:
    db.session.rollback()
    db.session.expire_all()
    return service.get(number)


def test_what_ran_is_paused_until_a_person_goes_on(app: Flask) -> None:
    number = fleet.started(fleet.a_plan())

    found = _restored()
    service.tick(LATER)

    assert found.held_rollouts == (number,)
    assert _rollout(number).state == RolloutState.PAUSED
    assert "restored from the backup of 2026-11-21 12:00 UTC" in (
        _rollout(number).state_reason or ""
    )
    assert fleet.ask("VX410000000", LATER).reason == "paused"
    assert service.resume(number, actor=fleet.ANA, now=LATER) is RolloutState.RUNNING
    assert fleet.ask("VX410000000", LATER).granted


def test_what_was_scheduled_waits_for_its_time_again_once_a_person_goes_on(app: Flask) -> None:
    start_at = LATER + HOUR
    number = fleet.started(fleet.a_plan(start_at=start_at))

    _restored()
    service.tick(start_at + HOUR)
    assert _rollout(number).state == RolloutState.PAUSED
    service.resume(number, actor=fleet.ANA, now=LATER)
    assert _rollout(number).state == RolloutState.SCHEDULED

    service.tick(start_at)
    assert _rollout(number).state == RolloutState.RUNNING


def test_what_ended_or_never_began_stays_as_it_is(app: Flask) -> None:
    draft = service.create(fleet.a_plan(), actor=fleet.ANA, now=NOON)
    stopped = fleet.started(fleet.a_plan())
    service.stop(stopped, "not now", actor=fleet.ANA, now=NOON)

    assert _restored().held_rollouts == ()
    assert (_rollout(draft).state, _rollout(stopped).state) == ("draft", "stopped")


def test_every_number_that_a_box_compares_is_above_all_that_were_given(app: Flask) -> None:
    fleet.started(fleet.a_plan())
    box = "VX410000000"
    before = fleet.told(box)
    assert before is not None

    _restored()
    service.tick(LATER)
    after = fleet.told(box)
    given_meanwhile = before.assignment_seq + 1_000_000

    assert after is not None
    assert after.assignment_seq > given_meanwhile
    assert after.assignment == replace(
        before.assignment,  # type: ignore[type-var] # there is one
        issued_ms=after.assignment.issued_ms,  # type: ignore[union-attr]
        expires_ms=after.assignment.expires_ms,  # type: ignore[union-attr]
    )
    assert db.session.get_one(Device, box).cmd_seq > given_meanwhile


def test_a_second_restore_of_the_same_backup_is_above_the_first(app: Flask) -> None:
    def numbers() -> tuple[int, int, int]:
        db.session.expire_all()
        device = db.session.get_one(Device, "VX410000000")
        return device.assignment_seq, device.cmd_seq, outbox.canary()

    resync.resynchronise(NOON, LATER)
    first = numbers()
    resync.resynchronise(NOON, LATER + HOUR)
    second = numbers()

    assert all(high > low for high, low in zip(second, first, strict=True))


def test_no_number_of_a_rollout_or_wave_is_given_twice(app: Flask) -> None:
    last = fleet.started(fleet.a_plan())
    service.stop(last, "done", actor=fleet.ANA, now=NOON)
    last_wave = db.session.scalar(select(func.max(Wave.id))) or 0

    resync.resynchronise(NOON - timedelta(days=2), NOON)
    number = service.create(fleet.a_plan(), actor=fleet.ANA, now=NOON)

    assert last + 3000 < number <= last + 3001
    assert _rollout(number).waves[0].id > last_wave + 100_000_000


def test_an_assignment_that_was_lost_is_never_taken_for_a_new_one(app: Flask) -> None:
    _restored()
    number = fleet.started(fleet.a_plan(), LATER)
    box = "VX410000000"
    row = fleet.row_of(box)
    name = authorise.assignment_id(row.id)

    fleet.say(box, Phase.UPDATED, assignment_id=f"AS-{row.id}")  # of the lost one
    assert fleet.row_of(box).state == BoxState.ASSIGNED
    fleet.say(box, Phase.UPDATED, assignment_id=name)
    assert fleet.row_of(box).state == BoxState.UPDATED
    assert name.startswith(f"AS-{row.id}-")
    assert fleet.told("VX410000001").assignment.rollout_id == f"R-{number}"  # type: ignore[union-attr]


def test_an_assignment_of_the_backup_keeps_its_name(app: Flask) -> None:
    fleet.started(fleet.a_plan())
    _restored()

    fleet.say("VX410000000", Phase.UPDATED)

    assert fleet.row_of("VX410000000").state == BoxState.UPDATED


def test_a_verdict_that_was_acknowledged_and_lost_counts_once_when_it_is_told_again(
    app: Flask,
) -> None:
    fleet.started(fleet.a_plan())
    _restored()
    box = "VX410000000"

    for _ in range(3):
        fleet.say(box, Phase.ROLLED_BACK, Reason.HEALTH_CHECK, step=6)

    assert fleet.row_of(box).state == BoxState.ROLLED_BACK
    assert db.session.scalar(select(func.count()).select_from(ReportRow)) == 1


def test_a_box_is_believed_about_an_attempt_that_the_server_has_lost(app: Flask) -> None:
    number = fleet.started(fleet.a_plan(attempts_max=3))
    box = "VX410000000"

    fleet.say(box, Phase.DOWNLOADING, attempt=2, step=1)
    assert fleet.row_of(box).state == BoxState.ASSIGNED  # without a restore it never was

    _restored()
    fleet.say(box, Phase.UPDATED, attempt=2, step=4)
    assert (fleet.row_of(box).state, fleet.row_of(box).attempt) == (BoxState.UPDATED, 2)

    other = "VX410000001"  # it was at its second attempt when it was told of the first
    fleet.say(other, Phase.FAILED, Reason.CANCELLED, attempt=2, step=4)
    service.resume(number, actor=fleet.ANA, now=LATER)
    assert (fleet.row_of(other).state, fleet.row_of(other).attempt) == (BoxState.ASSIGNED, 3)


def test_a_box_that_went_on_meanwhile_is_never_sent_back(app: Flask) -> None:
    number = fleet.started(fleet.a_plan())
    ahead, level = "VX410000000", "VX410000001"
    _restored()
    told = fleet.told(ahead)

    for box, version in ((ahead, "1.2.0"), (level, "1.0.0")):
        devices.record_hello(box, a_hello(serial=f"S{box}", version=version), LATER)
        fleet.greet(box, version=version, assignment_seq=7, now=LATER)
    service.tick(LATER)
    service.resume(number, actor=fleet.ANA, now=LATER)

    assert fleet.row_of(ahead).state == BoxState.DECLINED
    assert fleet.row_of(ahead).detail == "the box runs 1.2.0, which is newer than 1.1.0"
    assert fleet.told(ahead).assignment is None  # type: ignore[union-attr]
    assert told is not None
    assert fleet.row_of(level).state == BoxState.ASSIGNED


def test_a_box_with_an_assignment_that_is_lost_is_told_that_there_is_none(app: Flask) -> None:
    _restored()
    box = "VX410000000"

    fleet.greet(box, assignment_seq=9, now=LATER)
    told = fleet.told(box)
    assert told is not None
    assert (told.assignment, told.assignment_seq > 9) == (None, True)

    fleet.greet(box, assignment_seq=told.assignment_seq, now=LATER)
    assert fleet.told(box) == told  # it knows


def test_whatever_a_box_says_first_is_news(app: Flask) -> None:
    box = "VX410000000"
    devices.record_hello(box, a_hello(boot=500, serial=f"S{box}"), NOON)
    db.session.commit()

    _restored()  # the box was wiped and enrolled anew after the backup
    devices.record_hello(box, a_hello(boot=1, serial=f"S{box}", version="1.0.7"), LATER)
    db.session.commit()

    assert devices.get(box).version == "1.0.7"


def test_online_metadata_and_deny_lists_are_newer_than_any_before(app: Flask) -> None:
    signers = hold_ceremony(settings.current().keys_dir, NOON, [MODEL])
    releases.install_trust(signers.files, "user:anna", NOON)
    releases.withdraw(MODEL, "1.1.0", "it flickers", "user:anna", NOON)

    _restored()
    found = metadata.current()
    deny = fleet.retained(topics.model(MODEL, topics.Model.DENY))
    said = messages.open_message(messages.Deny, deny, fleet.director())

    assert min(found["timestamp"].version, found["snapshot"].version) > 1_700_000_000
    assert found["root"].version == 1
    assert said.deny_version > 200_000_000
    assert said.digests == ("ab" * 32,)


def test_nothing_that_was_on_its_way_goes_out_again_and_all_that_is_retained_does(
    app: Flask,
) -> None:
    fleet.started(fleet.a_plan())
    fleet.ask("VX410000000")
    outbox.mark_sent(outbox.unsent(NOON, 100))
    messaging.queue_message("oleada/v1/d/VX410000000/down/cmd", b"x", now=NOON)
    db.session.commit()

    _restored()

    assert db.session.scalar(select(func.count()).select_from(OutboxMessage)) == 0
    topics_again = {one.topic for one in outbox.unsent(LATER, 100)}
    assert "oleada/v1/d/VX410000000/down/assign" in topics_again
    assert outbox.canary() > 1_000_000


def test_the_restore_stands_in_the_audit_trail_whose_chain_holds(app: Flask) -> None:
    fleet.started(fleet.a_plan())
    _restored()

    newest = audit.events_about("server")[0]
    assert (newest.actor, newest.action) == ("system:restore", "server.restore")
    assert newest.after == {"made_at": NOON.isoformat(), "held": ["R-1"]}
    assert audit.first_broken() is None


def _hello_of(device_id: str, **said: Any) -> inbox.Incoming:
    hello = messages.encode(a_hello(**{"serial": "SN-NEW", **said}))
    return inbox.Incoming(topics.up(device_id, Up.HELLO), hello)


def test_a_box_that_was_enrolled_after_the_backup_is_taken_back(app: Flask) -> None:
    token = enrolment.create_claim("SN-NEW", MODEL, actor=fleet.ANA, now=NOON)
    _restored()

    stored = inbox.store([_hello_of(NEW_ID, assignment_seq=12)], LATER)

    assert len(stored.counted[NEW_ID]) == 1
    assert (devices.get(NEW_ID).serial, devices.get(NEW_ID).version) == ("SN-NEW", "1.0.0")
    assert audit.events_about(f"device:{NEW_ID}")[0].action == "device.adopt"
    assert db.session.scalars(select(ClaimToken.device_id)).all() == [NEW_ID]
    with pytest.raises(ClaimUsedError):  # its token is worth nothing to anybody else
        enrolment.enrol(token, "SN-NEW", a_request(a_key()), LATER)


@pytest.mark.parametrize(
    "said",
    [
        {"serial": "SVX410000000"},
        {"hardware_model": "VX-999"},
        {"serial": ""},
        {"serial": "x" * 41},
    ],
)
def test_a_box_that_would_take_something_from_another_is_not(
    app: Flask, said: dict[str, Any]
) -> None:
    _restored()

    stored = inbox.store([_hello_of(NEW_ID, **said)], LATER)

    assert stored.counts["unknown-device"] == 1
    assert devices.known([NEW_ID]) == set()


def test_without_a_restore_no_box_is_taken_in_by_its_word(app: Flask) -> None:
    stored = inbox.store([_hello_of(NEW_ID)], LATER)

    assert stored.counts["unknown-device"] == 1
    assert adoption.adopt_lost({NEW_ID: a_hello()}, LATER) == set()
    assert not restored.was_restored()


def test_an_arming_box_waits_while_its_rollout_does(app: Flask) -> None:
    fleet.started(fleet.a_plan())
    _restored()

    answer = fleet.ask("VX410000000", LATER, LeasePhase.ARM)

    assert (answer.granted, answer.reason) == (False, "paused")
