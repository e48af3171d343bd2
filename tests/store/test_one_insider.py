"""One person with one key of the ceremony makes no box believe anything."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from oleada_agent.trust.client import BOX, TrustedClient
from oleada_agent.trust.errors import TrustError
from oleada_agent.trust.store import MetadataStore
from oleada_lab.sim.disk import SimDisk
from oleada_store import keys, repository
from oleada_store.ceremony import MODEL_KEYS, ROOT_KEYS, TARGETS_KEYS, WAVE_KEYS
from oleada_store.cli import keys_group
from oleada_store.repository import OnlineSigners
from tuf.api.metadata import Metadata, Root, Targets

from tests.support.releases import Signers, hold_ceremony

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
MODEL = "VX-410"


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> tuple[Signers, Path]:
    online = tmp_path_factory.mktemp("online")
    keys.make_online_keys(online)
    return hold_ceremony(online, NOON), online


def believed(people: tuple[Signers, Path], root: bytes | None, targets: bytes | None) -> bool:
    """Return whether a box follows, to new delegations, what a thief of the server hands out."""
    signers, online = people
    files = {"1.root.json": signers.files.roots[0], "targets.json": signers.files.targets}
    files[f"{MODEL}.json"] = signers.files.models[MODEL]
    files |= {"2.root.json": root} if root is not None else {}
    files |= {"targets.json": targets} if targets is not None else {}
    thief = OnlineSigners(
        *(keys.tuf_signer(keys.read_online(online / f"{n}.pem")) for n in ("snapshot", "timestamp"))
    )
    number = repository.read(Targets, files["targets.json"], "targets").signed.version
    versions = {"targets": number, MODEL: 1}
    files["snapshot.json"] = repository.sign_snapshot(thief, 2, versions, NOON)
    files["timestamp.json"] = repository.sign_timestamp(thief, 2, files["snapshot.json"], 2, NOON)
    store = MetadataStore(SimDisk(), "trust")
    store.write("root", files["1.root.json"])

    def get(name: str, _: int) -> bytes | None:
        plain = name if name.endswith(".root.json") else name.lstrip("0123456789").lstrip(".")
        return files.get(plain)

    client = TrustedClient(store, get, NOON, BOX)
    try:
        client.refresh()
    except TrustError:
        return False
    return client.targets.document.version == 2 or client.root.document.version == 2


def sign(metadata: Metadata[Root] | Metadata[Targets], signers: Signers, names: list[str]) -> bytes:
    metadata.signatures.clear()
    for name in names:
        metadata.sign(keys.tuf_signer(signers.secret[name]), append=True)
    return metadata.to_bytes()


def delegating_to(signers: Signers, insider: str, names: list[str]) -> bytes:
    """Return targets in which *insider* alone says what the model may run."""
    targets = repository.read(Targets, signers.files.targets, "targets")
    targets.signed.version = 2
    role = targets.signed.get_delegated_role(MODEL)
    mine = keys.tuf_signer(signers.secret[insider]).public_key
    targets.signed.add_key(mine, MODEL)
    role.keyids, role.threshold = [mine.keyid], 1
    return sign(targets, signers, names)


def rooted_in(signers: Signers, insider: str, names: list[str]) -> bytes:
    """Return the next root, in which *insider* alone signs targets."""
    root = repository.read(Root, signers.files.roots[0], "root")
    root.signed.version = 2
    mine = keys.tuf_signer(signers.secret[insider]).public_key
    root.signed.add_key(mine, "targets")
    root.signed.roles["targets"].keyids = [mine.keyid]
    root.signed.roles["targets"].threshold = 1
    return sign(root, signers, names)


EVERYBODY = (*ROOT_KEYS, *TARGETS_KEYS, *MODEL_KEYS, *WAVE_KEYS)


@pytest.mark.parametrize("insider", EVERYBODY)
def test_nobody_names_themselves_for_everything(people: tuple[Signers, Path], insider: str) -> None:
    signers, _ = people

    assert not believed(people, None, delegating_to(signers, insider, [insider]))
    assert not believed(people, rooted_in(signers, insider, [insider]), None)


def test_no_key_of_the_server_slips_in_among_the_wave_approvers(tmp_path: Path) -> None:
    online = keys.make_online_keys(tmp_path / "online")
    people = {"mine": Ed25519PrivateKey.generate().public_key(), "theirs": online["director"]}
    keys.write_public(tmp_path / "approvers.json", people)
    words = ["init", "--out", tmp_path / "c", "--online", tmp_path / "online/online-public.json",
             "--model", MODEL, "--wave-key", tmp_path / "approvers.json"]  # fmt: skip

    done = CliRunner().invoke(keys_group, [str(word) for word in words])

    assert done.exit_code == 1
    assert "A key of the server stands among the wave approvers" in done.output
    assert not (tmp_path / "c").exists()


def test_two_of_those_who_may_are_believed(people: tuple[Signers, Path]) -> None:
    signers, _ = people

    assert believed(people, None, delegating_to(signers, "approver", ["targets-1", "targets-3"]))
    assert not believed(people, None, delegating_to(signers, "approver", ["targets-1", "root-1"]))
