"""The tutorial and ``oleada-lab demo`` as a newcomer meets them: typed, stopped, carried on."""

import os
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

pytestmark = [pytest.mark.real, pytest.mark.timeout(900)]
ROOT = Path(__file__).resolve().parents[2]
TUTORIAL = (ROOT / "docs" / "tutorial" / "first-rollout.md").read_text()
MAKEFILE = (ROOT / "Makefile").read_text()
LINK = re.compile(r"http://127\.0\.0\.1:[0-9]+/sign-in/link/(\S+)")


def test_the_tutorial_works_as_a_newcomer_types_it(tmp_path: Path) -> None:
    """Every command of docs/tutorial/first-rollout.md, in its order, in an empty folder."""
    (tmp_path / ".venv").symlink_to(Path(sys.executable).parents[1])
    (begin, *later, plug) = _commands()
    assert begin == "make run"  # which is what _demo runs: see the Makefile
    assert re.search(r"^run:.*\n(?:\t.*\n)*\t@exec \$\(BIN\)/oleada-lab demo", MAKEFILE, re.M)
    server = Server(tmp_path / "var" / "oleada")
    with _demo(tmp_path) as first:
        first_link = _read_link(first)
        wait_until(lambda: "finished" in _ends(server), 300, "the rollout of VX-240 ends")
        said = [_type(command, tmp_path) for command in later]
        refused = [text for text in said if "Error: " in text]
        assert _state(server, "R-3") == "finished"
        assert _type(plug, tmp_path) == ""
    assert processes_of(tmp_path) == []

    with _demo(tmp_path) as second:
        second_link = _read_link(second)
        wait_until(lambda: {"finished", "halted"} == _ends(server), 300, "every rollout has ended")
        devices = server.client.get("/api/v1/devices", {"limit": 200})["devices"]

    assert processes_of(tmp_path) == []
    # One signature of two is the one thing that a newcomer is shown to be refused.
    assert len(refused) == 1
    assert "signature" in refused[0]
    assert sum("1.2.0" in device["version"] for device in devices) == 6
    assert len(devices) == 12
    assert second_link != first_link
    assert _count_lines(tmp_path / "var" / "oleada" / "up.log", "Oleada is ready") == 2


def _commands() -> list[str]:
    """Return each command that the tutorial shows, in the order in which it is typed."""
    blocks = re.findall(r"```sh\n(.*?)```", TUTORIAL, re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line]


def _type(command: str, folder: Path) -> str:
    """Run *command* in a shell in *folder*; return what it said where a person reads errors."""
    environ = {name: value for name, value in os.environ.items() if "OLEADA" not in name}
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode == 0) is ("Error: " not in done.stderr), f"{command}: {done.stderr}"
    return done.stderr


@contextmanager
def _demo(folder: Path) -> Iterator[IO[str]]:
    """Run the demo until the block ends, then press Ctrl-C; it must end by itself, well."""
    # Its folder is named in full, so that what it leaves running would be found.
    command = [sys.executable, "-m", "oleada_lab", "demo", "--var", str(folder / "var")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=folder) as process:
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


def _state(server: Server, number: str) -> str:
    return str(server.client.get(f"/api/v1/rollouts/{number}")["state"])


def _ends(server: Server) -> set[str]:
    return {rollout["state"] for rollout in _rollouts(server)}


def _count_lines(path: Path, text: str) -> int:
    return sum(text in line for line in path.read_text().splitlines())
