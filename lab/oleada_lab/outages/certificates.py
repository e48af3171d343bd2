"""Certificates that have expired: of the device door and the broker, and of a box.

They are made with a clock of long ago by the code that makes them always.
"""

import shutil
from datetime import timedelta
from typing import Final

from oleada_agent import enrol, keypairs
from oleada_agent.disk import RealDisk
from oleada_server.enrolment import pki

from oleada_lab.boxes import Box
from oleada_lab.clock import now_utc
from oleada_lab.outages.claims import Claims
from oleada_lab.outages.clocks import VARIABLE, told
from oleada_lab.outages.scene import Scene

EXPIRED: Final = "certificate of this box has expired"
YEAR: Final = timedelta(days=365)
COMES_BACK_S: Final = 600.0
"""Three refusals of the broker, with the pauses between them, on a machine that is busy."""
LONG_AGO: Final = timedelta(days=900)
"""More than a server certificate lives."""


def server(scene: Scene) -> Claims:
    """Put expired certificates under the door and the broker of a server that runs."""
    claims = Claims()
    directory = scene.operator.server.config.pki_dir
    names = ("door", "broker")
    before = {name: scene.process(*_WORDS[name]).pid for name in names}
    for name in names:
        aside = scene.home / "expired"
        shutil.copytree(directory, aside, dirs_exist_ok=True)
        (aside / f"{name}.pem").unlink()
        pki.make_server_end(aside, name, ["127.0.0.1", "localhost"], now_utc() - LONG_AGO)
        for kind in ("key", "pem"):
            shutil.copyfile(aside / f"{name}.{kind}", directory / f"{name}.{kind}")
    for name in names:
        claims.become(
            f"the {name} starts again by itself with a new certificate",
            lambda name=name: scene.process(*_WORDS[name]).pid != before[name],  # type: ignore[misc]
        )
    said = scene.operator.server.data_dir / "up.log"
    claims.become("up says which has changed", lambda: "Certificate door" in said.read_text())
    claims.become(
        "nothing is left to warn of", lambda: scene.is_over("certificate-expired", "broker-away")
    )
    claims.become("the boxes are heard again", lambda: scene.waiting() <= 1)
    return claims


def box(scene: Scene) -> Claims:
    """Let the certificate of the first box have expired, by months and by years."""
    claims = Claims()
    target = scene.boxes[0]
    device_id = scene.ids()[target.name]
    target.power_off()
    scene.expire(device_id, target, now_utc() - LONG_AGO)
    claims.become("its page says so", lambda: EXPIRED in _page(scene, f"/devices/{device_id}"))
    claims.hold("oleada doctor counts it", "boxes-expired" in scene.doctor())
    target.power_on()
    _comes_back(claims, scene, target, device_id, "the box")
    said = scene.box_says(target, "asks for its next")
    claims.hold("the box says so in its log", bool(said), said)
    told = [one["action"] for one in scene.audited(f"device:{device_id}")]
    claims.hold("the audit trail has it", "device.renew" in told, told)
    claims.hold("nobody had to make a claim token", told.count("device.enrol") == 1, told)
    _with_a_dead_clock(claims, scene, target, device_id)
    return claims


def _with_a_dead_clock(claims: Claims, scene: Scene, target: Box, device_id: str) -> None:
    """Let the box have slept for three years, and wake up in 1970 without any time it believes."""
    target.power_off()
    scene.expire(device_id, target, now_utc() - 3 * YEAR)
    for floor in (target.directory / enrol.TRUST).glob("floor.*"):
        floor.unlink()
    to_1970 = -int(now_utc().timestamp()) + 60
    with told(VARIABLE, str(to_1970)):
        target.power_on()
        _comes_back(claims, scene, target, device_id, "a box that wakes up in 1970")
    target.power_off()
    target.power_on()
    claims.become("and has said everything", lambda: scene.waiting() <= 1)


def _comes_back(claims: Claims, scene: Scene, target: Box, device_id: str, who: str) -> None:
    """Claim that the box gets another certificate by itself and is heard with it."""
    disk = RealDisk(target.directory)
    claims.become(
        f"{who} has another certificate",
        lambda: _ends_s(disk) > now_utc().timestamp() and "identity/" + keypairs.active(disk),
        limit_s=COMES_BACK_S,
    )
    claims.become(f"{who} is heard again", lambda: scene.is_over("boxes-expired"))
    claims.become(f"{who} has said everything", lambda: scene.waiting() <= 1)
    page = scene.reader.get(f"/devices/{device_id}")
    claims.hold("its page is content", page.status == 200 and EXPIRED not in page.text)
    claims.hold(f"{who} was on all the time", target.is_on)


_WORDS: Final = {"door": ("oleada door",), "broker": ("mosquitto",)}


def _ends_s(disk: RealDisk) -> float:
    """Return when the certificate in use ends, in seconds since 1970."""
    found = keypairs.span(disk, keypairs.active(disk))
    return found.ends_ms / 1000 if found else 0.0


def _page(scene: Scene, path: str) -> str:
    return scene.reader.get(path).text
