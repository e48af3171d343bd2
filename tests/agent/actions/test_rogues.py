"""A process of an action that floods, lies, hogs or breeds harms nobody and is told of."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from oleada_agent import offspring
from oleada_wire import messages
from oleada_wire.actions import PROGRESS_MAX, RESULT_BYTES_MAX
from oleada_wire.messages import UP_BYTES_MAX, Progress, Result
from oleada_wire.words import ResultStatus

from tests.agent.actions.bench import WAIT_S, Bench


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setattr(offspring, "MODULE", "tests.agent.actions.rogue")
    found = Bench(tmp_path)
    yield found
    found.actions.stop()


@pytest.mark.parametrize("how", ["flood", "long-line"])
def test_a_process_that_says_a_hundred_megabytes_is_ended(bench: Bench, how: str) -> None:
    bench.send("self_test", how)
    result = bench.result_of(how)

    assert (result.status, result.error) == (ResultStatus.INTERNAL, "too-much-output")
    assert len(bench.progress) <= PROGRESS_MAX
    assert all(len(messages.encode(one)) <= UP_BYTES_MAX for one in bench.progress)


def test_nonsense_is_left_out_and_what_is_sent_can_be_read(bench: Bench) -> None:
    bench.send("self_test", "nonsense")
    result = bench.result_of("nonsense")

    assert result.status is ResultStatus.INTERNAL
    assert [one.values for one in bench.progress] == [{"d": 5}]
    assert messages.decode(Result, messages.encode(result)) == result
    for said in bench.progress:
        assert messages.decode(Progress, messages.encode(said)) == said


def test_a_process_that_takes_all_memory_gets_none(bench: Bench) -> None:
    bench.send("self_test", "hog")

    assert bench.result_of("hog").error == "too-much-memory"


def test_who_is_ended_takes_its_children_along(bench: Bench) -> None:
    bench.send("self_test", "family")
    [job] = bench.actions._running
    assert job.child is not None
    group = job.child._pid
    bench.actions.take(bench.said.get(timeout=WAIT_S))
    assert bench.progress[0].values == {"ready": True}
    job.until_ms = 0
    bench.actions.look()
    while not job.child.is_gone:
        bench.actions.take(bench.said.get(timeout=WAIT_S))

    assert bench.result_of("family").error == "timed-out"
    assert all(state in "ZX" for state in states_of(group))


def states_of(group: int) -> list[str]:
    """Return the states of the processes in *group*."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            words = Path(f"/proc/{name}/stat").read_text().rpartition(") ")[2].split()
        except OSError:
            continue
        if int(words[2]) == group:
            found.append(words[0])
    return found


def test_a_log_of_a_hundred_megabytes_is_told_in_its_bounds(
    tmp_path: Path,
) -> None:
    bench = Bench(tmp_path)
    with (tmp_path / "run/agent.log").open("w") as file:
        for number in range(200):
            file.write(f"2026-07-01T12:00:00Z line {number} " + "y" * 900 + "\n")
        file.seek(100_000_000)
        for number in range(1_500):
            file.write(f"2026-07-01T12:00:00Z last {number} " + "z" * 900 + "\n")
    bench.send("log_pull", lines=5_000)
    result = bench.result_of()

    text = "".join(one.output for one in bench.progress) + result.output
    assert result.status is ResultStatus.COMPLETE
    assert bench.values(result)["VendorLogFile.1.X_OLEADA_Truncated"] is True
    assert 100_000 < len(text) <= RESULT_BYTES_MAX
    assert "last 1499" in text
    assert len(bench.progress) <= PROGRESS_MAX
