"""``oleada-lab demo`` as a newcomer meets it: it moves, it stops, it carries on."""

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pytest
from oleada_lab.operator import Server, wait_until

from tests.support.processes import processes_of

pytestmark = [pytest.mark.real, pytest.mark.timeout(400)]
LINK = re.compile(r"http://127\.0\.0\.1:[0-9]+/sign-in/link/(\S+)")


def test_the_demo_moves_stops_without_a_trace_and_carries_on(tmp_path: Path) -> None:
    server = Server(tmp_path / "oleada")
    with _demo(tmp_path) as first:
        first_link = _read_link(first)
        wait_until(lambda: _outcomes(server).get("updated", 0) >= 2, 120, "two boxes are updated")
    assert processes_of(tmp_path) == []

    with _demo(tmp_path) as second:
        second_link = _read_link(second)
        wait_until(lambda: _ends(server) == {"finished", "halted"}, 180, "both rollouts end")
        devices = server.client.get("/api/v1/devices")["total"]

    assert processes_of(tmp_path) == []
    assert devices == 12
    assert second_link != first_link
    assert _count_lines(tmp_path / "oleada" / "up.log", "Oleada is ready") == 2


@contextmanager
def _demo(var: Path) -> Iterator[IO[str]]:
    """Run the demo until the block ends, then press Ctrl-C; it must end by itself, well."""
    command = [sys.executable, "-m", "oleada_lab", "demo", "--var", str(var)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout
        finally:
            process.send_signal(signal.SIGINT)
            said = process.stdout.read()
        assert process.wait() == 0
        assert "no process is left" in said


def _read_link(said: IO[str]) -> str:
    for line in said:
        if found := LINK.search(line):
            return found[1]
    raise AssertionError("the demo ended without a sign-in link")


def _rollouts(server: Server) -> list[dict[str, Any]]:
    rows = server.client.get("/api/v1/rollouts")["rollouts"]
    return [server.client.get(f"/api/v1/rollouts/{row['id']}") for row in rows]


def _outcomes(server: Server) -> dict[str, int]:
    found: dict[str, int] = {}
    for rollout in _rollouts(server):
        for wave in rollout["waves"]:
            for state, boxes in wave["states"].items():
                found[state] = found.get(state, 0) + boxes
    return found


def _ends(server: Server) -> set[str]:
    return {rollout["state"] for rollout in _rollouts(server)}


def _count_lines(path: Path, text: str) -> int:
    return sum(text in line for line in path.read_text().splitlines())
