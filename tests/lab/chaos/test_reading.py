"""What a box has done is read from what it has said and stored, and from nothing else."""

from dataclasses import replace

import pytest
from oleada_agent.machine_states import (
    Armed,
    Assigned,
    Committed,
    Downloading,
    Idle,
    Rebooting,
    ReportDraft,
    Reported,
    Stage,
    State,
    Trial,
    Work,
    Written,
)
from oleada_lab.chaos.progress import moment_of
from oleada_lab.chaos.reading import installs_in
from oleada_lab.chaos.schedule import Moment
from oleada_wire.messages import Assignment
from oleada_wire.words import Phase

from tests.agent.core.events import ASSIGNMENT

NEW = replace(ASSIGNMENT, version="1.1.0")
BEFORE = ReportDraft("AS-1", 1, 7, Phase.UPDATED, "1.0.0", "A")
VERDICT = ReportDraft("AS-2", 1, 7, Phase.UPDATED, "1.1.0", "B")


def lines(*booted: str) -> str:
    """Return a console on which *booted* versions have started one after the other."""
    return "".join(
        f"oleada-boot: slot A: {version}, boot {number:08d}-0badc0de, update\n"
        for number, version in enumerate(booted, start=1)
    )


@pytest.mark.parametrize(
    ("booted", "installs"),
    [
        (("1.0.0",), 0),
        (("1.0.0", "1.1.0"), 1),
        (("1.0.0", "1.1.0", "1.1.0", "1.1.0"), 1),
        (("1.0.0", "1.1.0", "1.0.0"), 1),
        (("1.0.0", "1.1.0", "1.0.0", "1.1.0"), 2),
        (("1.1.0",), 1),
    ],
)
def test_an_install_is_a_change_to_the_version_and_a_restart_is_none(
    booted: tuple[str, ...], installs: int
) -> None:
    console = "a line of something else: slot B: 1.1.0\n" + lines(*booted)

    assert installs_in(console, "1.1.0") == installs


def stage_of(kind: type, assignment: Assignment) -> Stage:
    """Return the stage *kind* with work on *assignment*."""
    work = Work(assignment, "B")
    made: Stage = Rebooting(work, "1-0badc0de") if kind is Rebooting else kind(work)
    return made


@pytest.mark.parametrize(
    ("kind", "moment"),
    [
        (Assigned, Moment.ASSIGN),
        (Downloading, Moment.DOWNLOAD),
        (Written, Moment.INSTALL),
        (Armed, Moment.INSTALL),
        (Rebooting, Moment.REBOOT),
        (Trial, Moment.TRIAL),
    ],
)
def test_a_box_at_work_is_at_a_moment_of_its_own_rollout_only(kind: type, moment: Moment) -> None:
    now = State(stage=stage_of(kind, NEW), last=BEFORE)
    then = State(stage=stage_of(kind, replace(NEW, version="1.0.9")), last=BEFORE)

    assert moment_of(now, "1.1.0", BEFORE) is moment
    assert moment_of(then, "1.1.0", BEFORE) is None


def test_a_verdict_is_of_this_rollout_when_it_is_not_the_one_before() -> None:
    told = State(stage=Committed(VERDICT), last=VERDICT)
    counted = State(stage=Reported(), last=VERDICT)
    idle = State(stage=Idle(), last=BEFORE)

    assert moment_of(told, "1.1.0", BEFORE) is Moment.COMMIT
    assert moment_of(counted, "1.1.0", BEFORE) is Moment.REPORT
    assert moment_of(idle, "1.1.0", BEFORE) is None
