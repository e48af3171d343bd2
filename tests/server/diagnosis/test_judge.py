"""The core of diagnosis: evidence moves confidence, what is missing does not, two may be there."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from oleada_server.diagnosis.judge import diagnose, holds
from oleada_server.diagnosis.shapes import (
    Cause,
    Fact,
    Library,
    Operator,
    Playbook,
    Sign,
    Stage,
    Value,
    Verdict,
)

NOON = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)


def a_sign(name: str, fact: str = "") -> Sign:
    return Sign(
        id=name, fact=fact or f"fact-{name}", operator=Operator.IS, limits=(True,), unit="",
        source="a test", title=name, fresh=timedelta(minutes=30),
    )  # fmt: skip


def a_cause(name: str, stage: Stage = Stage.HOME, **makes: float) -> Cause:
    return Cause(
        id=name, stage=stage, title=name, next_step="do", say="say", action="", makes=makes
    )


def library_of(*causes: Cause, prior: float = 0.1) -> tuple[Library, Playbook]:
    names = sorted({sign for cause in causes for sign in cause.makes})
    book = Playbook("no-picture", 3, "No picture", {c.id: prior for c in causes}, tuple(names))
    signs = {name: a_sign(name) for name in names}
    by_name = {cause.id: cause for cause in causes}
    return Library(signs, by_name, {"no-picture": book}, dict.fromkeys(names, 0.02)), book


def verdict(found: tuple[Library, Playbook], **values: Value) -> Verdict:
    facts = {f"fact-{name}": Fact(value, NOON) for name, value in values.items()}
    return diagnose(*found, facts, NOON)


def confidence(found: Verdict) -> Mapping[str, float]:
    return {one.cause.id: one.confidence for one in found.causes}


TV = a_cause("tv", dark=0.9, cable=0.6)
PLAYER = a_cause("player", dark=0.9, hung=0.8)
BOTH = library_of(TV, PLAYER)


def test_with_nothing_known_the_confidence_is_how_often_it_is_behind_this_complaint() -> None:
    found = verdict(library_of(TV, prior=0.3))

    assert confidence(found)["tv"] == pytest.approx(0.3)
    assert found.nothing == pytest.approx(0.7)
    assert found.likely == ()


def test_a_sign_of_a_cause_makes_it_as_likely_as_bayes_says() -> None:
    found = verdict(library_of(a_cause("tv", dark=0.9), prior=0.3), dark=True)

    there, alone = 0.3 * (1 - 0.98 * 0.1), 0.7 * 0.02
    assert confidence(found)["tv"] == pytest.approx(there / (there + alone))
    assert [one.cause.id for one in found.likely] == ["tv"]


def test_a_sign_that_two_causes_share_is_explained_by_the_one_that_shows_more() -> None:
    found = verdict(BOTH, dark=True, hung=True, cable=False)

    assert [one.cause.id for one in found.likely] == ["player"]
    assert confidence(found).get("tv", 0.0) < 0.1


def test_two_causes_that_show_each_a_sign_of_their_own_are_both_named() -> None:
    found = verdict(BOTH, dark=True, hung=True, cable=True)

    assert {one.cause.id for one in found.likely} == {"tv", "player"}


def test_a_missing_value_is_no_evidence() -> None:
    known = verdict(BOTH, dark=True)
    with_missing = diagnose(
        *BOTH, {"fact-dark": Fact(True, NOON), "another": Fact(True, NOON)}, NOON
    )

    assert with_missing.causes == known.causes


def test_an_old_value_is_no_evidence_and_is_to_be_looked_at_again() -> None:
    old = {"fact-dark": Fact(True, NOON - timedelta(minutes=31))}

    found = diagnose(*BOTH, old, NOON)

    assert found.causes == verdict(BOTH).causes
    assert "dark" in [one.sign.id for one in found.checks]


def test_a_sign_that_is_seen_not_to_be_there_speaks_against() -> None:
    found = verdict(BOTH, dark=True, hung=False)

    player = next(one for one in found.causes if one.cause.id == "player")
    assert [seen.sign.id for seen in player.speaks_against] == ["hung"]
    assert player.confidence < confidence(verdict(BOTH, dark=True))["player"]


def test_the_confidences_of_all_sets_of_causes_sum_to_one() -> None:
    one = library_of(a_cause("tv", dark=0.9))

    found = verdict(one, dark=False)

    assert confidence(found).get("tv", 1 - found.nothing) + found.nothing == pytest.approx(1)


@pytest.mark.parametrize("early", [Stage.SCOPE, Stage.ENTITLEMENT])
def test_no_hardware_is_blamed_before_what_everybody_has_or_has_not_paid(early: Stage) -> None:
    found = verdict(
        library_of(a_cause("swap", a=0.97), a_cause("earlier", early, b=0.7)), a=True, b=True
    )

    assert confidence(found)["swap"] > confidence(found)["earlier"]
    assert [one.cause.id for one in found.likely] == ["earlier", "swap"]


def test_an_unlikely_cause_of_an_early_stage_does_not_stand_before_a_likely_one() -> None:
    found = verdict(
        library_of(a_cause("swap", a=0.97), a_cause("area", Stage.SCOPE, b=0.7)), a=True
    )

    assert found.causes[0].cause.id == "swap"


def test_the_next_check_is_of_the_earliest_stage_and_then_the_most_telling() -> None:
    causes = (
        a_cause("home", telling=0.9, vague=0.1), a_cause("area", Stage.SCOPE, everybody=0.5),
    )  # fmt: skip

    found = verdict(library_of(*causes))

    assert [one.sign.id for one in found.checks] == ["everybody", "telling", "vague"]
    assert found.checks[1].gain_bits > found.checks[2].gain_bits > 0


@pytest.mark.parametrize(
    ("operator", "limits", "value", "seen"),
    [
        (Operator.BELOW, (-70,), -71, True),
        (Operator.BELOW, (-70,), -70, False),
        (Operator.ABOVE, (80,), 81, True),
        (Operator.ABOVE, (80,), 80, False),
        (Operator.ABOVE, (80,), 80.5, True),
        (Operator.IS, ("None", "Error"), "Error", True),
        (Operator.IS, ("None",), "Present", False),
        (Operator.IS_NOT, ("Enabled",), "Error", True),
        (Operator.IS_NOT, ("Enabled",), "Enabled", False),
        (Operator.IS, (False,), False, True),
        (Operator.ABOVE, (80,), "hot", None),
        (Operator.ABOVE, (80,), True, None),
        (Operator.ABOVE, (80,), float("nan"), None),
        (Operator.IS, ("None",), 0, None),
        (Operator.IS_NOT, ("Enabled",), 1, None),
        (Operator.IS, (True,), 1, None),
    ],
)
def test_a_sign_compares_and_what_makes_no_sense_counts_neither_way(
    operator: Operator, limits: tuple[Value, ...], value: Value, seen: bool | None
) -> None:
    sign = replace(a_sign("x"), operator=operator, limits=limits)

    assert holds(sign, value) is seen
