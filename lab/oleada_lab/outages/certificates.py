"""Certificates that have expired: of the device door and the broker, and of a box.

They are made with a clock of long ago by the code that makes them always.
"""

import shutil
from datetime import timedelta
from typing import Final

from oleada_server.enrolment import pki

from oleada_lab.clock import now_utc
from oleada_lab.outages.claims import Claims
from oleada_lab.outages.scene import Scene

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
    """Let the certificate of the first box have expired."""
    claims = Claims()
    target = scene.boxes[0]
    target.power_off()
    identity = target.directory / "data" / "identity"
    kept = (identity / "certificate.pem").read_bytes()
    device_id = scene.ids()[target.name]
    scene.expire(device_id, identity, now_utc() - LONG_AGO)
    target.power_on()
    claims.become("the box says so in its log", lambda: scene.box_says(target, "has expired"))
    claims.hold("it is on", target.is_on)
    claims.become(
        "its page says so",
        lambda: "certificate of this box has expired" in _page(scene, f"/devices/{device_id}"),
    )
    claims.hold("oleada doctor counts it", "boxes-expired" in scene.doctor())
    target.power_off()
    (identity / "certificate.pem").write_bytes(kept)
    scene.restore(device_id)
    target.power_on()
    claims.become("with a certificate it is heard again", lambda: scene.is_over("boxes-expired"))
    claims.become("and has said everything", lambda: scene.waiting() <= 1)
    return claims


_WORDS: Final = {"door": ("create_door",), "broker": ("mosquitto",)}


def _page(scene: Scene, path: str) -> str:
    return scene.reader.get(path).text
