import json
import re
from pathlib import Path

import pytest
from oleada_lab import running
from oleada_lab.cli import main

SCENARIOS = Path(__file__).parents[3] / "lab" / "scenarios"
SMALL = SCENARIOS / "u2_bad_image_hangs.toml"


@pytest.fixture
def wrong(tmp_path: Path) -> Path:
    """A story that ends otherwise than it says, and that allows no connection at all."""
    text = SMALL.read_text().replace('rollout = "halted"', 'rollout = "finished"')
    path = tmp_path / "wrong.toml"
    path.write_text(text.replace("[expect]", "[expect]\npeak_connect_rate_max = 0"))
    return path


@pytest.mark.parametrize("server", ["services", "rows"])
def test_a_seed_is_the_same_run_under_two_hash_seeds(server: str, tmp_path: Path) -> None:
    path = tmp_path / "twice.toml"
    path.write_text(SMALL.read_text().replace("duration", f'server = "{server}"\nduration', 1))

    assert running.run_all([running.Wanted(path, 1)], 2, twice=True)[0]["wrong"] == []


def test_an_order_that_depends_on_the_hash_seed_is_caught() -> None:
    wanted = [running.Wanted(SMALL, 1, with_canary=True, server="rows")]

    found = running.run_all(wanted, 2, twice=True)[0]["wrong"]

    assert len(found) == 1
    assert "two runs of one seed differ" in found[0]


def test_two_seeds_are_two_runs() -> None:
    first, second = (running.run(running.Wanted(SMALL, seed, server="rows")) for seed in (1, 2))

    assert first["trace"] != second["trace"]
    assert first["scenario_hash"] == second["scenario_hash"]
    assert (first["wrong"], second["wrong"]) == ([], [])


def test_a_failed_run_says_all_that_is_needed_to_repeat_it(
    wrong: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", str(wrong), "--server", "rows", "--seed", "3..4"]) == 1

    said = capsys.readouterr().out
    assert "0 of 2 runs are well" in said
    assert "FAILED u2_bad_image_hangs: seed 3, commit " in said
    assert "the rollout is halted; finished was expected" in said
    assert re.search(r"first bad step: 01 \d\d:\d\d .*: L1: \d+ connections in one", said)
    assert '"silent_after": 21600' in said
    assert f"again: oleada-lab play {wrong} --seed 4 --trace trace.txt" in said


def test_the_numbers_of_runs_are_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(SMALL), "--server", "rows", "--json"]) == 0

    found = json.loads(capsys.readouterr().out)
    assert found["failed"] == 0
    assert found["runs"][0]["rollout"] == "halted"


def test_a_trace_can_be_read_line_by_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trace = tmp_path / "trace.txt"

    assert main(["play", str(SMALL), "--trace", str(trace)]) == 0

    lines = trace.read_text().splitlines()
    assert "story wave 1 opens" in "\n".join(lines)
    assert [int(line.split()[0]) for line in lines] == sorted(int(x.split()[0]) for x in lines)
    assert "ends as expected" in capsys.readouterr().out


def test_a_swarm_leaves_out_some_faults_and_the_first_seed_none() -> None:
    path = SCENARIOS / "v1_people_at_home.toml"
    runs = [running.run(running.Wanted(path, seed, server="rows")) for seed in (1, 2)]

    planted = [run["drawn"]["faults"] for run in runs]
    assert len(planted[1]) < len(planted[0]) == 8
    assert [run["wrong"] for run in runs] == [[], []]


def test_a_run_that_was_cut_short_goes_on_behind_what_went_well(tmp_path: Path) -> None:
    kept = tmp_path / "kept.jsonl"
    first = running.run_all([running.Wanted(SMALL, 1, server="rows")], 1, twice=False, kept=kept)
    with kept.open("a") as file:
        file.write('\n{"name": "cut sho')
    said: list[object] = []

    again = running.run_all(
        [running.Wanted(SMALL, seed, server="rows") for seed in (1, 2)],
        1, twice=False, kept=kept, said=said.append,
    )  # fmt: skip

    assert again[0] == first[0]
    assert [run["seed"] for run in again] == [1, 2]
    assert said == again
    assert kept.read_text().count('"run": ') == 2


def test_what_went_wrong_is_played_again(wrong: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept.jsonl"
    running.run_all([running.Wanted(wrong, 3, server="rows")], 1, twice=False, kept=kept)

    assert not kept.exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"# A page\n", "keeps nothing of this command"),
        (b'\n{"name": "a", "judged": {}}', "keeps no run"),
        (b"\xff\xfe", "can not be read"),
    ],
)
def test_a_file_that_keeps_no_runs_is_refused_and_left_as_it_is(
    content: bytes, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = tmp_path / "kept"
    kept.write_bytes(content)

    assert main(["run", str(SMALL), "--kept", str(kept)]) == 1

    assert f"oleada-lab: {kept} {said}" in capsys.readouterr().err
    assert kept.read_bytes() == content


@pytest.mark.parametrize("words", [["--level", "proc", "--twice"], ["--keep"]])
def test_an_option_of_the_other_level_is_refused(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", str(SMALL), *words]) == 1

    assert f"oleada-lab: {words[-1]} needs --level" in capsys.readouterr().err
