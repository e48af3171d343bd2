"""A signer signs what is said in words, once, on trusted ground, and nothing else."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from oleada_store import bundle, ceremony, keys, repository, signing, trust_files
from oleada_store.errors import (
    BadBundleError,
    BadImageError,
    BadMetadataError,
    MisnamedReleaseError,
    NotSignedError,
    SignatureRefusedError,
    UnexpectedChangeError,
    UnknownModelError,
)
from oleada_store.trust_files import TrustedModel
from oleada_wire.release import ReleaseInfo
from tuf.api.metadata import Targets

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
IMAGE = b"an image of a box" * 5000
INFO = ReleaseInfo(
    hardware_models=("VX-410",),
    version="5.8.2",
    security_version=3,
    notes={"en": "Mends the tuner", "es": "Repara el sintonizador"},
    min_version="5.0",
    provides=("codec:hevc-main10",),
    fixes=("F-118",),
)


@dataclass(frozen=True)
class Desk:
    """The signer's machine: the ceremony's directory, an image and a bundle to be."""

    folder: Path
    tuf: Path
    image: Path
    out: Path

    def key(self, name: str) -> Ed25519PrivateKey:
        """Return the offline key *name* of the ceremony."""
        return keys.read_encrypted(self.folder / f"{name}.pem", b"secret")

    def base(self, model: str = "VX-410") -> TrustedModel:
        """Return what is published, as this signer trusts it."""
        return trust_files.trusted_model(trust_files.read_directory(self.tuf), model, NOON)

    def build(self, info: ReleaseInfo = INFO) -> None:
        """Build the bundle."""
        signing.build(self.image, info, self.base(), self.out, base_name="tuf", now=NOON)


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ceremony, held once: its keys cost a moment each."""
    home = tmp_path_factory.mktemp("ceremony")
    online = keys.make_online_keys(home / "online")
    ceremony.make(home / "c", online, ["VX-240", "VX-410"], lambda _: b"secret", now=NOON)
    return home / "c"


@pytest.fixture
def desk(held: Path, tmp_path: Path) -> Desk:
    image = tmp_path / "box.img"
    image.write_bytes(IMAGE)
    tuf = tmp_path / "tuf"
    tuf.mkdir()
    for path in (held / "tuf").iterdir():
        (tuf / path.name).write_bytes(path.read_bytes())
    return Desk(held, tuf, image, tmp_path / "box.oleada")


def _head(path: Path) -> bundle.Head:
    with path.open("rb") as file:
        return bundle.Reader(file).head()


def _rewrite(path: Path, spoil: Callable[[bundle.Head], bundle.Head], image: bytes = IMAGE) -> None:
    head = spoil(_head(path))
    with path.open("wb") as file:
        bundle.write(file, head, [image])


def test_what_is_signed_is_said_in_words(desk: Desk) -> None:
    desk.build()

    lines = "\n".join(signing.read_statement(desk.out).lines())

    for fact in (
        "VX-410", "5.8.2", f"{len(IMAGE)} bytes", signing.read_statement(desk.out).release.sha256,
        "Security version  3", "5.0", "codec:hevc-main10", "F-118", "Mends the tuner",
        "Repara el sintonizador", "version 2 of VX-410", "0 of 2",
    ):  # fmt: skip
        assert fact in lines


def test_two_keys_make_a_bundle_that_the_models_role_accepts(desk: Desk) -> None:
    desk.build()

    for name in ceremony.MODEL_KEYS:
        said = signing.sign(desk.out, desk.key(name), desk.base())

    role = repository.read(Targets, _head(desk.out).metadata, "VX-410")
    repository.verify(desk.base().targets, "VX-410", role, NOON)
    assert len(said.signed_by) == 2
    with desk.out.open("rb") as file:
        reader = bundle.Reader(file)
        reader.head()
        assert b"".join(reader.image()) == IMAGE
    assert [path.name for path in desk.out.parent.iterdir() if path.name.startswith(".")] == []


def test_one_key_is_not_enough_and_may_not_sign_twice(desk: Desk) -> None:
    desk.build()
    signing.sign(desk.out, desk.key("approver"))
    once = desk.out.read_bytes()

    with pytest.raises(SignatureRefusedError, match="signed this bundle already"):
        signing.sign(desk.out, desk.key("approver"))

    assert desk.out.read_bytes() == once
    role = repository.read(Targets, _head(desk.out).metadata, "VX-410")
    with pytest.raises(NotSignedError, match="carries 1 of the 2"):
        repository.verify(desk.base().targets, "VX-410", role, NOON)


def test_a_key_of_another_role_does_not_sign(desk: Desk) -> None:
    desk.build()

    for base in (desk.base(), None):
        with pytest.raises(SignatureRefusedError, match=r"use release-signer\.pem or approver"):
            signing.sign(desk.out, desk.key("root-1"), base)


def test_an_image_that_was_changed_after_building_is_not_signed(desk: Desk) -> None:
    desk.build()
    _rewrite(desk.out, lambda head: head, IMAGE[:-1] + b"!")
    before = desk.out.read_bytes()

    with pytest.raises(BadImageError, match="changed or is damaged"):
        signing.sign(desk.out, desk.key("approver"))

    assert desk.out.read_bytes() == before


def test_a_bundle_that_says_two_things_is_not_signed(desk: Desk) -> None:
    desk.build()
    _rewrite(
        desk.out, lambda head: replace(head, description=replace(head.description, role_version=9))
    )

    with pytest.raises(BadBundleError, match="do not say the same"):
        signing.sign(desk.out, desk.key("approver"))


def test_words_of_a_stranger_can_not_move_the_cursor(desk: Desk) -> None:
    desk.build(replace(INFO, notes={"en": "good\n  Version  1\x1b[2J\u202eevil"}))

    (note,) = [line for line in signing.read_statement(desk.out).lines() if "Note" in line]

    assert note.endswith(r"good\n  Version  1\x1b[2J\u202eevil")


def test_releases_that_are_signed_again_are_named(desk: Desk) -> None:
    _publish(desk, INFO)
    desk.build(replace(INFO, version="5.9"))

    lines = list(signing.read_statement(desk.out).lines())

    assert any(line.startswith("Also stays        5.8.2 (") for line in lines)


def test_a_release_that_nobody_published_is_found_by_the_base(desk: Desk) -> None:
    base = desk.base()
    _publish(desk, INFO)  # on this machine only
    desk.build(replace(INFO, version="5.9"))

    with pytest.raises(UnexpectedChangeError, match="adds 2 releases"):
        signing.check_against_base(desk.out, base)
    signing.check_against_base(desk.out, desk.base())


def test_a_bundle_on_an_older_base_is_told_apart(desk: Desk) -> None:
    desk.build()
    role = repository.read(Targets, _head(desk.out).metadata, "VX-410")
    role.signed.version += 1
    _rewrite(desk.out, lambda head: replace(head, metadata=repository.write(role)))

    with pytest.raises(UnexpectedChangeError, match="version 1 is published"):
        signing.check_against_base(desk.out, desk.base())


def test_a_version_is_built_once(desk: Desk) -> None:
    _publish(desk, INFO)

    with pytest.raises(UnexpectedChangeError, match="never replaced"):
        desk.build()


def test_a_foreign_base_is_no_ground_to_build_on(desk: Desk, tmp_path: Path) -> None:
    stranger = Ed25519PrivateKey.generate()
    role = desk.base().role
    role.signed.version = 7
    role.signatures.clear()
    role.sign(keys.tuf_signer(stranger))
    (desk.tuf / "VX-410.json").write_bytes(repository.write(role))

    with pytest.raises(NotSignedError, match="0 of the 2"):
        desk.base()
    assert list(tmp_path.glob("*.oleada")) == []


def test_another_root_than_the_pinned_one_is_not_followed(desk: Desk) -> None:
    files = trust_files.read_directory(desk.tuf)

    assert trust_files.from_root(files, files.roots[0]) == files
    with pytest.raises(BadMetadataError, match="pinned root"):
        trust_files.from_root(files, b"{}")


def test_a_base_that_is_not_there_says_what_to_name(desk: Desk, tmp_path: Path) -> None:
    with pytest.raises(BadMetadataError, match="oleada keys init"):
        trust_files.read_directory(tmp_path / "nowhere")
    with pytest.raises(UnknownModelError, match="known: VX-240, VX-410"):
        desk.base("VX-999")
    (desk.tuf / "VX-410.json").unlink()
    with pytest.raises(BadMetadataError, match=r"VX-410\.json is missing"):
        desk.base()


@pytest.mark.parametrize("cut", [0, 100, 700, 3000, 5000])
def test_half_a_bundle_is_not_signed(desk: Desk, cut: int) -> None:
    desk.build()
    half = desk.out.read_bytes()[:cut]
    desk.out.write_bytes(half)

    with pytest.raises(BadBundleError):
        signing.sign(desk.out, desk.key("approver"))

    assert desk.out.read_bytes() == half


def test_an_image_that_is_empty_or_missing_is_not_built(desk: Desk) -> None:
    desk.image.write_bytes(b"")
    with pytest.raises(BadImageError, match="is empty"):
        desk.build()
    desk.image.unlink()
    with pytest.raises(BadImageError, match="No such file"):
        desk.build()
    assert not desk.out.exists()


def test_metadata_that_is_misnamed_is_not_signed(desk: Desk) -> None:
    desk.build()
    text = _head(desk.out).metadata.replace(b'"version":"5.8.2"', b'"version":"5.8.3"')
    _rewrite(desk.out, lambda head: replace(head, metadata=text))

    with pytest.raises(MisnamedReleaseError, match=r"says version 5\.8\.2"):
        signing.sign(desk.out, desk.key("approver"))


def test_the_command_to_repeat_builds_the_same_release(desk: Desk) -> None:
    desk.build()
    head = _head(desk.out)
    note = replace(INFO, notes={"en": "it's done; rm -rf"})

    assert signing.repeat_command(head.description, note) == (
        "oleada release build box.img --model VX-410 --version 5.8.2 --security-version 3 "
        "--min-version 5.0 --provides codec:hevc-main10 --fixes F-118 "
        """--note 'en=it'"'"'s done; rm -rf' --base tuf -o VX-410-5.8.2.oleada"""
    )


def _publish(desk: Desk, info: ReleaseInfo) -> None:
    """Make a release the newest of this desk's base, as a server would."""
    desk.build(info)
    for name in ceremony.MODEL_KEYS:
        signing.sign(desk.out, desk.key(name))
    (desk.tuf / "VX-410.json").write_bytes(_head(desk.out).metadata)
