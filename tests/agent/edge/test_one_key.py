"""One key is one person, under however many names and in however many spellings."""

from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from oleada_agent.disk import RealDisk
from oleada_agent.trust import errors
from oleada_agent.trust.client import BOX, TrustedClient
from oleada_agent.trust.keys import Key
from oleada_agent.trust.store import MetadataStore
from securesystemslib.signer import CryptoSigner

from tests.agent.edge.repository import NOON, Repository


@pytest.fixture
def repository() -> Repository:
    return Repository()


@pytest.fixture
def store(tmp_path: Path, repository: Repository) -> MetadataStore:
    made = MetadataStore(RealDisk(tmp_path / "trust"))
    made.write("root", repository.files["1.root.json"])
    return made


def refreshed(store: MetadataStore, repository: Repository) -> TrustedClient:
    made = TrustedClient(store, repository.get, NOON, BOX)
    made.refresh()
    return made


def test_one_key_under_two_names_signs_once(store: MetadataStore, repository: Repository) -> None:
    key = Ed25519PrivateKey.generate()
    same = [CryptoSigner(key), CryptoSigner(key)]
    same[1].public_key.keyid = "f" * 64
    root = repository.signed["root"].signed
    for signer in same:
        root.add_key(signer.public_key, "snapshot")
    root.roles["snapshot"].keyids = [signer.public_key.keyid for signer in same]
    root.roles["snapshot"].threshold = 2
    repository.signers["snapshot"] = same
    repository.publish("root")

    with pytest.raises(errors.BadSignaturesError, match="1 of 2"):
        refreshed(store, repository)


@pytest.mark.parametrize(
    "spell",
    [str.upper, lambda text: f" {text} ", lambda text: f"{text[:32]} {text[32:].upper()}"],
    ids=["capitals", "blanks around", "a blank inside"],
)
def test_one_key_in_two_spellings_signs_once(
    store: MetadataStore, repository: Repository, spell: Callable[[str], str]
) -> None:
    key = Ed25519PrivateKey.generate()
    same = [CryptoSigner(key), CryptoSigner(key)]
    same[1].public_key.keyid = "f" * 64
    root = repository.signed["root"].signed
    for signer in same:
        root.add_key(signer.public_key, "snapshot")
    root.keys["f" * 64].keyval = {"public": spell(key.public_key().public_bytes_raw().hex())}
    root.roles["snapshot"].keyids = [signer.public_key.keyid for signer in same]
    root.roles["snapshot"].threshold = 2
    repository.signers["snapshot"] = same
    repository.publish("root")

    with pytest.raises(errors.BadSignaturesError, match="1 of 2"):
        refreshed(store, repository)


def test_two_names_of_one_type_of_key_make_it_no_second_key() -> None:
    pem = "-----BEGIN PUBLIC KEY-----\nMFkw\nEwYH\n-----END PUBLIC KEY-----\n"
    spelt = [
        Key("ecdsa", "ecdsa-sha2-nistp256", pem),
        Key("ecdsa-sha2-nistp256", "ecdsa-sha2-nistp256", pem.replace("MFkw\nEwYH", "MFkwEwYH")),
    ]

    assert len({key.identity for key in spelt}) == 1
