"""What somebody can try who holds the whole server and one person's keys; each must fail.

A row of ``ATTACKS`` says what is done and under which code the box tells of it.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from oleada_agent import clock
from oleada_lab.boxes import Box
from oleada_lab.firmware.image import BuiltImage
from oleada_store import keys, repository, waves
from oleada_store.repository import NewRelease
from oleada_wire import batch, bulk, envelope, merkle, messages
from oleada_wire.cohort import merkle_proofs, merkle_root
from oleada_wire.envelope import KeySigner
from oleada_wire.messages import Assignment, Cohort
from oleada_wire.release import ReleaseInfo
from tuf.api.metadata import Metadata, Root

from tests.support.thief import Thief, changed_wave, signed_role, waves_in

MODEL, OTHER_MODEL = "VX-410", "VX-240"
OLD, RUNS, NEW = "1.0.0", "1.1.0", "1.2.0"
FOREIGN = "1.3.0"


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
    own = scene.with_evil(scene.thief.director.key)  # as new as what was named before
    scene.thief.publish_metadata({"targets.json": body, **own})


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


def another_box_s_path(scene: Scene) -> None:
    """Box A in the place after box B, in a batch of which the stolen key has signed the root."""
    wanted = scene.assignment(NEW)
    a, b = (scene.thief.message(scene.ids[box], wanted) for box in "AB")
    _, sealed = bulk.seal_many([a, b], [scene.thief.director])
    body, _ = envelope.parts("assign", json.loads(messages.seal(a, [])))
    _, [signature] = envelope.parts("assign", json.loads(sealed))
    assert signature.place is not None
    forged = signature._replace(place=signature.place._replace(number=2))
    topic = f"oleada/v1/d/{scene.ids['A']}/down/assign"
    scene.thief.retain(topic, envelope.spell("assign", body, [forged]))


def widen_with_one_insider_alone_and_in_a_batch(scene: Scene) -> None:
    """One person's key signs a wave, and once more a batch in which it is."""
    insider = KeySigner.of(scene.insider["wave-approver-1"])
    wide = changed_wave(scene.wave, [insider], cohort=everybody())
    body, [plain] = envelope.parts("wave", json.loads(wide))
    leaf = merkle.leaf(envelope.pre_authentication(envelope.payload_type("wave"), body))
    root = batch.body(2, merkle.node(leaf, leaf))
    signed = insider.sign(envelope.pre_authentication(batch.ROOT_TYPE, root))
    place = batch.Place(2, 0, leaf)
    again = envelope.Signature(scene.thief.director.keyid, signed, place)
    scene.thief.give_waves(envelope.spell("wave", body, [plain, again]))


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
    Attack(another_box_s_path, "log refused 'assign' (bad-batch)"),
    Attack(widen_by_another_box_s_wave, "report not-covered"),
    Attack(widen_by_another_box_s_proof, "report not-covered"),
    Attack(widen_by_the_director, "log refused 'wave' (bad-signature)"),
    Attack(widen_with_one_insider_alone_and_in_a_batch, "log refused 'wave' (bad-batch)"),
    Attack(a_shell, "result Refused"),
    Attack(a_stranger_s_command, "log refused 'cmd' (bad-signature)"),
    Attack(older_metadata, "log refused 'meta' (rollback)"),
    Attack(endless_metadata, "log refused 'meta' (endless-data)"),
    Attack(own_root, "log refused 'meta' (signature)"),
    Attack(widen_with_one_insider, "log refused 'wave' (bad-signature)"),
    Attack(older_role_under_new_signatures, "log refused 'meta' (rollback)"),
    Attack(widen_with_one_key_twice, "log refused 'wave' (bad-signature)"),
    # The last ones name newer roles in a snapshot that is believed: from then on this box waits
    # for them until the online keys are rotated. That is the delay that a thief may cause.
    Attack(own_code_with_one_insider, "log refused 'meta' (signature)"),
    Attack(own_code, "log refused 'meta' (signature)"),
    Attack(own_targets, "log refused 'meta' (signature)"),
]
