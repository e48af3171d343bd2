"""The claim, attacked: who holds the whole server can delay, or assign what is approved; no more.

A thief takes the data directory of a real server with every key in it, and its broker, and
says to two unmodified boxes whatever these keys can sign (tests/support/thief.py). Box A
is in no wave that approvers have signed; box B is in one that it has not heard of yet.
Each row of ATTACKS must fail, and be told by the box under a code of its own.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from oleada_agent import clock
from oleada_lab.boxes import Box, power_off_all
from oleada_lab.firmware.image import BuiltImage, ImageSpec, build_small_image
from oleada_lab.operator import Operator, Places, wait_until
from oleada_store import keys, repository, waves
from oleada_store.repository import NewRelease
from oleada_wire.cohort import merkle_proofs, merkle_root
from oleada_wire.envelope import KeySigner
from oleada_wire.messages import Assignment, Cohort
from oleada_wire.release import ReleaseInfo
from oleada_wire.words import Phase
from tuf.api.metadata import Metadata, Root

from tests.support.processes import own_ports, processes_of
from tests.support.thief import Thief, changed_wave, signed_role, stolen, waves_in

pytestmark = [pytest.mark.real, pytest.mark.timeout(900)]
MODEL, OTHER_MODEL = "VX-410", "VX-240"
OLD, RUNS, NEW = "1.0.0", "1.1.0", "1.2.0"
FOREIGN = "1.3.0"
SETTINGS = {"health_s": 60, "connect_spread_s": 1, "trial_s": 5}
LIMIT_S = 300


@dataclass
class Scene:
    """What the attacks are told.

    Attributes:
        ids: Device id of box A and box B.
        images: By version; ``evil`` is the thief's own.
        insider: One of two keys of the release, and one of two of a wave, lent by one person.
    """

    thief: Thief
    boxes: dict[str, Box]
    ids: dict[str, str]
    images: dict[str, BuiltImage]
    insider: dict[str, Ed25519PrivateKey]

    @property
    def wave(self) -> str:
        """The one wave that approvers have signed: it covers box B."""
        return waves_in(self.thief.home)[0]

    def assignment(self, version: str, **changed: Any) -> Assignment:
        """Return an assignment of *version* as the stolen wave would let it be given."""
        image = self.images[version]
        wave = waves.WaveToSign(1, "", 0, self.wave).wave
        now_ms = clock.now_ms()
        found = Assignment(
            assignment_id=f"AS-{clock.hex_id(8)}",
            attempt=1,
            rollout_id=wave.rollout_id,
            wave_id=wave.wave_id,
            target_path=f"{image.spec.hardware_model}/{image.spec.version}.img",
            sha256=image.sha256,
            size_bytes=image.size_bytes,
            version=image.spec.version,
            security_version=image.spec.security_version,
            issued_ms=now_ms,
            expires_ms=now_ms + 3_600_000,
        )
        return replace(found, **changed)

    def assign(self, version: str, box: str = "A", **changed: Any) -> None:
        """Assign *version* to a box with the stolen director's key."""
        self.thief.assign(self.ids[box], self.assignment(version, **changed))

    def with_evil(self, *by: Ed25519PrivateKey) -> dict[str, bytes]:
        """Return the model's metadata with the thief's own image in it, signed by *by*."""
        image = self.images["evil"]
        role = self.thief.targets(MODEL)
        info = ReleaseInfo((MODEL,), image.spec.version, 9, {"en": "Trust me."})
        path = f"{MODEL}/{image.spec.version}.img"
        release = NewRelease(path, image.size_bytes, image.sha256, info)
        added = repository.with_release(role, release, role.signed.expires)
        added.signed.version -= 1
        return {f"{MODEL}.json": signed_role(added, *by)}


# -- the attacks --------------------------------------------------------------------------


def own_code(scene: Scene) -> None:
    scene.thief.publish_metadata(scene.with_evil(scene.thief.director.key))


def own_code_with_one_insider(scene: Scene) -> None:
    scene.thief.publish_metadata(scene.with_evil(scene.insider["release-signer"]))


def own_code_by_assignment_alone(scene: Scene) -> None:
    evil = scene.images["evil"]
    scene.thief.publish_metadata()
    scene.thief.images[evil.sha256] = evil.path.read_bytes()
    scene.assign(NEW, sha256=evil.sha256, size_bytes=evil.size_bytes)


def own_root(scene: Scene) -> None:
    root: Metadata[Root] = Metadata.from_bytes(scene.thief.honest["1.root.json"].encode())
    root.signed.version += 1
    director = keys.tuf_signer(scene.thief.director.key)
    for role in ("root", "targets"):
        root.signed.add_key(director.public_key, role)
        root.signed.roles[role].threshold = 1
    root.signatures.clear()
    root.sign(director)
    files = {**scene.thief.honest, "2.root.json": root.to_bytes().decode()}
    scene.thief.give_metadata(files)


def own_targets(scene: Scene) -> None:
    """Delegate waves to the director's key, signed by the director's key."""
    role = scene.thief.targets("targets")
    assert role.signed.delegations is not None
    assert role.signed.delegations.roles is not None
    director = keys.tuf_signer(scene.thief.director.key)
    role.signed.add_key(director.public_key, "wave-approvers")
    role.signed.delegations.roles["wave-approvers"].threshold = 1
    body = signed_role(role, scene.thief.director.key)
    scene.thief.publish_metadata({"targets.json": body})


def older_metadata(scene: Scene) -> None:
    """Serve the metadata of yesterday, validly signed, from the thief's own archive."""
    scene.thief.publish_metadata()
    scene.thief.give_metadata(scene.thief.honest)


def older_role_under_new_signatures(scene: Scene) -> None:
    first = scene.thief.targets(MODEL).to_dict()
    first["signed"]["version"] -= 1
    scene.thief.publish_metadata({f"{MODEL}.json": json.dumps(first).encode()})


def downgrade(scene: Scene) -> None:
    scene.thief.publish_metadata()
    scene.assign(OLD)


def other_model(scene: Scene) -> None:
    scene.assign(FOREIGN)


def other_model_under_this_name(scene: Scene) -> None:
    scene.assign(FOREIGN, target_path=f"{MODEL}/{NEW}.img")


def widen_by_another_box_s_wave(scene: Scene) -> None:
    """The wave is real, and covers box B alone."""
    scene.thief.give_waves(scene.wave.encode())
    scene.assign(NEW)


def widen_by_another_box_s_proof(scene: Scene) -> None:
    proofs = merkle_proofs([scene.ids["B"], scene.ids["A"]])
    scene.assign(NEW, proof=tuple(proofs[scene.ids["A"]]))


def everybody() -> Cohort:
    return Cohort(salt="s", share_parts=10_000)


def widen_by_the_director(scene: Scene) -> None:
    scene.thief.give_waves(changed_wave(scene.wave, [scene.thief.director], cohort=everybody()))
    scene.assign(NEW)


def widen_with_one_insider(scene: Scene) -> None:
    insider = KeySigner.of(scene.insider["wave-approver-1"])
    signers = [insider, scene.thief.director]
    scene.thief.give_waves(changed_wave(scene.wave, signers, cohort=everybody()))
    scene.assign(NEW)


def widen_with_one_key_twice(scene: Scene) -> None:
    insider = KeySigner.of(scene.insider["wave-approver-1"])
    again = KeySigner(insider.key, scene.thief.director.keyid)
    root = merkle_root([scene.ids["A"]])
    cohort = Cohort(merkle_root=root)
    scene.thief.give_waves(changed_wave(scene.wave, [insider, again], cohort=cohort))


def last_year_s_assignment(scene: Scene) -> None:
    now_ms = clock.now_ms()
    scene.assign(NEW, issued_ms=now_ms - 7_200_000, expires_ms=now_ms - 3_600_000)


def assignment_for_ever(scene: Scene) -> None:
    scene.assign(NEW, expires_ms=clock.now_ms() + 30 * 86_400_000)


def another_box_s_assignment(scene: Scene) -> None:
    """Box B's own assignment, on box A's topic."""
    message = scene.thief.sealed_assign(scene.ids["B"], scene.assignment(NEW))
    scene.thief.retain(f"oleada/v1/d/{scene.ids['A']}/down/assign", message)


def endless_metadata(scene: Scene) -> None:
    files = {**scene.thief.honest, "timestamp.json": " " * 20_000 + "{}"}
    scene.thief.give_metadata(files)


def a_shell(scene: Scene) -> None:
    scene.thief.command(scene.ids["A"], "shell")


def a_stranger_s_command(scene: Scene) -> None:
    scene.thief.command(scene.ids["A"], "ping", KeySigner.of(Ed25519PrivateKey.generate()))


@dataclass(frozen=True)
class Attack:
    """One way to try, and under which code the box tells of it.

    Attributes:
        told: ``report <reason>``, ``log <kind> (<code>)`` or ``result <words>``.
    """

    act: Callable[[Scene], None]
    told: str


ATTACKS = [
    Attack(own_code_by_assignment_alone, "report untrusted"),
    Attack(downgrade, "report below-security-floor"),
    Attack(other_model, "report wrong-hardware"),
    Attack(other_model_under_this_name, "report untrusted"),
    Attack(last_year_s_assignment, "report expired"),
    Attack(assignment_for_ever, "report untrusted"),
    Attack(another_box_s_assignment, "log refused 'assign' (bad-signature)"),
    Attack(widen_by_another_box_s_wave, "report not-covered"),
    Attack(widen_by_another_box_s_proof, "report not-covered"),
    Attack(widen_by_the_director, "log refused 'wave' (bad-signature)"),
    Attack(a_shell, "result refused"),
    Attack(a_stranger_s_command, "log refused 'cmd' (bad-signature)"),
    Attack(older_metadata, "log refused 'meta' (rollback)"),
    Attack(endless_metadata, "log refused 'meta' (endless-data)"),
    Attack(own_root, "log refused 'meta' (signature)"),
    Attack(widen_with_one_insider, "log refused 'wave' (bad-signature)"),
    Attack(older_role_under_new_signatures, "log refused 'meta' (rollback)"),
    Attack(widen_with_one_key_twice, "log refused 'wave' (bad-signature)"),
    # The last ones name newer roles in a snapshot that is believed: from then on this box waits
    # for them until the online keys are rotated. That is the delay that a thief may cause.
    Attack(own_targets, "log refused 'meta' (signature)"),
    Attack(own_code_with_one_insider, "log refused 'meta' (signature)"),
    Attack(own_code, "log refused 'meta' (signature)"),
]


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

    assert len(failed) == len(ATTACKS) == 21
    assert scene.boxes["A"].slot_path("B").stat().st_size == 0  # nothing was ever written
    assert runs(scene, "A") == RUNS
    assert {report.phase for report in scene.thief.reports(scene.ids["A"])} == {Phase.DECLINED}

    # Box B is covered: the thief may assign it what was approved, and not one byte else.
    approved, evil = scene.images[NEW], scene.images["evil"]
    wrong = evil.path.read_bytes().ljust(approved.size_bytes, b"x")[: approved.size_bytes]
    scene.thief.images[approved.sha256] = wrong
    scene.thief.give_waves(scene.wave.encode())
    scene.thief.publish_metadata()
    scene.boxes["B"].power_on()
    scene.assign(NEW, "B")
    b = scene.ids["B"]
    wait_until(lambda: Phase.FAILED in phases(scene, b), LIMIT_S, "box B refuses other bytes")
    assert scene.thief.reports(b)[-1].reason == "wrong-digest"
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
    plan = {"hardware_model": MODEL, "version": NEW, "waves": waves_, "spread_s": 0}
    rollout = client.post("/api/v1/rollouts", plan)["id"]
    client.post(f"/api/v1/rollouts/{rollout}/start")
    operator.sign_waves(rollout)


def _ids(operator: Operator) -> dict[str, str]:
    return {row["serial"]: row["id"] for row in operator.devices() if row["version"]}
