"""The lab's own exam: a planted bug is found out, and one that proves nothing is refused."""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path

import psutil
import pytest
from oleada_lab.errors import MutantError
from oleada_lab.mutants import copies, exam, generated, oracles, patches
from oleada_lab.mutants.exam import Bug, Result
from oleada_lab.mutants.oracles import Oracle
from oleada_lab.mutation import survivors
from oleada_lab.operator import wait_until

ROOT = Path(__file__).parents[3]
PLANTED = patches.load(ROOT / "lab" / "mutants")
SEED = 7
STORY = """
schema = "lab.scenario/1"
name = "examined"
story = "A few boxes on a bad release; some lose power."
seed = 3
server = "rows"
duration = "1d"
[fleet]
count = 20
power_cut_share = 0.3
[release]
from = "4.1.0"
to = "4.2.0"
unhealthy_share = 0.5
[rollout]
waves = [0.7, 1.0]
gate = { max_fail_share = 0.1, min_observed = 2, window = "30m" }
[expect]
rollout = "halted"
waves_opened_max = 1
"""


@cache
def bugs() -> list[Bug]:
    """Return every bug that SEED gives; none is said to live."""
    return exam.bugs(ROOT, SEED, {})


@pytest.mark.parametrize("patch", PLANTED, ids=lambda patch: patch.name)
def test_a_bug_that_somebody_wrote_still_applies_to_the_code(patch: patches.Patch) -> None:
    patches.apply(patch, ROOT, only_check=True)

    assert all((ROOT / file).is_file() for file in patch.files)


def test_at_least_thirty_bugs_are_planted_and_ten_of_them_nobody_chose() -> None:
    every = bugs()

    assert len(every) >= 30
    assert len({bug.name for bug in every}) == len(every)
    assert len(every) - len(PLANTED) >= 10


def test_what_a_seed_draws_is_the_same_twice_and_of_every_source() -> None:
    first, other = (generated.draw(ROOT, seed) for seed in (SEED, SEED + 1))

    assert [one.name for one in first] == [bug.name for bug in bugs()[len(PLANTED) :]]
    assert {one.name for one in first} != {one.name for one in other}
    assert {one.mutant.file for one in first} == set(generated.SOURCES)
    assert all(one.mutant.operator in generated.OPERATORS for one in first)


def test_a_change_of_the_code_leaves_the_other_bugs_drawn(tmp_path: Path) -> None:
    for file in generated.SOURCES:
        path = tmp_path / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("def added() -> None:\n    pass\n\n\n" + (ROOT / file).read_text())

    drawn = {one.name for one in generated.draw(tmp_path, SEED)}

    assert drawn == {bug.name for bug in bugs()[len(PLANTED) :]}


def test_three_planted_bugs_are_noticed_by_a_story_the_clean_code_is_not_and_the_exam_goes_on(
    tmp_path: Path,
) -> None:
    story, kept = tmp_path / "examined.toml", tmp_path / "kept.jsonl"
    story.write_text(STORY)
    wanted = ["halt-ignored", "lease-skipped", "waves-all-at-once"]
    chosen = [bug for bug in bugs() if bug.name in wanted]
    asked = [Oracle(f"story {story}")]
    heard: list[Result] = []

    results = exam.judge(ROOT, chosen, asked, children=2, said=heard.append, keep=kept)

    assert [one.bug.name for one in results if one.by == f"story {story}"] == wanted
    assert len(heard) == 3
    assert exam.report(results)["wrong"] == []

    cut_short = kept.read_text().replace('"said": "', '"said": "kept: ') + '\n{"name": "7'
    kept.write_text(cut_short)
    cut_anew = replace(chosen[2], plant=with_a_comment(chosen[2]))
    again = exam.judge(
        ROOT, [*chosen[:2], cut_anew], asked, children=1, said=heard.append, keep=kept
    )

    said = [one.said for one in results]
    assert [one.said for one in again] == [f"kept: {said[0]}", f"kept: {said[1]}", said[2]]
    assert kept.read_text().startswith(f"{cut_short}\n")


def with_a_comment(bug: Bug) -> Callable[[Path], None]:
    """Return what plants *bug* as other bytes."""

    def plant(folder: Path) -> None:
        bug.plant(folder)
        with (folder / bug.files[0]).open("a") as file:
            file.write("# cut anew\n")

    return plant


def test_a_leader_that_nobody_checks_is_noticed_by_two_schedulers() -> None:
    chosen = [bug for bug in bugs() if bug.name == "epoch-not-checked"]
    asked = [Oracle(oracles.SCHEDULERS)]

    [result] = exam.judge(ROOT, chosen, asked, children=1, said=lambda _: None)

    assert result.by == oracles.SCHEDULERS
    assert re.match("tick [a-z ]+: a leader that slept", result.said)


def a_module(folder: Path, text: str) -> str:
    """Write a module that is run in place of the oracles; return its name."""
    for name in copies.PACKAGES:
        (folder / name).mkdir()
    (folder / "agent" / "stand_in.py").write_text(text)
    return "stand_in"


def test_a_bug_that_keeps_the_code_from_running_proves_nothing(tmp_path: Path) -> None:
    module = a_module(tmp_path, "import oleada_wire.there_is_no_such_module\n")

    with pytest.raises(MutantError, match="keeps the code from running"):
        oracles.ask(["story a"], tmp_path, 60, module)


def test_what_crashes_is_noticed_by_who_was_asked(tmp_path: Path) -> None:
    lines = ['["took", "story a", 0.5]', '["asked", "story b", ""]']
    text = "".join(f"print({line!r})\n" for line in lines) + 'assert False, "no"\n'

    found = oracles.ask(["story a", "story b"], tmp_path, 60, a_module(tmp_path, text))

    assert (found.by, found.said) == ("story b", "AssertionError: no")
    assert found.took_s == {"story a": 0.5}


def test_what_hangs_is_noticed(tmp_path: Path) -> None:
    asked = '["asked", "story a", ""]'
    text = f"print({asked!r}, flush=True)\nwhile True: pass\n"

    found = oracles.ask(["story a"], tmp_path, 1, a_module(tmp_path, text))

    assert (found.by, found.said) == ("story a", "it does not come to an end")


def test_a_sweep_is_shown_bugs_of_the_box_and_a_story_every_bug() -> None:
    of_box, of_server = ("agent/oleada_agent/slots.py",), ("server/oleada_server/rollouts/plan.py",)
    known = oracles.known(ROOT)

    assert {one.name.split()[0] for one in known if one.runs_any(of_box)} == {
        "sweep",
        "resume",
        "story",
    }
    assert {one.name.split()[0] for one in known if one.runs_any(of_server)} == {
        "schedulers",
        "story",
    }


@pytest.mark.parametrize(
    "text", ["", "--- a/f.py\n+++ b/f.py\n", "\n\n--- a/f.py\n", "words only\n"]
)
def test_a_patch_says_what_is_wrong_and_changes_something(tmp_path: Path, text: str) -> None:
    (tmp_path / "bug.patch").write_text(text)

    with pytest.raises(MutantError, match=r"bug\.patch is no mutant"):
        patches.load(tmp_path)


def test_a_patch_that_does_not_apply_any_more_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "f.py").write_text("a = 2\n")
    patch = patches.Patch(
        "old", "wrong", ("f.py",), "--- a/f.py\n+++ b/f.py\n@@ -1 +1 @@\n-a = 1\n+a = 3\n"
    )

    with pytest.raises(MutantError, match="Mutant old does not apply any more"):
        patches.apply(patch, tmp_path)
    assert (tmp_path / "f.py").read_text() == "a = 2\n"


def a_result(name: str, by: str | None, lives: str = "") -> Result:
    return Result(Bug(name, "it is wrong", ("f.py",), lives, lambda folder: None), by, "said", 1.0)


KILLED = [a_result(f"bug-{number}", "stories") for number in range(20)]


@pytest.mark.parametrize(
    ("results", "wrong"),
    [
        (KILLED, []),
        ([*KILLED, a_result("a", None, "nobody can see it")], []),
        ([*KILLED, a_result("a", None)], ["a lives, and nobody said why"]),
        ([*KILLED, a_result("a", "sweep", "why")], ["a is said to live, but sweep notices it"]),
        (
            [*KILLED, a_result("a", None, "why"), a_result("b", None, "why")],
            ["90.9% are killed, fewer than 95%"],
        ),
    ],
)
def test_the_exam_is_passed_when_nearly_all_are_killed_and_the_rest_explained(
    results: list[Result], wrong: list[str]
) -> None:
    found = exam.report(results)

    assert found["wrong"] == wrong
    assert found["mutants"] == found["killed"] + len(found["survivors"])


def test_why_a_drawn_bug_may_live_is_read_from_its_explanation() -> None:
    [one, *_] = generated.draw(ROOT, SEED)
    explained: Mapping[survivors.Name, str] = {one.mutant.name: "nobody can see it"}

    [bug] = [bug for bug in exam.bugs(ROOT, SEED, explained) if bug.name == one.name]

    assert bug.lives == "nobody can see it"
    assert replace(bug, lives="") != bug


def test_an_exam_that_is_killed_leaves_nobody_behind(tmp_path: Path) -> None:
    (tmp_path / "lives.py").write_text(
        'import os, signal\nprint(f\'["asked", "{os.getpid()}", ""]\', flush=True)\n'
        "signal.pause()\n"
    )
    ask = (
        "from pathlib import Path; from oleada_lab.mutants import oracles; "
        f"oracles.ask([], Path({str(tmp_path)!r}), 60, 'lives')"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([*sys.path, str(tmp_path)])}
    with subprocess.Popen([sys.executable, "-c", ask], env=environment) as asker:
        wait_until(lambda: bool(asked_by(asker.pid)), 60, "the exam asks")
        left = asked_by(asker.pid)
        asker.kill()

    gone, alive = psutil.wait_procs(left, timeout=60)
    assert (len(gone), alive) == (1, [])


def asked_by(pid: int) -> list[psutil.Process]:
    """Return the process that answers the exam of process *pid*, once it has begun."""
    found = psutil.Process(pid).children(recursive=True)
    return [one for one in found if one.cmdline()[:3] == [sys.executable, "-m", "lives"]]
