"""The gate that a person reads is the gate that the planner judges."""

from datetime import UTC, datetime, timedelta

import pytest
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from oleada_server.rollouts.models import Wave
from oleada_server.rollouts.plan import (
    Halt,
    HoldWave,
    Limits,
    Outcome,
    RolloutFacts,
    StartSoak,
    Tally,
    WaveFacts,
    decide,
)
from oleada_server.rollouts.states import BoxState, RolloutState, WaveState
from oleada_server.web import gate_view
from oleada_server.web.rollout_view import WaveFigures

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
counts = st.integers(0, 12)
tallies = st.builds(Tally, counts, counts, counts, counts, counts, counts).filter(
    lambda tally: tally.boxes > 0
)
shares = st.sampled_from([0.0, 0.02, 0.1, 0.25, 0.5, 0.95, 1.0])
limits = st.builds(Limits, shares, shares, shares, st.integers(1, 15), st.just(48 * HOUR))


def figures(
    tally: Tally,
    limit: Limits,
    state: WaveState = WaveState.OPEN,
    soak_from: datetime | None = None,
) -> WaveFigures:
    wave = Wave(
        position=1,
        name="Wave 1",
        state=state,
        success_share_min=limit.success_share_min,
        failed_share_max=limit.failed_share_max,
        silent_share_max=limit.silent_share_max,
        sample_min=limit.sample_min,
        soak_s=int(limit.soak.total_seconds()),
        soak_from=soak_from,
    )
    outcomes = {outcome: getattr(tally, outcome) for outcome in Outcome}
    return WaveFigures(wave, tally.boxes, outcomes, dict.fromkeys(BoxState, 0))


def kinds(found: WaveFigures, now: datetime = NOON) -> dict[str, str]:
    names = ("updated", "sample", "failed", "silent", "soak")
    return dict(zip(names, (c.kind for c in gate_view.checks(found, now)), strict=True))


@settings(
    max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(tally=tallies, limit=limits)
def test_the_page_and_the_planner_agree_on_every_wave(
    empty_app: Flask, tally: Tally, limit: Limits
) -> None:
    wave = WaveFacts(1, WaveState.OPEN, tally, limit)
    decision = decide(RolloutFacts(RolloutState.RUNNING, (wave,)), NOON)

    with empty_app.test_request_context("/"):
        shown = kinds(figures(tally, limit))

    assert (shown["failed"] == "bad") == isinstance(decision, Halt)
    if isinstance(decision, StartSoak):
        assert (shown["updated"], shown["sample"], shown["silent"]) == ("ok", "ok", "ok")
    if isinstance(decision, HoldWave) and "silent" in decision.reason:
        assert shown["silent"] == "bad"
    if not isinstance(decision, StartSoak | Halt):
        assert "bad" in shown.values() or "live" in shown.values() or "off" in shown.values()


@pytest.mark.parametrize(
    ("state", "since", "kind"),
    [
        (WaveState.WAITING, None, "off"),
        (WaveState.OPEN, None, "off"),
        (WaveState.SOAKING, NOON - HOUR, "live"),
        (WaveState.SOAKING, NOON - 48 * HOUR, "ok"),
        (WaveState.HALTED, None, "off"),
    ],
)
def test_the_soak_holds_when_its_time_has_passed_and_not_before(
    empty_app: Flask, state: WaveState, since: datetime | None, kind: str
) -> None:
    limit = Limits(0.95, 0.02, 0.1, 10, 48 * HOUR)

    with empty_app.test_request_context("/"):
        assert kinds(figures(Tally(good=20), limit, state, since))["soak"] == kind


def test_too_few_to_judge_is_said_instead_of_a_verdict(empty_app: Flask) -> None:
    limit = Limits(0.95, 0.02, 0.1, 10, HOUR)

    with empty_app.test_request_context("/"):
        check = gate_view.checks(figures(Tally(pending=97, good=2, bad=1), limit), NOON)[2]

    assert check.kind == "live"
    assert check.limit == "at most 2\u00a0%, too few to judge yet"
