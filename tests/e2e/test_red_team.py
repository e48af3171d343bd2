"""The claim, attacked: who holds the whole server can delay, or assign what is approved; no more.

A thief takes the data directory of a real server with every key in it, and its broker, and
says to two unmodified boxes whatever these keys can sign (tests/support/thief.py). Box A
is in no wave that approvers have signed; box B is in one that it has not heard of yet.
Each row of ATTACKS must fail, and be told by the box under a code of its own.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from oleada_lab.boxes import Box, power_off_all
from oleada_lab.firmware.image import BuiltImage, ImageSpec, build_small_image
from oleada_lab.operator import Operator, Places, wait_until
from oleada_store import keys
from oleada_wire.words import Phase

from tests.support.attacks import (
    ATTACKS,
    FOREIGN,
    MODEL,
    NEW,
    OLD,
    OTHER_MODEL,
    RUNS,
    Attack,
    Scene,
)
from tests.support.processes import own_ports, processes_of
from tests.support.thief import stolen

pytestmark = [pytest.mark.real, pytest.mark.timeout(900)]
SETTINGS = {"health_s": 60, "connect_spread_s": 1, "trial_s": 30}
LIMIT_S = 300


# -- what is proven -----------------------------------------------------------------------


def test_a_stolen_server_makes_no_box_run_anything_that_people_have_not_signed(
    scene: Scene,
) -> None:
    """Every attack fails under its code; then the one thing that the thief can do is done."""
    told_this_boot: set[str] = set()
    failed = []
    for attack in ATTACKS:
        if attack.told in told_this_boot and attack.told.startswith("log"):
            restart(scene)  # a box tells of the same refusal once an hour
            told_this_boot.clear()
        told_this_boot.add(attack.told)
        name = attack.act.__name__
        wait_until(Pressing(scene, attack).is_told, LIMIT_S, f"{name} is refused")
        failed.append(name)

    assert len(failed) == len(ATTACKS) == 23
    assert scene.boxes["A"].slot_path("B").stat().st_size == 0  # nothing was ever written
    assert runs(scene, "A") == RUNS
    reports = scene.thief.reports(scene.ids["A"])
    # One that waited for a better wave is dropped for the next assignment.
    assert all(one.phase is Phase.DECLINED or one.reason == "cancelled" for one in reports)
    assert sum(one.done_bytes for one in reports) == 0

    # Box B is covered: the thief may assign it what was approved, and not one byte else.
    approved, evil = scene.images[NEW], scene.images["evil"]
    wrong = evil.path.read_bytes().ljust(approved.size_bytes, b"x")[: approved.size_bytes]
    scene.thief.images[approved.sha256] = wrong
    scene.thief.give_waves(scene.wave.encode())
    scene.thief.publish_metadata()
    scene.boxes["B"].power_on()
    scene.assign(NEW, "B")
    b = scene.ids["B"]
    wait_until(lambda: "wrong-digest" in reasons(scene, b), LIMIT_S, "box B refuses other bytes")
    del scene.thief.images[approved.sha256]
    scene.assign(NEW, "B")
    wait_until(lambda: Phase.UPDATED in phases(scene, b), LIMIT_S, "box B is updated")
    assert runs(scene, "B") == NEW


@dataclass
class Pressing:
    """A thief who tries again whenever the box has been away: a command reaches who is there."""

    scene: Scene
    attack: Attack
    since: int = -1
    hellos: int = 0

    def is_told(self) -> bool:
        """Attack if it is time to; return whether box A has told of it since the first time."""
        if self.since < 0:
            self.since = len(self.scene.thief.said)
        elif self.hellos == said_hello(self.scene):
            return is_told(self.scene, self.attack, self.since)
        self.hellos = said_hello(self.scene)
        self.attack.act(self.scene)
        return False


def reasons(scene: Scene, device_id: str) -> set[str | None]:
    return {report.reason for report in scene.thief.reports(device_id)}


def phases(scene: Scene, device_id: str) -> set[Phase]:
    return {report.phase for report in scene.thief.reports(device_id)}


def is_told(scene: Scene, attack: Attack, before: int) -> bool:
    """Return whether box A has told of *attack* in what was said after *before*."""
    sort, _, words = attack.told.partition(" ")
    thief = replace(scene.thief, said=scene.thief.said[before:])
    a = scene.ids["A"]
    match sort:
        case "log":
            return any(words in line for line in thief.logs(a))
        case "result":
            return any(result.status == words for result in thief.results(a))
        case _:
            return any(report.reason == words for report in thief.reports(a))


def runs(scene: Scene, box: str) -> str:
    """Return the version that the box has booted."""
    text = (scene.boxes[box].directory / "run" / "booted.json").read_text()
    return str(json.loads(text)["version"])


def restart(scene: Scene) -> None:
    """Pull the plug of box A and let it come back to the stolen broker, with honest metadata."""
    scene.boxes["A"].power_cut()
    scene.thief.publish_metadata()
    scene.thief.give_waves()
    hellos = said_hello(scene)
    scene.boxes["A"].power_on()
    wait_until(lambda: said_hello(scene) > hellos, LIMIT_S, "box A is back")


def said_hello(scene: Scene) -> int:
    a = scene.ids["A"]
    return sum(1 for who, kind, _ in list(scene.thief.said) if who == a and kind == "hello")


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """A server that served well until it was stolen, and two boxes that believe in it."""
    images = {
        "evil": _image(tmp_path, MODEL, "6.6.6", 9),
        OLD: _image(tmp_path, MODEL, OLD, 1),
        RUNS: _image(tmp_path, MODEL, RUNS, 2),
        NEW: _image(tmp_path, MODEL, NEW, 2),
        FOREIGN: _image(tmp_path, OTHER_MODEL, FOREIGN, 2),
    }
    operator = Operator(Places.under(tmp_path), own_ports())
    boxes: dict[str, Box] = {}
    try:
        with operator.server:
            config = operator.server.config
            operator.establish([MODEL], waves_by_people=True)
            for version, image in images.items():
                if version in {OLD, NEW}:  # the one that runs is from the factory
                    _publish(operator, image)
            for name in ("A", "B"):
                boxes[name] = operator.add_box(
                    f"410RED0000{name}", MODEL, images[RUNS].path, settings=SETTINGS
                )
                boxes[name].power_on()
            wait_until(lambda: len(_ids(operator)) == 2, 120, "both boxes said hello")
            ids = {serial[-1]: device_id for serial, device_id in _ids(operator).items()}
            boxes["B"].power_off()
            _approve_for(operator, ids["B"])
        insider = {
            name: keys.read_encrypted(
                operator.signer.folder / "keys" / f"{name}.pem", _passphrase(operator)
            )
            for name in ("release-signer", "wave-approver-1")
        }
        with stolen(config, tmp_path / "stolen", MODEL) as thief:
            found = Scene(thief, boxes, ids, images, insider)
            wait_until(lambda: said_hello(found) > 0, LIMIT_S, "box A speaks to the thief")
            yield found
    finally:
        power_off_all(list(boxes.values()))
    assert processes_of(tmp_path) == []


def _passphrase(operator: Operator) -> bytes:
    return (operator.signer.folder / "DEMO-PASSPHRASE").read_bytes().strip()


def _image(folder: Path, model: str, version: str, security_version: int) -> BuiltImage:
    spec = ImageSpec(model, version, security_version=security_version)
    return build_small_image(spec, folder / f"{model}-{version}.img", system_bytes=256 * 1024)


def _publish(operator: Operator, image: BuiltImage) -> None:
    spec, base = image.spec, operator.server.config.tuf_dir
    bundle = operator.signer.bundle(
        image.path, spec.hardware_model, spec.version, base, {"en": "Good."},
        security_version=spec.security_version,
    )  # fmt: skip
    operator.server.run("release", "publish", bundle)


def _approve_for(operator: Operator, device_id: str) -> None:
    """Start a rollout for one box, and let two approvers sign it."""
    client = operator.server.client
    waves_ = [{"name": "One", "device_ids": [device_id], "sample_min": 1}]
    plan = {"hardware_model": MODEL, "version": NEW, "waves": waves_, "spread_s": 0,
            "evidence": None}  # fmt: skip
    rollout = client.post("/api/v1/rollouts", plan)["id"]
    client.post(f"/api/v1/rollouts/{rollout}/start")
    operator.sign_waves(rollout)


def _ids(operator: Operator) -> dict[str, str]:
    return {row["serial"]: row["id"] for row in operator.devices() if row["version"]}
