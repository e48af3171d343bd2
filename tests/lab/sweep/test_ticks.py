"""A server that is killed at a commit and starts again: what it leaves, and what is found out."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from oleada_lab.errors import LabError
from oleada_lab.scenario import Expect, Scenario, load
from oleada_lab.scenario_read import Duration
from oleada_lab.sim import killing, services_app
from oleada_lab.sim.crash import Kept
from oleada_lab.sweep import ticks
from oleada_server.db import db
from oleada_server.messaging.service import next_number

SCENARIOS = Path(__file__).parents[3] / "lab" / "scenarios"
VERSIONS = {"240C2600001": "4.1.0"}
BOTH = (Kept.NONE, Kept.ALL)


def a_small_story() -> Scenario:
    """Return the story of the killed server with three boxes and a release that is good."""
    found = load(SCENARIOS / "evidence_server_killed.toml")
    evidence = found.rollout.evidence
    assert evidence is not None
    plan = replace(found.rollout, waves=(1.0,), evidence=replace(evidence, bad_share_max=0.7))
    return replace(
        found,
        fleet=replace(found.fleet, count=3),
        release=replace(found.release, behaviour="good"),
        rollout=plan,
        expect=Expect(rollout="finished", boxes_updated_min=3),
    )


@pytest.fixture
def said() -> Iterator[list[str]]:
    """Be in the app of a server; hold what a killer says."""
    with services_app.app("VX-410", VERSIONS):
        yield []


def killed(deed: Callable[[], None], said: list[str], once: bool = False) -> killing.Killer:
    """Kill *deed* at each of its commits, in both ways."""
    database = services_app._database()
    killer = killing.Killer(database, {"tick"}, BOTH, once=once, tell=said.append)
    killer.play("tick", deed)
    return killer


def counted() -> int:
    """Return what the counter ``step`` stands at."""
    found = db.session.execute(db.text("SELECT value FROM counter WHERE name = 'step'")).scalar()
    db.session.rollback()
    return found or 0


def test_a_story_whose_server_is_killed_everywhere_ends_as_if_it_never_was() -> None:
    found = ticks.run_killed(a_small_story(), 3, batches=False, once=True)

    assert found.wrong == ()
    assert found.started == 3
    assert found.tally.deeds["tick"] > 3
    assert found.tally.kills > found.tally.commits


def test_a_deed_that_sees_in_its_rows_what_is_done_may_be_killed_anywhere(said: list[str]) -> None:
    def two_steps() -> None:
        for step in (1, 2):
            if counted() < step:
                next_number("step")
                db.session.commit()

    killer = killed(two_steps, said)

    assert said == []
    assert (killer.tally.commits, killer.tally.kills) == (2, 3), "lost at 2 is kept at 1"
    assert counted() == 2


def test_what_is_done_twice_after_a_kill_is_found_out(said: list[str]) -> None:
    def counts_in_two_transactions() -> None:
        if counted() < 2:
            next_number("step")
            db.session.commit()
            next_number("step")
            db.session.commit()

    killed(counts_in_two_transactions, said)

    assert len(said) == 1
    assert "commit 1 of 2 of a tick, its transaction kept, and starts again" in said[0]
    assert "counter lacks 1 rows [\"('step', 2)\"] and has 1 others [\"('step', 3)\"]" in said[0]


def test_what_is_lost_after_a_kill_is_found_out(said: list[str]) -> None:
    def forgets() -> None:
        if not counted():
            next_number("step")
            db.session.commit()
            next_number("owed")
            db.session.commit()

    killed(forgets, said)

    assert any("counter lacks 1 rows [\"('owed', 1)\"]" in one for one in said)


def test_of_deeds_that_change_the_same_tables_one_is_enough(said: list[str]) -> None:
    def count() -> None:
        next_number("step")
        db.session.commit()

    killer = killed(count, said, once=True)
    stood = counted()
    killer.play("tick", count)

    assert killer.tally.deeds["tick"] == 1
    assert counted() == stood + 1, "the second is done, and not killed"


def test_a_story_without_a_commit_proves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    story = a_small_story()
    soon = replace(
        story, duration=Duration(60), settle=Duration(60), expect=replace(story.expect, rollout="")
    )
    monkeypatch.setattr("oleada_lab.stories.REST_MS", 0)

    with pytest.raises(LabError, match="no kill proves a thing"):
        ticks.run_killed(soon, 3, batches=False)
