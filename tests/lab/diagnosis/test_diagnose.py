"""The playbooks name faults of homes that they never saw, and keep quiet about healthy ones."""

import json

import pytest
from oleada_lab.cli import main
from oleada_lab.cli_diagnose import fitted
from oleada_lab.diagnosis import measure
from oleada_lab.diagnosis.home_faults import FAULTS
from oleada_server.diagnosis import reading

LIBRARY = reading.library()


def test_every_cause_of_every_playbook_can_be_made_to_happen() -> None:
    assert set(FAULTS) == set(LIBRARY.causes)


def test_faults_are_named_with_few_mistakes_on_seeds_that_taught_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["diagnose", "--json", "--cases", "174", "--box-days", "60"]) == 0

    found = json.loads(capsys.readouterr().out)
    assert found["faults"]["with_two_faults"] > 30
    assert found["faults"]["checked"]["precision"] >= 0.9
    assert found["faults"]["checked"]["recall"] >= 0.87
    assert found["healthy"]["incidents"] == 0


def test_checks_find_what_telemetry_alone_does_not() -> None:
    judged = measure.judge_cases(LIBRARY, range(9_001, 9_161, 2))

    assert judged["checked"]["recall"] > judged["at_once"]["recall"]


def test_only_even_seeds_teach() -> None:
    with pytest.raises(AssertionError, match="odd seeds judge"):
        measure.fit(LIBRARY, [2, 4, 5], [])


def test_what_is_measured_is_a_library_that_reads() -> None:
    files = {path.name: path.read_text("utf-8") for path in reading.HOME.glob("*.toml")}

    found = reading.read({**files, reading.LIKELIHOODS: fitted(cases=620, homes=60)})

    assert found.causes["muted"].makes["muted"] > 0.5
    assert "rtp-loss" not in found.causes["muted"].makes


def test_a_case_is_the_same_whenever_its_seed_is_played() -> None:
    assert measure.case(LIBRARY, 77) == measure.case(LIBRARY, 77)
    assert measure.case(LIBRARY, 77) != measure.case(LIBRARY, 79)
