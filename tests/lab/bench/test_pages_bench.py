"""The measurements of pages work on the real app; small ones show it."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from oleada_lab.bench import pages, screen


def test_pages_and_news_are_measured(tmp_path: Path) -> None:
    found = pages.measure(tmp_path, seed=7, boxes=200, asked=3)

    assert found["boxes"] == 200
    assert 0 < found["list_of_50_p50_ms"] <= found["list_of_50_p95_ms"]
    assert found["rollout_p95_ms"] > 0
    assert 0 < found["news_p50_s"] <= found["news_p95_s"]
    assert set(found["goals"]) <= set(found)


@pytest.mark.browser
def test_a_report_is_measured_from_the_inbox_to_the_screen(tmp_path: Path) -> None:
    with ThreadPoolExecutor(1) as apart:  # a thread has one browser; other tests have one here
        found = apart.submit(screen.measure, tmp_path, seed=7, boxes=200, events=2).result()

    assert found["events"] == 2
    assert 0 < found["event_to_screen_p50_s"] <= found["event_to_screen_max_s"]
    assert set(found["goals"]) <= set(found)
