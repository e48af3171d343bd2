import json
from dataclasses import replace

import pytest
from oleada_agent.reconnect import CONNECT_SPREAD_S
from oleada_lab.cli import main
from oleada_lab.herd.play import Herd, play

STREET = Herd(devices=2_000, broker_per_s=180, spread_s=CONNECT_SPREAD_S)
"""A fifth of ten thousand boxes, and of the rate that a small server's broker takes."""


def test_a_fleet_is_back_within_five_minutes_and_nobody_is_turned_away() -> None:
    found = play(STREET)

    assert found["wrong"] == []
    assert found["back"] == 2_000
    assert found["refused"] == 0
    assert found["all_back_s"] <= 300


def test_without_a_pause_before_the_first_connection_boxes_are_turned_away() -> None:
    found = play(replace(STREET, spread_s=5))

    assert not found["met"]
    assert found["refused"] > 0


def test_boxes_that_were_turned_away_come_in_later() -> None:
    found = play(replace(STREET, spread_s=0, return_ms=1_000))

    assert found["refused"] > 1_000
    assert found["back"] == 2_000


def test_the_same_seed_is_the_same_blackout() -> None:
    small = replace(STREET, devices=50)

    assert play(small)["trace"] == play(small)["trace"]
    assert play(small)["trace"] != play(replace(small, seed=2))["trace"]


def test_the_command_says_by_its_exit_whether_the_broker_takes_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    few = ["herd", "--devices", "200", "--broker-rate", "40", "--json"]

    assert main(few) == 0
    assert json.loads(capsys.readouterr().out)["peak_per_s"] <= 32
    assert main([*few, "--spread-s", "0", "--return-s", "1"]) == 1
    assert json.loads(capsys.readouterr().out)["refused"] > 0
