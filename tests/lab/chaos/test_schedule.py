"""The kills of a seed: the same each time, fair to every victim, spread over a rollout's life."""

from collections import Counter
from dataclasses import replace

import pytest
from oleada_lab.chaos.schedule import (
    OF_A_BOX,
    Kill,
    Moment,
    Victim,
    by_rollout,
    draw,
    has_come,
    victims_of,
)
from oleada_lab.errors import LabError

EVERYBODY = victims_of("postgresql")
A_KILL = Kill(1, Victim.WORKER, Moment.TRIAL, 0.5, 100, 0, forgets=False, draw=0.1)


def test_one_seed_is_one_schedule() -> None:
    assert draw(7, 200, EVERYBODY) == draw(7, 200, EVERYBODY)
    assert draw(7, 200, EVERYBODY) != draw(8, 200, EVERYBODY)


def test_two_hundred_kills_meet_every_process_at_least_twenty_times() -> None:
    found = Counter(kill.victim for kill in draw(7, 200, EVERYBODY))

    assert set(found) == set(Victim)
    assert min(found.values()) >= 20
    assert max(found.values()) - min(found.values()) <= 1


def test_kills_fall_into_every_moment_and_no_box_dies_before_it_has_work() -> None:
    kills = draw(7, 200, EVERYBODY)

    assert {kill.moment for kill in kills} == set(Moment)
    assert all(kill.moment is not Moment.PLAN for kill in kills if kill.victim in OF_A_BOX)


def test_only_a_broker_forgets_and_not_each_time() -> None:
    kills = draw(7, 200, EVERYBODY)
    brokers = [kill.forgets for kill in kills if kill.victim is Victim.BROKER]

    assert {True, False} == set(brokers)
    assert not any(kill.forgets for kill in kills if kill.victim is not Victim.BROKER)


def test_sqlite_has_no_process_that_could_be_killed() -> None:
    assert Victim.POSTGRESQL not in victims_of("sqlite")
    assert victims_of("sqlite", ["broker", "web"]) == [Victim.WEB, Victim.BROKER]


@pytest.mark.parametrize("name", ["postgresql", "printer"])
def test_a_victim_that_is_not_there_is_refused_by_name(name: str) -> None:
    with pytest.raises(LabError, match=f"'{name}' can not be killed with sqlite"):
        victims_of("sqlite", [name])


def test_every_kill_meets_one_rollout() -> None:
    kills = draw(7, 17, EVERYBODY)

    groups = by_rollout(kills, 8)

    assert [len(group) for group in groups] == [8, 8, 1]
    assert [kill for group in groups for kill in group] == kills


@pytest.mark.parametrize(("boxes_there", "come"), [(0, False), (9, False), (10, True), (20, True)])
def test_a_moment_has_come_when_its_share_of_the_boxes_is_there(
    boxes_there: int, come: bool
) -> None:
    assert has_come(A_KILL, {Moment.TRIAL: boxes_there}, 20) is come


def test_a_moment_never_comes_before_the_first_box() -> None:
    first = replace(A_KILL, share=0.0)

    assert not has_come(first, {Moment.TRIAL: 0}, 20)
    assert has_come(first, {Moment.TRIAL: 1}, 20)
    assert has_come(replace(A_KILL, moment=Moment.PLAN, share=1.0), {}, 20)
