"""The chart of the fleet: what is drawn is what was counted, and gaps stay gaps."""

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from oleada_server.devices.models import FleetCount
from oleada_server.web import chart, fleet_chart

END = datetime(2026, 11, 19, 12, tzinfo=UTC)
QUARTER = timedelta(minutes=15)
PRAGUE = ZoneInfo("Europe/Prague")


def a_count(at: datetime, boxes: int = 100, heard: int = 90, never: int = 4) -> FleetCount:
    return FleetCount(at=at, boxes=boxes, heard=heard, never=never, updating=2)


def counts(hours_ago: float, quarters: int) -> list[FleetCount]:
    start = END - timedelta(hours=hours_ago)
    return [a_count(start + QUARTER * number) for number in range(quarters)]


def drawn(
    counted: list[FleetCount], before: list[FleetCount] | None = None
) -> fleet_chart.StateChart:
    found = fleet_chart.chart(
        counted, before or [], counted[0].at, END, spell=lambda at: f"{at:%H:%M}",
        midnight=lambda at: at.replace(hour=0, minute=0, second=0, microsecond=0),
    )  # fmt: skip
    assert found is not None
    return found


def xs(path: str) -> list[float]:
    return [float(x) for x in re.findall(r"[ML](\d+\.\d) ", path)]


def test_nothing_counted_draws_nothing() -> None:
    assert fleet_chart.chart([], [], END, END, spell=str, midnight=lambda at: at) is None


def test_where_nothing_was_counted_nothing_is_drawn() -> None:
    found = drawn(counts(24, 8) + counts(12, 48))

    first, second = found.line
    assert found.gaps == 1
    assert (min(xs(first)), max(xs(first))) == (0.0, round(2 / 24 * 1000, 1))
    assert min(xs(second)) == 500.0


def test_one_count_alone_is_seen_for_its_quarter_of_an_hour() -> None:
    found = drawn(counts(6, 1))

    assert xs(found.line[0]) == [750.0, 760.4]


def test_a_count_that_came_late_makes_no_gap_and_one_that_is_missing_does() -> None:
    late = [a_count(END - QUARTER * 4), a_count(END - QUARTER * 2)]
    missing = [a_count(END - QUARTER * 4), a_count(END - QUARTER)]

    assert drawn(late).gaps == 0
    assert drawn(missing).gaps == 1


def test_areas_stack_up_to_the_whole_fleet() -> None:
    found = drawn([a_count(END - QUARTER)])

    heights = [float(y) for y in re.findall(r" (\d+\.\d\d)", found.never[0])]
    assert heights == [3.85, 3.85, 7.69, 7.69]  # 100 and 96 of 104
    assert found.heard[0].endswith("100.00Z")


def test_a_scheduler_that_has_stopped_is_said() -> None:
    assert drawn(counts(24, 8)).has_stopped
    assert not drawn(counts(1, 4)).has_stopped


def test_the_same_day_a_week_earlier_lies_under_the_same_hours() -> None:
    week = timedelta(weeks=1)
    before = [a_count(one.at - week, heard=80) for one in counts(6, 8)]

    found = drawn(counts(6, 8), before)

    assert xs(found.before[0]) == xs(found.line[0])
    assert found.week_ago is not None
    assert found.week_ago.heard == 80
    assert drawn(counts(6, 8)).week_ago is None


def test_lines_across_stand_at_round_counts() -> None:
    found = drawn([a_count(END - QUARTER, boxes=48_212, heard=46_931)])

    assert [line.count for line in found.grid] == [20_000, 40_000]


def test_ticks_stand_at_round_hours_of_the_reader_also_when_clocks_change() -> None:
    end = datetime(2026, 10, 25, 12, tzinfo=UTC)  # that night Prague has 02:00 twice

    found = chart.ticks(
        end - timedelta(days=1), end, timedelta(hours=3),
        lambda at: f"{at.astimezone(PRAGUE):%H:%M}",
        lambda at: at.astimezone(PRAGUE).replace(hour=0, minute=0, second=0, microsecond=0),
    )  # fmt: skip

    assert [tick.word for tick in found] == ["15:00", "18:00", "21:00", "00:00", "03:00", "06:00",
                                             "09:00"]  # fmt: skip
    assert found[0].x == round(1 / 24 * 100, 2)
    assert found[4].x == round(14 / 24 * 100, 2)
