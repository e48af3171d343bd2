"""Where the curve of a wave leads: a forecast only from what is seen, and only while it helps."""

from datetime import UTC, datetime, timedelta

from oleada_server.web.curve_view import STEPS, forecast, lines

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
STEADY = [10 * step for step in range(STEPS + 1)]


def test_a_steady_pace_leads_to_the_gate_at_the_same_pace() -> None:
    found = forecast(STEADY, boxes=1000, enough=950, step=MINUTE, now=NOON)

    assert found is not None
    assert found.at == NOON + 35 * MINUTE
    assert (found.span, round(found.there, 1)) == (10 * MINUTE, 30.2)


def test_nothing_is_forecast_from_standstill_nor_behind_the_gate_nor_weeks_ahead() -> None:
    still = [*STEADY[:40], *([400] * (STEPS - 39))]

    assert forecast(still, boxes=1000, enough=950, step=MINUTE, now=NOON) is None
    assert forecast(STEADY, boxes=1000, enough=600, step=MINUTE, now=NOON) is None
    assert forecast(STEADY, 10**6, enough=950_000, step=timedelta(hours=1), now=NOON) is None


def test_the_lines_across_are_round_and_leave_room_for_the_gates_word() -> None:
    assert [value for value, _ in lines(1286, 1222)] == [500]
    assert [value for value, _ in lines(24_120, 23_000)] == [10_000]
    assert [value for value, _ in lines(20, 19)] == [10]
    assert lines(1, 1) == []
