"""Plays outages one after the other on one scene, and returns what was claimed and found."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from oleada_lab.outages import certificates, clocks, database, disks
from oleada_lab.outages.claims import Claims
from oleada_lab.outages.scene import Scene
from oleada_lab.outages.small_disk import SmallDisk

VERSION: Final = "1.1.0"
NAMES: Final = (
    "database",
    "server-disk",
    "broker-disk",
    "clocks",
    "machines",
    "box-disk",
    "server-certificates",
    "box-certificate",
)
"""In the order in which they are played: what fills a disk also publishes the version."""
NEEDS_RELEASE: Final = frozenset({"clocks", "box-disk"})


def run(
    home: Path, names: Sequence[str], outage_s: float, kind: str, say: Callable[[str], None]
) -> dict[str, list[dict[str, Any]]]:
    """Play the outages *names* for *outage_s* seconds each on a database of *kind*.

    Returns:
        By outage, its claims (claims.py).
    """
    found: dict[str, list[dict[str, Any]]] = {}
    data_dir = home / "oleada"
    with ExitStack() as stack:
        small = {
            "server-disk": SmallDisk(data_dir, disks.SERVER_BYTES),
            "broker-disk": SmallDisk(data_dir / "broker", disks.BROKER_BYTES),
        }
        for name, disk in small.items():
            if name in names:
                stack.enter_context(disk)
        scene = Scene(
            home,
            database=kind,
            boxes=3 if "clocks" in names else 1,
            settings=disks.SETTINGS if "server-disk" in names else None,
            last_disk_bytes=disks.BOX_BYTES if "box-disk" in names else 0,
        )
        stack.enter_context(scene)
        if NEEDS_RELEASE & set(names) and "server-disk" not in names:
            scene.publish(VERSION)
        plays: dict[str, Callable[[], Claims]] = {
            "database": lambda: database.play(scene, outage_s),
            "server-disk": lambda: disks.server(scene, small["server-disk"], outage_s),
            "broker-disk": lambda: disks.broker(scene, small["broker-disk"], outage_s),
            "clocks": lambda: clocks.boxes(scene, VERSION),
            "machines": lambda: clocks.machines(scene, clocks.OFFSET_S),
            "box-disk": lambda: disks.box(scene, VERSION, outage_s),
            "server-certificates": lambda: certificates.server(scene),
            "box-certificate": lambda: certificates.box(scene),
        }
        for name in NAMES:
            if name in names:
                say(f"{name} …")
                claims = plays[name]()
                found[name] = claims.rows
                for broken in claims.broken:
                    say(f"  does not hold: {broken}")
    return found
