"""The database is away for a while: stopped (PostgreSQL), or held by another program (SQLite)."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from oleada_server.client import NoServerError, RefusedError

from oleada_lab.clock import sleep_s
from oleada_lab.outages.claims import Claims
from oleada_lab.outages.scene import Scene


def play(scene: Scene, outage_s: float) -> Claims:
    """Take the database of *scene* away for *outage_s* seconds and look what happens."""
    claims = Claims()
    box = scene.boxes[0].name
    stream = scene.reader.watch("/live/fleet")
    claims.become("a live page is alive before", lambda: stream.beats)
    with _away(scene):
        if scene.cluster is not None:
            page = scene.reader.get("/devices")
            claims.hold("pages answer 503", page.status == 503, page.status)
            claims.hold("and when to come back", page.retry_after == "5", page.retry_after)
            claims.hold("in words", "The database does not answer" in page.text, page.text[:80])
            claims.hold("oleada doctor says so", "database-away" in scene.doctor())
        else:
            page = scene.reader.get("/devices")
            claims.hold("pages go on reading", page.status == 200, page.status)
        refused = _refused(lambda: scene.operator.server.client.post("/api/v1/claims", _claim()))
        claims.hold("programs are told database-away", "does not answer" in refused, refused)
        claims.become("boxes keep what they say", lambda: scene.waiting() > 1)
        sleep_s(outage_s)
        claims.hold("the boxes are on", all(one.is_on for one in scene.boxes))
        beats = stream.beats
    claims.become("pages answer again", lambda: scene.reader.get("/devices").status == 200)
    claims.become("the live page moves again by itself", lambda: stream.beats > beats)
    claims.become("boxes have said everything", lambda: scene.waiting() <= 1)
    claims.become("nothing is left to warn of", lambda: scene.is_over("database-away"))
    claims.hold("no box dropped a message", not _dropped(scene), box)
    stream.close()
    for process in ("worker", "scheduler"):
        claims.become(
            f"the {process}'s log says when it began, once",
            lambda process=process: _told(scene, process, "The database does not answer") == 1,  # type: ignore[misc]
        )
        claims.become(  # the slowest part of its work tells the end
            f"the {process}'s log says when it was over, once",
            lambda process=process: _told(scene, process, "works again") == 1,  # type: ignore[misc]
        )
        traces = scene.log_lines(process, "Traceback")
        claims.hold(f"the {process}'s log has no traceback", not traces, len(traces))
    return claims


@contextmanager
def _away(scene: Scene) -> Iterator[None]:
    if scene.cluster is not None:
        scene.cluster.kill()
        try:
            yield
        finally:
            scene.cluster.start()
        return
    path = scene.operator.server.config.data_dir / "oleada.db"
    hog = sqlite3.connect(path, isolation_level=None, timeout=30)
    try:
        hog.execute("BEGIN EXCLUSIVE")
        yield
    finally:
        hog.close()


def _told(scene: Scene, process: str, words: str) -> int:
    """Return how often the log of *process* says *words* of the database."""
    return len(scene.log_lines(process, f'"database: {words}'))


def _claim() -> dict[str, str]:
    return {"serial": "240C2699999", "hardware_model": "VX-240"}


def _refused(ask: Callable[[], object]) -> str:
    """Return with which words the server refused; empty if it did not."""
    try:
        ask()
    except (RefusedError, NoServerError) as error:
        return str(error)
    return ""


def _dropped(scene: Scene) -> list[str]:
    """Return the boxes that say they have dropped messages."""
    rest = scene.operator.server.client
    found = [rest.get(f"/api/v1/devices/{row['id']}") for row in scene.operator.devices()]
    return [row["id"] for row in found if (row.get("health") or {}).get("X_OLEADA_DroppedMessages")]
