"""Each measurement works on the real programs; a small one shows it, the numbers do not matter."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from oleada_lab.bench import assignment, gateway

from tests.support.processes import own_ports, processes_of

pytestmark = pytest.mark.real


def test_the_gateway_is_measured_beside_its_bare_parts(tmp_path: Path) -> None:
    # A thread of its own: a browser that was driven before leaves its event loop in this one.
    with ThreadPoolExecutor(1) as threads:
        found = threads.submit(gateway.measure, tmp_path, seed=7, count=320, rounds=1).result()

    assert {
        mode: found[mode]["messages"] for mode in ("insert", "subscribe", "both", "worker")
    } == {
        "insert": 320,
        "subscribe": 320,
        "both": 320,
        "worker": 320,
    }
    assert found["share_of_bare"] > 0
    assert processes_of(tmp_path) == []


def test_every_light_box_gets_its_assignment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, port in own_ports().items():
        monkeypatch.setenv(f"OLEADA_{name.upper()}", str(port))

    found = assignment.measure(tmp_path, boxes=10)

    assert found["boxes"] == 10
    assert 0 < found["p50_s"] <= found["p99_s"] <= found["max_s"]
    assert processes_of(tmp_path) == []
