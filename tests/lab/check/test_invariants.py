"""Each invariant is broken on purpose, and says so; a run that is well breaks none."""

import pytest
from oleada_lab.check.facts import (
    Booted,
    BoxMade,
    Bricked,
    ClockSet,
    Commanded,
    Connected,
    Counted,
    Disconnected,
    Fact,
    HealthCounted,
    HealthKept,
    HealthLost,
    HealthMade,
    InstallBegan,
    KilledServer,
    LeaseGiven,
    RolloutMoved,
    SentBack,
    ServiceUp,
    Settled,
    Shown,
    SlotArmed,
    SlotErased,
    SlotProven,
    Spoke,
    Unplugged,
    Used,
    Verdict,
    WaveOpened,
    WayBack,
)
from oleada_lab.check.safety import Terms
from oleada_lab.check.watch import NAMES, Watch, chosen
from oleada_lab.errors import LabError

OLD, NEW, EVIL = "aa" * 32, "bb" * 32, "ee" * 32
TERMS = Terms(
    signed={OLD: "1.0.0", NEW: "1.1.0"},
    flash_bytes_per_day_max=1_000,
    secrets=(b"HomeWifi-7",),
    connects_per_s_max=5,
    proof_boxes_min=1,
    leaving="1.1.0",
)
A_GOOD_RUN: list[Fact] = [
    BoxMade("b1", "1.0.0"),
    Booted("b1", "A", "1.0.0", OLD, is_proven=True),
    Connected("b1"),
    ClockSet("b1", 3_600_000),
    HealthMade("b1"),
    HealthMade("b1"),
    HealthMade("b1"),
    HealthCounted("b1"),
    WaveOpened(1, 1),
    Commanded("b1", 1, 1),
    LeaseGiven("b1", 0, 1),
    Counted("b1", 1, None, "open"),
    SlotErased("b1", "B", "A", is_running_proven=True),
    InstallBegan("b1", "AS-1", 1),
    InstallBegan("b1", "AS-1", 1),
    SlotArmed("b1", "B", NEW),
    Disconnected("b1"),
    Booted("b1", "B", "1.1.0", NEW, is_proven=False),
    Connected("b1"),
    Spoke("b1", "log", b"all is well"),
    Spoke("b1", "report", b'{"phase":"updated"}'),
    SlotProven("b1", "B", "1.1.0"),
    Verdict("b1", "AS-1", 1, "updated", "", "1.1.0"),
    Shown("b1", "updated", "1.1.0"),
    Counted("b1", 1, "open", "silent"),
    Counted("b1", 1, "silent", "good"),
    RolloutMoved("finished"),
    HealthLost("b1", 1),
    HealthKept("b1", 1),
    Used("b1", spool_messages=10, flash_bytes_per_day=1_000),
]
SENT_BACK: list[Fact] = [RolloutMoved("stopped"), SentBack("b1", "1.0.0", 2)]
THE_END = Settled({"b1": "1.1.0"}, {"b1": ("updated", "")}, connects_per_s=5)


def broken(*run: Fact, names: tuple[str, ...] = NAMES) -> list[tuple[str, str]]:
    """Return what *run* breaks, each with its sentence."""
    watch = Watch(TERMS, names)
    for at_ms, fact in enumerate(run):
        watch.see(at_ms, fact)
    return [(one.invariant, one.what) for one in watch.broken]


def test_a_run_that_is_well_breaks_nothing() -> None:
    assert broken(*A_GOOD_RUN, THE_END) == []


@pytest.mark.parametrize(
    ("invariant", "said", "run"),
    [
        ("S1", "boots nothing: no slot", [Bricked("b1", "no slot")]),
        ("S1", "nobody has signed", [Booted("b1", "A", "6.6.6", EVIL, is_proven=True)]),
        ("S1", "would boot nothing", [Settled({"b1": None}, {})]),
        ("S2", "whose bytes nobody has signed", [SlotArmed("b1", "B", EVIL)]),
        ("S3", "which runs", [SlotErased("b1", "A", "A", is_running_proven=True)]),
        ("S3", "its fallback", [SlotErased("b1", "A", "B", is_running_proven=False)]),
        ("S4", "goes back from 1.1.0", [BoxMade("b1", "1.1.0"), SlotProven("b1", "B", "1.0.0")]),
        (
            "S4",
            "goes back from 1.1.0 to 0.9.0",
            [BoxMade("b1", "1.1.0"), SentBack("b1", "1.0.0", 2), SlotProven("b1", "B", "0.9.0")],
        ),
        ("S5", "never ran it", [BoxMade("b1", "1.0.0"), Shown("b1", "checking", "1.1.0")]),
        (
            "S5",
            "has not kept",
            [
                BoxMade("b1", "1.0.0"),
                Booted("b1", "B", "1.1.0", NEW, is_proven=False),
                Shown("b1", "updated", "1.1.0"),
            ],
        ),
        ("S5", "box that there is not", [Shown("ghost", "queued")]),
        ("S5", "box that there is not", [Settled({}, {"ghost": ("queued", "")})]),
        (
            "S5",
            "but it has not kept",
            [BoxMade("b1", "1.0.0"), Settled({"b1": "1.1.0"}, {"b1": ("updated", "")})],
        ),
        ("S5", "but it runs None", [Settled({"b1": None}, {"b1": ("updated", "")})]),
        ("S6", "never opened", [Commanded("b1", 1, 1)]),
        (
            "S6",
            "2 boxes are commanded",
            [WaveOpened(1, 1), Commanded("b1", 1, 1), Commanded("b2", 1, 1)],
        ),
        ("S6", "is halted", [WaveOpened(1, 9), RolloutMoved("halted"), Commanded("b1", 1, 1)]),
        ("S6", "is stopped", [RolloutMoved("stopped"), LeaseGiven("b1", 0, 9)]),
        ("S6", "beside 9 others", [LeaseGiven("b1", 9, 9)]),
        ("S6", "without a lease", [LeaseGiven("b2", 0, 9), InstallBegan("b1", "AS-1", 1)]),
        (
            "S6",
            "without a lease",
            [
                LeaseGiven("b1", 0, 9),
                Verdict("b1", "AS-1", 1, "failed", "download", "1.0.0"),
                InstallBegan("b1", "AS-1", 2),
            ],
        ),
        (
            "S7",
            "again after its end",
            [Verdict("b1", "AS-1", 1, "failed", "storage", "1.0.0"), InstallBegan("b1", "AS-1", 1)],
        ),
        ("S7", "after attempt 2", [InstallBegan("b1", "AS-1", 2), InstallBegan("b1", "AS-1", 1)]),
        ("S8", "kept 900 messages", [Used("b1", 900, 0)]),
        ("S8", "wrote 1001 bytes", [Used("b1", 0, 1_001)]),
        ("S9", "in a log", [Spoke("b1", "log", b"joined HomeWifi-7")]),
        ("S10", "more health of b1", [HealthMade("b1"), HealthCounted("b1"), HealthCounted("b1")]),
        ("S10", "0 are accounted for", [HealthMade("b1"), Settled({}, {})]),
        ("L1", "are not connected", [Settled({"b1": "1.0.0"}, {})]),
        ("L1", "6 connections in one second", [Settled({}, {}, connects_per_s=6)]),
        (
            "L1",
            "are not connected",
            [Connected("b1"), Disconnected("b1"), Settled({"b1": "1.0.0"}, {})],
        ),
        (
            "L2",
            "is silent at the end",
            [Commanded("b1", 1, 1), Settled({"b1": "1"}, {"b1": ("silent", "")})],
        ),
        (
            "L2",
            "nobody says why",
            [Commanded("b1", 1, 1), Settled({"b1": "1"}, {"b1": ("failed", "")})],
        ),
        (
            "L2",
            "is queued at the end",
            [Commanded("b1", 1, 1), Settled({"b1": "1"}, {"b1": ("queued", "")})],
        ),
        ("L2", "is unknown at the end", [Commanded("b1", 1, 1), Settled({"b1": "1"}, {})]),
        (
            "L3",
            "5 times",
            [Booted("b1", "B", "1.1.0", NEW, is_proven=False, after_watchdog=True)] * 5,
        ),
        (
            "S11",
            "stands for open, and is counted from None to open",
            [Counted("b1", 1, None, "open"), Counted("b1", 1, None, "open")],
        ),
        (
            "S11",
            "has not kept the release",
            [
                BoxMade("b1", "1.0.0"),
                Counted("b1", 1, None, "open"),
                Counted("b1", 1, "open", "good"),
            ],
        ),
        (
            "S11",
            "has not said that it is",
            [
                BoxMade("b1", "1.0.0"),
                SlotProven("b1", "B", "1.1.0"),
                Spoke("b1", "report", b'{"phase":"checking"}'),
                Counted("b1", 1, None, "open"),
                Counted("b1", 1, "open", "good"),
            ],
        ),
        ("S12", "wave 2 opens on 0 boxes that proved good, of 1", [WaveOpened(2, 1)]),
        (
            "S12",
            "the rollout finishes on 0 boxes",
            [
                Counted("b1", 1, None, "open"),
                Counted("b1", 1, "open", "good"),
                Counted("b1", 1, "good", "bad"),
                RolloutMoved("finished"),
            ],
        ),
        ("S13", "box_outcome lacks 1 rows", [KilledServer("box_outcome lacks 1 rows")]),
        ("L4", "has not moved", [ServiceUp("broker"), Settled({}, {})]),
        ("L5", "is not connected", [ClockSet("b1", 9), Settled({}, {})]),
        (
            "L5",
            "has refused: expired",
            [
                ClockSet("b1", 9),
                Connected("b1"),
                Verdict("b1", "AS-1", 1, "declined", "expired", "1.0.0"),
                Settled({}, {}),
            ],
        ),
        (
            "L6",
            "nobody sends it back",
            [RolloutMoved("stopped"), Settled({"b1": "1.1.0"}, {"b1": ("updated", "")})],
        ),
        (
            "L6",
            "nobody sends it back",
            [
                RolloutMoved("halted"),
                WayBack("", 0, "no box runs the release"),
                Settled({"b1": "1.1.0"}, {"b1": ("updated", "")}),
            ],
        ),
        (
            "L6",
            "2 boxes were to go back, and 1 were sent",
            [*SENT_BACK, WayBack("1.0.0", 2, rollout=2), Settled({}, {})],
        ),
        (
            "L6",
            "shown to be back on 1.0.0, and runs 1.1.0",
            [*SENT_BACK, Settled({"b1": "1.1.0"}, {"b1": ("updated", "")})],
        ),
    ],
)
def test_an_invariant_says_what_breaks_it(invariant: str, said: str, run: list[Fact]) -> None:
    found = broken(*run, names=(invariant,))

    assert len(found) == 1
    assert found[0][0] == invariant
    assert said in found[0][1]


@pytest.mark.parametrize(
    ("invariant", "run"),
    [
        (
            "S4",
            [
                BoxMade("b1", "1.0.0"),
                SlotProven("b1", "B", "1.1.0"),
                SlotProven("b1", "A", "1.1.0"),
            ],
        ),
        (
            "S4",
            [BoxMade("b1", "1.1.0"), SentBack("b1", "1.0.0", 2), SlotProven("b1", "B", "1.0.0")],
        ),
        ("S5", [BoxMade("b1", "1.0.0"), Shown("b1", "assigned")]),
        (
            "S6",
            [
                RolloutMoved("stopped"),
                WaveOpened(1, 1, 2),
                Commanded("b1", 1, 1, 2),
                LeaseGiven("b1", 0, 1, 2),
            ],
        ),
        ("S7", [InstallBegan("b1", "AS-1", 1), InstallBegan("b1", "AS-1", 2)]),
        ("S11", [Counted("b1", 1, None, "open"), Counted("b1", 2, None, "open")]),
        ("S11", [Counted("b1", 1, None, "open"), Counted("b1", 1, None, "open", 2)]),
        ("S12", [WaveOpened(1, 1), RolloutMoved("halted")]),
        ("S12", [RolloutMoved("finished", 2)]),
        ("L1", [Unplugged("b1"), Settled({"b1": "1.0.0"}, {})]),
        (
            "L2",
            [Commanded("b1", 1, 1), Unplugged("b1"), Settled({"b1": "1"}, {"b1": ("silent", "")})],
        ),
        (
            "L2",
            [
                Commanded("b1", 1, 1),
                RolloutMoved("halted"),
                Settled({"b1": "1"}, {"b1": ("queued", "")}),
            ],
        ),
        (
            "L3",
            [
                *[Booted("b1", "B", "1", NEW, is_proven=False, after_watchdog=True)] * 4,
                SlotArmed("b1", "B", NEW),
                *[Booted("b1", "B", "1", NEW, is_proven=False, after_watchdog=True)] * 4,
            ],
        ),
        ("L4", [ServiceUp("server"), Commanded("b1", 1, 1), Settled({}, {})]),
        ("L4", [RolloutMoved("finished"), ServiceUp("server"), Settled({}, {})]),
        (
            "L5",
            [
                ClockSet("b1", 9),
                Connected("b1"),
                Verdict("b1", "AS-1", 1, "declined", "expired", "1.0.0"),
                Verdict("b1", "AS-1", 2, "updated", "", "1.1.0"),
                Settled({}, {}),
            ],
        ),
        ("L6", [*SENT_BACK, Settled({"b1": "1.1.0"}, {"b1": ("declined", "below-floor")})]),
        (
            "L6",
            [
                RolloutMoved("halted"),
                WayBack("1.0.0", 1, "1.0.0 is withdrawn or denied"),
                Settled({"b1": "1.1.0"}, {"b1": ("updated", "")}),
            ],
        ),
    ],
)
def test_an_invariant_is_content_with_what_only_looks_like_it(
    invariant: str, run: list[Fact]
) -> None:
    assert broken(*run, names=(invariant,)) == []


def test_every_invariant_of_the_table_is_broken_once_above() -> None:
    marks = test_an_invariant_says_what_breaks_it.pytestmark  # type: ignore[attr-defined]

    assert {case[0] for case in marks[0].args[1]} == set(NAMES)


def test_the_first_bad_step_is_the_first_in_time() -> None:
    watch = Watch(TERMS)
    watch.see(5, SlotArmed("b1", "B", EVIL))
    watch.see(9, Bricked("b1", "no slot"))

    assert [(one.at_ms, one.invariant) for one in watch.settle(10, THE_END)][:2] == [
        (5, "S2"),
        (9, "S1"),
    ]


def test_invariants_are_chosen_by_name_or_pattern() -> None:
    assert chosen(["L2", "S1"]) == ("L2", "S1")
    assert chosen(["S*"]) == NAMES[:13]
    with pytest.raises(LabError, match="No invariant is called 'S99'"):
        chosen(["S99"])
