"""When to begin an update, and what a new slot must show to stay."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from oleada_agent import config, health
from oleada_agent.health import PLAYER_READY, BoxProbes
from oleada_agent.machine_events import (
    ConditionsChecked,
    ConditionsLost,
    Event,
    HealthFailed,
    HealthPassed,
    ServerContacted,
)
from oleada_wire.messages import Window
from oleada_wire.words import RETRYABLE, Reason

LEAST = {"serial": "SN-1", "hardware_model": "VX-410", "enrol_url": "https://door.example"}


@dataclass
class Bench:
    """A box's probes with time and sensors that a test moves."""

    path: Path
    steady_ms: int = 0
    now: datetime = datetime(2026, 11, 21, 12, tzinfo=UTC)
    events: list[Event] = field(default_factory=list)
    free_bytes: int = 1 << 30

    def probes(self, **settings: int) -> BoxProbes:
        """Return the probes as a start of the agent makes them."""
        made = config.parse({**LEAST, "settle_s": 2, "player_s": 10, **settings}, "config.toml")
        return BoxProbes(
            self.path,
            made,
            "Europe/Madrid",
            now=lambda: self.now,
            steady_ms=lambda: self.steady_ms,
            feed=self.events.append,
            machine=self.path,
            free_bytes=lambda path: self.free_bytes,
        )

    def ready(self) -> None:
        """Let the media player get ready."""
        (self.path / "run").mkdir(exist_ok=True)
        (self.path / PLAYER_READY).touch()


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_now_is_a_good_time_unless_something_speaks_against_it(bench: Bench) -> None:
    assert bench.probes().check_conditions(None) == ConditionsChecked()
    assert bench.probes().check_conditions(Window(0, 1439)) == ConditionsChecked()


def test_a_closed_window_says_when_it_opens_in_the_boxs_own_zone(bench: Bench) -> None:
    checked = bench.probes().check_conditions(Window(14 * 60, 15 * 60))  # 13:00 UTC

    assert checked == ConditionsChecked("window", 3_600_000)
    bench.now += timedelta(hours=1)
    assert bench.probes().check_conditions(Window(14 * 60, 15 * 60)) == ConditionsChecked()


def test_a_hot_box_waits(bench: Bench) -> None:
    zone = bench.path / "sys/class/thermal/thermal_zone0"
    zone.mkdir(parents=True)
    (zone / "temp").write_text("91000")
    (zone / "type").write_text("cpu")

    checked = bench.probes().check_conditions(None)

    assert isinstance(checked, ConditionsChecked)
    assert checked.blocked == "too-hot"
    assert bench.probes(temperature_max_c=95).check_conditions(None) == ConditionsChecked()


def test_nobody_is_disturbed(bench: Bench) -> None:
    (bench.path / "run").mkdir()
    (bench.path / health.VIEWER_PRESENT).touch()

    checked = bench.probes().check_conditions(None)

    assert isinstance(checked, ConditionsChecked)
    assert checked.blocked == "viewer"


def test_who_watches_is_disturbed_by_a_forced_assignment_alone(bench: Bench) -> None:
    (bench.path / "run").mkdir()
    (bench.path / health.VIEWER_PRESENT).touch()
    probes = bench.probes()

    probes.heed_force(7, is_forced=True)
    assert probes.check_conditions(None) == ConditionsChecked()
    probes.heed_force(6, is_forced=False)  # an older one that comes late
    assert probes.check_conditions(None) == ConditionsChecked()
    closed = probes.check_conditions(Window(14 * 60, 16 * 60))
    probes.heed_force(8, is_forced=False)

    assert isinstance(closed, ConditionsChecked)
    assert closed.blocked == "window", "a force goes over nothing else"
    assert probes.check_conditions(None) == ConditionsChecked("viewer", health.RETRY_MS)


def test_a_forced_assignment_from_before_the_start_of_the_agent_disturbs_nobody(
    bench: Bench,
) -> None:
    (bench.path / "run").mkdir()
    (bench.path / health.VIEWER_PRESENT).touch()
    probes = bench.probes()

    probes.heed_force(7, is_forced=False)  # what it knew when it started
    probes.heed_force(6, is_forced=True)
    assert probes.check_conditions(None) == ConditionsChecked("viewer", health.RETRY_MS)
    probes.heed_force(7, is_forced=True)  # the broker hands the newest over again

    assert probes.check_conditions(None) == ConditionsChecked()


def test_a_good_time_that_ends_is_told_of_once(bench: Bench) -> None:
    probes = bench.probes()
    window = Window(14 * 60, 16 * 60)
    assert probes.check_conditions(window) == ConditionsChecked("window", 3_600_000)
    assert probes.next_look_ms() is None

    bench.now += timedelta(minutes=90)
    assert probes.check_conditions(window) == ConditionsChecked()
    assert probes.next_look_ms() == health.WATCH_MS
    bench.steady_ms += 2_000
    assert probes.next_look_ms() == health.WATCH_MS - 2_000  # whatever else is fed meanwhile
    probes.look()
    assert bench.events == []

    (bench.path / "run").mkdir()
    (bench.path / health.VIEWER_PRESENT).touch()
    probes.look()
    probes.look()
    assert bench.events == [ConditionsLost("viewer", health.RETRY_MS)]
    assert probes.next_look_ms() is None


def test_a_slot_passes_when_player_and_server_have_been_well_for_a_while(bench: Bench) -> None:
    probes = bench.probes()
    bench.ready()
    probes.start_trial("A-1", 1)
    probes.look()
    assert bench.events == []

    probes.server_answered()
    assert bench.events == [ServerContacted()]
    bench.steady_ms = 1_999
    probes.look()
    assert bench.events == [ServerContacted()]
    bench.steady_ms = 2_000
    probes.look()
    assert bench.events == [ServerContacted(), HealthPassed()]
    assert probes.next_look_ms() is None


def test_a_player_that_goes_away_in_between_starts_the_while_anew(bench: Bench) -> None:
    probes = bench.probes()
    bench.ready()
    probes.start_trial("A-1", 1)
    probes.server_answered()
    (bench.path / PLAYER_READY).unlink()
    bench.steady_ms = 1_500
    probes.look()
    bench.ready()
    probes.look()
    bench.steady_ms = 3_000
    probes.look()

    assert HealthPassed() not in bench.events
    bench.steady_ms = 3_500
    probes.look()
    assert bench.events[-1] == HealthPassed()


def test_a_player_that_never_gets_ready_fails_the_trial_by_name(bench: Bench) -> None:
    probes = bench.probes()
    probes.start_trial("A-1", 1)
    probes.server_answered()
    bench.steady_ms = 10_000
    probes.look()

    [_, failed] = bench.events
    assert isinstance(failed, HealthFailed)
    assert "media player" in failed.detail


def test_silence_of_the_server_is_not_health(bench: Bench) -> None:
    probes = bench.probes()
    bench.ready()
    probes.start_trial("A-1", 1)
    bench.steady_ms = 10**9
    probes.look()

    assert bench.events == []


def test_an_image_that_fills_the_disk_fails_its_trial(bench: Bench) -> None:
    probes = bench.probes(free_bytes_min=1_000)
    bench.free_bytes = 1_000
    bench.ready()
    probes.start_trial("A-1", 1)
    bench.free_bytes = 999
    probes.server_answered()

    said = "Only 999 bytes are free; 1000 are needed."
    assert bench.events[-1] == HealthFailed(Reason.HEALTH_CHECK, said)


def test_a_disk_that_was_full_before_the_trial_says_nothing_against_the_image(
    bench: Bench,
) -> None:
    probes = bench.probes(free_bytes_min=1_000)
    bench.free_bytes = 999
    bench.ready()
    probes.start_trial("A-1", 1)
    probes.server_answered()

    failed = bench.events[-1]
    assert isinstance(failed, HealthFailed)
    assert failed.reason is Reason.STORAGE
    assert failed.reason in RETRYABLE


def test_a_trial_that_is_begun_twice_is_one_trial(bench: Bench) -> None:
    probes = bench.probes()
    probes.start_trial("A-1", 1)
    bench.steady_ms = 9_000
    probes.start_trial("A-1", 1)
    bench.steady_ms = 10_000
    probes.look()

    assert replace_detail(bench.events) == [HealthFailed()]


def replace_detail(events: list[Event]) -> list[Event]:
    return [replace(one, detail="") if isinstance(one, HealthFailed) else one for one in events]
