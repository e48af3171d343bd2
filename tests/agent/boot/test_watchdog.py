"""The watchdog: it waits for the first sign of life, and for those that were promised."""

from pathlib import Path

import pytest
from oleada_agent import alive
from oleada_agent.boot.watchdog import Sign, Watchdog, look
from oleada_agent.disk import RealDisk
from oleada_agent.shell import ALIVE
from oleada_agent.timers import Timers

from tests.agent.boot.homes import a_home, build_image


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_image(tmp_path_factory.mktemp("images"), "1.0.0")


@pytest.fixture(scope="module")
def newer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_image(tmp_path_factory.mktemp("images"), "1.1.0")


def test_an_agent_that_never_begins_is_bitten_at_its_limit() -> None:
    dog = Watchdog(60, now_s=100)

    assert not dog.bites(None, 160)
    assert dog.bites(None, 160.1)


def test_an_agent_that_promised_nothing_may_be_silent_for_ever() -> None:
    dog = Watchdog(60, now_s=100)

    assert not dog.bites(Sign(1), 150)
    assert not dog.bites(Sign(1), 1_000_000)


def test_a_promise_that_is_kept_holds_the_watchdog_off() -> None:
    dog = Watchdog(60, now_s=0)

    assert not any(dog.bites(Sign(beat, 30), beat * 29.0) for beat in range(1, 100))


def test_a_promise_that_is_broken_is_bitten() -> None:
    dog = Watchdog(60, now_s=0)
    dog.bites(Sign(1, 30), 10)

    assert not dog.bites(Sign(1, 30), 40)
    assert dog.bites(Sign(1, 30), 40.1)


def test_a_file_that_is_gone_keeps_no_promise() -> None:
    dog = Watchdog(60, now_s=0)
    dog.bites(Sign(1, 30), 10)

    assert dog.bites(None, 40.1)


@pytest.mark.parametrize(
    ("text", "promised_s"),
    [("", None), ("30\n", 30), ("nonsense", None), ("nan", None), ("-1", None), ("1e9", None)],
)
def test_what_is_no_number_of_seconds_is_no_promise(
    tmp_path: Path, text: str, promised_s: float | None
) -> None:
    (tmp_path / "alive").write_text(text)

    found = look(tmp_path / "alive")

    assert found is not None
    assert found.promised_s == promised_s


def test_a_sign_that_is_not_there_is_none(tmp_path: Path) -> None:
    assert look(tmp_path / "alive") is None


def test_the_agent_promises_to_be_heard_long_before_it_is_bitten(tmp_path: Path) -> None:
    disk, timers = RealDisk(tmp_path), Timers()

    alive.show(disk, timers)

    found = look(tmp_path / ALIVE)
    assert found is not None
    assert found.promised_s == alive.SILENCE_S >= 5 * alive.EVERY_MS / 1000
    assert "alive" in timers.due_ms


def test_a_disk_that_takes_nothing_does_not_end_the_agent(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("no folder")
    timers = Timers()

    alive.show(RealDisk(tmp_path), timers)

    assert "alive" in timers.due_ms


@pytest.mark.real
def test_a_hung_agent_of_a_proven_slot_is_started_again_alone(tmp_path: Path, image: Path) -> None:
    with a_home(tmp_path, image) as home:
        home.power_on()
        hung = home.next_call()
        hung.order("hush")
        again = home.next_boot("stay")

        assert hung.ended()
        assert again["boot_id"] == hung.said["boot_id"]
        assert again["pid"] != hung.said["pid"]
        said = home.store.load()
        assert said is not None
        assert said.a.successful


@pytest.mark.real
def test_an_agent_that_hangs_in_its_trial_costs_a_try(
    tmp_path: Path, image: Path, newer: Path
) -> None:
    with a_home(tmp_path, image, newer, tries_b=4) as home:
        home.power_on()
        home.next_boot("hush")
        again = home.next_boot("stay")

        assert (again["slot"], again["boot_reason"]) == ("B", "watchdog")
        assert again["after_watchdog"]
        said = home.store.load()
        assert said is not None
        assert said.b.tries == 2
