"""The rules of a plan: read strictly, written as they are read; pace, filters and aborts."""

import json
import random
from typing import Any

import pytest
from oleada_server.rollouts import aborts, pace
from oleada_server.rollouts.cover import (
    BoxKind,
    Where,
    checks,
    cover_text,
    matches,
    parse_cover,
    where_from,
    where_json,
)
from oleada_server.rollouts.errors import BadPlanError
from oleada_server.rollouts.pace import Caps, Constant, Exponential, Full, GrowsOn, Traffic
from oleada_server.rollouts.plan import ImpossibleFactsError, Outcome
from oleada_server.rollouts.rules import Abort, AbortOn, Rules, read, rules_from, rules_json
from oleada_wire.words import RETRYABLE, Reason

EVERYTHING: dict[str, Any] = {
    "windows": [{"days": ["mon", "sat"], "start": "22:00", "end": "04:00"}],
    "blackouts": [{"first": "2026-12-24", "last": "2026-12-26"}],
    "rate": {"kind": "exponential", "base_per_minute": 50, "factor": 2, "every": 1000,
             "on": "succeeded", "max_per_minute": 1000},
    "in_flight_max_per_region": 40, "bandwidth_max_bytes_s": 10_000_000,
    "bandwidth_max_per_region_bytes_s": 2_000_000, "box_bytes_s": 500_000,
    "retry_for": ["download"], "newcomers": True,
    "abort": [{"on": "any", "share_max": 0.05, "sample_min": 20, "last": 100}],
}  # fmt: skip


def test_rules_are_written_as_they_are_read() -> None:
    assert rules_json(rules_from(EVERYTHING)) == EVERYTHING
    assert rules_json(rules_from({})) == {}
    assert rules_from({}) == Rules()
    assert json.loads(json.dumps(EVERYTHING)) == EVERYTHING


def test_a_plan_that_tries_nothing_again_keeps_that_rule() -> None:
    found = rules_from({"retry_for": []})

    assert found.retry_for == frozenset()
    assert rules_from(rules_json(found)) == found
    assert rules_from({}).retry_for == RETRYABLE


def _broken(found: Any) -> list[Any]:
    """Return *found* with one place of it spoilt, in each way and for each place."""
    wrongs: tuple[Any, ...] = (None, "x", -1, 0.5, True, float("nan"), [], {}, [None], "")
    spoilt = []
    for name, value in found.items():
        spoilt += [{**found, name: wrong} for wrong in wrongs]
        inner = value[0] if isinstance(value, list) and isinstance(value[0], dict) else value
        for key in inner if isinstance(inner, dict) else ():
            for wrong in wrongs:
                one = {**inner, key: wrong}
                spoilt.append({**found, name: [one] if isinstance(value, list) else one})
    return spoilt


def test_no_rule_that_can_not_be_read_is_taken_for_none() -> None:
    taken = {}
    for spoilt in _broken(EVERYTHING):
        try:
            found = rules_json(rules_from(spoilt))
        except BadPlanError:
            continue
        taken[repr(spoilt)] = found

    wrong = [text for text, found in taken.items() if len(found) < len(EVERYTHING) - 1]
    assert wrong == []
    assert len(taken) < 25, sorted(taken)


@pytest.mark.parametrize("kept", [{"window": []}, [], "none", {"rate": {"kind": "fast"}}, 7])
def test_a_row_whose_rules_can_not_be_read_stops_whoever_reads(kept: Any) -> None:
    with pytest.raises(ImpossibleFactsError):
        read(kept)


def test_a_rollout_that_was_planned_without_rules_has_none() -> None:
    assert read(None) == Rules()


def test_nothing_that_was_taken_back_or_denied_is_tried_again() -> None:
    with pytest.raises(BadPlanError, match="cancelled"):
        rules_from({"retry_for": [str(Reason.CANCELLED)]})


def test_an_exponential_rate_grows_with_each_thousand_and_stops_at_its_limit() -> None:
    rate = Exponential(50, 2.0, 1000, GrowsOn.SUCCEEDED, 300)

    assert pace.per_minute(rate, notified=9999, succeeded=999) == 50
    assert pace.per_minute(rate, notified=0, succeeded=1000) == 100
    assert pace.per_minute(rate, notified=0, succeeded=2500) == 200
    assert pace.per_minute(rate, notified=0, succeeded=10**9) == 300


def test_the_rate_of_the_aws_documentation_comes_out() -> None:
    """AWS IoT: base 50, factor 2, 1000 notified things, maximum 1000: 50, 100, 200, 400, …"""
    rate = Exponential(50, 2.0, 1000, GrowsOn.NOTIFIED, 1000)

    found = [pace.per_minute(rate, thousand * 1000, 0) for thousand in range(6)]
    assert found == [50, 100, 200, 400, 800, 1000]


def test_a_rate_never_falls_and_never_passes_its_limit() -> None:
    dice = random.Random(7)
    for _ in range(200):
        base = dice.randint(1, 1000)
        rate = Exponential(base, dice.randint(11, 100) / 10, dice.randint(1, 500),
                           GrowsOn.NOTIFIED, base + dice.randint(0, 10_000))  # fmt: skip
        found = [pace.per_minute(rate, boxes, 0) for boxes in range(0, 5000, 250)]

        assert found == sorted(found)
        assert base <= found[0]
        assert found[-1] <= rate.max_per_minute


def test_each_limit_of_pace_is_met_by_itself_and_named() -> None:
    caps = Caps(in_flight_max_per_region=3, bandwidth_max_bytes_s=10, box_bytes_s=2,
                bandwidth_max_per_region_bytes_s=4)  # fmt: skip
    rate = Constant(5)

    assert pace.met(rate, caps, Traffic(begun=4, in_flight_region=2, loading=4)) == []
    assert pace.met(rate, caps, Traffic(begun=5)) == [Full.RATE]
    assert pace.met(rate, caps, Traffic(in_flight_region=3)) == [Full.REGION]
    assert pace.met(rate, caps, Traffic(loading=5)) == [Full.BANDWIDTH]
    assert pace.met(rate, caps, Traffic(loading_region=2)) == [Full.REGION_BANDWIDTH]
    assert pace.met(None, Caps(), Traffic(begun=10**6, in_flight_region=10**6, loading=10**6)) == []


def test_a_bandwidth_under_what_one_box_loads_is_refused() -> None:
    with pytest.raises(BadPlanError, match="bandwidth_max_bytes_s"):
        Caps(bandwidth_max_bytes_s=999_999)


BRNO = BoxKind(region="Brno", version="1.2.0", zone="Europe/Prague",
               groups=frozenset({"staff"}), provides=frozenset({"codec:hevc"}))  # fmt: skip


@pytest.mark.parametrize(
    ("text", "is_match"),
    [
        ("region=Brno", True), ("region=Praha, Brno", True), ("region=Praha", False),
        ("region=Brno; version=1.1.0", False), ("version=1.2", True), ("zone=UTC", False),
        ("group=staff, test", True), ("group=test", False), ("provides=codec:hevc", True),
        ("provides=codec:hevc, drm:l1", False), ("version_min=1.2", True),
        ("version_min=1.2.1", False), ("version_max=1.2", True), ("version_max=1.1.9", False),
        ("count=5; region=Brno", True),
    ],
)  # fmt: skip
def test_a_filter_takes_any_value_of_an_attribute_and_every_attribute(
    text: str, is_match: bool
) -> None:
    found = parse_cover(text)

    assert found.where is not None
    assert matches(found.where, BRNO) is is_match
    assert where_from(where_json(found.where)) == found.where
    assert parse_cover(cover_text(found.count, found.where)) == found


def test_what_a_box_has_not_told_matches_nothing() -> None:
    everything = Where(region=("Brno",), version=("1.2.0",), zone=("UTC",), group=("a",),
                       provides=("b",), version_min="1", version_max="2")  # fmt: skip

    assert [passed for _, passed in checks(everything, BoxKind())] == [False] * 7


@pytest.mark.parametrize(
    "text",
    ["", ";", "count=0", "count=-1", "count=many", "colour=red", "region", "region=",
     "region=a; region=b", "version_min=new", "count=5; count=6", "count=\u0665"],
)  # fmt: skip
def test_a_filter_that_can_not_be_read_is_refused(text: str) -> None:
    with pytest.raises(BadPlanError):
        parse_cover(text)


@pytest.mark.parametrize("found", [{}, [], {"region": "Brno"}, {"region": []}, {"size": ["1"]},
                                   {"version_min": ["1.0"]}, {"region": [7]}])  # fmt: skip
def test_a_filter_in_json_that_can_not_be_read_is_refused(found: Any) -> None:
    with pytest.raises(BadPlanError):
        where_from(found)


ENDS = {Outcome.GOOD: 90, Outcome.BAD: 4, Outcome.LEFT_OUT: 3, Outcome.SILENT: 3,
        Outcome.EXCUSED: 50}  # fmt: skip


@pytest.mark.parametrize(
    ("on", "share_max", "is_broken"),
    [
        (AbortOn.FAILED, 0.04, False), (AbortOn.FAILED, 0.039, True),
        (AbortOn.REJECTED, 0.03, False), (AbortOn.REJECTED, 0.029, True),
        (AbortOn.TIMED_OUT, 0.03, False), (AbortOn.TIMED_OUT, 0.029, True),
        (AbortOn.ANY, 0.1, False), (AbortOn.ANY, 0.099, True),
    ],
)  # fmt: skip
def test_a_criterion_counts_its_own_ends_of_all_that_have_ended(
    on: AbortOn, share_max: float, is_broken: bool
) -> None:
    one = Abort(on=on, share_max=share_max, sample_min=100)

    assert (aborts.broken([one], lambda last: ENDS) is not None) is is_broken
    assert aborts.broken([one], lambda last: {**ENDS, Outcome.GOOD: 89}) is None, "too few ended"


def test_n_of_the_last_m_forgets_what_lies_further_back() -> None:
    one = Abort(on=AbortOn.FAILED, share_max=0.5, sample_min=4, last=4)
    newest = {Outcome.BAD: 3, Outcome.GOOD: 1}

    found = aborts.broken([one], lambda last: newest if last == 4 else {Outcome.GOOD: 1000})

    assert found == "abort criterion failed: 3 of the last 4 ended so, more than 50%"
