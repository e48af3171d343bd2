"""Faults around real boxes: the set is large and honest, and a real desk names two of them."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from oleada_lab.clinic import days, judging, running
from oleada_lab.clinic.bed import healthy
from oleada_lab.clinic.cases import JUDGES_FROM, TEACHES_FROM, case, cases, well
from oleada_lab.clinic.faults import FAULTS
from oleada_lab.clinic.round import Ended
from oleada_lab.real.tools import missing
from oleada_server.diagnosis import reading

from tests.support.not_run import MARK

RADIO = "Device.WiFi.EndPoint.1.Stats."
LIBRARY = reading.library()


def ended(fault: str, *named: str, seed: int = 1) -> Ended:
    """Return how the case of *fault* ended with the causes *named*."""
    return Ended(case(seed, fault), (), named, {}, 0, 2.0, {})


def test_the_set_has_more_than_forty_faults_of_half_as_many_causes() -> None:
    assert len(FAULTS) >= 40
    assert len({cause for fault in FAULTS.values() for cause in fault.causes}) >= 25


@pytest.mark.parametrize("name", sorted(FAULTS))
def test_whatever_a_caller_names_the_playbook_can_find_the_label(name: str) -> None:
    for symptom in FAULTS[name].symptoms:
        assert set(FAULTS[name].causes) <= set(LIBRARY.playbooks[symptom].priors)


def test_every_fault_has_its_turn_with_seeds_of_one_half() -> None:
    taught, judged = cases(96, TEACHES_FROM), cases(96, JUDGES_FROM)

    assert {one.faults[0] for one in judged} == set(FAULTS)
    assert {one.seed % 2 for one in taught} == {0}
    assert {one.seed % 2 for one in judged} == {1}
    assert 10 <= sum(len(one.faults) == 2 for one in judged) <= 40


def test_a_home_is_the_same_whenever_its_seed_is_played() -> None:
    for one in cases(48, JUDGES_FROM):
        assert one.bed() == one.bed()
    assert well(7).bed() != well(9).bed()


def test_faults_that_can_not_be_told_apart_never_share_a_home() -> None:
    for one in cases(2_000, JUDGES_FROM):
        parts = Counter(FAULTS[name].part for name in one.faults)
        causes = Counter(cause for name in one.faults for cause in FAULTS[name].causes)
        assert max(parts.values()) == max(causes.values()) == 1


def test_precision_and_recall_are_counted_over_causes() -> None:
    found = judging.figures(
        [
            ended("sound-muted", "muted"),
            ended("sound-muted", "passthrough"),
            ended("television-off", "tv-not-connected", "hdmi-cable"),
            ended("television-off"),
        ]
    )

    assert found["checked"]["precision"] == 0.5
    assert found["checked"]["recall"] == 0.5
    assert found["confusion"] == {
        "muted": {"muted": 1, "passthrough": 1},
        "nothing": {"hdmi-cable": 1},
        "tv-not-connected": {"nothing": 1, "tv-not-connected": 1},
    }
    assert len(found["wrong"]) == 3


def test_the_agent_s_own_senses_give_no_alarm_on_a_healthy_day(tmp_path: Path) -> None:
    found = days.live(tmp_path, [JUDGES_FROM])

    assert found["incidents"] == 0
    assert found["readings"] > 24 * 40


def test_a_sick_hour_is_an_alarm_though_nobody_complains(tmp_path: Path) -> None:
    seed = next(seed for seed in range(1, 99) if healthy(Random(f"day {seed}")).facts.on_wifi)
    samples = days.day(tmp_path / "day", seed)
    air = {f"{RADIO}SignalStrength": -86, f"{RADIO}Retransmissions": 60}
    sick = [replace(one, parameters={**one.parameters, **air}) for one in samples[20:22]]

    assert days.likely(samples[20:22]) == []
    assert days.likely(sick) == ["wifi-weak"]


@pytest.mark.real
@pytest.mark.timeout(600)
def test_a_real_desk_names_the_fault_of_a_real_box_and_nothing_at_one_that_is_well(
    tmp_path: Path,
) -> None:
    if why := missing(*running.TOOLS):
        pytest.skip(f"{MARK}{why}")
    sick = case(1, "cable-at-half-duplex")

    found, healthy = running.run(tmp_path, [sick, well(3)], 2, lambda line: None)

    assert set(found.named) == sick.causes, judging.figures([found])["wrong"]
    assert {"self_test", "ip_ping", "media_status"} <= set(found.statuses)
    assert healthy.named == ()
