"""Clocks that are five minutes apart: a box and the server, and two machines of the server."""

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from oleada_lab.operator import oleada_command
from oleada_lab.outages.claims import Claims
from oleada_lab.outages.scene import Scene

OFFSET_S: Final = 300
VARIABLE: Final = "OLEADA_LAB_CLOCK_OFFSET_S"


def boxes(scene: Scene, version: str) -> Claims:
    """Let the first box's clock be ahead, the second's behind, and roll *version* out."""
    claims = Claims()
    wrong = dict(zip(scene.boxes[:2], (OFFSET_S, -OFFSET_S), strict=True))
    for box, offset_s in wrong.items():
        box.power_off()
        with told(VARIABLE, str(offset_s)):
            box.power_on()
    ids = scene.ids()
    for box, offset_s in wrong.items():
        words = f"The clock of this box is 5 min {'ahead' if offset_s > 0 else 'behind'}"
        path = f"/devices/{ids[box.name]}"
        claims.become(f"its page says: {words}", _page_says(scene, path, words))
    rollout = scene.roll_out(version, list(wrong))
    claims.become(
        "both are updated all the same",
        lambda: scene.versions(list(wrong)) == {version},
        limit_s=180,
    )
    rest = scene.operator.server.client
    claims.become(
        "the rollout finishes without a person",
        lambda: rest.get(f"/api/v1/rollouts/{rollout}")["state"] == "finished",
    )
    return claims


def machines(scene: Scene, offset_s: int) -> Claims:
    """Let a second worker and scheduler join, on a machine whose clock is *offset_s* ahead."""
    claims = Claims()
    before = len(scene.log_lines("scheduler", "leading: False"))
    with (
        _process(scene, offset_s, "worker", "--name", "2"),
        _process(scene, offset_s, "scheduler"),
    ):
        claims.become("oleada doctor names the machine", lambda: "clock-apart" in scene.doctor())
        found = scene.doctor().get("clock-apart")
        near = found is not None and abs(found.number - offset_s) < 30
        claims.hold("and by how much", near, found)
        claims.become("pages say so", lambda: "is 5 min ahead" in _help(scene))
        lost = len(scene.log_lines("scheduler", "leading: False")) - before
        claims.hold("the leader still leads", lost == 0, lost)
        claims.become("boxes are heard by both", lambda: scene.waiting() <= 1)
    return claims


def _page_says(scene: Scene, path: str, words: str) -> Callable[[], bool]:
    """Return what looks whether the page at *path* holds *words*."""
    return lambda: words in scene.reader.get(path).text


def _help(scene: Scene) -> str:
    return scene.reader.get("/help").text


@contextmanager
def told(name: str, value: str) -> Iterator[None]:
    """Set *name* in the environment of what is started inside the block."""
    os.environ[name] = value
    try:
        yield
    finally:
        del os.environ[name]


@contextmanager
def _process(scene: Scene, offset_s: int, *words: str) -> Iterator[None]:
    """Run one more process of the server, on a machine whose clock is wrong."""
    environment = {**scene.operator.server.environment, VARIABLE: str(offset_s)}
    log_path = scene.home / f"{words[0]}-apart.log"
    with log_path.open("ab") as log:
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "TERM", *oleada_command(*words)],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)
