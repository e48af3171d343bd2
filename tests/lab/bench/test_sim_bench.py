import pytest
from oleada_lab.bench import sim


@pytest.mark.parametrize(("kind", "boxes", "updated"), [("quiet", 40, 0), ("update", 120, 120)])
def test_a_day_is_lived_by_real_boxes_and_breaks_nothing(
    kind: str, boxes: int, updated: int
) -> None:
    found = sim.day(kind, boxes, seed=1)

    assert found["updated"] == updated
    assert found["broken"] == 0
    assert found["events"] > boxes * 24
    assert found["device_days_per_cpu_minute"] > 0


def test_a_day_repeats_itself() -> None:
    assert sim.day("quiet", 5, seed=3)["trace"] == sim.day("quiet", 5, seed=3)["trace"]


def test_the_real_services_on_sqlite_update_a_fleet_in_virtual_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sim.DAYS, "services", (0.5, 1.0))
    found = sim.day("services", 8, seed=1, hours=4)

    assert found["updated"] == 8
    assert found["is_signed"]
    assert found["broken"] == 0
