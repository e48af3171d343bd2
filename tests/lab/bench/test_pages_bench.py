"""The measurement of pages works on the real app; a small one shows it."""

from pathlib import Path

from oleada_lab.bench import pages


def test_pages_and_news_are_measured(tmp_path: Path) -> None:
    found = pages.measure(tmp_path, seed=7, boxes=200, asked=3)

    assert found["boxes"] == 200
    assert 0 < found["list_of_50_p50_ms"] <= found["list_of_50_p95_ms"]
    assert found["rollout_p95_ms"] > 0
    assert 0 < found["news_p50_s"] <= found["news_p95_s"]
    assert set(found["goals"]) <= set(found)
