"""Disks that are full: the server's, the broker's, a box's. Each is small, and filled."""

import os
import signal
from pathlib import Path

from oleada_server.broker import CONFIGURATION

from oleada_lab.clock import now_utc, sleep_s
from oleada_lab.errors import OperatorError
from oleada_lab.outages.claims import Claims
from oleada_lab.outages.scene import Scene
from oleada_lab.outages.small_disk import SmallDisk

MEGABYTE = 1024 * 1024
SERVER_BYTES = 48 * MEGABYTE
SETTINGS: dict[str, str | int] = {"disk_keep_bytes": 2 * MEGABYTE, "disk_low_bytes": 4 * MEGABYTE}
"""Of a server whose whole disk is so small."""
BROKER_BYTES = 8 * MEGABYTE
BOX_BYTES = 4 * MEGABYTE
STALE_S = 600.0


def server(scene: Scene, disk: SmallDisk, outage_s: float) -> Claims:
    """Fill the disk of the data directory of *scene* for *outage_s* seconds."""
    claims = Claims()
    blobs = scene.operator.server.config.blobs_dir
    before = sorted(path.name for path in blobs.rglob("*") if path.is_file())
    disk.fill(but_bytes=3 * MEGABYTE)
    claims.become("it is told before the disk is full", lambda: "disk-low" in scene.doctor())
    disk.fill(but_bytes=1 * MEGABYTE)
    bundle = scene.bundle("1.1.0")
    refused = _refused(scene, bundle)
    claims.hold("publishing is refused in words", "no room" in refused, refused)
    after = sorted(path.name for path in blobs.rglob("*") if path.is_file())
    claims.hold("and leaves nothing", before == after, after)
    claims.become("pages say so", lambda: "is full" in scene.reader.get("/help").text)
    disk.fill()
    if scene.cluster is None:  # whose files lie on this disk
        claims.become("boxes keep what they say", lambda: scene.waiting() > 1)
    claims.hold("pages go on", scene.reader.get("/devices").status == 200)
    sleep_s(outage_s)
    disk.make_room()
    claims.become("boxes have said everything", lambda: scene.waiting() <= 1)
    claims.become("nothing is left to warn of", lambda: scene.is_over("disk-low", "disk-full"))
    refused = _refused(scene, bundle)
    claims.hold("the release is published now", not refused, refused)
    chain = scene.reader.get("/audit/chain")
    claims.hold("the audit trail is whole", "unbroken" in chain.text or chain.status == 200)
    told = len(scene.log_lines("worker", '"database: A disk'))
    claims.hold("the worker's log says it once", told <= 1, told)
    return claims


def broker(scene: Scene, disk: SmallDisk, outage_s: float) -> Claims:
    """Fill the disk of the broker's store, let it forget, and see it filled again.

    The store is written when the broker is told to (SIGUSR1), for the short form.
    """
    claims = Claims()
    store = scene.operator.server.config.broker_dir / "mosquitto.db"
    process = scene.process("mosquitto")
    process.send_signal(signal.SIGUSR1)
    claims.become("the store is written while there is room", store.exists)
    disk.fill()
    process.send_signal(signal.SIGUSR1)
    claims.become(
        "the broker's log says that it can not write", lambda: scene.log_lines("broker", "Error")
    )
    old_s = now_utc().timestamp() - STALE_S
    for path in (store, store.with_name(CONFIGURATION)):  # as if it had run for long
        if path.exists():
            os.utime(path, (old_s, old_s))
    claims.become("oleada doctor says so", lambda: "broker-store" in scene.doctor())
    claims.become("pages say so", lambda: "has not written its store" in _help(scene))
    claims.become("boxes are heard as before", lambda: scene.waiting() <= 1)
    sleep_s(outage_s)
    process.kill()
    store.unlink(missing_ok=True)
    claims.become(
        "the worker fills the broker again from the database",
        lambda: scene.log_lines("worker", "the broker has lost its memory"),
    )
    disk.make_room()
    scene.process("mosquitto").send_signal(signal.SIGUSR1)
    claims.become("the store is written again", lambda: _is_fresh(scene))
    claims.become(
        "nothing is left to warn of", lambda: scene.is_over("broker-store", "broker-away")
    )
    return claims


def box(scene: Scene, version: str, outage_s: float) -> Claims:
    """Fill the disk of the last box of *scene* and roll *version* out to it."""
    claims = Claims()
    target = scene.boxes[-1]
    disk = SmallDisk(target.directory / "data", BOX_BYTES)
    disk.fill()
    device_id = scene.ids()[target.name]
    claims.become(
        "the page of the box says so",
        lambda: "disk of this box is full" in scene.reader.get(f"/devices/{device_id}").text,
    )
    rollout = scene.roll_out(version, [target])
    claims.become(
        "its own log says so", lambda: _filled(disk) and scene.box_says(target, "can not be stored")
    )
    sleep_s(outage_s)
    claims.hold("it is on", target.is_on)
    claims.hold("it runs what it ran", scene.versions([target]) == {"1.0.0"})
    spool = sum(path.stat().st_size for path in (target.directory / "data/outbox").glob("*-*"))
    claims.hold("what it keeps to say is bounded", spool < 4 * MEGABYTE, spool)
    disk.make_room()
    claims.become(
        "the update goes on by itself", lambda: scene.versions([target]) == {version}, limit_s=600
    )
    rest = scene.operator.server.client
    claims.become(
        "the rollout finishes without a person",
        lambda: rest.get(f"/api/v1/rollouts/{rollout}")["state"] == "finished",
        limit_s=600,
    )
    return claims


def _filled(disk: SmallDisk) -> bool:
    """Take away also what was freed since: a message that has left makes room for a journal."""
    disk.fill()
    return True


def _refused(scene: Scene, bundle: Path) -> str:
    """Return with which words the server refused *bundle*; empty if it did not."""
    try:
        scene.operator.server.run("release", "publish", bundle)
    except OperatorError as error:
        return str(error)
    return ""


def _help(scene: Scene) -> str:
    return scene.reader.get("/help").text


def _is_fresh(scene: Scene) -> bool:
    store = scene.operator.server.config.broker_dir / "mosquitto.db"
    return store.exists() and now_utc().timestamp() - store.stat().st_mtime < STALE_S
