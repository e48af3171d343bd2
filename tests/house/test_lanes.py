"""Two workers of four take what waits; nobody is idle while there is anything to take."""

from tests.support.lanes import next_file, unfinished

WAITING = ("tests/e2e/", "tests/backup/test_worst_day.py")
QUEUE = ["tests/e2e/test_demo.py", "tests/web/test_pages.py", "tests/backup/test_worst_day.py"]
DEMO, PAGES, DAY = QUEUE


def test_the_first_two_workers_wait_and_the_others_compute() -> None:
    assert next_file(QUEUE, [[], [], []], WAITING) == DEMO
    assert next_file([PAGES, DAY], [[DEMO], [], []], WAITING) == DAY
    assert next_file(QUEUE, [[DEMO], [PAGES, DAY], []], WAITING) == PAGES


def test_a_worker_takes_of_the_other_lane_when_its_own_is_empty() -> None:
    assert next_file([PAGES], [[], [], []], WAITING) == PAGES
    assert next_file([DAY, DEMO], [["tests/e2e/a"], ["tests/e2e/b"], []], WAITING) == DAY


def test_a_file_counts_until_its_last_test_has_run() -> None:
    units = {DEMO: {"a": True, "b": False}, PAGES: {"c": True}, DAY: {"d": False}}

    assert unfinished(units) == [DEMO, DAY]
