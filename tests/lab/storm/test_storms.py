"""Each storm in small, one after the other over one real server, broker and database."""

import json
from collections.abc import Iterator

import pytest
from oleada_lab import cli
from oleada_lab.herd import measure
from oleada_lab.storm import first_contacts, flood, reconnects, reports, wrong_tokens
from oleada_lab.storm.ground import Ground, ground

from tests.support.processes import own_ports, processes_of

pytestmark = pytest.mark.real
SEED = 7


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    """A server on SQLite, with a small burst so that a small flood is one."""
    home = tmp_path_factory.mktemp("storm")
    with ground(home, "sqlite", {**own_ports(), "box_messages_burst": 100}) as found:
        yield found
    assert processes_of(home) == []


def test_a_hundred_first_contacts_at_once_are_a_hundred_boxes(place: Ground) -> None:
    found = first_contacts.run(place, 100, SEED)

    assert found["wrong"] == {}
    assert (found["boxes"], found["certificates"], found["claims_used"]) == (100, 100, 100)
    assert found["same_answer_twice"] == found["asked_twice"] == 10


def test_wrong_tokens_are_slowed_and_every_honest_box_gets_in(place: Ground) -> None:
    found = wrong_tokens.run(place, 60, SEED)

    assert found["honest_enrolled"] == found["honest"]
    assert found["told_when_to_come_again"] == found["slowed_429"] > 0
    assert found["refused_403"] + found["slowed_429"] == 60


def test_three_hundred_reports_count_once_though_half_come_twice_and_shuffled(
    place: Ground,
) -> None:
    found = reports.run(place, 300, SEED)

    assert (found["reports_counted"], found["messages_acknowledged"]) == (300, 450)
    assert found["pairs_that_differ"] == 0
    assert found["met"]


def test_a_flood_is_bounded_and_what_matters_of_it_is_counted(place: Ground) -> None:
    found = flood.run(place, 600, SEED, before_s=1.0)

    assert found["bounded"]
    assert found["stored"] < 300
    assert found["results_counted"] == found["results_sent"]
    assert found["log_lines"] >= 1
    assert found["pauses_told"] >= 1
    assert found["others_waits_during"] > 0


def test_boxes_whose_line_was_cut_come_back_to_their_sessions(place: Ground) -> None:
    found = reconnects.run(place, 50, SEED)

    assert found["met"], json.dumps(found)
    assert (found["were_known"], found["hellos_counted"]) == (50, 100)


def test_a_storm_of_no_size_is_refused_with_the_reason(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        cli.main(["storm", "--flood", "-1"])

    assert "-1 is not 0 to 1000000" in capsys.readouterr().err


def test_the_broker_is_asked_how_many_boxes_it_lets_in_a_second(place: Ground) -> None:
    assert 1 <= measure.broker_per_s_of(place, 30) < 10_000
