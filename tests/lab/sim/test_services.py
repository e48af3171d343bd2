"""The real services and the boxes' own eyes for signatures in a story."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from oleada_lab import stories
from oleada_lab.scenario import Fault, Scenario, load
from oleada_lab.sim import remember
from oleada_lab.sim.broker import Message
from oleada_lab.sim.ears import SignedEars
from oleada_lab.sim.server import SimServer
from oleada_lab.sim.services import Services
from oleada_server.db import db
from oleada_server.rollouts.models import BoxInWave, ReportRow
from oleada_server.rollouts.states import BoxState, WaveState
from oleada_wire import bulk, envelope, messages, topics
from oleada_wire.errors import MalformedMessageError
from oleada_wire.topics import Down
from sqlalchemy import select

HOUR_MS = 3_600_000
SCENARIOS = Path(__file__).parents[3] / "lab" / "scenarios"


def a_story(**changed: Any) -> Scenario:
    """Return a story of four boxes that become updated, without faults."""
    found = load(SCENARIOS / "u1_wrong_bytes.toml")
    fleet = replace(found.fleet, count=4)
    expect = replace(found.expect, boxes_updated_min=4)
    plan = replace(found.rollout, waves=(1.0,))
    return replace(found, fleet=fleet, expect=expect, rollout=plan, fault=(), **changed)


def test_a_small_fleet_is_served_by_the_real_services() -> None:
    with stories.Stage(a_story(), 1) as stage:
        stage.play()

        assert stage.ending().wrong == ()
        assert isinstance(stage.server, Services)
        assert len(db.session.scalars(select(ReportRow.id)).all()) > 4 * 3
        assert set(db.session.scalars(select(BoxInWave.state))) == {BoxState.UPDATED}


def test_a_large_fleet_is_served_from_rows_unless_its_story_says_otherwise() -> None:
    large = a_story()
    large = replace(large, fleet=replace(large.fleet, count=51))

    assert a_story().has_services
    assert not large.has_services
    assert replace(large, server="services").has_services
    assert not a_story(server="rows").has_services


def test_what_the_judges_are_told_is_the_same_from_services_and_from_rows() -> None:
    endings = [stories.play(a_story(server=server)) for server in ("services", "rows")]

    assert [ending.wrong for ending in endings] == [(), ()]
    assert endings[0].states == endings[1].states
    lines = [[line[6:] for line in ending.lines if " opens " in line] for ending in endings]
    assert lines[0] == lines[1]


@pytest.mark.parametrize("kind", [Down.ASSIGN, Down.LEASE])
def test_a_box_obeys_nothing_that_a_stranger_has_signed(
    kind: Down, monkeypatch: pytest.MonkeyPatch
) -> None:
    stranger = envelope.KeySigner.of(Ed25519PrivateKey.generate())
    shape = messages.Assign if kind is Down.ASSIGN else messages.Lease
    seal, seal_many = messages.seal, bulk.seal_many

    def forged(message: Any, signers: Any) -> bytes:
        return seal(message, [stranger] if isinstance(message, shape) else signers)

    def batch_forged(found: Any, signers: Any) -> Any:
        return seal_many(found, [stranger] if shape is messages.Assign else signers)

    for sealing in (messages, bulk):
        monkeypatch.setattr(sealing, "seal", forged)
    monkeypatch.setattr(bulk, "seal_many", batch_forged)
    with stories.Stage(a_story(), 1) as stage:
        for box in stage.boxes.values():
            box.plug_in()
        stage.world.after(60_000, stage.server.start)
        stage.world.run(HOUR_MS, lambda: False)

        assert set(stage.server.states()) <= {BoxState.ASSIGNED, BoxState.LEASED}
        assert {box.running_version() for box in stage.boxes.values()} == {"4.1.0"}


def test_a_broker_from_a_backup_is_given_everything_anew() -> None:
    replay = Fault("replay", "broker", at=600)  # type: ignore[arg-type]
    found = a_story()
    ending = stories.play(replace(found, fault=(replay,)))

    assert ending.wrong == ()


@pytest.mark.parametrize("state", [WaveState.HELD, WaveState.SOAKING])
def test_rows_that_halt_while_held_or_soaking_are_not_judged_again(state: WaveState) -> None:
    with stories.Stage(a_story(server="rows"), 1) as stage:
        server = stage.server
        assert isinstance(server, SimServer)
        server.start()
        wave = server.waves[0]
        wave.state = state
        wave.held_for = "silence" if state is WaveState.HELD else None
        wave.soak_from = stage.world.now if state is WaveState.SOAKING else None
        for row in server.rows.by_id.values():
            server.rows.move(row, BoxState.FAILED, "health-check")
        stage.world.run(2 * HOUR_MS, server.is_over)

        assert (server.state, wave.state) == ("halted", "halted")
        assert server.reason.startswith("wave 1: 4 of 4 failed")


def test_answers_are_kept_while_a_story_is_played_and_no_longer() -> None:
    before = messages.open_message

    with remember.remembering():
        assert messages.open_message is not before
    assert messages.open_message is before


def test_a_refusal_is_never_remembered_as_an_answer() -> None:
    with remember.remembering(), pytest.raises(MalformedMessageError):
        messages.decode(messages.Waves, b"[]")


def test_ears_believe_bytes_alone() -> None:
    with stories.Stage(a_story(), 1) as stage:
        box = next(iter(stage.boxes.values()))
        box.plug_in()
        stage.world.run(120_000, lambda: False)
        assert box.agent is not None
        assert isinstance(box.agent._ears, SignedEars)

        topic = topics.down(box.device_id, Down.ASSIGN)
        stage.broker.publish("stranger", Message(topic, b'{"odd":1}', 9))
        stage.world.run(180_000, lambda: False)

        assert box.agent._ears._inbound.refused == {"malformed": 1}
