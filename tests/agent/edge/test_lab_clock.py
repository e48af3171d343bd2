"""The lab may set the clock of a box that runs; nobody else does."""

from pathlib import Path

import pytest
from oleada_agent import clock

TEN_DAYS_MS = 10 * 86_400_000


def test_a_file_of_the_lab_moves_the_wall_clock_at_once_and_the_steady_one_never(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offset = tmp_path / "clock"
    monkeypatch.setattr(clock, "LAB_OFFSET_FILE", str(offset))
    before_ms, steady_ms = clock.now_ms(), clock.steady_ms()

    offset.write_text(str(-TEN_DAYS_MS))

    assert clock.now_ms() - before_ms < -TEN_DAYS_MS + 60_000
    assert clock.steady_ms() >= steady_ms


@pytest.mark.parametrize("said", ["", "soon", None])
def test_a_file_that_is_not_there_or_says_nothing_moves_no_clock(
    said: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offset = tmp_path / "clock"
    if said is not None:
        offset.write_text(said)
    before_ms = clock.now_ms()

    monkeypatch.setattr(clock, "LAB_OFFSET_FILE", str(offset))

    assert 0 <= clock.now_ms() - before_ms < 60_000
