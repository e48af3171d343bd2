"""The power-cut sweep of each commit, and that it finds what it is there to find."""

import json

import pytest
from oleada_lab import cli
from oleada_lab.errors import LabError
from oleada_lab.sim.crash import Kept
from oleada_lab.sim.disk import SimDisk
from oleada_lab.sweep import patched, power, report
from oleada_lab.sweep.bugs import BUGS
from oleada_lab.sweep.finding import Finding, Kind
from oleada_lab.sweep.power import Double, Mode, Plan
from oleada_lab.sweep.story import STORIES

POINTS_MIN = {
    "enrolment": 100, "update": 250, "unhealthy": 80, "unbootable": 100, "denied": 25,
    "uncovered": 25, "again": 220, "renewal": 40, "renewal-again": 45,
}  # fmt: skip


@pytest.mark.parametrize("story", STORIES)
def test_no_power_cut_breaks_a_box_or_makes_it_lie(story: str) -> None:
    result = power.run_sweep(Plan(stories=(story,)))

    found = report.to_json(result)
    assert (found["bricks"], found["stuck"], found["lies"]) == (0, 0, 0), report.to_text(result)
    assert found["cut_points"] > POINTS_MIN[story]
    assert found["cuts"] >= found["cut_points"] * len(found["modes"])
    assert found["double_cuts"] > 200


@pytest.mark.parametrize(
    ("bug", "story", "kept"),
    [
        ("no-fsync-of-journal", "update", Kept.NAMES),
        ("no-fsync-of-names", "update", Kept.NONE),
        ("no-fsync-of-slot", "update", Kept.NONE),
        ("no-fsync-of-boot-control", "update", Kept.NONE),
        ("no-fsync-of-first-block", "update", Kept.NAMES),
        ("no-fsync-of-metadata", "update", Kept.NONE),
        ("no-fsync-of-outbox", "update", Kept.NONE),
        ("no-fsync-of-commands", "update", Kept.NONE),
        ("no-fsync-of-identity", "enrolment", Kept.NONE),
        ("no-fsync-of-identity", "renewal", Kept.NONE),
    ],
)
def test_a_sync_that_somebody_forgot_is_found_out(bug: str, story: str, kept: Kept) -> None:
    plan = Plan((story,), modes=(Mode(kept),), double=Double.NONE, bug=BUGS[bug], failures_max=1)

    [failure] = power.run_sweep(plan).failures

    cuts = [(cut.op.number, cut.kept, cut.draw) for cut in failure.cuts]
    assert failure.finding in power.replay(plan, STORIES[story], cuts)
    assert power.replay(Plan(), STORIES[story], cuts) == []


def test_the_sweep_is_the_same_for_the_same_seed() -> None:
    plan = Plan(stories=("enrolment",), seed=5, modes=(Mode(Kept.RANDOM, 1),))

    first, second = (report.to_json(power.run_sweep(plan)) for _ in range(2))

    assert {**first, "cpu_s": 0} == {**second, "cpu_s": 0}


def test_a_story_that_fails_by_itself_proves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def judge(*_: object) -> list[Finding]:
        return [Finding(Kind.STUCK, "it never rests")]

    monkeypatch.setattr(power, "judge", judge)

    with pytest.raises(LabError, match="fails without a cut"):
        power.run_sweep(Plan(stories=("enrolment",)))


def test_the_command_says_by_its_exit_what_it_found(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["sweep", "power", "--story", "enrolment", "--double", "none", "--json"]

    assert cli.main([*arguments, "--modes", "lose_all"]) == 0
    good = json.loads(capsys.readouterr().out)
    assert cli.main([*arguments, "--modes", "lose_all", "--mutant", "no-fsync-of-identity"]) == 1
    bad = json.loads(capsys.readouterr().out)

    assert {"cut_points", "modes", "double_cuts", "bricks", "stuck", "lies", "cpu_s"} <= set(good)
    assert {"commit", "seed", "machine", "command"} <= set(good)
    assert bad["bricks"] + bad["stuck"] + bad["lies"] > 0


def test_a_bug_that_is_a_patch_is_planted_in_a_copy() -> None:
    words = ["sweep", "power", "--story", "update", "--modes", "lose_all", "--double", "none"]

    assert patched.run("control-without-fsync", [*words, "--failures-max", "1"]) == 1


def test_a_patch_that_is_not_there_is_said() -> None:
    with pytest.raises(LabError, match="arm-before-verify"):
        patched.run("no-such-patch", [])


def test_a_failure_names_the_command_that_repeats_it(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["sweep", "power", "--story", "enrolment", "--double", "none"]
    bug = ["--modes", "lose_all", "--mutant", "no-fsync-of-identity"]
    cli.main([*arguments, *bug])
    [again, *_] = [line for line in capsys.readouterr().out.splitlines() if "again: " in line]
    words = again.partition("oleada-lab ")[2].split()

    assert cli.main(words) == 1
    assert cli.main(words[: words.index("--mutant")]) == 0


@pytest.mark.parametrize(
    "words",
    [
        ["--mutant", "no-such-bug"],
        ["--cut", "5:torn"],
        ["--story", "update", "--cut", "99999:torn"],
        ["--kind", "fuse"],
        ["--real", "--story", "update"],
    ],
)
def test_what_can_not_be_done_is_said(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["sweep", "power", *words]) == 1

    assert "oleada-lab: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--modes", "random:0"], "0 is not 1 to"),
        (["--failures-max", "0"], "0 is not 1 to"),
        (["--real", "--keep", "/nowhere/kept"], "there is no folder /nowhere to write into"),
        (["--real", "--keep", "/"], "/ is a folder; name a file"),
    ],
)
def test_a_sweep_of_nothing_is_refused(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        cli.main(["sweep", "power", *words])

    assert said in capsys.readouterr().err


def test_a_bug_leaves_other_paths_alone() -> None:
    disk = SimDisk()
    BUGS["no-fsync-of-journal"].plant(disk)

    for path in ("data/journal.0", "data/other"):
        disk.create(path)
        disk.pwrite(path, 0, b"x")
        disk.fsync(path)

    assert disk.after_cut(Kept.NAMES).read("data/other") == b"x"
    assert disk.after_cut(Kept.NAMES).read("data/journal.0") == b""
