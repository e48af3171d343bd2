"""The table of rollouts in its short form, and every other rule on an example of its source."""

import math
from typing import Any

import pytest
from oleada_lab.rollouts import edges, exact, peers, signs, table
from oleada_lab.rollouts.fleet import DELAYS, Fate, Fleet
from oleada_lab.rollouts.ours import ripe_after_min
from oleada_lab.rollouts.peers import Aws, FreeAcs, HawkBit, Seen, Stop, Told
from oleada_lab.rollouts.plans import STORIES

BRICK = Fate(killed=1.0, dark=0.02)


@pytest.fixture(scope="module")
def measured() -> dict[str, Any]:
    return table.measure(table.SHORT)


HARMED_MAX = {
    "silent brick, 100 %": 20,
    "silent, 20 %": 15,
    "silent, 5 %": 25,
    "silent, 2 %": 40,
    "reported, 5 %": 15,
    "reported, 2 %": 30,
}
"""Of 5000 boxes, in the middle run; generous by a half over what was measured."""


def test_a_bad_release_harms_few_in_every_row(measured: dict[str, Any]) -> None:
    harmed = {name: row[table.OURS]["harmed_median"] for name, row in measured["bad"].items()}

    assert set(harmed) == set(HARMED_MAX)
    assert {name for name in harmed if harmed[name] > HARMED_MAX[name]} == set()


def test_a_silent_brick_never_costs_more_than_the_first_boxes(measured: dict[str, Any]) -> None:
    brick = measured["bad"]["silent brick, 100 %"]

    assert brick[table.OURS]["harmed_p95"] == 20
    assert brick[table.OURS]["how"] == {"halted": table.SHORT.runs}
    assert min(cell["harmed_median"] for rule, cell in brick.items() if rule != table.OURS) > 100


def test_what_is_really_bad_is_halted_by_itself(measured: dict[str, Any]) -> None:
    halted = {
        name: row[table.OURS]["how"].get("halted", 0) / table.SHORT.runs
        for name, row in measured["bad"].items()
    }

    assert halted["silent, 20 %"] == 1
    assert halted["reported, 5 %"] > 0.8
    assert measured["bad"]["silent, 5 %"][table.OURS]["how"].get("finished", 0) == 0


def test_a_good_release_is_hardly_ever_halted_and_soon_everywhere(
    measured: dict[str, Any],
) -> None:
    for row in measured["good"].values():
        assert row["halted"] <= 2  # a halt in a hundred is what alpha allows
        assert row["held"] <= row["runs"] * 0.15
        assert 4 < row["hours"]["median"] < 8


def test_harm_long_after_the_trial_halts_and_nothing_worse_halts_nothing(
    measured: dict[str, Any],
) -> None:
    halted = {
        name: row["how"].get("halted", 0) / row["runs"] for name, row in measured["after"].items()
    }

    assert halted.pop("nothing is worse than before") == 0
    assert min(halted.values()) >= 0.5
    assert measured["after"]["zapping is slow in 1 % more hours"]["hours"]["p95"] <= 12


ENDINGS = {
    "limits alone, good": {"finished"},
    "limits alone, 12 % fail": {"halted"},
    "limits alone, 5 % fail": {"halted"},
    "limits alone, 20 % fall silent": {"held"},
    "limits alone, a person accepts": {"finished"},
    "limits alone, all of a tiny wave fail": {"halted"},
    "begins later and is paused": {"finished"},
    "fails while it is paused": {"halted"},
    "nobody beside, all fall silent": {"held"},
    "nobody beside, some fall silent": {"held"},
    "nobody beside, a person accepts": {"finished"},
    "one version of three breaks": {"finished"},
    "the commonest version breaks": {"halted"},
    "a little harm in each of eight": {"held"},
    "one version breaks, nobody is left": {"finished", "held"},
    "a third goes dark for ordinary reasons": {"held"},
    "bad from the first minute, by the hour": {"halted"},
}


def test_what_else_a_plan_says_decides_as_it_says() -> None:
    ended = {name: [story.play(seed) for seed in (1, 2)] for name, story in STORIES.items()}

    assert {name: {one.how for one in found} for name, found in ended.items()} == ENDINGS
    assert {one.without for one in ended["one version of three breaks"]} == {("1",)}
    assert all(one.begun <= 20 for one in ended["fails while it is paused"])


MOMENTS = {
    "some are left out": "Wait",
    "some are excused": "Wait",
    "some are left out, and enough are good": "StartSoak",
    "some are excused, and enough are good": "StartSoak",
    "silent and at work are too many together": "Wait",
    "silent and at work are just few enough": "PassWave",
    "so few are heard that enough are good": "StartSoak",
    "it has soaked to the second": "PassWave",
    "all are gone": "HoldWave",
    "less is accepted, and one is at work": "Wait",
    "less is accepted, and none is at work": "StartSoak",
    "more is accepted than the limit needs": "StartSoak",
    "all may be silent, and are": "HoldWave",
    "just enough have spoken": "Halt",
    "undecided, and one is not ripe": "StartSoak",
    "undecided, and all are ripe": "HoldWave",
    "undecided, and as many are gone": "HoldWave",
    "room after bad ends": "[30, 27, 1]",
    "what a hold says": "wave 1: 80 of 97 are updated, fewer than 90%, and no other box is at it",
}
TO_THE_LAST_BIT = {
    "E is just the wall": True,
    "E beside is just the wall": True,
    "E of silence alone is just the wall": True,
    "hours are just doubtful": [False, True],
    "trials are just doubtful": [False, True],
    "just proved": True,
    "a bound that is met at once": 0.75,
    "one good box proves": 1,
    "half of what goes on halts": (False, ("2",)),
    "proofs of 5 %": [59, 93, 124, 153, 181, 208],
    "most are bad": False,
    "room is just doubtful": 5,
    "who lost power was heard": (3, 0),
    "of nobody": 0.99,
    "ages": [1000, 1006, 1198, 1199],
}


def test_at_each_moment_one_box_more_or_less_decides() -> None:
    assert edges.play() == MOMENTS
    assert table.rows(1)["moments"]() == MOMENTS


def test_what_is_just_enough_is_enough_to_the_last_bit() -> None:
    found = exact.play()

    assert {name: found[name] for name in TO_THE_LAST_BIT} == TO_THE_LAST_BIT


def test_a_sign_that_is_turned_round_shows_in_a_row() -> None:
    rows = {"moments": edges.play, "to the last bit": exact.play}
    found = {sign.what: row for sign, row in signs.judge(rows, ("evidence.slow_start",))}

    assert len(found) == 7
    assert all(row is not None for row in found.values())
    assert edges.play() == MOMENTS, "all is as before"


def test_every_sign_of_what_counts_and_succeeds_shows_at_some_moment() -> None:
    shown = {
        (sign.function, sign.what)
        for sign, row in signs.judge({"moments": edges.play}, ("plan",))
        if row is not None
    }

    assert shown >= {
        ("Tally.boxes", f"self.pending + self.good + self.bad + self.silent{more}: turned")
        for more in ("", " + self.left_out", " + self.left_out + self.excused")
    } | {
        ("_judge", "wave.tally.silent + wave.tally.pending: turned"),
        ("_not_proven", "wave.unripe > 0: turned"),
        ("_not_proven", "wave.unripe > 0: edge"),
        ("_has_nobody", "wave.tally.boxes + wave.tally.gone: turned"),
        ("_has_nobody", "wave.tally.boxes + wave.tally.gone == 0: turned"),
        ("_has_succeeded", "tally.pending == 0: turned"),
        ("_has_succeeded", "min(needed, Fraction(wave.accepted.good)): turned"),
    }  # fmt: skip


def test_our_planner_harms_fewer_than_every_other_rule_where_it_matters(
    measured: dict[str, Any],
) -> None:
    for name in ("silent brick, 100 %", "silent, 20 %", "reported, 5 %"):
        row = measured["bad"][name]
        others = [cell["harmed_median"] for rule, cell in row.items() if rule != table.OURS]
        assert row[table.OURS]["harmed_median"] < min(others), name


def test_reports_come_after_twelve_minutes_and_a_trial_counts_when_nearly_all_have_come() -> None:
    assert sum(share for _, share in DELAYS) == pytest.approx(1)
    assert sum(minutes * share for minutes, share in DELAYS) == pytest.approx(12, abs=0.1)
    assert ripe_after_min() == 22


def test_a_fleet_is_dealt_exactly_and_by_its_shares() -> None:
    fleet = Fleet(10_000, Fate(failed=0.02, killed=0.05, dark=0.03), seed=3)
    batches = [fleet.begin(boxes) for boxes in [1, 7, 20, 972] * 10]

    good = sum(n for batch in batches for _, n in batch.good)
    failed = sum(n for batch in batches for _, n in batch.failed)
    assert good + failed + sum(batch.mute for batch in batches) == 10_000
    for seen, share in ((failed, 0.02), (sum(batch.killed for batch in batches), 0.05)):
        assert abs(seen - share * 10_000) < 4 * math.sqrt(share * 10_000)
    twice = [Fleet(10, BRICK, seed).begin(10) for seed in (5, 5)]
    assert twice[0] == twice[1]


def test_aws_doubles_its_rate_each_thousand_notified_up_to_the_maximum() -> None:
    rule = Aws()

    rates = [rule.rate(notified) for notified in (0, 999, 1000, 2000, 4000, 5000, 9000)]
    assert rates == [50, 50, 100, 200, 800, 1000, 1000]


def test_aws_cancels_at_its_threshold_once_enough_have_executed() -> None:
    assert Aws()(Seen(1000, begun=200, good=79, failed=20)) != Stop()
    assert Aws()(Seen(1000, begun=200, good=80, failed=20)) == Stop()
    assert Aws()(Seen(1000, begun=200, good=81, failed=19)) != Stop()
    assert Aws()(Seen(1000, begun=300, good=100, timed_out=100)) == Stop()


@pytest.mark.parametrize(
    ("mac", "percent"),
    [("00:23:ED:22:E3:BD", 66.78870067394755), ("AA:BB:CC:DD:EE:FF", 66.94527524328892)],
)
def test_xconf_places_a_device_where_its_own_tests_say(mac: str, percent: float) -> None:
    assert peers.percent_of(mac) == pytest.approx(percent, abs=1e-9)


def test_siphash_is_that_of_its_paper() -> None:
    message = bytes(range(15))

    assert peers.siphash24(bytes(range(16)), message) == 0xA129CA6149BE45E5


def test_every_rule_of_somebody_else_names_where_it_stands() -> None:
    assert set(peers.SOURCES) == set(table.RULES) - {"all at once"}
    assert all(url.startswith("https://") for urls in peers.SOURCES.values() for url in urls)


def test_hawkbit_stops_above_the_errors_of_a_group_and_opens_the_next_at_its_success() -> None:
    def of(good: int, failed: int) -> int | Stop:
        return HawkBit()(Seen(1000, begun=100, batches=[Told(100, good, failed)]))

    assert of(0, 11) == Stop()
    assert of(49, 10) == 100
    assert of(50, 10) == 200


def test_hawkbit_does_with_five_groups_of_two_what_its_own_tests_say() -> None:
    def of(good: int, failed: int, success: float = 0.5) -> int | Stop:
        rule = HawkBit(groups=5, success=success, errors=0.8)
        return rule(Seen(10, begun=2, batches=[Told(2, good, failed)]))

    assert HawkBit(groups=5)(Seen(10)) == 2, "the first group is running, the others wait"
    assert of(0, 0) == 2
    assert of(1, 0) == 4, "the second one runs as well"
    assert of(0, 2) == Stop(), "the rollout is paused, the others wait"
    assert of(1, 1, success=1.0) == 4, "nobody is left running, so the next one starts"


def test_freeacs_stops_at_so_many_of_the_last_so_many() -> None:
    fine = [False] * 95

    assert FreeAcs()(Seen(1000, newest=[True] * 9 + fine)) != Stop()
    assert FreeAcs()(Seen(1000, newest=fine + [True] * 10)) == Stop()
    assert FreeAcs()(Seen(1000, newest=[True] * 10 + [False] * 100)) != Stop()


def test_phases_go_on_by_the_clock_alone_and_a_person_stops_what_is_plainly_bad() -> None:
    day = peers.DAY_MIN
    whole = Fleet(1000, BRICK, seed=1)

    assert [peers.timed_phases(Seen(1000, minute=m)) for m in (0, day, 2 * day)] == [50, 200, 1000]
    assert peers.play(whole, peers.a_person_looks).harmed == 50
    assert peers.a_person_looks(Seen(1000, minute=480, begun=100, good=95)) != Stop()
    assert peers.a_person_looks(Seen(1000, minute=480, begun=100, good=94)) == Stop()


def test_all_at_once_harms_all() -> None:
    assert peers.play(Fleet(300, BRICK, seed=1), peers.all_at_once).harmed == 300


def test_the_interval_of_no_halt_in_two_thousand_is_under_a_fifth_of_a_percent() -> None:
    assert table.interval(0, 2000) == (0.0, 0.00184)
    assert table.interval(5, 400)[0] < 0.0125 < table.interval(5, 400)[1]
