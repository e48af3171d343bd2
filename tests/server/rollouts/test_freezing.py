"""Which boxes a rollout has: chosen by the database as the pure functions say, part after part."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from oleada_server.db import db
from oleada_server.devices.models import Device
from oleada_server.releases.models import Release
from oleada_server.rollouts import alike, freezing, groups, preparing, proofs, service
from oleada_server.rollouts.choosing import Member, chooser
from oleada_server.rollouts.cover import Where
from oleada_server.rollouts.eligible import why_not
from oleada_server.rollouts.errors import BeingPreparedError
from oleada_server.rollouts.models import BoxInWave, Rollout
from oleada_server.rollouts.preview import candidates, named_groups, needs_of
from oleada_server.rollouts.schemas import rollout_json
from oleada_server.rollouts.spec import RolloutSpec, WaveSpec
from oleada_server.rollouts.states import RolloutState
from oleada_wire import cohort
from sqlalchemy import event, select
from sqlalchemy.orm import Session

from tests.server.rollouts.fleet import (
    ANA,
    BRNO,
    EVERYBODY,
    MINUTE,
    MODEL,
    NOON,
    PRAHA,
    a_fleet,
    a_fleet_partly_in_brno,
    a_newcomer,
    a_plan,
    a_release,
    boxes_of,
    by,
    in_parts,
    prepare,
    set_of,
    sqlite_only,
    started,
    told,
    waves_told,
)

pytestmark = pytest.mark.usefixtures("app")
EVERY_THIRD = slice(None, None, 3)


def share(until: float, name: str = "share") -> WaveSpec:
    return replace(EVERYBODY, name=name, share_until=until)


def a_mixed_fleet(seed: int, boxes: int) -> list[str]:
    """Store boxes that differ in all that a plan may choose by, and a group of some of them."""
    dice = random.Random(seed)
    ids = a_fleet(boxes)
    for device in db.session.scalars(select(Device).order_by(Device.id)):
        device.region = dice.choice([None, "Brno", "Praha", 'Ústí "nad" Labem', "a,b"])
        device.zone = dice.choice(["UTC", "Europe/Prague"])
        device.version = dice.choice(["1.0.0", "1.0.0", "1.0", "0.9", "1.1.0", "2.0", None, "odd"])
        device.security_version = dice.choice([None, 1, 1, 9])
        device.provides = dice.choice([None, [], ["drm"], ["drm", "codec"]])
        device.revoked_at = dice.choice([None] * 9 + [NOON])
    db.session.commit()
    groups.create("staff", note="", rule=None, actor=ANA, now=NOON)
    groups.change("staff", add=dice.sample(ids, boxes // 10), remove=[], actor=ANA, now=NOON)
    groups.create("south", note="", rule=BRNO, actor=ANA, now=NOON)
    return ids


def as_pure_functions_say(spec: RolloutSpec, release: Release) -> list[list[str]]:
    """Return the boxes of each wave, box by box."""
    needs = needs_of(release)
    found = candidates(MODEL, named_groups(spec.waves))
    may = [Member(one.device_id, one.kind) for one in found if why_not(one, needs) is None]
    wave_of = chooser(spec.waves, spec.salt or "", lambda: may)
    chosen: list[list[str]] = [[] for _ in spec.waves]
    for member in may:
        if (at := wave_of(member)) is not None:
            chosen[at].append(member.device_id)
    return chosen


def test_the_database_takes_the_boxes_that_the_pure_functions_take(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    in_parts(monkeypatch, boxes=70, parts_a_tick=preparing.PARTS_A_TICK)
    ids = a_mixed_fleet(7, 180)
    release = a_release(depends=["drm"])
    started(a_plan(by(9)))
    prepare()  # some boxes are taken already
    plans = [
        (by(where=Where(group=("staff", "south"))), by(5), share(0.1), by(9, PRAHA), share(1.0)),
        (by(device_ids=tuple(ids[::7])), share(0.3333), by(500, PRAHA), share(0.9999)),
        (by(3, Where(provides=("codec",))), by(where=Where(version_max="0.9")), share(0.5)),
    ]
    for number, waves in enumerate(plans):
        spec = a_plan(*waves, salt=f"salt-{number}")
        wanted = as_pure_functions_say(spec, release)
        assert all(wanted), "a plan with an empty wave proves nothing"
        assert [wave.boxes for wave in service.preview(spec).waves] == [len(w) for w in wanted]

        rollout_id = started(spec)
        prepare()

        assert boxes_of(rollout_id) == wanted
        service.stop(rollout_id, "next", actor=ANA, now=NOON)


@sqlite_only
def test_the_bound_of_a_share_is_the_first_digest_whose_place_it_does_not_cover() -> None:
    def place(digest: bytes) -> int:  # as the wire has it, of the same bytes
        return int.from_bytes(digest, "big") * cohort.SHARE_PARTS >> 64

    for parts in range(1, cohort.SHARE_PARTS):
        bound = alike._first_behind(parts)
        before = (int.from_bytes(bound, "big") - 1).to_bytes(8, "big")
        assert (place(before), place(bound)) == (parts - 1, parts)


def facts() -> list[tuple[Any, ...]]:
    """Return what is written down of boxes, in order, and of their waves."""
    db.session.rollback()
    db.session.expire_all()
    query = select(BoxInWave).order_by(BoxInWave.id)
    boxes = [(b.device_id, b.wave_id, b.state, b.version_before) for b in db.session.scalars(query)]
    waves = service.get(1).waves
    return [*boxes, *((wave.boxes, wave.merkle_root, wave.state) for wave in waves)]


PLAN = a_plan(by(4), by(where=BRNO), share(0.4), EVERYBODY)


@sqlite_only
def test_while_its_boxes_are_written_down_nothing_begins_and_everybody_is_told_how_far(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ids = a_fleet_partly_in_brno(EVERY_THIRD)
    in_parts(monkeypatch)

    rollout_id = started(a_plan())

    rollout = service.get(rollout_id)
    assert (rollout.state, rollout.started_at) == (RolloutState.SCHEDULED, None)
    assert freezing.progress(rollout) == freezing.Progress(9, 40)
    assert rollout_json(rollout)["preparing"] == {"boxes": 9, "of": 40}
    service.tick(NOON + MINUTE)
    assert waves_told_of_nobody()
    assert told(ids[0]) is None

    assert preparing.tick(NOON + MINUTE) == 2
    assert freezing.progress(service.get(rollout_id)) == freezing.Progress(27, 40)
    assert preparing.tick(NOON + MINUTE) == 2
    assert preparing.tick(NOON + MINUTE) == 0, "there is nothing left"

    rollout = service.get(rollout_id)
    assert (rollout.state, rollout.started_at) == (RolloutState.RUNNING, NOON + MINUTE)
    assert freezing.progress(rollout) is None
    assert len(waves_told()) == 1
    assert told(ids[0]) is not None


def waves_told_of_nobody() -> bool:
    try:
        return not waves_told()
    except AssertionError:
        return True


class CutError(BaseException):
    """The process was killed here."""


@contextmanager
def cut_at(number: int) -> Iterator[list[int]]:
    """Kill the process just before commit *number*; yields how many there were."""
    seen = [0]

    def count(session: Session) -> None:
        seen[0] += 1
        if seen[0] == number:
            raise CutError

    event.listen(db.session, "before_commit", count)
    try:
        yield seen
    finally:
        event.remove(db.session, "before_commit", count)


@sqlite_only
def test_killed_at_any_commit_it_ends_with_the_boxes_of_one_that_was_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    a_fleet_partly_in_brno(EVERY_THIRD)
    in_parts(monkeypatch, boxes=100)
    started(PLAN)
    whole = facts()
    in_parts(monkeypatch, boxes=16)
    commits = 0
    for number in range(1, 50):
        forget_rollouts()
        rollout_id = service.create(PLAN, actor=ANA, now=NOON)
        with cut_at(number) as seen:
            for tick in range(4):
                try:
                    begin_or_go_on(rollout_id)
                except CutError:
                    db.session.rollback()
                    db.session.expire_all()
                commits = seen[0]
                assert tick < 3 or service.get(rollout_id).preparing is None
        service.tick(NOON)
        assert facts() == whole, f"killed at commit {number}"
        if commits < number:
            break
    assert commits > 4, "a start in three parts has some transactions"


def begin_or_go_on(rollout_id: int) -> None:
    if service.get(rollout_id).state == RolloutState.DRAFT:
        service.start(rollout_id, actor=ANA, now=NOON)
    preparing.tick(NOON)


def forget_rollouts() -> None:
    """Forget every rollout as if there had been none."""
    kept = {"device", "release", "hardware_model", "setting"}
    db.session.rollback()
    for table in reversed(db.metadata.sorted_tables):
        if table.name not in kept and not table.name.startswith(("audit", "device")):
            db.session.execute(table.delete())
    db.session.execute(db.text("DELETE FROM sqlite_sequence WHERE name IN ('rollout', 'wave')"))
    db.session.commit()
    db.session.expire_all()


@sqlite_only
def test_no_other_rollout_of_the_model_chooses_boxes_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    a_fleet_partly_in_brno(EVERY_THIRD)
    in_parts(monkeypatch)
    first = started(a_plan(share(0.5)))
    second = service.create(a_plan(), actor=ANA, now=NOON)

    with pytest.raises(BeingPreparedError, match=f"R-{first}"):
        service.start(second, actor=ANA, now=NOON)
    db.session.rollback()
    prepare()
    service.start(second, actor=ANA, now=NOON)
    prepare()

    both = boxes_of(first)[0] + boxes_of(second)[0]
    assert len(set(both)) == len(both) == 40


@sqlite_only
def test_who_stops_it_meanwhile_has_stopped_it(monkeypatch: pytest.MonkeyPatch) -> None:
    a_fleet_partly_in_brno(EVERY_THIRD)
    in_parts(monkeypatch)
    rollout_id = started(a_plan())

    service.stop(rollout_id, "wrong plan", actor=ANA, now=NOON)
    prepare()

    rollout = service.get(rollout_id)
    assert (rollout.state, freezing.progress(rollout)) == (RolloutState.STOPPED, None)
    assert len(boxes_of(rollout_id)[0]) == 9


@sqlite_only
def test_a_wave_that_loses_its_last_box_meanwhile_ends_it_with_the_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ids = a_fleet_partly_in_brno(EVERY_THIRD)
    in_parts(monkeypatch)
    rollout_id = started(a_plan(by(name="last", device_ids=(ids[-1],)), EVERYBODY))

    set_of(ids[-1], version="1.1.0")
    prepare()

    rollout = db.session.get_one(Rollout, rollout_id)
    assert rollout.state == RolloutState.STOPPED
    assert "Wave 1 (last) would cover no box" in (rollout.state_reason or "")


@sqlite_only
def test_a_wave_by_number_takes_no_more_whoever_comes_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    a_fleet_partly_in_brno(EVERY_THIRD)
    in_parts(monkeypatch)
    rollout_id = started(a_plan(by(14, BRNO)))
    for number in range(5):
        a_newcomer(number, region="Brno")

    prepare()

    assert service.get(rollout_id).waves[0].boxes == len(boxes_of(rollout_id)[0]) == 14


@sqlite_only
def test_a_rollout_that_can_not_be_read_keeps_those_of_other_models_from_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    a_fleet_partly_in_brno(EVERY_THIRD)
    other = "ZX-1"
    a_fleet(20, model=other)
    a_release(model=other)
    in_parts(monkeypatch)
    first, second = started(a_plan()), started(replace(a_plan(), hardware_model=other))
    db.session.get_one(Rollout, first).rules = {"newcomers": "perhaps"}
    db.session.commit()

    for _ in range(2):
        preparing.tick(NOON)

    assert service.get(first).state == RolloutState.HALTED
    assert service.get(second).state == RolloutState.RUNNING


@sqlite_only
@pytest.mark.parametrize("boxes", [1, 2, 7, 33])
def test_a_root_and_proofs_are_those_of_the_wire(boxes: int) -> None:
    ids = a_fleet(boxes)
    a_release()
    wave = service.get(started(a_plan(by(device_ids=tuple(ids))))).waves[0]
    assert wave.merkle_root == cohort.merkle_root(ids)

    found = proofs.of(wave.merkle_root, wave.id, ids)

    assert {device_id: list(proof) for device_id, proof in found.items()} == (
        cohort.merkle_proofs(ids)
    )
